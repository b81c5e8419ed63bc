//! Commands about RAM, and where it is mapped.

use super::{error, output, run};
use crate::testing::{Fake, phyr};

#[test]
fn memory_is_shown_as_phyrs() {
    let text = output("mem");
    for line in [
        "  [0x0..=0x9efff]                    636 KiB  usable\n",
        "  [0xf0000..=0xfffff]                 64 KiB  reserved\n",
        "  [0x100000..=0x3fffff]                3 MiB  kernel and loader\n",
        "  [0x1000..=0x9efff]                 632 KiB\n",
        "in 2 extents\n",
        "longest    3.9 GiB  [0x400000..=0xffffffff]\n",
        "by 4 leaves: 4 of 1 GiB\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    assert_eq!(
        text.matches("..=").count(),
        4 + 2 + 1 + 1,
        "an empty region is not shown"
    );
}

#[test]
fn free_memory_in_many_pieces_is_cut_short() {
    let free = (1..=100).map(|n| phyr(n << 20, 4096)).collect();
    let (_, text) = run(
        &Fake {
            free,
            ..Fake::default()
        },
        "mem",
    );
    assert!(text.contains("  and 36 more\n"), "{text}");
    assert!(text.contains("400 KiB  in 100 extents\n"), "{text}");
    let (_, text) = run(
        &Fake {
            free: Vec::new(),
            regions: Vec::new(),
            ..Fake::default()
        },
        "mem",
    );
    assert!(text.contains("0 B  in 0 extents\n"), "{text}");
}

#[test]
fn a_gibibyte_is_one_phyr_and_one_leaf() {
    assert_eq!(
        output("translate alloc 1G"),
        "frames   [0x40000000..=0x7fffffff]  1 GiB\n\
         virtual  [0xffff800040000000..=0xffff80007fffffff]  1 GiB\n\
         phyr     [0x40000000..=0x7fffffff]  1 GiB\n\
         1 phyr, mapped by 1 leaf: 1 of 1 GiB\n"
    );
    assert!(output("translate alloc 1GiB 4K").contains("2 leaves"));
}

#[test]
fn addresses_are_translated() {
    let text = output("translate 0xffff_8000_0000_1234 0x10");
    assert!(
        text.contains("phyr     [0x1234..=0x1243]  16 B\n"),
        "{text}"
    );
}

#[test]
fn what_cannot_be_translated_is_an_error() {
    for (arguments, says) in [
        ("0x1000 16", "nothing is mapped at 0x1000"),
        ("0xffff800000000000 1T", "nothing is mapped"),
        ("0x800000000000 1", "is not canonical"),
        ("0 0", "at least one byte"),
        ("0xffffffffffffffff 2", "leave their half"),
        (
            "0 99999999999999999999",
            "`99999999999999999999` does not fit into 64 bits",
        ),
        ("zero 1", "`zero` is no number"),
        ("alloc 900G", "no free extent has 0xe100000000 bytes"),
        ("alloc 1T 1T", "no free extent"),
        ("alloc -1", "`-1` is no number"),
        ("heap 0xffffffffffffffff", "the heap has no room"),
        ("heap 0", "at least one byte"),
        ("", "usage: translate WHERE LEN [ALIGN]"),
        ("alloc", "usage: translate WHERE LEN [ALIGN]"),
        ("1 2 3", "usage: translate WHERE LEN [ALIGN]"),
    ] {
        let text = error(&format!("translate {arguments}"));
        assert!(
            text.starts_with("translate: ") && text.contains(says),
            "{arguments}: {text}"
        );
    }
}
