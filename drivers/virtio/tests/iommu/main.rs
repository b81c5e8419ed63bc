//! The driver of an IOMMU against a model of one.

mod model;

use model::{Machine, Mischief};
use phyr::{DmaAddr, DmaRange, Phyr, PhysAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use virtio::iommu::{Error, Fault, Iommu, Reason, Request, Status};
use virtio::transport::{Capability, FeatureError};
use virtio::{ConfigError, Failure, Violation, Waiting};

/// A driver that has started, or why not. The model never lets anybody wait.
fn start(machine: &Machine) -> Result<Iommu<Machine>, Error> {
    // A capability for notifications (section 4.1.4.4): 8 bytes, 4 between two queues.
    let mut bytes = [0; 20];
    bytes[..4].copy_from_slice(&[9, 0, 20, 2]);
    (bytes[12], bytes[16]) = (8, 4);
    let bar = Phyr::new(PhysAddr::new(0x1000), 4096).unwrap();
    let capability = Capability::parse(&bytes).unwrap().unwrap();
    let notify = capability.notify(bar).unwrap().unwrap();
    let future = pin!(Iommu::start(machine.clone(), notify));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("nobody waits"),
    }
}

fn working() -> (Machine, Iommu<Machine>) {
    let machine = Machine::new(|_| {});
    let iommu = start(&machine).unwrap();
    (machine, iommu)
}

fn unmap(page: u64) -> Request {
    let bus = DmaRange::new(DmaAddr::new(page * 4096), 4096).unwrap();
    Request::Unmap { domain: 3, bus }
}

fn failure(machine: &Machine) -> Failure {
    match start(machine) {
        Err(Error::Failed(failure)) => failure,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it is refused"),
    }
}

#[test]
fn nothing_gets_past_it_once_it_is_started() {
    let (machine, iommu) = working();
    // INPUT_RANGE, DOMAIN_RANGE, MAP_UNMAP, BYPASS_CONFIG and VERSION_1; not BYPASS, PROBE or MMIO.
    assert_eq!(machine.look().accepted, 1 << 32 | 0x47);
    assert_eq!((machine.look().config[36], machine.look().status), (0, 15));
    let properties = iommu.properties();
    assert_eq!(
        (properties.page, properties.domains.clone()),
        (4096, 0..=100)
    );
    assert_eq!(properties.addresses.last().get(), u64::MAX - 1);
    drop(iommu);
    assert_eq!((machine.look().status, machine.look().can_dma), (0, false));
}

#[test]
fn one_that_stays_open_or_makes_no_sense_is_refused() {
    let machine = Machine::new(|device| device.is_open = true);
    assert_eq!(failure(&machine), Failure::Config(ConfigError::Open));
    assert_eq!((machine.look().status, machine.look().can_dma), (0, false));
    let machine = Machine::new(|device| device.config[..8].fill(0));
    assert_eq!(failure(&machine), Failure::Config(ConfigError::Pages));
    let machine = Machine::new(|device| device.config[24..28].fill(0xff));
    assert_eq!(failure(&machine), Failure::Config(ConfigError::Empty));
    let machine = Machine::new(|device| device.config[8..16].fill(0xff));
    assert!(start(&machine).is_ok(), "one byte is an address, too");
    let machine = Machine::new(|device| device.offered &= !4);
    let missing = failure(&machine);
    assert!(matches!(
        missing,
        Failure::Features(FeatureError::Missing(_))
    ));
}

/// The model objects to memory that goes while the device reaches it.
#[test]
fn memory_of_one_that_cannot_be_stopped_is_never_used_again() {
    let (machine, iommu) = working();
    machine.device().is_unstoppable = true;
    drop(iommu);
    assert!(machine.look().can_dma);
}

#[test]
fn requests_go_in_their_order_and_in_batches() {
    let (machine, iommu) = working();
    let before = machine.look().notifications;
    iommu.execute((0..200).map(unmap)).unwrap();
    // 64 fit into a queue of which 128 entries are used.
    assert_eq!(machine.look().notifications - before, 4);
    let device = machine.look();
    assert_eq!(device.requests.len(), 200);
    for (page, request) in (0_u64..).zip(&device.requests) {
        let mut expected = vec![4, 0, 0, 0, 3, 0, 0, 0];
        expected.extend((page * 4096).to_le_bytes());
        expected.extend((page * 4096 + 4095).to_le_bytes());
        expected.extend([0; 4]);
        assert_eq!(request, &expected);
    }
}

#[test]
fn the_first_that_is_refused_is_the_answer() {
    let (machine, iommu) = working();
    machine.device().answers = [0, 5, 6].into();
    let refused = iommu.execute((0..3).map(unmap));
    assert_eq!(refused, Err(Error::Refused(Status(5))));
    assert_eq!(iommu.execute([unmap(1)]), Ok(()));
    // What is refused in one batch keeps the next from being sent.
    machine.device().requests.clear();
    machine.device().answers = [8].into();
    assert_eq!(
        iommu.execute((0..65).map(unmap)),
        Err(Error::Refused(Status(8)))
    );
    assert_eq!(machine.look().requests.len(), 64);
}

#[test]
fn one_that_breaks_a_rule_is_not_believed_any_more() {
    let used = |id| Failure::Violation(Violation::UsedId(id));
    let cases = [
        (Mischief::UsedId(1), used(1)),
        (Mischief::UsedId(4), used(4)),
        (Mischief::UsedId(128), used(128)),
        (Mischief::UsedId(u32::MAX), used(u32::MAX)),
        (Mischief::Twice, used(0)),
        (
            Mischief::Ahead,
            Failure::Violation(Violation::UsedIndex(302)),
        ),
        (Mischief::Silent, Failure::Timeout(Waiting::Request)),
    ];
    for (mischief, failure) in cases {
        let (machine, iommu) = working();
        machine.device().mischief = Some(mischief);
        let result = iommu.execute([unmap(0), unmap(1)]);
        assert_eq!(result, Err(Error::Failed(failure)), "{mischief:?}");
        machine.device().mischief = None;
        let before = machine.look().notifications;
        assert_eq!(iommu.execute([unmap(0)]), result, "{mischief:?}");
        assert_eq!(machine.look().notifications, before, "it is not asked");
    }
}

#[test]
fn faults_come_in_their_order_and_buffers_go_back() {
    let (machine, iommu) = working();
    assert_eq!(iommu.next_fault(), Ok(None));
    for round in 0..3 {
        // There are as many buffers as entries of the queue; what comes then is lost.
        let sent = (0..200_u64)
            .filter(|number| {
                machine
                    .device()
                    .fault([2 | 0x102 << 32, *number, round << 12])
            })
            .count();
        assert_eq!(sent, 128);
        for number in 0..128 {
            let fault = Fault {
                endpoint: number,
                address: Some(DmaAddr::new(round << 12)),
                read: false,
                write: true,
                reason: Reason::Mapping,
            };
            assert_eq!(iommu.next_fault(), Ok(Some(fault)));
        }
        assert_eq!(iommu.next_fault(), Ok(None));
    }
}
