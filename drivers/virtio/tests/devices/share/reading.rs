//! Data of files: it is where it was wanted, and as much as there is.

use super::*;

proptest! {
    /// The data of any file is in memory of any pieces, up to where the server says and not further, and nothing else
    /// of the reply is there.
    #[test]
    fn data_goes_straight_into_any_memory(
        len in 0..5000_usize,
        requests in prop::collection::vec(
            (0..6000_u64, prop::collection::vec(1..700_u64, 1..=14)), 1..20),
    ) {
        let content = bytes(len);
        let machine = machine(|server| server.put("f", File::Bytes(content.clone())));
        let share = share(&machine);
        let file = open(&machine, &share, "/f");
        for (at, pieces) in requests {
            let (data, count) = run_alone(&machine, file.read(at, room(&machine, &pieces), 0)).unwrap();
            let rest = content.get(at as usize..).unwrap_or_default();
            let all: u64 = pieces.iter().sum();
            let count = count as usize;
            prop_assert_eq!(count, rest.len().min(all as usize));
            let read = data.bytes();
            prop_assert!(read[..count] == rest[..count]);
            prop_assert!(read[count..].iter().all(|byte| *byte == 0xee));
        }
        drop(file);
        end(&machine, share);
    }
}

#[test]
fn as_much_is_read_at_once_as_fits_and_from_where_it_is_wanted() {
    let content = bytes(3 << 20);
    let machine = machine(|server| server.put("f", File::Bytes(content.clone())));
    let share = share(&machine);
    assert_eq!(share.most_bytes(), 1 << 20);
    let file = open(&machine, &share, "f");
    for (pieces, skip, expected) in [
        // In more pieces than a chain has.
        (vec![10; 20], 0, 140),
        (vec![10; 20], 15, 135),
        (vec![10; 20], 60, 140),
        // Longer than a reply.
        (vec![(1 << 20) + 5], 0, 1 << 20),
        (vec![700, (1 << 20) + 5], 3, 1 << 20),
        (vec![700, 5], 704, 1),
    ] {
        let read = run_alone(&machine, file.read(9, room(&machine, &pieces), skip));
        let (data, count) = read.unwrap();
        assert_eq!(count, expected);
        let (skip, count, read) = (skip as usize, count as usize, data.bytes());
        assert!(read[skip..][..count] == content[9..][..count]);
        assert!(read[..skip].iter().all(|byte| *byte == 0xee));
        assert!(read[skip + count..].iter().all(|byte| *byte == 0xee));
    }
    let refused = |data, skip| {
        let unread = run_alone(&machine, file.read(0, data, skip)).unwrap_err();
        assert!(unread.data.is_some(), "the memory comes back");
        unread.error
    };
    let request = |error| ShareError::Device(Error::Request(error));
    for skip in [64, 65, u64::MAX] {
        let behind = refused(room(&machine, &[64]), skip);
        assert_eq!(behind, request(RequestError::Length));
    }
    let lent = Data::new(&machine.ram, &[64], Access::ToDevice);
    assert_eq!(refused(lent, 0), request(RequestError::Access));
    drop(file);
    end(&machine, share);
}

#[test]
fn several_requests_are_under_way_each_with_a_tag_of_its_own_and_answered_in_any_order() {
    let content = bytes(64 << 10);
    let machine = machine(|server| server.put("f", File::Bytes(content.clone())));
    let share = share(&machine);
    let file = open(&machine, &share, "f");
    machine.device.borrow_mut().server.heard.clear();
    machine.device.borrow_mut().is_backwards = true;
    // More than there are rooms: the others wait for one.
    let mut reads: Vec<Pin<Box<dyn Future<Output = _>>>> = Vec::new();
    for number in 0..20_u64 {
        reads.push(Box::pin(file.read(
            number * 1000,
            room(&machine, &[500, 500]),
            0,
        )));
    }
    let mut done = vec![None; reads.len()];
    run_alone(
        &machine,
        poll_fn(|cx| {
            for (read, done) in reads.iter_mut().zip(&mut done) {
                if done.is_none()
                    && let Poll::Ready(result) = read.as_mut().poll(cx)
                {
                    let (data, count) = result.expect("it is read");
                    *done = Some((data.bytes(), count));
                }
            }
            match done.iter().all(Option::is_some) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }),
    );
    for (number, done) in done.iter().enumerate() {
        let (read, count) = done.as_ref().expect("all are");
        assert_eq!(*count, 1000);
        assert!(read[..] == content[number * 1000..][..1000], "{number}");
    }
    {
        let device = machine.device.borrow();
        let mut first: Vec<u16> = device.server.heard[..8]
            .iter()
            .map(|(_, tag)| *tag)
            .collect();
        first.sort_unstable();
        assert_eq!(first, [0, 1, 2, 3, 4, 5, 6, 7], "all eight rooms at once");
    }
    drop(reads);
    drop(file);
    end(&machine, share);
}

#[test]
fn a_request_that_is_dropped_leaves_its_memory_to_the_device_and_its_room_comes_back() {
    let machine = machine(|server| server.put("f", File::Bytes(bytes(10_000))));
    let share = share(&machine);
    let file = open(&machine, &share, "f");
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..50 {
        let mut dropped = Box::pin(file.read(0, room(&machine, &[100]), 0));
        assert!(dropped.as_mut().poll(&mut cx).is_pending());
        drop(dropped);
        let mut dropped = Box::pin(share.find(b"f", Links::Follow));
        assert!(dropped.as_mut().poll(&mut cx).is_pending());
        drop(dropped);
        machine.device.borrow_mut().work();
        let read = run_alone(&machine, file.read(77, room(&machine, &[100]), 0));
        let (data, count) = read.unwrap();
        assert_eq!((data.bytes(), count), (bytes(177)[77..].to_vec(), 100));
    }
    drop(file);
    end(&machine, share);
}
