//! Commands of the NVM command set.

use super::host::transfer;
use super::{Host, entry};
use crate::model::{Config, protected_disk};
use nvme::wire::SubmissionEntry;

fn host() -> (Host, u64) {
    let config = Config::with_everything().put(1, protected_disk(1000, 0, 0, false));
    let mut host = Host::new(config);
    host.create(1, None);
    let bus = host.zeros(2);
    (host, bus)
}

fn contents(host: &Host, block: u64, blocks: u64) -> Vec<u8> {
    host.machine.model().contents(1, block, blocks, 9)
}

#[test]
fn compare_tells_equal_from_different() {
    let (mut host, bus) = host();
    host.done(1, transfer(0x02, 1, 10, 4, bus));
    host.done(1, transfer(0x05, 1, 10, 4, bus));
    host.put(bus + 2047, &[!host.get(bus + 2047, 1)[0]]);
    assert_eq!(host.fails(1, transfer(0x05, 1, 10, 4, bus)), (2, 0x85));
    let mut verify = entry(0x0c, 1);
    verify.cdw12_13 = 999;
    host.done(1, verify);
    verify.cdw12_13 = 1000;
    assert_eq!(host.fails(1, verify), (0, 0x80));
}

#[test]
fn zeroes_are_written_without_data() {
    let (mut host, _) = host();
    let mut zeroes = entry(0x08, 1);
    (zeroes.cdw10_11, zeroes.cdw12_13) = (5, 9 | 1 << 25);
    host.done(1, zeroes);
    assert_eq!(contents(&host, 5, 10), vec![0; 5120]);
    assert_ne!(contents(&host, 15, 1), vec![0; 512]);
    assert!(host.machine.model().deallocated.contains(&(1, 14)), "DEAC");
    host.machine.model().config.nvm.wzsl = 1;
    zeroes.cdw12_13 = 15;
    host.done(1, zeroes);
    zeroes.cdw12_13 = 16;
    assert_eq!(host.fails(1, zeroes), (0, 0x02));
}

fn ranges(host: &mut Host, bus: u64, ranges: &[(u32, u64)]) -> SubmissionEntry {
    for (index, (len, first)) in ranges.iter().enumerate() {
        let at = bus + index as u64 * 16;
        host.put(at, &(u64::from(*len) << 32).to_le_bytes());
        host.put(at + 8, &first.to_le_bytes());
    }
    let mut trim = entry(0x09, 1);
    trim.prp1 = bus;
    trim.cdw10_11 = (ranges.len() as u64 - 1) | 1 << 34;
    trim
}

#[test]
fn deallocated_blocks_read_as_the_namespace_says() {
    let (mut host, bus) = host();
    let trim = ranges(&mut host, bus, &[(2, 100), (3, 200)]);
    host.done(1, trim);
    assert_eq!(contents(&host, 100, 2), vec![0; 1024]);
    assert_eq!(contents(&host, 200, 3), vec![0; 1536]);
    assert_ne!(contents(&host, 102, 1), vec![0; 512]);
    assert_eq!(host.machine.model().deallocated.len(), 5);
    let trim = ranges(&mut host, bus, &[(2, 999)]);
    assert_eq!(host.fails(1, trim), (0, 0x80));
    host.machine.model().config.nvm.dmrl = 1;
    let trim = ranges(&mut host, bus, &[(2, 100), (3, 200)]);
    assert_eq!(host.fails(1, trim), (1, 0x83));
    host.machine.model().config.nvm.dmrsl = 1;
    let trim = ranges(&mut host, bus, &[(2, 100)]);
    assert_eq!(host.fails(1, trim), (1, 0x83));
}

fn copy(host: &mut Host, bus: u64, target: u64, sources: &[(u64, u16)]) -> SubmissionEntry {
    for (index, (first, blocks)) in sources.iter().enumerate() {
        let at = bus + index as u64 * 32;
        host.put(at, &[0; 32]);
        host.put(at + 8, &first.to_le_bytes());
        host.put(at + 16, &(blocks - 1).to_le_bytes());
    }
    let mut copy = entry(0x19, 1);
    copy.prp1 = bus;
    (copy.cdw10_11, copy.cdw12_13) = (target, sources.len() as u64 - 1);
    copy
}

#[test]
fn copy_puts_ranges_together_within_its_limits() {
    let (mut host, bus) = host();
    let expected = [contents(&host, 7, 3), contents(&host, 30, 8)].concat();
    let good = copy(&mut host, bus, 500, &[(7, 3), (30, 8)]);
    host.done(1, good);
    assert_eq!(contents(&host, 500, 11), expected);
    let too_long = copy(&mut host, bus, 500, &[(7, 9)]);
    assert_eq!(host.fails(1, too_long), (1, 0x83), "MSSRL");
    let too_much = copy(&mut host, bus, 500, &[(7, 8), (20, 8), (40, 1)]);
    assert_eq!(host.fails(1, too_much), (1, 0x83), "MCL");
    let too_many = copy(&mut host, bus, 500, &[(1, 1); 5]);
    assert_eq!(host.fails(1, too_many), (1, 0x83), "MSRC");
    let outside = copy(&mut host, bus, 500, &[(7, 3), (999, 2)]);
    let failed = host.io(1, outside);
    assert_eq!(
        (failed.status.sc(), failed.result),
        (0x80, 1),
        "one was copied"
    );
}

#[test]
fn what_is_not_offered_is_no_command() {
    let mut host = Host::new(Config::default());
    host.create(1, None);
    for opcode in [0x05, 0x08, 0x09, 0x0c, 0x19, 0x79, 0x7a, 0x7d, 0x04] {
        assert_eq!(host.fails(1, entry(opcode, 1)), (0, 0x01), "{opcode:#x}");
    }
    for opcode in [0x0d, 0x10, 0x15, 0x18, 0x7c, 0x80, 0x84, 0x99] {
        assert_eq!(host.fails(0, entry(opcode, 1)), (0, 0x01), "{opcode:#x}");
    }
}
