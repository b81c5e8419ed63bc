//! Ports that come and go, and what is said and heard through them.

use super::*;

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
