//! Memory of the controller that the host uses, and memory of the host that the controller
//! uses.

use super::host::{create_completion, create_submission, transfer};
use super::{Host, entry};
use crate::model::{Config, ControllerMemory, Regions};
use nvme::Registers;

const BASE: u64 = 0xfe00_0000;
const OFFSET: usize = 0x10_0000;

/// A controller with 64 KiB of its own memory. `uses` are SQS, CQS, LISTS, RDS and WDS.
fn with_memory(uses: u8) -> Host {
    let mut config = Config::default();
    config.cap.set_cmbs(true);
    config.controller_memory = Some(ControllerMemory {
        offset: OFFSET,
        bytes: 0x1_0000,
        uses,
    });
    Host::new(config)
}

#[test]
fn controller_memory_is_there_once_it_is_asked_for() {
    let host = with_memory(0x19);
    assert_eq!(host.machine.read32(Regions::CMBSZ), 0);
    host.machine.write64(Regions::CMBMSC, BASE | 1);
    assert_eq!(host.machine.read32(Regions::CMBSZ), 0x1_0019);
    assert_eq!(
        host.machine.read32(Regions::CMBLOC),
        (OFFSET as u32 / 4096) << 12
    );
    host.machine.write32(OFFSET, 1);
    assert_eq!(host.offences().len(), 1, "it is still closed");
    host.machine.write64(Regions::CMBMSC, BASE | 3);
    host.machine.write64(OFFSET + 8, 0x1122_3344_5566_7788);
    assert_eq!(host.machine.read64(OFFSET + 8), 0x1122_3344_5566_7788);
    let host = with_memory(0x11);
    host.machine.write64(Regions::CMBMSC, BASE | 3);
    host.machine.write32(OFFSET, 5);
    assert_eq!(host.machine.read32(OFFSET), 0, "without RDS");
}

#[test]
fn a_submission_queue_may_lie_in_controller_memory() {
    let mut host = with_memory(0x11);
    host.machine.write64(Regions::CMBMSC, BASE | 3);
    let completion = host.zeros(1);
    host.done(0, create_completion(1, 8, completion, None));
    host.done(0, create_submission(1, 8, BASE + 0x1000, 1));
    for (word, value) in entry(0x00, 1).words().into_iter().enumerate() {
        host.machine.write64(OFFSET + 0x1000 + word * 8, value);
    }
    host.machine.write32(0x1008, 1);
    host.machine.model().pass(1000);
    assert_eq!(host.get(completion + 14, 1), [1], "phase, and no error");
    // A completion queue may not, here.
    assert_eq!(
        host.fails(0, create_completion(2, 8, BASE, None)),
        (0, 0x12)
    );
}

/// The list, at `list`, of two pieces of two pages.
fn lend(host: &mut Host, pages: u64) -> (u64, u64, nvme::wire::SubmissionEntry) {
    let (list, first, second) = (host.zeros(1), host.zeros(2), host.zeros(2));
    for (index, piece) in [first, second].into_iter().enumerate() {
        host.put(list + index as u64 * 16, &piece.to_le_bytes());
        host.put(list + index as u64 * 16 + 8, &2_u64.to_le_bytes());
    }
    let mut set = entry(0x09, 0);
    set.cdw10_11 = 0x0d | 1 << 32;
    set.cdw12_13 = pages | list << 32;
    set.cdw14_15 = list >> 32 | 2 << 32;
    (first, second, set)
}

#[test]
fn host_memory_is_used_and_must_be_left_alone() {
    let mut host = Host::new(Config::with_everything());
    host.create(1, None);
    let (_, _, set) = lend(&mut host, 3);
    assert_eq!(host.fails(0, set), (0, 0x02), "less than HMMIN");
    let (_, _, set) = lend(&mut host, 5);
    assert_eq!(host.fails(0, set), (0, 0x02), "more than the list has");
    let (first, second, set) = lend(&mut host, 4);
    host.done(0, set);
    assert_eq!(host.fails(0, set), (0, 0x0c), "once is enough");
    let bus = host.zeros(2);
    for block in 0..50 {
        host.done(1, transfer(0x02, 1, block, 1, bus));
    }
    let is_used = |host: &Host, piece| host.get(piece, 8192).iter().any(|byte| *byte != 0);
    assert!(is_used(&host, first) && is_used(&host, second));
    assert_eq!(host.offences(), [""; 0]);
    host.put(first, &[0; 8192]);
    host.set_feature(0x0d, 0);
    assert!(
        host.offences()
            .iter()
            .all(|offence| offence.contains("was touched"))
    );
    // Given back: the host may do with it as it likes.
    host.put(second, &[0; 8192]);
    host.done(1, transfer(0x02, 1, 0, 1, bus));
    host.machine.model().memory.unmap(first, 2);
}

#[test]
fn host_memory_that_goes_while_it_is_lent_is_noticed() {
    let mut host = Host::new(Config::with_everything());
    let (first, _, set) = lend(&mut host, 4);
    host.done(0, set);
    host.machine.model().memory.unmap(first, 2);
    assert_eq!(host.offences(), ["memory taken away: HostMemory"]);
    host.disable();
}
