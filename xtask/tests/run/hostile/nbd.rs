//! Those of NBD: options and requests that are refused, and who goes in the middle of one.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use vm_test::pattern;

use super::{PATIENCE, assert_flat, rest};
use crate::nbd::Nbd;
use crate::served::Served;
use crate::support::{Folder, text};

/// An option of a handshake.
fn option(kind: u32, len: u32, data: &[u8]) -> Vec<u8> {
    [
        b"IHAVEOPT",
        &kind.to_be_bytes()[..],
        &len.to_be_bytes(),
        data,
    ]
    .concat()
}

/// The data of `GO`.
fn go(name: &str) -> Vec<u8> {
    [
        &(name.len() as u32).to_be_bytes()[..],
        name.as_bytes(),
        &[0, 0],
    ]
    .concat()
}

/// A request, without data.
fn request(magic: u32, flags: u16, command: u16, offset: u64, len: u32) -> Vec<u8> {
    [
        &magic.to_be_bytes()[..],
        &flags.to_be_bytes(),
        &command.to_be_bytes(),
        &[7; 8],
        &offset.to_be_bytes(),
        &len.to_be_bytes(),
    ]
    .concat()
}

const MAGIC: u32 = 0x2560_9513;

/// Replies to options.
const UNSUPPORTED: u32 = 0x8000_0001;
const INVALID: u32 = 0x8000_0003;
const UNKNOWN: u32 = 0x8000_0006;
const TOO_BIG: u32 = 0x8000_0009;

/// Errors of requests.
const EPERM: u32 = 1;
const EINVAL: u32 = 22;
const ENOSPC: u32 = 28;

/// Greets, and says this. What the server says to it, up to the end of the connection.
fn says(machine: &Served, flags: u32, all: &[u8]) -> Vec<u8> {
    let mut stream = machine.connect("nbd");
    stream.read_exact(&mut [0; 18]).expect("it greets");
    let _ = stream.write_all(&[&flags.to_be_bytes()[..], all].concat());
    let _ = stream.shutdown(Shutdown::Write);
    rest(&mut stream)
}

/// Options that are refused, and how.
fn refuses_options(machine: &Served) {
    let named = go("nvme0n1");
    let len = named.len() as u32;
    for (what, asked, answer) in [
        ("an unknown one", option(77, 0, b""), UNSUPPORTED),
        ("TLS", option(5, 0, b""), UNSUPPORTED),
        ("no data", option(7, 0, b""), INVALID),
        (
            "half of it",
            option(7, len - 3, &named[..named.len() - 3]),
            INVALID,
        ),
        (
            "a name of 4 GiB",
            option(6, 6, &[255, 255, 255, 255, 0, 0]),
            INVALID,
        ),
        (
            "more kinds than there are",
            option(6, 6, &[0, 0, 0, 0, 255, 255]),
            INVALID,
        ),
        (
            "nobody's name",
            option(7, go("sdz").len() as u32, &go("sdz")),
            UNKNOWN,
        ),
        ("a long one", option(7, 60_000, &[7; 60_000]), TOO_BIG),
        (
            "a context, before there is a place for it",
            option(10, 8, &[0; 8]),
            INVALID,
        ),
    ] {
        let reply = says(machine, 3, &asked);
        let expected = [
            &0x0003_e889_0455_65a9_u64.to_be_bytes()[..],
            &asked[8..12],
            &answer.to_be_bytes(),
        ];
        assert!(reply.starts_with(&expected.concat()), "{what}: {reply:?}");
    }
    // Contexts, when there is a place for them.
    let all: Vec<u8> = [&[0, 0, 0, 0, 255, 255, 255, 255][..], &[0; 4000]].concat();
    for (what, data) in [
        ("no lengths", &[][..]),
        ("a name of 4 GiB", &[255; 8]),
        ("4 Gi of contexts", &all),
        (
            "half a context",
            b"\0\0\0\0\0\0\0\x01\0\0\0\x0fbase:allocatio",
        ),
    ] {
        for kind in [9, 10] {
            let asked = option(kind, data.len() as u32, data);
            let reply = says(machine, 3, &[option(8, 0, b""), asked].concat());
            let expected = [
                &0x0003_e889_0455_65a9_u64.to_be_bytes()[..],
                &kind.to_be_bytes(),
                &INVALID.to_be_bytes(),
            ];
            // Behind the reply that structured replies are agreed on.
            assert!(
                reply[20..].starts_with(&expected.concat()),
                "{what}: {reply:?}"
            );
        }
    }
    // Behind these nobody knows what comes, so there is no answer.
    let nonsense = machine.counter("phyros_nbd_nonsense_total");
    let many = option(77, 0, b"").repeat(100);
    let mut wrong = option(7, len, &named);
    wrong[0] = b'i';
    for (what, flags, asked) in [
        ("unknown flags", 0x8000_0003, vec![]),
        ("a wrong magic", 3, wrong),
        ("HTTP", 3, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("4 GiB", 3, option(7, u32::MAX, &[7; 1000])),
        (
            "a name that is too long",
            3,
            option(1, 60_000, &[7; 60_000]),
        ),
    ] {
        let said = says(machine, flags, &asked);
        assert!(said.is_empty(), "{what}: {said:?}");
    }
    // After so many options it is over. What was said to the first may be lost with the connection.
    let said = says(machine, 3, &many).len();
    assert!(said <= 64 * 64, "{said} bytes");
    machine.until("phyros_nbd_nonsense_total", nonsense + 6);
}

/// Requests that are refused, and how.
fn refuses_requests(machine: &Served, len: u64) {
    let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", len);
    for (what, flags, command, offset, count, error) in [
        ("a read beyond the end", 0, 0, len - 1, 2, EINVAL),
        ("a read behind the end", 0, 0, len, 1, EINVAL),
        (
            "a read at the end of all numbers",
            0,
            0,
            u64::MAX,
            1,
            EINVAL,
        ),
        ("a read of nothing", 0, 0, 0, 0, EINVAL),
        ("a read of 4 GiB", 0, 0, 0, u32::MAX, EINVAL),
        ("a read with an unknown flag", 0x8000, 0, 0, 1, EINVAL),
        ("a trim beyond the end", 0, 4, len - 1, 2, ENOSPC),
        (
            "zeroes at the end of all numbers",
            0,
            6,
            u64::MAX,
            9,
            ENOSPC,
        ),
        ("zeroes of nothing", 0, 6, 0, 0, EINVAL),
        ("a flush of something", 0, 3, 0, 9, EINVAL),
        ("a command that is none", 0, 99, 0, 0, EINVAL),
        ("a resize", 0, 8, 0, 0, EINVAL),
        ("the status of a part, unchosen", 8, 7, 0, 512, EINVAL),
        ("the status of 4 GiB", 0, 7, 0, u32::MAX, EINVAL),
    ] {
        let asked = request(MAGIC, flags, command, offset, count);
        client.0.write_all(&asked).expect("it listens");
        let mut reply = [0; 16];
        client.0.read_exact(&mut reply).expect("it replies");
        assert_eq!(reply[4..8], error.to_be_bytes(), "{what}");
    }
    for (offset, error) in [(len - 1, ENOSPC), (len, ENOSPC), (u64::MAX - 1, ENOSPC)] {
        assert_eq!(
            client.ask(1, offset, 2, &[1; 2]),
            error,
            "a write at {offset:#x}"
        );
    }
    let nonsense = machine.counter("phyros_nbd_nonsense_total");
    for (what, asked) in [
        ("a wrong magic", request(MAGIC + 1, 0, 0, 0, 1)),
        ("nothing", vec![0; 28]),
        ("a write of 4 GiB", request(MAGIC, 0, 1, 0, u32::MAX)),
        (
            "a write of more than is taken",
            request(MAGIC, 0, 1, 0, (32 << 20) + 1),
        ),
    ] {
        let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", len);
        client.0.write_all(&asked).expect("it listens");
        let said = rest(&mut client.0);
        assert!(said.is_empty(), "{what}: {said:?}");
    }
    machine.until("phyros_nbd_nonsense_total", nonsense + 4);
}

#[test]
fn clients_of_nbd_that_mean_harm_are_refused_and_cost_nothing() {
    const LEN: usize = 48 << 20;
    const SLOW: usize = 12;
    const DEAF: usize = 3;
    let folder = Folder::new();
    let mut bytes = vec![0; LEN];
    pattern::fill(6, 0, &mut bytes[..1 << 20]);
    let disk = folder.write("disk", &bytes);
    let machine = Served::start(&["--disk", text(&disk), "--nbd-write", "--patience", PATIENCE]);
    let mut memory = vec![machine.memory()];
    for round in 1..=2 {
        let timeouts = machine.counter("phyros_nbd_timeouts_total");
        let mut begin = vec![0, 0, 0, 3];
        begin.extend(option(7, go("nvme0n1").len() as u32, &go("nvme0n1")));
        // Who stops in the middle of a handshake, and who stops in the middle of a request.
        let mut slow: Vec<TcpStream> = (0..SLOW).map(|_| machine.connect("nbd")).collect();
        for (number, stream) in slow.iter_mut().enumerate() {
            let begins = &begin[..number * 3 % begin.len()];
            stream.write_all(begins).expect("it listens");
        }
        let write = [request(MAGIC, 0, 1, 4096, 100_000), vec![0xdd; 50_000]].concat();
        for len in [1, 27, 28, 29, write.len()] {
            let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", LEN as u64);
            client.0.write_all(&write[..len]).expect("it listens");
            slow.push(client.0);
        }
        // Who asks, and never reads.
        for _ in 0..DEAF {
            let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", LEN as u64);
            let asks = request(MAGIC, 0, 0, 0, 16 << 20).repeat(3);
            client.0.write_all(&asks).expect("it listens");
            slow.push(client.0);
        }
        let count = slow.len() as u64;
        refuses_options(&machine);
        refuses_requests(&machine, LEN as u64);
        // Who goes in the middle of a write.
        for len in (1..write.len()).step_by(4001) {
            let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", LEN as u64);
            client.0.write_all(&write[..len]).expect("it listens");
        }
        let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", LEN as u64);
        assert!(
            client.read(0, 1 << 20) == bytes[..1 << 20],
            "half a write was done"
        );
        drop(client);
        machine.until("phyros_nbd_timeouts_total", timeouts + count);
        for mut stream in slow {
            assert!(rest(&mut stream).len() < LEN, "all of it came");
        }
        machine.until_alone();
        assert_eq!(machine.counter("phyros_nbd_connections"), 0);
        memory.push(machine.memory());
        eprintln!("round {round}: {:?}", memory.last());
    }
    assert_flat(&memory);
    machine.end();
    let found = fs::read(&disk).expect("the disk is there");
    assert!(found == bytes, "something was written");
}

#[test]
fn a_disk_that_is_only_read_refuses_all_changes() {
    let folder = Folder::new();
    let bytes = vec![0x5a; 1 << 20];
    let disk = folder.write("disk", &bytes);
    let machine = Served::start(&["--disk", text(&disk)]);
    let mut client = Nbd::begin(machine.connect("nbd"), "nvme0n1", 1 << 20);
    assert_eq!(client.ask(1, 0, 512, &[1; 512]), EPERM);
    assert_eq!(client.ask(4, 0, 512, &[]), EPERM);
    assert_eq!(client.ask(6, 0, 512, &[]), EPERM);
    assert!(client.read(0, 1024) == [0x5a; 1024]);
    machine.end();
    assert!(fs::read(&disk).expect("the disk is there") == bytes);
}
