//! Which connection is between two ends.
//!
//! Segments come in groups, and those of a group are of one connection: the last that was asked for is found at once.

use super::segment::Ends;
use super::slots::Id;
use alloc::collections::BTreeMap;

/// Connections by their ends.
#[derive(Debug, Default)]
pub(super) struct Paths {
    all: BTreeMap<Ends, Id>,
    last: Option<(Ends, Id)>,
}

impl Paths {
    /// The connection between these ends.
    #[inline]
    pub(super) fn get(&mut self, ends: &Ends) -> Option<Id> {
        if let Some((known, id)) = &self.last
            && known == ends
        {
            return Some(*id);
        }
        let id = *self.all.get(ends)?;
        self.last = Some((*ends, id));
        Some(id)
    }

    /// From now on it is this one.
    pub(super) fn insert(&mut self, ends: Ends, id: Id) {
        self.last = None;
        self.all.insert(ends, id);
    }

    /// There is none any more, if it was this one.
    pub(super) fn remove(&mut self, ends: &Ends, id: Id) {
        if self.all.get(ends) == Some(&id) {
            self.last = None;
            self.all.remove(ends);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::slots::Slots;
    use super::*;
    use smoltcp::wire::{IpAddress, IpEndpoint};

    #[test]
    fn the_last_one_is_forgotten_when_it_goes_or_another_comes() {
        let mut slots = Slots::new();
        let [first, second] = [slots.add(1), slots.add(2)];
        let end = |port| IpEndpoint::new(IpAddress::v4(10, 0, 0, 1), port);
        let ends = |remote| Ends {
            local: end(80),
            remote: end(remote),
        };
        let mut paths = Paths::default();
        paths.insert(ends(1), first);
        paths.insert(ends(2), second);
        assert_eq!(
            [1, 1, 2, 3].map(|remote| paths.get(&ends(remote))),
            [Some(first), Some(first), Some(second), None]
        );
        // Another's end is none of this one.
        paths.remove(&ends(2), first);
        assert_eq!(paths.get(&ends(2)), Some(second));
        paths.remove(&ends(2), second);
        assert_eq!(paths.get(&ends(2)), None);
        assert_eq!(paths.get(&ends(1)), Some(first));
        paths.insert(ends(1), second);
        assert_eq!(paths.get(&ends(1)), Some(second));
    }
}
