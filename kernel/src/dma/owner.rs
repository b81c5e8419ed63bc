//! What programs have, as a request carries it, and back.

use super::common::Common;
use super::memory::{Holder, Memory};
use super::mixed::Mixed;
use crate::memory::address_space::Pinned;
use crate::memory::frames::Frames;
use crate::memory::regions::Region;
use crate::memory::scattered::Scattered;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What a request can own, and gets back.
///
/// Only this module implements it: that memory stays where it is, is a property of these types.
pub trait Owner: Sized + sealed::Sealed {
    /// All of it, as a request carries it.
    fn into_memory(self) -> Memory;

    /// What [`into_memory`](Self::into_memory) was made of, whatever part of it is meant now.
    ///
    /// # Errors
    /// If it was made of something else: the memory.
    fn from_memory(memory: Memory) -> Result<Self, Memory>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Memory {}
    impl Sealed for super::Frames {}
    impl Sealed for super::Box<super::Scattered> {}
    impl Sealed for super::Vec<u8> {}
    impl Sealed for super::Box<super::Pinned> {}
    impl Sealed for super::Region {}
    impl Sealed for super::Box<super::Mixed> {}
    impl Sealed for super::Mixed {}
    impl Sealed for super::Common {}
}

impl Owner for Memory {
    fn into_memory(self) -> Memory {
        self
    }

    fn from_memory(memory: Memory) -> Result<Self, Memory> {
        memory.withdraw();
        Ok(memory)
    }
}

macro_rules! owner {
    ($Type:ty, $Holder:ident, $len:expr) => {
        impl Owner for $Type {
            #[inline]
            fn into_memory(self) -> Memory {
                let len: fn(&$Type) -> usize = $len;
                let len = len(&self);
                Memory::of(Holder::$Holder(self), len)
            }

            #[inline]
            fn from_memory(memory: Memory) -> Result<Self, Memory> {
                memory.release(|holder| match holder {
                    Holder::$Holder(held) => Ok(held),
                    other => Err(other),
                })
            }
        }
    };
}

owner!(Frames, Frames, |frames| frames.phyr().len() as usize);
owner!(Box<Scattered>, Scattered, |scattered| scattered
    .bytes()
    .len());
owner!(Vec<u8>, Bytes, |bytes| bytes.len());
owner!(Box<Pinned>, Pinned, |pinned| pinned.len() as usize);
owner!(Region, Region, |region| region.phyr().len() as usize);
owner!(Box<Mixed>, Mixed, |mixed| mixed.len());

impl Owner for Mixed {
    fn into_memory(self) -> Memory {
        Box::new(self).into_memory()
    }

    fn from_memory(memory: Memory) -> Result<Self, Memory> {
        Box::<Self>::from_memory(memory).map(|mixed| *mixed)
    }
}

impl Owner for Common {
    fn into_memory(self) -> Memory {
        let len = self.len();
        Memory::of(Holder::Common(self.into_shared()), len)
    }

    fn from_memory(memory: Memory) -> Result<Self, Memory> {
        memory.release(|holder| match holder {
            Holder::Common(all) => Ok(Self::from_shared(all)),
            other => Err(other),
        })
    }
}
