//! Things by number. A number that was given out once does not mean another thing later.

use alloc::vec::Vec;

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    index: u32,
    generation: u32,
}

/// Things by number.
#[derive(Debug)]
pub(super) struct Slots<T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn add(&mut self, thing: T) -> Id {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.1 = Some(thing);
            let generation = slot.0;
            return Id { index, generation };
        }
        let index = self.slots.len() as u32;
        self.slots.push((0, Some(thing)));
        Id {
            index,
            generation: 0,
        }
    }

    pub(super) fn remove(&mut self, id: Id) -> Option<T> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.0 != id.generation {
            return None;
        }
        let thing = slot.1.take()?;
        slot.0 = slot.0.wrapping_add(1);
        self.free.push(id.index);
        Some(thing)
    }

    #[inline]
    pub(super) fn get(&self, id: Id) -> Option<&T> {
        let slot = self.slots.get(id.index as usize)?;
        slot.1.as_ref().filter(|_| slot.0 == id.generation)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.index as usize)?;
        slot.1.as_mut().filter(|_| slot.0 == id.generation)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(index, (generation, thing))| {
            let id = Id {
                index: index as u32,
                generation: *generation,
            };
            thing.as_ref().map(|thing| (id, thing))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_does_not_mean_another_thing_later() {
        let mut slots = Slots::new();
        let (one, two) = (slots.add(1), slots.add(2));
        assert_eq!((slots.remove(one), slots.remove(one)), (Some(1), None));
        let three = slots.add(3);
        assert_eq!((slots.get(one), slots.get(three)), (None, Some(&3)));
        assert_eq!((slots.len(), slots.get_mut(two)), (2, Some(&mut 2)));
        assert_eq!(
            slots.iter().map(|(id, _)| id).collect::<Vec<_>>(),
            [three, two]
        );
    }
}
