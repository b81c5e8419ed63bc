//! Commands that are late, lost, held back and aborted.

use super::host::{code, transfer};
use super::{Host, entry};
use crate::model::{AbortPolicy, Config, Fate, Then, status};
use nvme::wire::SubmissionEntry;

fn host_with(then: Then) -> (Host, u16) {
    let mut host = Host::new(Config::default());
    host.create(1, None);
    host.machine.model().fates.push(Fate::of_next(0x02, then));
    let page = host.zeros(2);
    let cid = host.submit(1, transfer(0x02, 1, 3, 1, page));
    (host, cid)
}

fn abort(cid: u16) -> SubmissionEntry {
    let mut abort = entry(0x08, 0);
    abort.cdw10_11 = 1 | u64::from(cid) << 16;
    abort
}

#[test]
fn a_command_can_be_delayed_held_back_or_end_with_any_status() {
    let (mut host, _) = host_with(Then::Delay(5_000));
    host.machine.model().pass(4_000);
    assert!(host.take(1).is_none());
    assert!(host.wait(1).is_some());
    let (mut host, _) = host_with(Then::Hold);
    host.machine.model().pass(1_000_000);
    assert!(host.take(1).is_none());
    // Others go by, even an admin command that is slow.
    let slow = Fate::of_next_admin(0x0a, Then::Delay(900));
    host.machine.model().fates.push(slow);
    host.get_feature(0x04, 0);
    host.done(1, entry(0x00, 1));
    host.machine.model().let_go();
    assert!(host.wait(1).is_some());
    let (mut host, _) = host_with(Then::End(status(2, 0x81)));
    assert_eq!(code(host.wait(1).expect("an end").status), (2, 0x81));
}

#[test]
fn abort_ends_a_lost_command() {
    let (mut host, cid) = host_with(Then::Lose);
    host.machine.model().pass(1_000_000);
    assert!(host.take(1).is_none());
    assert_eq!(host.done(0, abort(cid)) & 1, 0);
    let ended = host.wait(1).expect("an end");
    assert_eq!((ended.cid, code(ended.status)), (cid, (0, 0x07)));
    assert_eq!(host.done(0, abort(cid)) & 1, 1, "it is not there any more");
}

#[test]
fn abort_can_refuse_be_late_or_lie() {
    let (mut host, cid) = host_with(Then::Lose);
    host.machine.model().abort_policy = AbortPolicy::Refuses;
    assert_eq!(host.done(0, abort(cid)) & 1, 1);
    host.machine.model().abort_policy = AbortPolicy::TooLate;
    assert_eq!(host.done(0, abort(cid)) & 1, 1);
    let ended = host.wait(1).expect("an end");
    assert!(ended.status.is_success());
    let (mut host, cid) = host_with(Then::Delay(5_000));
    host.machine.model().abort_policy = AbortPolicy::Lies;
    assert_eq!(host.done(0, abort(cid)) & 1, 0);
    assert!(host.wait(1).is_none());
    host.machine.model().abort_policy = AbortPolicy::Silent;
    host.submit(0, abort(cid));
    assert!(host.wait(0).is_none());
}

/// Memory of a command that is not completed is the device's, lost or not.
#[test]
fn memory_given_back_too_early_is_noticed() {
    let mut host = Host::new(Config::default());
    host.create(1, None);
    host.machine
        .model()
        .fates
        .push(Fate::of_next(0x02, Then::Lose));
    let page = host.zeros(1);
    host.submit(1, transfer(0x02, 1, 3, 1, page));
    assert_eq!(host.offences(), [""; 0]);
    host.machine.model().memory.unmap(page, 1);
    assert_eq!(host.offences().len(), 1);
    host.disable();
    assert_eq!(
        host.offences().len(),
        1,
        "and at the latest when it is reset"
    );
}
