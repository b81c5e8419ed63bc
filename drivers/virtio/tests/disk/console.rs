//! Ports of a console: what is said and heard, who is there, and a device that lies about it.

use crate::model::ports::message;
use crate::model::world::{notify, run_alone};
use crate::model::{Data, Device, Machine, Mischief, bits};
use proptest::prelude::*;
use std::pin::pin;
use std::task::{Context, Waker};
use virtio::console::{Console, Options, Port, PortError, Received, Size};
use virtio::{Access, ConfigError, DeviceError, Error, Failure, RequestError, Violation, Waiting};

type Under = Console<Machine, Data>;
type UnderPort = Port<Machine, Data>;

/// A machine whose console may have four ports, and has one, number 1.
fn machine(change: impl FnOnce(&mut Device)) -> Machine {
    Machine::new(|ram| {
        let mut device = Device::console(ram, 4);
        device.plug_port(1, "org.test.1");
        change(&mut device);
        device
    })
}

fn bring_up(machine: &Machine, change: impl FnOnce(&mut Options)) -> Result<Under, Error> {
    let mut options = Options::default();
    change(&mut options);
    let made = Console::new(machine.clone(), notify(), options);
    run_alone(machine, made)
}

fn console(machine: &Machine) -> Under {
    bring_up(machine, |_| {}).expect("a good device")
}

/// The port, when both ends are there.
fn open(machine: &Machine, console: &Under) -> UnderPort {
    let port = run_alone(machine, console.wait_for("org.test.1")).unwrap();
    run_alone(machine, port.open()).unwrap();
    machine.device.borrow_mut().open_port(1, true);
    assert_eq!(port.is_connected(), Ok(true));
    port
}

fn room(machine: &Machine, pieces: &[u64]) -> Data {
    let data = Data::new(&machine.ram, pieces, Access::FromDevice);
    data.fill(&vec![0xee; pieces.iter().sum::<u64>() as usize]);
    data
}

fn speech(machine: &Machine, pieces: &[u64], first: usize) -> Data {
    let data = Data::new(&machine.ram, pieces, Access::ToDevice);
    data.fill(&bytes(first, pieces.iter().sum::<u64>() as usize));
    data
}

fn bytes(first: usize, len: usize) -> Vec<u8> {
    (first..first + len)
        .map(|at| (at / 251 * 7 + at % 251) as u8)
        .collect()
}

/// The device is stopped, all memory is back, and nothing was touched that is nobody's.
fn end(machine: &Machine, console: Under, ports: Vec<UnderPort>) {
    drop((console, ports));
    let device = machine.device.borrow();
    assert!(!device.can_dma && device.status == 0);
    assert_eq!(device.ports.dropped, 0, "there was no memory for messages");
    assert_eq!((machine.ram.wild(), machine.ram.live()), (0, 0));
}

#[test]
fn ports_come_with_their_names_and_go() {
    let machine = machine(|device| device.plug_port(3, "three"));
    let console = console(&machine);
    let accepted = machine.device.borrow().accepted;
    assert_eq!(accepted, bits::VERSION_1 | bits::MULTIPORT);
    let three = run_alone(&machine, console.wait_for("three")).unwrap();
    let one = run_alone(&machine, console.wait_for("org.test.1")).unwrap();
    assert_eq!((one.number(), three.number()), (1, 3));
    assert_eq!(console.ports().len(), 2);
    let heard = machine.device.borrow().ports.heard.clone();
    assert_eq!(heard, [(0, 0, 1), (1, 3, 1), (3, 3, 1)]);
    assert_eq!((one.is_console(), one.size()), (Ok(false), Ok(None)));
    machine.device.borrow_mut().tell(&message(1, 4, 1, b""));
    let size = [80_u8, 0, 25, 0];
    machine.device.borrow_mut().tell(&message(1, 5, 0, &size));
    let size = Size {
        columns: 80,
        rows: 25,
    };
    assert_eq!((one.is_console(), one.size()), (Ok(true), Ok(Some(size))));
    // Another port of the same number and name is another.
    machine.device.borrow_mut().unplug_port(3);
    assert_eq!(three.is_connected(), Err(PortError::Removed));
    assert!(console.find("three").is_none());
    machine.device.borrow_mut().plug_port(3, "three");
    let again = run_alone(&machine, console.wait_for("three")).unwrap();
    assert_eq!(three.name(), Err(PortError::Removed));
    assert_eq!(again.name(), Ok(Some("three".into())));
    end(&machine, console, vec![one, three, again]);
}

#[test]
fn what_the_device_may_have_and_the_driver_not_is_refused() {
    let machine = machine(|device| device.plug_port(2, "two"));
    let console = bring_up(&machine, |options| options.ports = 2).unwrap();
    run_alone(&machine, console.wait_for("org.test.1")).unwrap();
    machine.device.borrow_mut().work();
    assert_eq!(machine.device.borrow_mut().port(2).ready, Some(0));
    // It may still say things of it.
    machine.device.borrow_mut().open_port(2, true);
    assert_eq!(console.ports().len(), 1);
    assert_eq!(console.failure(), None);
    end(&machine, console, Vec::new());
}

proptest! {
    /// Whatever is said comes out at the other end, in order, in whatever pieces.
    #[test]
    fn streams_are_carried_in_both_directions(
        sizes in prop::collection::vec(
            (prop::collection::vec(1..300_u64, 1..=16), 1..700_usize),
            1..20,
        ),
    ) {
        let machine = machine(|_| {});
        let console = console(&machine);
        let port = open(&machine, &console);
        let (mut said, mut told, mut got) = (0, 0, Vec::new());
        for (pieces, more) in sizes {
            let len = pieces.iter().sum::<u64>() as usize;
            let data = run_alone(&machine, port.send(speech(&machine, &pieces, said))).unwrap();
            prop_assert_eq!(data.bytes(), bytes(said, len));
            said += len;
            let heard = machine.device.borrow_mut().port(1).from_guest.clone();
            prop_assert_eq!(heard, bytes(0, said));
            port.lend(room(&machine, &pieces)).unwrap();
            machine.device.borrow_mut().say_to_guest(1, &bytes(told, more));
            told += more;
            let Received { data, bytes } = run_alone(&machine, port.receive()).unwrap().unwrap();
            let all = data.bytes();
            let (front, back) = all.split_at(bytes as usize);
            prop_assert!(back.iter().all(|byte| *byte == 0xee));
            got.extend_from_slice(front);
        }
        while got.len() < told {
            port.lend(room(&machine, &[100, 50])).unwrap();
            let received = run_alone(&machine, port.receive()).unwrap().unwrap();
            got.extend(&received.data.bytes()[..received.bytes as usize]);
        }
        prop_assert_eq!(got, bytes(0, told));
        end(&machine, console, vec![port]);
    }
}

#[test]
fn what_was_said_before_the_other_end_has_gone_is_heard_before() {
    let machine = machine(|_| {});
    let console = console(&machine);
    let port = open(&machine, &console);
    assert_eq!(
        run_alone(&machine, port.receive()).unwrap_err().0,
        PortError::NothingLent
    );
    for _ in 0..3 {
        port.lend(room(&machine, &[10])).unwrap();
    }
    let mut device = machine.device.borrow_mut();
    device.say_to_guest(1, &bytes(0, 15));
    device.open_port(1, false);
    drop(device);
    for len in [10, 5] {
        let received = run_alone(&machine, port.receive()).unwrap().unwrap();
        assert_eq!(received.bytes, len);
    }
    assert!(run_alone(&machine, port.receive()).unwrap().is_none());
    let (error, back) = run_alone(&machine, port.send(speech(&machine, &[5], 0))).unwrap_err();
    assert_eq!((error, back.is_some()), (PortError::Closed, true));
    drop(back);
    // Somebody else comes: what is lent is there for him.
    machine.device.borrow_mut().open_port(1, true);
    machine.device.borrow_mut().say_to_guest(1, b"again");
    run_alone(&machine, port.connection(true)).unwrap();
    let received = run_alone(&machine, port.receive()).unwrap().unwrap();
    assert_eq!(received.data.bytes()[..5], *b"again");
    drop(received);
    run_alone(&machine, port.close()).unwrap();
    assert!(!machine.device.borrow_mut().port(1).is_guest_open);
    end(&machine, console, vec![port]);
}

#[test]
fn who_waits_hears_that_the_port_was_taken_away() {
    let machine = machine(|_| {});
    let console = console(&machine);
    let port = open(&machine, &console);
    port.lend(room(&machine, &[10])).unwrap();
    machine.device.borrow_mut().ports.is_held = true;
    {
        let mut receiving = pin!(port.receive());
        let mut sending = pin!(port.send(speech(&machine, &[10], 0)));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(receiving.as_mut().poll(&mut cx).is_pending());
        assert!(sending.as_mut().poll(&mut cx).is_pending());
        machine.device.borrow_mut().unplug_port(1);
        let (error, _) = run_alone(&machine, receiving).unwrap_err();
        assert_eq!(error, PortError::Removed);
        let (error, back) = run_alone(&machine, sending).unwrap_err();
        // The device has it.
        assert_eq!((error, back.is_none()), (PortError::Removed, true));
    }
    let (error, back) = port.lend(room(&machine, &[10])).unwrap_err();
    assert_eq!((error, back.is_some()), (PortError::Removed, true));
    drop(back);
    // What is still lent serves the next port of that number.
    machine.device.borrow_mut().plug_port(1, "org.test.1");
    let next = open(&machine, &console);
    machine.device.borrow_mut().say_to_guest(1, b"next");
    let received = run_alone(&machine, next.receive()).unwrap().unwrap();
    assert_eq!(received.data.bytes()[..4], *b"next");
    drop(received);
    end(&machine, console, vec![port, next]);
}

#[test]
fn memory_that_does_not_suit_comes_back() {
    let machine = machine(|_| {});
    let console = console(&machine);
    let port = open(&machine, &console);
    let access = PortError::Driver(Error::Request(RequestError::Access));
    let (error, back) = port.lend(speech(&machine, &[10], 0)).unwrap_err();
    assert_eq!((error, back.is_some()), (access, true));
    drop(back);
    let (error, back) = run_alone(&machine, port.send(room(&machine, &[10]))).unwrap_err();
    assert_eq!((error, back.is_some()), (access, true));
    drop(back);
    let pieces = PortError::Driver(Error::Request(RequestError::Pieces { offset: 16 }));
    let (error, back) = port.lend(room(&machine, &[1; 17])).unwrap_err();
    assert_eq!((error, back.is_some()), (pieces, true));
    drop(back);
    // As much as the queue has room for, and no more.
    for _ in 0..8 {
        port.lend(room(&machine, &[10])).unwrap();
    }
    let (error, back) = port.lend(room(&machine, &[10])).unwrap_err();
    assert_eq!(
        (error, back.is_some()),
        (PortError::Driver(Error::Full), true)
    );
    drop(back);
    end(&machine, console, vec![port]);
}

/// A receive that nobody waits for any more loses nothing, and a send goes on.
#[test]
fn waits_that_are_dropped_lose_nothing() {
    let machine = machine(|_| {});
    let console = console(&machine);
    let port = open(&machine, &console);
    let before = machine.ram.live();
    port.lend(room(&machine, &[10])).unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(pin!(port.receive()).poll(&mut cx).is_pending());
    }
    let sending = Box::pin(port.send(speech(&machine, &[20], 0)));
    let mut sending = sending;
    assert!(sending.as_mut().poll(&mut cx).is_pending());
    drop(sending);
    machine.device.borrow_mut().work();
    machine.device.borrow_mut().say_to_guest(1, b"here");
    let received = run_alone(&machine, port.receive()).unwrap().unwrap();
    assert_eq!(received.bytes, 4);
    assert_eq!(machine.device.borrow_mut().port(1).from_guest, bytes(0, 20));
    drop(received);
    assert_eq!(machine.ram.live(), before);
    end(&machine, console, vec![port]);
}

#[test]
fn a_device_that_lies_about_ports_is_out_of_use() {
    let nonsense = |port, event| Violation::Message { port, event };
    let lies: [(Vec<u8>, Violation); 12] = [
        (message(4, 1, 1, b""), nonsense(4, 1)),
        (message(4, 2, 1, b""), nonsense(4, 2)),
        (message(4, 6, 1, b""), nonsense(4, 6)),
        (message(0x1_0001, 1, 1, b""), nonsense(0x1_0001, 1)),
        (message(u32::MAX, 1, 1, b""), nonsense(u32::MAX, 1)),
        (message(u32::MAX, 7, 1, b"name"), nonsense(u32::MAX, 7)),
        // A name without an end, and one that is no text.
        (message(1, 7, 1, &[b'x'; 248]), nonsense(1, 7)),
        (message(1, 7, 1, &[b'x'; 4000]), nonsense(1, 7)),
        (message(1, 7, 1, b"\xc3\x28\0"), nonsense(1, 7)),
        (message(1, 5, 0, b"\x50\0"), nonsense(1, 5)),
        (
            message(1, 1, 1, b"")[..7].to_vec(),
            Violation::UsedLength(7),
        ),
        (Vec::new(), Violation::UsedLength(0)),
    ];
    for (lie, violation) in lies {
        let machine = machine(|_| {});
        let console = console(&machine);
        let port = open(&machine, &console);
        port.lend(room(&machine, &[64])).unwrap();
        machine.device.borrow_mut().tell(&lie);
        let failure = Failure::Violation(violation);
        let _ = console.ports();
        assert_eq!(console.failure(), Some(failure), "{lie:?}");
        let (error, back) = run_alone(&machine, port.receive()).unwrap_err();
        assert_eq!(error, PortError::Driver(Error::Failed(failure)));
        assert!(back.is_some(), "what was lent is back");
        drop(back);
        let (error, _) = run_alone(&machine, port.receive()).unwrap_err();
        assert_eq!(error, PortError::Driver(Error::Dead(failure)));
        let dead = run_alone(&machine, port.open());
        assert_eq!(dead, Err(PortError::Driver(Error::Dead(failure))));
        end(&machine, console, vec![port]);
    }
}

#[test]
fn what_is_not_about_a_port_that_is_there_is_not_heard() {
    let machine = machine(|_| {});
    let console = console(&machine);
    let port = open(&machine, &console);
    for (number, event) in [
        (0, 6),
        (2, 7),
        (3, 4),
        (2, 2),
        (1, 0),
        (1, 3),
        (9, 99),
        (1, 1),
    ] {
        machine
            .device
            .borrow_mut()
            .tell(&message(number, event, 1, b"x"));
    }
    assert_eq!(console.ports().len(), 1);
    assert_eq!(console.failure(), None);
    // One that came twice is the same.
    assert_eq!(port.name(), Ok(Some("org.test.1".into())));
    end(&machine, console, vec![port]);
}

/// More messages than there is memory for, as long as they do not come at once.
#[test]
fn memory_for_messages_comes_back_to_the_device() {
    let machine = machine(|_| {});
    let console = console(&machine);
    let port = open(&machine, &console);
    for round in 0..200 {
        for turn in 0..16 {
            machine
                .device
                .borrow_mut()
                .open_port(1, (round + turn) % 2 == 1);
        }
        assert_eq!(port.is_connected(), Ok((round + 15) % 2 == 1));
    }
    end(&machine, console, vec![port]);
}

#[test]
fn lengths_and_chains_that_cannot_be_end_the_use() {
    for (lie, violation) in [
        (Mischief::Longer(1), Violation::UsedLength(65)),
        (
            Mischief::Longer(u32::MAX - 64),
            Violation::UsedLength(u32::MAX),
        ),
        (Mischief::UsedId(16), Violation::UsedId(16)),
        (Mischief::UsedId(u32::MAX), Violation::UsedId(u32::MAX)),
        (Mischief::Twice, Violation::UsedIndex(2)),
        (Mischief::Index(9), Violation::UsedIndex(9)),
    ] {
        let machine = machine(|_| {});
        let console = console(&machine);
        let port = open(&machine, &console);
        port.lend(room(&machine, &[60, 4])).unwrap();
        machine.device.borrow_mut().mischief = Some((lie, 1));
        machine.device.borrow_mut().say_to_guest(1, &bytes(0, 64));
        let (error, back) = run_alone(&machine, port.receive()).unwrap_err();
        let failure = Failure::Violation(violation);
        assert_eq!(error, PortError::Driver(Error::Failed(failure)), "{lie:?}");
        assert!(back.is_some());
        drop(back);
        end(&machine, console, vec![port]);
    }
    // Nothing at all is no reason to give up.
    let machine = machine(|_| {});
    let console = console(&machine);
    let port = open(&machine, &console);
    port.lend(room(&machine, &[64])).unwrap();
    machine.device.borrow_mut().mischief = Some((Mischief::Nothing, 1));
    machine.device.borrow_mut().say_to_guest(1, b"x");
    let (error, back) = run_alone(&machine, port.receive()).unwrap_err();
    let short = Error::Device(DeviceError::Short { written: 0 });
    assert_eq!((error, back.is_some()), (PortError::Driver(short), true));
    drop(back);
    assert_eq!(console.failure(), None);
    end(&machine, console, vec![port]);
}

#[test]
fn a_device_that_is_silent_sick_or_gone_ends_the_wait() {
    let machine = machine(|_| {});
    let console = console(&machine);
    let port = open(&machine, &console);
    machine.device.borrow_mut().mischief = Some((Mischief::Silent, u32::MAX));
    let timeout = Failure::Timeout(Waiting::Request);
    let silent = run_alone(&machine, port.close());
    assert_eq!(silent, Err(PortError::Driver(Error::Failed(timeout))));
    end(&machine, console, vec![port]);
    type Change = fn(&mut Device);
    let changes: [(Change, Failure); 2] = [
        (|device| device.status |= 0x40, Failure::NeedsReset),
        (|device| device.is_present = false, Failure::Gone),
    ];
    for (change, failure) in changes {
        let machine = self::machine(|_| {});
        let console = self::console(&machine);
        let port = open(&machine, &console);
        port.lend(room(&machine, &[64])).unwrap();
        {
            let mut waiting = pin!(port.receive());
            let mut cx = Context::from_waker(Waker::noop());
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
            change(&mut machine.device.borrow_mut());
            let (error, back) = run_alone(&machine, waiting).unwrap_err();
            assert_eq!(error, PortError::Driver(Error::Failed(failure)));
            assert!(back.is_some());
        }
        drop((port, console));
        assert_eq!((machine.ram.wild(), machine.ram.live()), (0, 0));
    }
}

#[test]
fn a_device_that_nobody_can_stop_keeps_the_memory() {
    let machine = machine(|device| device.is_unstoppable = true);
    let console = console(&machine);
    let port = open(&machine, &console);
    port.lend(room(&machine, &[64])).unwrap();
    let live = machine.ram.live();
    {
        let mut device = machine.device.borrow_mut();
        device.status |= 0x40;
        device.slow_reset = u32::MAX >> 20;
    }
    let (error, back) = run_alone(&machine, port.receive()).unwrap_err();
    let lost = PortError::Driver(Error::Lost(Failure::NeedsReset));
    assert_eq!((error, back.is_none()), (lost, true));
    assert_eq!(console.lost(), 1);
    drop((port, console));
    assert_eq!(machine.ram.live(), live, "it is kept for ever");
}

#[test]
fn a_device_without_messages_has_one_port() {
    let machine = machine(|device| {
        device.offered &= !bits::MULTIPORT;
        device.queues.truncate(2);
        device.plug_port(0, "");
    });
    let console = console(&machine);
    let [port] = console.ports().try_into().ok().expect("one");
    assert_eq!((port.number(), port.name()), (0, Ok(None)));
    run_alone(&machine, port.open()).unwrap();
    port.lend(room(&machine, &[64])).unwrap();
    machine.device.borrow_mut().say_to_guest(0, b"hello");
    let received = run_alone(&machine, port.receive()).unwrap().unwrap();
    assert_eq!(received.data.bytes()[..5], *b"hello");
    drop(received);
    drop(run_alone(&machine, port.send(speech(&machine, &[9], 0))).unwrap());
    assert_eq!(machine.device.borrow_mut().port(0).from_guest, bytes(0, 9));
    end(&machine, console, vec![port]);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let short = machine(|device| device.config.truncate(4));
    let none = machine(|device| device.set32(4, 0));
    for (machine, wrong) in [
        (short, ConfigError::Short { len: 4 }),
        (none, ConfigError::Empty),
    ] {
        let failed = bring_up(&machine, |_| {}).err();
        assert_eq!(failed, Some(Error::Failed(Failure::Config(wrong))));
        assert_eq!(machine.ram.live(), 0);
    }
    // It says that it has ports for which there are no queues.
    let many = machine(|device| device.set32(4, u32::MAX));
    let failed = bring_up(&many, |_| {}).err();
    let queue = Failure::QueueSize { queue: 10, size: 0 };
    assert_eq!(failed, Some(Error::Failed(queue)));
    assert_eq!(many.ram.live(), 0);
}
