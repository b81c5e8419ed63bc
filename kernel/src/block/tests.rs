//! Futures, partitions and errors, on a disk that does as it is told.
//!
//! - `requests` has the life of one request;
//! - `odd` has devices that contradict themselves, and such as want their memory in a special place;
//! - `parts` has partitions;
//! - `orders` has whatever may happen, in any order.

mod odd;
mod orders;
mod parts;
mod requests;

use super::blocking::wait;
use super::partition::{Extent, Partition};
use super::*;
use crate::dma::{Memory, Owner};
use crate::memory::frames::{Frames, host};
use alloc::sync::Arc;
use proptest::prelude::*;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

const SIZE: usize = 512;

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    fn rung(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>, bell: &Arc<Bell>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(&Waker::from(bell.clone())))
}

/// The byte at every place of a fresh disk.
fn byte_at(index: usize) -> u8 {
    (index * 7 + index / SIZE) as u8
}

fn disk(blocks: usize) -> RamDisk {
    RamDisk::new(
        "ram0",
        SIZE as u32,
        (0..blocks * SIZE).map(byte_at).collect(),
    )
}

fn content(blocks: core::ops::Range<usize>) -> Vec<u8> {
    (blocks.start * SIZE..blocks.end * SIZE)
        .map(byte_at)
        .collect()
}
