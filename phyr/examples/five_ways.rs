//! The same I/O said in five ways.
//!
//! A buffer is described as an array of pages, as `bio_vec`s, as a scatter list, by PRPs and by phyrs.
//! Each description is really made, entry by entry, in memory that is allocated for it, and what is
//! printed was counted: entries, the bytes of all that was allocated, and how many allocations that
//! were. The buffer is 4 KiB, 1 MiB or 1 GiB, in one piece, or in pages of which no two touch.
//!
//! The layouts are those of 64-bit machines:
//!
//! | | an entry | how it grows | what else it needs |
//! |---|---|---|---|
//! | pages | a pointer to a page structure, 8 bytes | one array | 64 bytes for each page of RAM, always |
//! | `bio_vec` | page, length, offset: 16 bytes; joins what touches | 256 to a `bio` (short ones take less) | as above |
//! | scatter list | page, offset, length, bus address, length: 32 bytes; joins what touches | 128 to a page, the last one a link | as above |
//! | PRP | the bus address of a page: 8 bytes | 512 to a page, the last one a link; two need none | nothing |
//! | phyr | address and length: 16 bytes; joins what touches | eight need no memory, then pages | nothing |
//!
//! `cargo run -p phyr --example five_ways`

use phyr::{Phyr, PhyrList, PhysAddr};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const PAGE: u64 = 4096;

/// Counts what it is asked for.
struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is done by `System`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Relaxed);
        CALLS.fetch_add(1, Relaxed);
        // SAFETY: the caller's duty is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's duty is the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A page structure's address: nobody looks behind it here.
#[derive(Clone, Copy)]
struct PageStruct(u64);

#[derive(Clone, Copy)]
#[repr(C)]
struct BioVec {
    page: PageStruct,
    len: u32,
    offset: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct ScatterEntry {
    page: PageStruct,
    offset: u32,
    length: u32,
    dma_address: u64,
    dma_length: u32,
}

const _: () = assert!(size_of::<BioVec>() == 16 && size_of::<ScatterEntry>() == 32);

/// Entries in chunks of a fixed number: what grows by a page or a `bio` at a time.
struct Chunks<T> {
    chunks: Vec<Vec<T>>,
    /// Entries of a chunk, without a link.
    room: usize,
    /// Bytes of a chunk, whatever is in it.
    capacity: usize,
}

impl<T: Copy> Chunks<T> {
    fn new(room: usize, capacity: usize) -> Self {
        // The list of chunks stands for the links, which lie in the chunks: it is not counted.
        let chunks = uncounted(|| Vec::with_capacity(1 << 16));
        Self {
            chunks,
            room,
            capacity,
        }
    }

    fn push(&mut self, entry: T) {
        if self
            .chunks
            .last()
            .is_none_or(|last| last.len() == self.room)
        {
            self.chunks.push(Vec::with_capacity(self.capacity));
        }
        if let Some(last) = self.chunks.last_mut() {
            last.push(entry);
        }
    }

    fn last_mut(&mut self) -> Option<&mut T> {
        self.chunks.last_mut()?.last_mut()
    }

    fn len(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }
}

/// Calls a function whose allocations do not count.
fn uncounted<T>(make: impl FnOnce() -> T) -> T {
    let before = (BYTES.load(Relaxed), CALLS.load(Relaxed));
    let made = make();
    BYTES.store(before.0, Relaxed);
    CALLS.store(before.1, Relaxed);
    made
}

/// The pages of a buffer, in order.
fn pages(bytes: u64, fragmented: bool) -> impl Iterator<Item = u64> {
    let step = if fragmented { 2 * PAGE } else { PAGE };
    (0..bytes / PAGE).map(move |index| 0x1_0000_0000 + index * step)
}

fn page_array(pages: impl Iterator<Item = u64>, count: u64) -> usize {
    let mut array = Vec::with_capacity(count as usize);
    array.extend(pages.map(PageStruct));
    array.len()
}

fn bio_vecs(pages: impl Iterator<Item = u64>) -> usize {
    let mut vecs = Chunks::<BioVec>::new(256, 256);
    for page in pages {
        match vecs.last_mut() {
            Some(BioVec {
                page: first, len, ..
            }) if first.0 + u64::from(*len) == page => {
                *len += PAGE as u32;
            }
            _ => vecs.push(BioVec {
                page: PageStruct(page),
                len: PAGE as u32,
                offset: 0,
            }),
        }
    }
    vecs.len()
}

fn scatter_list(pages: impl Iterator<Item = u64>) -> usize {
    let mut list = Chunks::<ScatterEntry>::new(127, 128);
    for page in pages {
        match list.last_mut() {
            Some(last) if last.dma_address + u64::from(last.dma_length) == page => {
                last.length += PAGE as u32;
                last.dma_length += PAGE as u32;
            }
            _ => list.push(ScatterEntry {
                page: PageStruct(page),
                offset: 0,
                length: PAGE as u32,
                dma_address: page,
                dma_length: PAGE as u32,
            }),
        }
    }
    list.len()
}

/// The first two entries lie in the command, if there are no more.
fn prps(pages: impl Iterator<Item = u64>, count: u64) -> usize {
    let mut list = Chunks::new(511, 512);
    let in_command = if count <= 2 { count as usize } else { 1 };
    pages.skip(in_command).for_each(|page| list.push(page));
    in_command + list.len()
}

fn phyrs(pages: impl Iterator<Item = u64>) -> usize {
    let mut list = PhyrList::new();
    for page in pages {
        let phyr = Phyr::new(PhysAddr::new(page), PAGE).expect("a page is a range");
        list.push(phyr).expect("there is memory");
    }
    list.len()
}

fn main() {
    println!(
        "{:8} {:12} {:12} {:>8} {:>10} {:>12}",
        "", "", "", "entries", "bytes", "allocations"
    );
    for (name, bytes) in [("4 KiB", 4096), ("1 MiB", 1 << 20), ("1 GiB", 1 << 30)] {
        for fragmented in [false, true] {
            let count = bytes / PAGE;
            let lie = if fragmented {
                "scattered"
            } else {
                "in one piece"
            };
            let all = || pages(bytes, fragmented);
            let ways: [(&str, &dyn Fn() -> usize); 5] = [
                ("pages", &|| page_array(all(), count)),
                ("bio_vec", &|| bio_vecs(all())),
                ("scatterlist", &|| scatter_list(all())),
                ("PRP", &|| prps(all(), count)),
                ("phyr", &|| phyrs(all())),
            ];
            for (way, make) in ways {
                let before = (BYTES.load(Relaxed), CALLS.load(Relaxed));
                let entries = make();
                let after = (BYTES.load(Relaxed), CALLS.load(Relaxed));
                println!(
                    "{name:8} {lie:12} {way:12} {entries:8} {:10} {:12}",
                    after.0 - before.0,
                    after.1 - before.1
                );
            }
        }
    }
}
