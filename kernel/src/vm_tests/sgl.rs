//! Memory that pages do not describe: scatter gather lists, as QEMU reads them.
//!
//! QEMU reports success for much that went wrong, so each test has other witnesses: the content, canaries
//! on both sides, and QEMU's trace, which has a line for each piece of memory that a command led it
//! to.

mod by_hand;

use super::{bare, disk, scattered};
use crate::block::blocking::wait;
use crate::block::{counters, read_at};
use crate::dma::{self, Buffer, Memory, Owner, Phyrs, Transfer};
use crate::drivers::nvme::namespace::LIMITS;
use crate::memory;
use crate::memory::extents::Request as Wanted;
use crate::memory::frames::Frames;
use crate::memory::mapping::{self, Mapping};
use crate::memory::paging::{Cache, LeafCount, Rights};
use crate::memory::virt::VirtRange;
use alloc::format;
use nvme::{Error, Request, RequestError};
use phyr::Phyr;
use vm_test::{control, host, pattern, seed, vm_test};

const PAGE: usize = 4096;
const GIB: u64 = 1 << 30;
const CANARY: u8 = 0xc5;

/// The commands since the mark, by what their memory was described with, and the pieces that it was in.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    prps: u64,
    lists: u64,
    pieces: u64,
}

fn seen() -> Seen {
    Seen {
        prps: control::trace_count("pci_nvme_map_prp"),
        lists: control::trace_count("pci_nvme_map_sgl"),
        pieces: control::trace_count("pci_nvme_map_addr"),
    }
}

/// Whether QEMU was led to these bytes, as one piece.
fn saw(piece: Phyr) -> bool {
    let (address, len) = (piece.addr().get(), piece.len());
    control::trace_count(&format!("pci_nvme_map_addr addr 0x{address:x} len {len}")) == 1
}

/// Reads at block 3 to these bytes of some memory, between canaries.
fn read_into(bytes: &mut [u8], at: usize, len: usize) {
    bytes.fill(CANARY);
    let disk = disk();
    control::trace_mark();
    let before = counters();
    read_at(&*disk, 3 * 512, &mut bytes[at..at + len]).expect("it reads");
    let after = counters();
    assert_eq!(
        (after.copied, after.direct),
        (before.copied, before.direct + len as u64)
    );
    let difference = pattern::first_difference(seed(), 3 * 512, &bytes[at..at + len]);
    assert_eq!(difference, None, "{len} bytes at {at}");
    let mut around = bytes[..at].iter().chain(&bytes[at + len..]);
    assert!(around.all(|byte| *byte == CANARY), "{len} bytes at {at}");
}

/// Any address will do, and nothing is copied.
#[vm_test(machine = "nvme,size=16M,trace=pci_nvme_map_*", timeout = 60)]
fn a6_memory_may_start_and_end_at_any_byte() {
    let mut frames = Frames::allocate(32 * PAGE as u64).expect("there is memory");
    for (at, len) in [
        (3, 512),
        (1, 4096),
        (4095, 512),
        (4097, 3 * PAGE),
        (2, 28 << 10),
        (7, 112 << 10),
    ] {
        read_into(frames.bytes_mut(), at, len);
        let one = Seen {
            prps: 0,
            lists: 1,
            pieces: 1,
        };
        assert_eq!(seen(), one, "{len} bytes at {at}");
        let memory = frames
            .phyr()
            .sub(at as u64, len as u64)
            .expect("it is inside");
        assert!(saw(memory));
        host::assert_pattern(memory, seed(), 3 * 512);
    }
    // And out of it.
    pattern::fill(seed() ^ 6, 0, &mut frames.bytes_mut()[5..5 + 3 * 512]);
    disk()
        .write_now(77, &frames.bytes()[5..5 + 3 * 512])
        .expect("it writes");
    disk().flush_now().expect("it flushes");
    host::assert_disk_pattern(0, 77 * 512, 3 * 512, seed() ^ 6, 0);
    host::assert_disk_pattern(0, 80 * 512, 512, seed(), 80 * 512);
}

/// One phyr, one leaf, one descriptor, one command, one line of QEMU's trace.
// ANCHOR: one_gib
#[vm_test(
    machine = "disk=empty,size=1G,lba=16384,mdts=0,ram=4G,trace=pci_nvme_map_*+pci_nvme_read",
    timeout = 180
)]
fn a7_one_gib_is_one_descriptor() {
    // The pattern is in places of the disk, the first and the last bytes among them. All else is zeros.
    const LEN: u64 = 1 << 20;
    let odd = (seed() % (GIB / 2 - 2 * LEN)) & !7;
    let places = [
        0,
        LEN + odd,
        GIB / 2 - 4096,
        GIB / 2 + 2 * LEN + odd,
        GIB - LEN,
    ];
    for place in places {
        control::fill_disk(0, place, LEN, seed(), place);
    }

    let wanted = Wanted {
        len: GIB + PAGE as u64,
        align: GIB,
        below: None,
    };
    let frames = Frames::request(wanted).expect("4 GiB hold it");
    let (mut frames, mut behind) = frames.split_at(GIB).expect("it is longer");
    behind.bytes_mut().fill(CANARY);
    let phyr = frames.phyr();
    for spot in (0..GIB as usize).step_by(1 << 20) {
        frames.bytes_mut()[spot] = CANARY;
        frames.bytes_mut()[spot + (1 << 20) - 1] = CANARY;
    }
    // SAFETY: the frames are this test's own, and nothing is read or written through the mapping.
    let mapping = unsafe { Mapping::map(phyr, Rights::ReadWrite, Cache::WriteBack) };
    let mapping = mapping.expect("there are addresses");
    let one_leaf = LeafCount {
        gib_1: 1,
        mib_2: 0,
        kib_4: 0,
    };
    assert_eq!(mapping::leaves(mapping.range()), one_leaf);
    let list = memory::translate(mapping.range()).expect("it is mapped");
    assert_eq!((list.len(), list.first()), (1, Some(phyr)));
    drop(mapping);
    let memory = frames.into_memory();
    assert!(matches!(memory.phyrs(), Ok(Phyrs::One(only)) if only == phyr));

    let disk = disk();
    control::trace_mark();
    let memory = wait(disk.read(0, memory)).expect("it reads");
    assert_eq!(control::trace_count("pci_nvme_read"), 1);
    assert_eq!(
        seen(),
        Seen {
            prps: 0,
            lists: 1,
            pieces: 1
        }
    );
    assert!(saw(phyr));

    for place in places {
        let part = phyr.sub(place, LEN).expect("it is inside");
        host::assert_pattern(part, seed(), place);
    }
    let is_of_a_place = |at| {
        places
            .iter()
            .any(|place| (*place..*place + LEN).contains(&at))
    };
    for at in (0..GIB).step_by(1 << 20).flat_map(|at| [at, at + LEN - 1]) {
        let byte = memory.bytes()[at as usize];
        let expected = if is_of_a_place(at) {
            pattern::byte(seed(), at)
        } else {
            0
        };
        assert_eq!(byte, expected, "at {at:#x}");
    }
    assert!(behind.bytes().iter().all(|byte| *byte == CANARY));
}
// ANCHOR_END: one_gib

/// Long pieces have descriptors, and pages PRPs.
#[vm_test(machine = "nvme,size=16M,trace=pci_nvme_map_*", timeout = 60)]
fn e6_pieces_of_32_kib_have_descriptors_and_pages_have_prps() {
    let mut frames = Frames::allocate(64 << 10).expect("there is memory");
    for (len, prps, pieces) in [(28 << 10, 1, 7), (32 << 10, 0, 1), (64 << 10, 0, 1)] {
        read_into(frames.bytes_mut(), 0, len);
        let expected = Seen {
            prps,
            lists: 1 - prps,
            pieces,
        };
        assert_eq!(seen(), expected, "{len} bytes");
    }
    let mut pages = scattered(16);
    read_into(pages.bytes_mut(), 0, 16 * PAGE);
    assert_eq!(
        seen(),
        Seen {
            prps: 1,
            lists: 0,
            pieces: 16
        }
    );
    // Pieces of two pages and one: in a list only because of where they start.
    read_into(pages.bytes_mut(), 1, 15 * PAGE);
    assert_eq!(
        seen(),
        Seen {
            prps: 0,
            lists: 1,
            pieces: 16
        }
    );
}

/// PRP lists one entry short of a page, of a page, and with one entry more.
#[vm_test(machine = "nvme,size=16M,mdts=0,trace=pci_nvme_map_*", timeout = 60)]
fn e5_prp_lists_around_a_full_page() {
    for entries in [511, 512, 513] {
        let pages = entries + 1;
        let mut memory = scattered(pages);
        read_into(memory.bytes_mut(), 0, pages * PAGE);
        let expected = Seen {
            prps: 1,
            lists: 0,
            pieces: pages as u64,
        };
        assert_eq!(seen(), expected, "{entries} entries");
    }
}

/// Memory in 1025 pieces, whose edges are no PRPs', takes two commands.
#[vm_test(
    machine = "nvme,size=16M,mdts=0,trace=pci_nvme_map_*+pci_nvme_read",
    timeout = 120
)]
fn d15_a_command_has_at_most_1024_pieces() {
    let mut memory = scattered(1026);
    for (pages, commands) in [(255, 1), (256, 1), (1023, 1), (1024, 2), (1025, 2)] {
        // From byte 5 on, it is one piece more.
        read_into(memory.bytes_mut(), 5, pages * PAGE);
        assert_eq!(
            control::trace_count("pci_nvme_read"),
            commands,
            "{pages} pages"
        );
        assert_eq!(seen().prps + seen().lists, commands);
        // A piece that two commands share is one of each.
        let range = VirtRange::of(&memory.bytes()[5..5 + pages * PAGE]).expect("a range");
        let pieces = memory::translate(range).expect("it is mapped").len() as u64;
        assert_eq!(pieces, pages as u64 + 1);
        assert!((pieces..pieces + commands).contains(&seen().pieces));
    }
}

/// More than 1024 pages by PRPs: QEMU would refuse them in one command.
#[vm_test(
    machine = "nvme,size=16M,mdts=0,trace=pci_nvme_map_*+pci_nvme_read",
    timeout = 120
)]
fn e10_8_mib_of_pages_are_two_commands() {
    let mut memory = scattered(2048);
    read_into(memory.bytes_mut(), 0, 2048 * PAGE);
    assert_eq!(control::trace_count("pci_nvme_read"), 2);
    assert_eq!(
        seen(),
        Seen {
            prps: 2,
            lists: 0,
            pieces: 2048
        }
    );
}

/// Memory for metadata is its own, and data that is in a list has it all the same.
#[vm_test(machine = "ms=8,size=16M,trace=pci_nvme_map_*", timeout = 60)]
fn e8_separate_metadata_goes_with_a_list() {
    const BLOCKS: u64 = 8;
    let bare = bare::bare(0, 1);
    let part = |start: usize, len: u64| -> Memory {
        let mut frames = Frames::allocate(2 * PAGE as u64).expect("there is memory");
        frames.bytes_mut().fill(CANARY);
        let range = start..start + len as usize;
        frames.into_memory().part(range).expect("it is inside")
    };
    let on_bus = |memory: Memory| -> Transfer {
        let mapped = dma::map(
            Buffer::from_device(memory),
            &crate::dma::Domain::DIRECT,
            &LIMITS,
        );
        mapped.expect("it can be reached").into()
    };
    let (data, metadata) = (part(7, BLOCKS * 512), part(4, BLOCKS * 8));
    let place = |memory: &Memory| match memory.phyrs() {
        Ok(Phyrs::One(phyr)) => phyr,
        other => panic!("frames are in one piece: {other:?}"),
    };
    let (data_at, metadata_at) = (place(&data), place(&metadata));
    let read = bare.namespace.read(1000, BLOCKS).expect("a read");
    control::trace_mark();
    let request = Request::with_metadata(read, on_bus(data), on_bus(metadata));
    let done = wait(bare.hub.execute(request));
    assert_eq!(done.result.map_err(|error| format!("{error}")), Ok(0));
    assert_eq!(
        seen(),
        Seen {
            prps: 0,
            lists: 1,
            pieces: 2
        }
    );
    assert!(saw(data_at) && saw(metadata_at));

    let blocks = bare.namespace.blocks;
    let expected = [
        (1000 * 512, BLOCKS * 512),
        (blocks * 512 + 1000 * 8, BLOCKS * 8),
    ];
    for (transfer, (position, len)) in [done.data, done.metadata].into_iter().zip(expected) {
        let memory = transfer.expect("it comes back").into_memory();
        assert_eq!(memory.len() as u64, len);
        assert_eq!(
            pattern::first_difference(seed(), position, memory.bytes()),
            None
        );
        let whole = memory.whole();
        let others = whole.bytes().iter().filter(|byte| **byte == CANARY).count();
        assert!(others >= 2 * PAGE - len as usize, "bytes beside it changed");
    }
}

/// A list that is too long is a success to QEMU, so the driver must be the one to look.
#[vm_test(machine = "nvme,size=16M,trace=pci_nvme_read", timeout = 60)]
fn e6_memory_that_is_no_fit_is_refused_by_the_driver() {
    let bare = bare::bare(0, 1);
    let read = bare.namespace.read(0, 2).expect("a read");
    control::trace_mark();
    for len in [1, 1023, 1025, 2048] {
        let frames = Frames::allocate(PAGE as u64).expect("there is memory");
        let memory = frames.into_memory().part(3..3 + len).expect("it is inside");
        let mapped = dma::map(
            Buffer::from_device(memory),
            &crate::dma::Domain::DIRECT,
            &LIMITS,
        );
        let transfer = Transfer::from(mapped.expect("it can be reached"));
        let done = wait(bare.hub.execute(Request::with_data(read, transfer)));
        let length = RequestError::Length {
            bytes: len as u64,
            block_size: 512,
        };
        assert_eq!(done.result, Err(Error::Request(length)));
    }
    assert_eq!(control::trace_count("pci_nvme_read"), 0);
}
