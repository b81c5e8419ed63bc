//! Memory that several devices may read at the same time.
//!
//! What is sent over a network is kept until the other end has it, and is sent again if it does not
//! arrive. So a card may still read a part of it while another part is handed over, or the same part
//! once more. A [`Memory`] has one owner, and cannot be in two queues.
//!
//! [`Common`] gives up writing for that. It owns a `Memory`, of any kind, and makes others of it, each
//! of which means [a part](Common::part) and is handed on by value as any `Memory` is.
//!
//! - Nobody writes it, for as long as there is a part: there is no way to.
//! - It is freed when the last part and the `Common` itself are gone, so never under a device.
//! - Who has the last of them [gets](Common::into_inner) the memory back.

use super::memory::Memory;
use super::owner::Owner;
use crate::memory::regions::RegionError;
use alloc::sync::Arc;
use core::ops::Range;

/// Owned memory, parts of which may be with devices that read it.
#[derive(Debug, Clone)]
pub struct Common(Arc<Memory>);

impl Common {
    /// Memory that is only read from now on.
    pub fn new(owner: impl Owner) -> Self {
        Self(Arc::new(owner.into_memory()))
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These bytes of it, for a device to read. `None` if they are not inside.
    pub fn part(&self, bytes: Range<usize>) -> Option<Memory> {
        self.clone().into_memory().part(bytes).ok()
    }

    /// The memory, if there are no parts of it.
    ///
    /// # Errors
    /// If there are: as it was.
    pub fn into_inner(self) -> Result<Memory, Self> {
        let memory = Arc::try_unwrap(self.0).map_err(Self)?;
        // No device has any of it.
        memory.withdraw();
        Ok(memory)
    }

    /// Copies bytes of it, from `offset` on, until `into` is full.
    ///
    /// # Errors
    /// If it ends before, or cannot be copied from.
    pub fn copy_to(&self, offset: usize, into: &mut [u8]) -> Result<(), RegionError> {
        self.0.copy_to(offset, into)
    }

    pub(super) fn into_shared(self) -> Arc<Memory> {
        self.0
    }

    pub(super) fn from_shared(all: Arc<Memory>) -> Self {
        Self(all)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Buffer, BufferError, Mixed, Phyrs};
    use super::*;
    use crate::memory::frames::{Frames, host};
    use phyr::Phyr;

    fn phyr(memory: &Memory) -> Phyr {
        match memory.phyrs() {
            Ok(Phyrs::One(phyr)) => phyr,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parts_lie_where_the_whole_does_and_overlap() {
        let arena = host::arena();
        let free = arena.free_bytes();
        let mut frames = Frames::allocate(8192).unwrap();
        frames.bytes_mut()[5000] = 77;
        let at = frames.phyr();
        // The whole may be a part itself.
        let common = Common::new(frames.into_memory().part(1000..8000).unwrap());
        let (one, other) = (common.part(0..5000), common.part(4000..7000));
        let (one, other) = (one.unwrap(), other.unwrap());
        assert_eq!(phyr(&one), at.sub(1000, 5000).unwrap());
        assert_eq!(phyr(&other), at.sub(5000, 3000).unwrap());
        assert_eq!((one.bytes()[4000], other.bytes()[0]), (77, 77));
        assert!(common.part(6999..7001).is_none());
        let smaller = other.part(10..20).unwrap();
        assert_eq!(phyr(&smaller), at.sub(5010, 10).unwrap());
        let nothing = common.part(3..3).unwrap();
        assert!(matches!(nothing.phyrs(), Err(BufferError::Empty)));

        let common = common.into_inner().unwrap_err();
        drop((one, smaller, nothing));
        assert_ne!(arena.free_bytes(), free);
        let memory = common.into_inner().unwrap();
        assert_eq!(memory.len(), 7000);
        assert_eq!(Frames::from_memory(memory).unwrap().phyr(), at);
        assert_eq!(arena.free_bytes(), free);
    }

    #[test]
    fn the_last_part_frees() {
        let arena = host::arena();
        let free = arena.free_bytes();
        let common = Common::new(Frames::allocate(4096).unwrap());
        let part = common.part(1..2).unwrap();
        drop(common);
        assert_ne!(arena.free_bytes(), free);
        drop(part);
        assert_eq!(arena.free_bytes(), free);
    }

    #[test]
    fn several_pieces_are_common_as_one() {
        let _arena = host::arena();
        let mut mixed = Mixed::new();
        for byte in [1, 2] {
            let mut frames = Frames::allocate(8192).unwrap();
            frames.bytes_mut().fill(byte);
            mixed.push(frames.into_memory().part(0..100).unwrap());
        }
        let common = Common::new(mixed);
        let part = common.part(90..110).unwrap();
        assert!(matches!(part.phyrs(), Ok(Phyrs::List(_))));
        let mut bytes = [0; 20];
        part.copy_to(0, &mut bytes).unwrap();
        assert_eq!(bytes[..], [[1; 10], [2; 10]].concat());
        assert!(!part.is_ram());
    }

    #[test]
    #[should_panic(expected = "to be written")]
    fn nobody_writes_it() {
        let part = Common::new(vec![1; 10]).part(0..5).unwrap();
        Buffer::from_device(part);
    }
}
