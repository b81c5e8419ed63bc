//! Lists of cores that make no sense, or not all of it.

use super::*;
use proptest::prelude::*;

fn narrow(processor: u8, apic_id: u8, flags: u32) -> Vec<u8> {
    let mut entry = vec![0, 8, processor, apic_id];
    entry.extend(flags.to_le_bytes());
    entry
}

fn wide(processor: u32, apic_id: u32, flags: u32) -> Vec<u8> {
    let mut entry = vec![9, 16, 0, 0];
    entry.extend([apic_id, flags, processor].map(u32::to_le_bytes).concat());
    entry
}

fn read_entries(entries: &[Vec<u8>]) -> (Madt, Option<Flaw>) {
    let mut bytes = vec![0; HEADER];
    bytes.extend([0, 0, 0xe0, 0xfe, 0, 0, 0, 0]);
    bytes.extend(entries.concat());
    read(&Table::of(bytes)).unwrap()
}

fn ids(entries: &[Vec<u8>]) -> Vec<u32> {
    let (madt, flaw) = read_entries(entries);
    assert_eq!(flaw, None);
    madt.cpus.iter().map(|cpu| cpu.apic_id).collect()
}

#[test]
fn a_core_that_is_listed_again_is_one_core() {
    let twice = [
        narrow(0, 0, 1),
        narrow(1, 2, 1),
        narrow(2, 2, 1),
        narrow(0, 0, 1),
    ];
    assert_eq!(ids(&twice), [0, 2]);
    let by_both = [
        narrow(0, 0, 1),
        narrow(1, 2, 1),
        wide(7, 2, 1),
        wide(0, 0, 1),
    ];
    assert_eq!(ids(&by_both), [2, 0], "the other description counts");
}

#[test]
fn the_wide_description_of_a_core_counts() {
    // Its identifier does not fit into the narrow one.
    assert_eq!(ids(&[narrow(5, 0x2c, 1), wide(5, 0x12c, 1)]), [0x12c]);
    // These are two cores.
    assert_eq!(ids(&[narrow(5, 0x2c, 1), wide(6, 0x12c, 1)]), [0x2c, 0x12c]);
    assert_eq!(ids(&[narrow(5, 0x2c, 1), wide(5, 0x12d, 1)]), [0x2c, 0x12d]);
    // A description that is not in use counts for nothing.
    assert_eq!(ids(&[narrow(5, 0x2c, 1), wide(5, 0x12c, 0)]), [0x2c]);
}

#[test]
fn nobody_is_called_what_all_are_called() {
    assert!(ids(&[narrow(1, 0xff, 1), wide(2, u32::MAX, 1)]).is_empty());
    // In the wide form, 255 is a core like others.
    assert_eq!(ids(&[narrow(1, 0xff, 1), wide(2, 0xff, 1)]), [0xff]);
}

#[test]
fn cores_that_are_not_in_use_are_left_out() {
    assert_eq!(
        ids(&[narrow(0, 0, 1), narrow(1, 1, 0), narrow(2, 2, 2)]),
        [0]
    );
}

#[test]
fn an_entry_that_is_too_short_is_left_out_alone() {
    let (madt, flaw) = read_entries(&[narrow(0, 0, 1), vec![0, 4, 1, 1], narrow(2, 2, 1)]);
    assert_eq!(flaw, Some(Flaw::Truncated));
    assert_eq!(madt.cpus, [0, 2].map(|apic_id| Cpu { apic_id }));
}

#[test]
fn what_lies_before_a_senseless_length_counts() {
    for len in [0, 1, 200] {
        let io_apic = vec![1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0];
        let entries = [
            narrow(0, 0, 1),
            io_apic,
            vec![0, len, 1, 1],
            narrow(2, 2, 1),
        ];
        let (madt, flaw) = read_entries(&entries);
        assert_eq!(flaw, Some(Flaw::Truncated), "length {len}");
        assert_eq!(madt.cpus, [Cpu { apic_id: 0 }]);
        assert_eq!(madt.io_apics.len(), 1);
    }
}

#[test]
fn as_many_cores_as_fit_into_a_table_are_read_in_no_time() {
    let entries: Vec<Vec<u8>> = (0..65_000).map(|id| wide(id, id, 1)).collect();
    assert_eq!(ids(&entries).len(), 65_000);
}

proptest! {
    #[test]
    fn nonsense_lists_nobody_twice(body in proptest::collection::vec(prop_oneof![
        any::<(u8, u8)>().prop_map(|(processor, id)| narrow(processor % 8, id | 0xf0, 1)),
        any::<(u32, u32)>().prop_map(|(processor, id)| wide(processor % 8, id | 0xffff_fff0, 1)),
        proptest::collection::vec(any::<u8>(), 0..20),
    ], 0..64)) {
        let (madt, _) = read_entries(&body);
        let mut ids: Vec<u32> = madt.cpus.iter().map(|cpu| cpu.apic_id).collect();
        let listed = ids.len();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), listed);
        prop_assert!(!ids.contains(&u32::MAX));
    }
}
