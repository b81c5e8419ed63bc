//! The rules on sources that break them, and on those that there are.

use std::fs;
use std::path::Path;

use harness::workspace;

use super::*;

fn count(rule: &Rule, source: &str) -> usize {
    rule.offences(source).unwrap().len()
}

#[test]
fn only_tests_are_no_part_of_the_product() {
    for name in [
        "kernel/src/block/partition_tests.rs",
        "kernel/tests/memory/main.rs",
        "kernel/src/vm_tests/sgl.rs",
        "kernel/src/dma/tests.rs",
        "boot/build.rs",
    ] {
        assert!(is_test_file(Path::new(name)), "{name}");
    }
    assert!(!is_test_file(Path::new("kernel/src/memory/frames.rs")));
    assert!(!is_test_file(Path::new("drivers/nvme/src/attests.rs")));
}

#[test]
fn an_offence_anywhere_in_a_checkout_is_found_and_an_idle_exemption_is_one() {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = root.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    };
    let rule = Rule {
        folders: &["drivers"],
        exempt: &[("drivers/src/raw", "numbers")],
        ..PAIRS
    };
    let (good, bad) = ("fn f(range: Phyr) {}", "fn f(range: (u64, usize)) {}");
    write("drivers/src/deep/ring.rs", good);
    write("drivers/src/deep/tests.rs", bad);
    write("drivers/src/raw/entry.rs", bad);
    assert_eq!(rule.flaws(root.path()).unwrap(), Vec::<String>::new());
    write("drivers/src/deep/ring.rs", bad);
    assert_eq!(rule.flaws(root.path()).unwrap().len(), 1);
    write("drivers/src/deep/ring.rs", good);
    write("drivers/src/raw/entry.rs", good);
    let flaws = rule.flaws(root.path()).unwrap();
    assert_eq!(
        flaws,
        ["`drivers/src/raw` needs no exemption any more (numbers)"]
    );
}

#[test]
fn a8_no_driver_joins_ranges() {
    for source in [
        "fn f(a: DmaRange, b: DmaRange) { if let Ok(both) = a.try_merge(b) {} }",
        "fn f() { if last.last().get() + 1 == next.addr().get() {} }",
        "fn f() -> bool { next.start() != self.end() }",
        "fn f() -> bool { Some(next.addr()) == last.addr().checked_add(last.len()) }",
        "impl S { fn f(&self) { while a.addr() == b.last() {} } }",
    ] {
        assert_eq!(count(&JOINS, source), 1, "{source}");
    }
    for source in [
        "fn f() -> bool { range.len() == left }",
        "fn f() -> bool { page_offset(piece.end()) != 0 }",
        "fn f() -> bool { head.addr() == tail.addr() }",
        "#[cfg(test)] mod tests { fn f() { a.try_merge(b); } }",
    ] {
        assert_eq!(count(&JOINS, source), 0, "{source}");
    }
    assert_eq!(
        JOINS.flaws(workspace::root()).unwrap(),
        Vec::<String>::new()
    );
}

#[test]
fn d22_no_driver_loops_over_ranges() {
    for source in [
        "fn f() { for range in list.iter() {} }",
        "fn f() { for (index, piece) in pieces().enumerate() {} }",
        "fn f() { while let Some(x) = cursor.next(max) {} }",
        "fn f() { loop { let Some(x) = cursor.next_joined(max) else { break }; } }",
        "fn f() { loop { match Piece::next(&mut cursor, left) { _ => {} } } }",
        "fn f() { list.iter().for_each(|range| put(range)); }",
    ] {
        assert_eq!(count(&LOOPS, source), 1, "{source}");
    }
    for source in [
        "fn f() { for slot in 0..8 {} }",
        "fn f() { while let Some(waiter) = waiters.next() {} }",
        "fn f() { let first = cursor.next(max); }",
        "fn f() { words.for_each(|word| put(word)); }",
    ] {
        assert_eq!(count(&LOOPS, source), 0, "{source}");
    }
    assert_eq!(
        LOOPS.flaws(workspace::root()).unwrap(),
        Vec::<String>::new()
    );
}

#[test]
fn c7_no_interface_of_a_device_takes_pages_pointers_or_bytes() {
    for source in [
        "pub trait Disk { fn read(&self, to: *mut u8); }",
        "pub trait Disk { fn read(&self, to: Option<NonNull<u8>>); }",
        "pub trait Disk { fn read(&self, to: &mut [u8]); }",
        "pub unsafe trait Disk { fn bytes(&self) -> &[u8]; }",
    ] {
        assert_eq!(count(&INTERFACES, source), 1, "{source}");
    }
    for source in [
        "pub trait Disk { fn submit(&self, request: &mut Request) -> Result<Ticket, Refusal>; }",
        "trait Inner { fn bytes(&self) -> &[u8]; }",
        "pub trait View { fn look(&mut self, see: &mut dyn FnMut(&[u8])); }",
    ] {
        assert_eq!(count(&INTERFACES, source), 0, "{source}");
    }
    for rule in [INTERFACES, FRAMES, PAIRS] {
        assert_eq!(rule.flaws(workspace::root()).unwrap(), Vec::<String>::new());
    }
}

#[test]
fn page_frames_are_found_by_type_by_name_and_in_lists() {
    for source in [
        "fn f(page: PhysAddr) {}",
        "fn f(pfn: u32) {}",
        "fn f(frame: u64) {}",
        "fn f() -> Option<PhysFrame> { x }",
        "fn f(pages: &[PhysAddr]) {}",
        "fn f() -> Vec<DmaAddr> { x }",
        "pub struct S { pub page: Option<Page> }",
        "trait T { fn f(&mut self, frames: [PhysAddr; 8]); }",
    ] {
        assert_eq!(count(&FRAMES, source), 1, "{source}");
    }
    for source in [
        "fn f(page: Phyr, frames: Frames) {}",
        "fn f(pages: usize, frames: u64, page_size: u64) {}",
        "fn f(page: LogPage, vector: u8) {}",
        "struct Private { page: PhysAddr }",
        "// No page frame: where a table begins.\nfn f() -> Vec<PhysAddr> { x }",
    ] {
        assert_eq!(count(&FRAMES, source), 0, "{source}");
    }
}
