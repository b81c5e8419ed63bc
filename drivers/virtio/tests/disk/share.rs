//! Folders of the host's, from a server that may lie.

use crate::model::server::{File, Server, named};
use crate::model::world::{notify, run_alone};
use crate::model::{Data, Device, Machine, Mischief};
use proptest::prelude::*;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use virtio::share::{
    Entry, Errno, FileKind, Links, Node, Opened, Options, PathError, ReplyError, Share, ShareError,
};
use virtio::{Access, Error, Failure, RequestError, Violation, Waiting};

type Under = Share<Machine, Data>;

const READ: u8 = 116;

fn machine(fill: impl FnOnce(&mut Server)) -> Machine {
    Machine::new(|ram| {
        let mut device = Device::share(ram);
        fill(&mut device.server);
        device
    })
}

fn bring_up(machine: &Machine) -> Result<Under, ShareError> {
    let made = Share::new(machine.clone(), notify(), Options::default());
    run_alone(machine, made)
}

fn share(machine: &Machine) -> Under {
    bring_up(machine).expect("a good server")
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at / 256 * 7 + at % 251) as u8).collect()
}

fn room(machine: &Machine, pieces: &[u64]) -> Data {
    let data = Data::new(&machine.ram, pieces, Access::FromDevice);
    data.fill(&vec![0xee; pieces.iter().sum::<u64>() as usize]);
    data
}

fn find(machine: &Machine, share: &Under, path: &str) -> Result<Node<Machine, Data>, ShareError> {
    run_alone(machine, share.find(path.as_bytes(), Links::Follow))
}

fn open(machine: &Machine, share: &Under, path: &str) -> Opened<Machine, Data> {
    let node = find(machine, share, path).expect(path);
    run_alone(machine, node.open()).expect(path)
}

/// The device is stopped, all memory is back, and nothing was touched that is nobody's.
fn end(machine: &Machine, share: Under) {
    drop(share);
    let device = machine.device.borrow();
    assert!(!device.can_dma && device.status == 0);
    assert_eq!((machine.ram.wild(), machine.ram.live()), (0, 0));
}

/// From now on the server changes its replies to this kind of message.
fn lie(machine: &Machine, about: u8, mut change: impl FnMut(&mut Vec<u8>) + 'static) {
    machine.device.borrow_mut().server.lie = Some(Box::new(move |kind, reply| {
        if kind == about {
            change(reply);
        }
    }));
}

fn be_honest(machine: &Machine) {
    machine.device.borrow_mut().server.lie = None;
}

/// A reply of these bytes, whose length is right.
fn say(reply: &mut Vec<u8>, fields: &[u8]) {
    reply.truncate(7);
    reply.extend(fields);
    let len = reply.len() as u32;
    reply[..4].copy_from_slice(&len.to_le_bytes());
}

#[test]
fn the_name_of_the_folder_is_the_hosts_if_it_can_be_typed() {
    let tag = |config: Vec<u8>| {
        let machine = machine(|_| {});
        machine.device.borrow_mut().config = config;
        let share = share(&machine);
        let tag = share.tag().map(str::to_owned);
        end(&machine, share);
        tag
    };
    assert_eq!(tag(named(b"docs")).as_deref(), Some("docs"));
    for odd in [&b""[..], b"a b", b"a:b", b"../x", b"\xff", &[b'x'; 33]] {
        assert_eq!(tag(named(odd)), None, "{odd:?}");
    }
    assert_eq!(tag(vec![]), None);
    assert_eq!(tag(vec![9, 0, b'x']), None, "shorter than it says");
}

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
fn a_folder_is_listed_to_its_end_and_says_what_is_in_it() {
    let machine = machine(|server| {
        server.put("d/sub", File::Folder(Default::default()));
        server.put("d/link", File::Link(b"x".into()));
        for number in 0..2000 {
            server.put(&format!("d/file number {number:04}"), File::Bytes(vec![]));
        }
    });
    let share = share(&machine);
    let list = |path| run_alone(&machine, open(&machine, &share, path).list()).unwrap();
    let all = list("/d");
    assert_eq!(all.len(), 2002);
    let kind = |name: &[u8]| {
        let found = all.iter().find(|entry| entry.name == name);
        found.map(|entry| entry.kind)
    };
    assert_eq!(kind(b"sub"), Some(FileKind::Folder));
    assert_eq!(kind(b"link"), Some(FileKind::Link));
    assert_eq!(kind(b"file number 1999"), Some(FileKind::Regular));
    assert_eq!(list("/d/sub"), Vec::<Entry>::new());
    let file = open(&machine, &share, "/d/file number 0000");
    let refused = run_alone(&machine, file.list());
    assert_eq!(refused, Err(ShareError::Server(Errno::ENOTDIR)));
    drop(file);
    end(&machine, share);
}

#[test]
fn what_is_known_of_a_file_is_what_the_server_says() {
    let machine = machine(|server| server.put("f", File::Bytes(bytes(1234))));
    let share = share(&machine);
    let node = find(&machine, &share, "f").unwrap();
    let known = run_alone(&machine, node.attributes()).unwrap();
    assert_eq!((known.kind, known.mode), (FileKind::Regular, 0o100_640));
    assert_eq!((known.owner, known.group, known.len), (1000, 100, 1234));
    let modified = (known.modified.seconds, known.modified.nanoseconds);
    assert_eq!(modified, (1_700_000_000, 123));
    drop(node);
    end(&machine, share);
}

/// The server asserts that it never hears `..`, so whatever is reached is in the share.
#[test]
fn links_and_dots_lead_where_they_do_on_a_disk_and_never_out() {
    let machine = machine(|server| {
        let text = |text: &str| File::Bytes(text.into());
        let link = |path: &str| File::Link(path.into());
        server.put("top", text("top"));
        server.put("a/b/c/leaf", text("leaf"));
        server.put("etc/passwd", text("of the share"));
        server.put("a/up", link("../top"));
        server.put("a/absolute", link("/etc/passwd"));
        server.put("a/b/out", link("../../../../../etc/passwd"));
        server.put("short", link("a/b/c"));
        server.put("chain", link("short/../c/./leaf"));
        server.put("loop", link("loop"));
        server.put("dangling", link("nowhere"));
        server.put("file/x", text("x"));
    });
    let share = share(&machine);
    let read = |path: &str| {
        let file = find(&machine, &share, path)?;
        let file = run_alone(&machine, file.open())?;
        let read = run_alone(&machine, file.read(0, room(&machine, &[100]), 0));
        let (data, count) = read.map_err(|unread| unread.error)?;
        Ok(String::from_utf8(data.bytes()[..count as usize].into()).unwrap())
    };
    for (path, text) in [
        ("/a/b/c/leaf", "leaf"),
        ("a/b//./c/../../b/c/leaf", "leaf"),
        ("/../../../top", "top"),
        ("/a/up", "top"),
        ("/a/absolute", "of the share"),
        ("/a/b/out", "of the share"),
        ("/short/leaf", "leaf"),
        // A link, and up from where it leads.
        ("/short/../c/leaf", "leaf"),
        ("/chain", "leaf"),
    ] {
        assert_eq!(read(path).as_deref(), Ok(text), "{path}");
    }
    for (path, error) in [
        ("/nothing", PathError::NotFound),
        ("/a/nothing/x", PathError::NotFound),
        ("/top/x", PathError::NotAFolder),
        ("/top/..", PathError::NotAFolder),
        ("/top/", PathError::NotAFolder),
        ("/loop", PathError::Links),
        ("/loop/x", PathError::Links),
        ("/dangling", PathError::NotFound),
        ("/a\0b", PathError::Name),
        (&"x".repeat(256), PathError::Name),
    ] {
        assert_eq!(read(path), Err(ShareError::Path(error)), "{path}");
    }
    // The link itself.
    let kept = |path: &[u8]| run_alone(&machine, share.find(path, Links::Keep));
    let link = kept(b"/a/up").unwrap();
    assert!(link.is_link());
    assert_eq!(run_alone(&machine, link.target()).unwrap(), b"../top");
    assert!(kept(b"/short/").unwrap().is_folder(), "a folder is meant");
    drop(link);
    end(&machine, share);
}

#[test]
fn long_ways_are_walked_in_parts() {
    for len in [14, 15, 16, 30, 31, 100] {
        // As long as a name can be; or as many as a link can have.
        let name = "n".repeat(255.min(10_000 / len));
        let way = vec![name.as_str(); len].join("/");
        // A link at the end of a part, and in the middle of one.
        let machine = machine(|server| {
            server.put(&format!("{way}/leaf"), File::Bytes(bytes(7)));
            server.put("to", File::Link(way.clone().into()));
        });
        let share = share(&machine);
        for path in [
            format!("{way}/leaf"),
            "to/leaf".into(),
            format!("{way}/../{name}/leaf"),
        ] {
            let node = find(&machine, &share, &path).expect("it is there");
            assert_eq!(run_alone(&machine, node.attributes()).unwrap().len, 7);
        }
        let missing = find(&machine, &share, &format!("{way}/nothing")).err();
        assert_eq!(missing, Some(ShareError::Path(PathError::NotFound)));
        end(&machine, share);
    }
    let machine = machine(|_| {});
    let share = share(&machine);
    let deep = "x/".repeat(5000);
    let error = find(&machine, &share, &deep).err();
    assert_eq!(error, Some(ShareError::Path(PathError::Name)));
    end(&machine, share);
}

#[test]
fn files_that_nobody_has_are_let_go_of() {
    let machine = machine(|server| {
        server.put("f", File::Bytes(bytes(10)));
        server.put("locked", File::Forbidden);
    });
    let share = share(&machine);
    for _ in 0..100 {
        drop(open(&machine, &share, "f"));
        assert!(find(&machine, &share, "nothing").is_err());
        let locked = find(&machine, &share, "locked").unwrap();
        let refused = run_alone(&machine, locked.open()).err();
        assert_eq!(refused, Some(ShareError::Server(Errno::EACCES)));
        assert!(machine.device.borrow().server.fids.len() <= 3);
    }
    run_alone(&machine, share.tidy()).unwrap();
    assert_eq!(
        (share.files(), machine.device.borrow().server.fids.len()),
        (0, 1)
    );
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
