//! Servers that lie, and devices that break a rule.

use super::*;

const READ: u8 = 116;

#[test]
fn a_server_that_speaks_something_else_is_not_used() {
    type Change = fn(&mut Vec<u8>);
    let long = ReplyError::MessageSize((1 << 20) + 25);
    let changes: [(u8, Change, ReplyError); 6] = [
        (
            100,
            |r| say(r, &[&[0, 0, 1, 0][..], &named(b"unknown")].concat()),
            ReplyError::Version,
        ),
        (
            100,
            |r| say(r, &[&[0, 0, 1, 0][..], &named(b"9P2000.u")].concat()),
            ReplyError::Version,
        ),
        (
            100,
            |r| r[7..11].copy_from_slice(&4119_u32.to_le_bytes()),
            ReplyError::MessageSize(4119),
        ),
        (
            100,
            |r| r[7..11].copy_from_slice(&((1_u32 << 20) + 25).to_le_bytes()),
            long,
        ),
        (100, |r| say(r, &[1, 2]), ReplyError::Short),
        (104, |r| say(r, &[0x80]), ReplyError::Short),
    ];
    for (kind, change, error) in changes {
        let machine = machine(|_| {});
        lie(&machine, kind, change);
        assert_eq!(bring_up(&machine).err(), Some(ShareError::Reply(error)));
        assert_eq!((machine.ram.wild(), machine.ram.live()), (0, 0));
        assert!(!machine.device.borrow().can_dma);
    }
    let small = machine(|server| {
        server.most = Some(8192);
        server.put("f", File::Bytes(bytes(10_000)));
    });
    let under = share(&small);
    assert_eq!(under.most_bytes(), 8192 - 24);
    let file = open(&small, &under, "f");
    let (data, count) = run_alone(&small, file.read(0, room(&small, &[8168]), 0)).unwrap();
    assert!(count == 8168 && data.bytes() == bytes(8168));
    drop((data, file));
    end(&small, under);
}

#[test]
fn a_reply_to_a_read_that_is_none_costs_an_error_and_the_next_is_right() {
    type Change = fn(&mut Vec<u8>);
    let size = |says, has| ReplyError::Size { says, has };
    let kind = |got| ReplyError::Kind { expected: 117, got };
    let changes: [(Change, ShareError); 11] = [
        (|r| r.clear(), ReplyError::Short.into()),
        (|r| r.truncate(6), ReplyError::Short.into()),
        (|r| r[0] = 112, size(112, 111).into()),
        (|r| r[..4].fill(0xff), size(u32::MAX, 111).into()),
        (|r| r[0] = 6, size(6, 111).into()),
        (|r| r[4] = 7, ShareError::Server(Errno(100))),
        (|r| r[4] = 116, kind(116).into()),
        (|r| r[5] ^= 1, ReplyError::Tag(1).into()),
        // More than was asked for, or than came.
        (|r| r[7] = 101, ReplyError::Count(101).into()),
        (|r| r[7..11].fill(0xff), ReplyError::Count(u32::MAX).into()),
        // Less than came, of which the rest is who knows what.
        (|r| r[7] = 99, ReplyError::Count(99).into()),
    ];
    for (change, error) in changes {
        let machine = machine(|server| server.put("f", File::Bytes(bytes(1000))));
        let share = share(&machine);
        let file = open(&machine, &share, "f");
        lie(&machine, READ, change);
        let unread = run_alone(&machine, file.read(0, room(&machine, &[60, 40]), 0)).unwrap_err();
        assert_eq!((unread.error, unread.data.is_some()), (error, true));
        drop(unread);
        be_honest(&machine);
        let (data, count) =
            run_alone(&machine, file.read(5, room(&machine, &[60, 40]), 0)).unwrap();
        assert_eq!((data.bytes(), count), (bytes(105)[5..].to_vec(), 100));
        assert_eq!(share.failure(), None);
        drop((data, file));
        end(&machine, share);
    }
}

#[test]
fn a_server_that_lies_of_folders_and_walks_costs_an_error() {
    let machine = machine(|server| {
        server.put("d/f", File::Bytes(bytes(1000)));
        server.put("link", File::Link(b"d".into()));
    });
    let share = share(&machine);
    let folder = open(&machine, &share, "d");
    let listed = |change: fn(&mut Vec<u8>)| {
        lie(&machine, 40, change);
        let listed = run_alone(&machine, folder.list());
        be_honest(&machine);
        listed.err()
    };
    let reply = |error| Some(ShareError::Reply(error));
    // Each time the same again.
    let endless = listed(|r| {
        let mut entry = vec![0; 22];
        entry.extend(named(b"again"));
        let mut fields = (entry.len() as u32).to_le_bytes().to_vec();
        fields.extend(entry);
        say(r, &fields);
    });
    assert_eq!(endless, reply(ReplyError::Endless));
    assert_eq!(
        listed(|r| r[7..11].fill(0xff)),
        reply(ReplyError::Count(u32::MAX))
    );
    assert_eq!(listed(|r| r[7..9].fill(1)), reply(ReplyError::Count(257)));
    assert_eq!(
        listed(|r| say(r, &[3, 0, 0, 0, 1, 2, 3])),
        reply(ReplyError::Short)
    );
    for name in [&b""[..], b"a/b", b"..\0", b"/"] {
        let name = name.to_vec();
        lie(&machine, 40, move |r| {
            let mut entry = vec![0; 22];
            entry.extend(named(&name));
            let fields = [&(entry.len() as u32).to_le_bytes()[..], &entry].concat();
            say(r, &fields);
        });
        assert_eq!(
            run_alone(&machine, folder.list()).err(),
            reply(ReplyError::Name)
        );
    }
    be_honest(&machine);
    let found = |kind, change: fn(&mut Vec<u8>)| {
        lie(&machine, kind, change);
        let found = find(&machine, &share, "link/f");
        be_honest(&machine);
        found.err()
    };
    assert_eq!(
        found(110, |r| say(r, &[0, 0])),
        reply(ReplyError::Walked(0))
    );
    assert_eq!(found(110, |r| r[7] = 3), reply(ReplyError::Walked(3)));
    assert_eq!(
        found(110, |r| r[7..9].fill(0xff)),
        reply(ReplyError::Walked(u16::MAX))
    );
    assert_eq!(found(110, |r| say(r, &[1, 0, 2])), reply(ReplyError::Short));
    // Everything is a link.
    let links = found(110, |r| r[9] = 2);
    assert!(links.is_some(), "and yet it ends");
    assert_eq!(
        found(22, |r| say(r, &[200, 0, 1])),
        reply(ReplyError::Short)
    );
    assert_eq!(found(22, |r| say(r, &[0, 0])), reply(ReplyError::Name));
    // A link to itself, for ever.
    let around = found(22, |r| say(r, &named(b"link")));
    assert_eq!(around, Some(ShareError::Path(PathError::Links)));
    let node = find(&machine, &share, "d/f").unwrap();
    lie(&machine, 24, |r| r.truncate(100));
    let size = ReplyError::Size {
        says: 160,
        has: 100,
    };
    assert_eq!(run_alone(&machine, node.attributes()).err(), reply(size));
    be_honest(&machine);
    assert_eq!(run_alone(&machine, node.attributes()).unwrap().len, 1000);
    drop((folder, node));
    end(&machine, share);
}

proptest! {
    /// Whatever a server answers, to whatever: an error or a value, and no end of the machine.
    #[test]
    fn any_bytes_are_an_error_at_worst(seed in any::<u64>()) {
        let machine = machine(|server| {
            server.put("d/f", File::Bytes(bytes(1000)));
            server.put("link", File::Link(b"d/f".into()));
        });
        let share = share(&machine);
        let mut state = seed | 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        machine.device.borrow_mut().server.lie = Some(Box::new(move |_, reply| {
            for _ in 0..random() % 4 {
                let at = random() as usize % reply.len().min(40);
                reply[at] = random() as u8;
            }
            if random() % 4 == 0 {
                let len = random() as usize % 64;
                reply.resize(len.max(1), random() as u8);
            }
        }));
        for _ in 0..20 {
            for path in ["link", "d", "d/f", "nothing/x"] {
                let Ok(node) = find(&machine, &share, path) else {
                    continue;
                };
                let _ = run_alone(&machine, node.attributes());
                let _ = run_alone(&machine, node.target());
                if let Ok(open) = run_alone(&machine, node.open()) {
                    let _ = run_alone(&machine, open.list());
                    if let Ok((data, count)) = run_alone(&machine, open.read(0, room(&machine, &[99]), 0)) {
                        prop_assert!(count <= 99);
                        drop(data);
                    }
                }
            }
        }
        prop_assert_eq!(share.failure(), None);
        end(&machine, share);
    }
}

#[test]
fn a_device_that_breaks_a_rule_or_is_silent_is_out_of_use_and_nothing_is_lost() {
    for (what, failure) in [
        (
            Mischief::UsedId(1),
            Failure::Violation(Violation::UsedId(1)),
        ),
        (
            Mischief::Longer(1),
            Failure::Violation(Violation::UsedLength(112)),
        ),
        (
            Mischief::Index(9),
            Failure::Violation(Violation::UsedIndex(0)),
        ),
        (Mischief::Silent, Failure::Timeout(Waiting::Request)),
    ] {
        let machine = machine(|server| server.put("f", File::Bytes(bytes(1000))));
        let share = share(&machine);
        let file = open(&machine, &share, "f");
        machine.device.borrow_mut().mischief = Some((what, u32::MAX));
        {
            let unread = run_alone(&machine, pin!(file.read(0, room(&machine, &[100]), 0)));
            let unread = unread.unwrap_err();
            assert!(unread.data.is_some(), "the device is stopped");
            let ShareError::Device(Error::Failed(seen)) = unread.error else {
                panic!("{:?}", unread.error);
            };
            match failure {
                Failure::Violation(Violation::UsedIndex(_)) => {
                    assert!(matches!(seen, Failure::Violation(Violation::UsedIndex(_))));
                }
                failure => assert_eq!(seen, failure),
            }
            let dead = find(&machine, &share, "f").err();
            assert_eq!(dead, Some(ShareError::Device(Error::Dead(seen))));
        }
        drop(file);
        end(&machine, share);
    }
}

/// A device that cannot be kept from memory keeps what it has, for ever.
#[test]
fn what_a_device_has_that_cannot_be_stopped_is_not_used_again() {
    let machine = machine(|server| server.put("f", File::Bytes(bytes(1000))));
    let share = share(&machine);
    let file = open(&machine, &share, "f");
    machine.device.borrow_mut().mischief = Some((Mischief::Silent, u32::MAX));
    {
        let mut device = machine.device.borrow_mut();
        (device.slow_reset, device.is_unstoppable) = (u32::MAX >> 12, true);
    }
    let before = machine.ram.live();
    let unread = run_alone(&machine, file.read(0, room(&machine, &[100]), 0)).unwrap_err();
    assert_eq!(unread.data.map(|data| data.bytes()), None);
    drop((file, share));
    assert_eq!((machine.ram.live(), machine.ram.wild()), (before + 100, 0));
}
