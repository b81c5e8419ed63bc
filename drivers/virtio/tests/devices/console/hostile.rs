//! A device that lies about ports, breaks a rule, or says nothing.

use super::*;

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
