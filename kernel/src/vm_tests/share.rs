//! Folders of the host's: files go straight into memory of every kind, and are as they are at that moment. The host
//! looks at the memory from outside, and changes the file.

use crate::block::blocking::wait;
use crate::dma::{Memory, Mixed, Owner};
use crate::drivers::helpers;
use crate::drivers::virtio::share::Share;
use crate::fs::{Error, FileType, Folder, Links, SharedFile};
use crate::memory::address_space::AddressSpace;
use crate::memory::frames::Frames;
use crate::memory::paging::Rights;
use crate::memory::pins::Access;
use crate::memory::regions;
use crate::vm_tests::streams::free_or_heap_bytes;
use crate::vm_tests::{apart, scattered};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::array::from_fn;
use embassy_futures::join::join_array;
use embassy_futures::select::select;
use embassy_futures::yield_now;
use vm_test::{host, pattern, seed, vm_test};

const PAGE: u64 = 4096;
const CANARY: u8 = 0xc5;

/// Bytes of the file, as the machine's description says.
const LEN: u64 = (5 << 20) + 1234;

/// The file, from the host's side.
const FILE: &str = "share/pattern.bin";

fn share() -> Arc<Share> {
    let mut shares = helpers::shares();
    assert_eq!(shares.len(), 1, "the machine has one");
    shares.remove(0)
}

fn open(share: &Arc<Share>) -> SharedFile {
    wait(share.open(b"/pattern.bin")).unwrap()
}

/// Reads into all of the memory, and looks whether that are the bytes of the file from `at` on.
fn read(file: &SharedFile, at: u64, memory: impl Owner) -> Memory {
    let memory = memory.into_memory();
    let len = memory.len();
    let (memory, filled) = wait(file.read(at, memory)).unwrap();
    let expected = LEN.saturating_sub(at).min(len as u64) as usize;
    assert_eq!(filled, expected);
    let mut bytes = vec![0; filled];
    memory.copy_to(0, &mut bytes).unwrap();
    let different = pattern::first_difference(seed(), at, &bytes);
    assert_eq!(different, None, "{len} bytes from {at} on");
    memory
}

/// Frames of which all is canary.
fn frames(pages: u64) -> Frames {
    let mut frames = Frames::allocate(pages * PAGE).unwrap();
    frames.bytes_mut().fill(CANARY);
    frames
}

fn assert_canary(bytes: &[u8]) {
    assert!(bytes.iter().all(|byte| *byte == CANARY));
}

#[vm_test(machine = "share,ivshmem=1M", timeout = 60)]
fn e11_files_of_the_host_are_read_into_memory_of_every_kind() {
    let share = share();
    assert_eq!(Folder::name(&share), "share");
    let file = open(&share);
    assert_eq!(
        (file.facts().len, file.facts().file_type),
        (LEN, FileType::Regular)
    );
    // RAM, at any byte, with canaries on both sides; in one message, and in several.
    let large = (3_usize << 20) + 77;
    for (at, start, len) in [
        (0, 0, 4096),
        (1, 1, 1),
        (4095, 4095, 2),
        (12_345, 77, 5000),
        (3, 9, large),
    ] {
        let pages = usize::div_ceil(start + len, PAGE as usize) as u64 + 1;
        let memory = frames(pages)
            .into_memory()
            .part(start..start + len)
            .unwrap();
        let memory = read(&file, at, memory).whole();
        assert_canary(&memory.bytes()[..start]);
        assert_canary(&memory.bytes()[start + len..]);
        let frames = Frames::from_memory(memory).unwrap();
        let part = frames.phyr().sub(start as u64, len as u64).unwrap();
        host::assert_pattern(part, seed(), at);
    }
    // RAM in pieces that do not touch, more than a message takes.
    drop(read(&file, 5, Box::new(scattered(40))));
    // A board's memory, as the host sees it.
    let board = regions::find("ivshmem0").unwrap();
    host::fill_file("ivshmem0", 0, 1 << 20, !seed(), 0);
    drop(read(&file, 999, board.claim(3 * PAGE, PAGE).unwrap()));
    host::assert_file_pattern("ivshmem0", 3 * PAGE, PAGE, seed(), 999);
    host::assert_file_pattern("ivshmem0", 0, 3 * PAGE, !seed(), 0);
    let behind = 4 * PAGE;
    host::assert_file_pattern("ivshmem0", behind, (1 << 20) - behind, !seed(), behind);
    // Both in one, and RAM again.
    let mut mixed = Mixed::new();
    mixed.push(frames(1).into_memory().part(100..300).unwrap());
    mixed.push(board.claim(8 * PAGE, PAGE).unwrap());
    mixed.push(frames(1).into_memory().part(5..6).unwrap());
    drop(read(&file, 50_000, mixed));
    host::assert_file_pattern("ivshmem0", 8 * PAGE, PAGE, seed(), 50_200);
    // A program's, which is pinned.
    let space = AddressSpace::new().unwrap();
    let mapped = space.map(apart(3), Rights::ReadWrite).unwrap();
    let part = mapped.without_prefix(PAGE - 9).unwrap().prefix(PAGE + 20);
    let pinned = space.pin(part.unwrap(), Access::Write).unwrap();
    drop(read(&file, 4321, Box::new(pinned)));
    assert_eq!(space.usage().pins, 0);
    // The heap's; and across the end of the file, and beyond it.
    drop(read(&file, 1, vec![0_u8; 1000]));
    let memory = read(&file, LEN - 100, frames(1));
    assert_canary(&memory.bytes()[100..]);
    assert_canary(read(&file, LEN, frames(1)).bytes());
    for far in [
        1 << 40,
        i64::MAX as u64 - 5,
        i64::MAX as u64 + 1,
        u64::MAX - 5,
    ] {
        assert_canary(read(&file, far, frames(1)).bytes());
    }
}

#[vm_test(machine = "share", timeout = 60)]
fn what_the_host_changes_is_read_anew() {
    let share = share();
    let file = open(&share);
    drop(read(&file, 0, frames(2)));
    // In a file that is open.
    host::fill_file(FILE, 100, 5000, !seed(), 0);
    let (memory, _) = wait(file.read(0, frames(2))).unwrap();
    let bytes = memory.bytes();
    assert_eq!(pattern::first_difference(seed(), 0, &bytes[..100]), None);
    assert_eq!(
        pattern::first_difference(!seed(), 0, &bytes[100..5100]),
        None
    );
    assert_eq!(
        pattern::first_difference(seed(), 5100, &bytes[5100..]),
        None
    );
    // The host's digest is of the same bytes.
    host::assert_file_pattern(FILE, 100, 5000, !seed(), 0);
    let before = file.facts().len;
    host::fill_file(FILE, LEN, 10, seed(), LEN);
    let now = wait(share.facts(b"pattern.bin", Links::Follow)).unwrap();
    assert_eq!((before, now.len), (LEN, LEN + 10));
    let (memory, filled) = wait(file.read(LEN, frames(1))).unwrap();
    assert_eq!(filled, 10);
    assert_eq!(
        pattern::first_difference(seed(), LEN, &memory.bytes()[..10]),
        None
    );
}

#[vm_test(machine = "share,smp=2", timeout = 60)]
fn many_reads_at_once_each_get_their_own_bytes() {
    let share = share();
    let file = open(&share);
    let before = free_or_heap_bytes();
    for round in 0..4 {
        let reads: [_; 30] = from_fn(|number| {
            let at = round * 1000 + number as u64 * 100_003;
            let file = &file;
            async move { (at, file.read(at, frames(25)).await.unwrap()) }
        });
        for (at, (memory, filled)) in wait(join_array(reads)) {
            assert_eq!(filled as u64, 25 * PAGE);
            let different = pattern::first_difference(seed(), at, memory.bytes());
            assert_eq!(different, None, "from {at} on");
        }
    }
    // Some that nobody waits for.
    for _ in 0..20 {
        let reads: [_; 5] = from_fn(|_| file.read(0, frames(3)));
        drop(wait(select(join_array(reads), yield_now())));
    }
    drop(read(&file, 7, frames(1)));
    drop(file);
    wait(share.handle().tidy()).unwrap();
    assert_eq!(share.handle().files(), 0);
    assert_eq!(free_or_heap_bytes(), before);
    assert_eq!(share.handle().failure(), None);
}

#[vm_test(machine = "share", timeout = 60)]
fn folders_and_links_are_those_of_the_share_and_nothing_else() {
    let share = share();
    let names = |path: &[u8]| -> Vec<String> {
        let listed = wait(share.list(path)).unwrap();
        let text = |name: Vec<u8>| String::from_utf8(name).unwrap();
        let mut names: Vec<_> = listed.into_iter().map(|entry| text(entry.name)).collect();
        names.sort();
        names
    };
    let root = [
        "a",
        "absolute",
        "many",
        "odd name, with a comma",
        "out",
        "pattern.bin",
        "up",
    ];
    assert_eq!(names(b"/"), root);
    assert_eq!(names(b"/../../.."), root);
    let many = names(b"many");
    assert_eq!(many.len(), 600);
    assert_eq!((&*many[0], &*many[599]), ("file 0000", "file 0599"));
    let text = |path: &[u8]| {
        let file = wait(share.open(path))?;
        let (memory, filled) = wait(file.read(0, frames(1))).map_err(|(error, _)| error)?;
        Ok::<_, Error>(String::from_utf8(memory.bytes()[..filled].to_vec()).unwrap())
    };
    for path in [
        &b"/a/b/c/leaf"[..],
        b"a/link",
        b"absolute/c/leaf",
        b"absolute/../b/c/../c/leaf",
    ] {
        assert_eq!(text(path).unwrap(), "leaf\n");
    }
    assert_eq!(text(b"odd name, with a comma").unwrap(), "odd\n");
    // It is there, beside the folder.
    for path in [
        &b"/out"[..],
        b"/up",
        b"/../outside",
        b"a/../../outside",
        b"/nothing",
    ] {
        assert!(
            matches!(text(path), Err(Error::NotFound)),
            "{}",
            path.escape_ascii()
        );
    }
    let link = wait(share.facts(b"/up", Links::Keep)).unwrap();
    assert_eq!(link.file_type, FileType::Symlink);
    assert_eq!(wait(share.link(b"/up")).unwrap(), "../outside");
    assert!(matches!(text(b"/a"), Err(Error::IsADirectory)));
    assert!(matches!(text(b"/pattern.bin/x"), Err(Error::NotADirectory)));
    assert!(matches!(
        wait(share.list(b"/pattern.bin")),
        Err(Error::NotADirectory)
    ));
    assert!(matches!(wait(share.link(b"/a")), Err(Error::NotASymlink)));
    // What was asked for in vain is let go of, too.
    wait(share.handle().tidy()).unwrap();
    assert_eq!(share.handle().files(), 0);
}

/// A share that asks the IOMMU is served like any other, and reaches nothing else: where it is told of memory that is
/// not its own, the IOMMU would say so.
#[vm_test(machine = "share=iommu,iommu", timeout = 60)]
fn d8_a_share_behind_an_iommu() {
    let share = share();
    let file = open(&share);
    let memory = frames(300).into_memory().part(3..1_200_000).unwrap();
    let memory = read(&file, 11, memory).whole();
    assert_canary(&memory.bytes()[..3]);
    assert_canary(&memory.bytes()[1_200_000..]);
    drop(read(&file, 0, Box::new(scattered(20))));
    drop(read(&file, LEN - 9, vec![0_u8; 9]));
}

#[vm_test(machine = "share,virtio-iommu", timeout = 60)]
fn a_share_that_goes_past_the_iommu_is_served_too() {
    let share = share();
    drop(read(&open(&share), 11, frames(30)));
}
