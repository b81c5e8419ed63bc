//! The conversation before the first request.

use super::client::{about, answer, greet, option};
use super::*;
use crate::nbd::wire::{answer as say, info, option as opt, transmission};

fn bench() -> Bench {
    let mut bench = Bench::new();
    let other = RamDisk::new("vdb", 4096, vec![7; 64 << 10]).read_only();
    let other = Export::new(Arc::new(other), true, bench.counters.clone());
    bench.exports.push(Arc::new(other));
    bench
}

#[test]
fn the_names_of_all_exports_are_listed() {
    let (_, end, _) = bench().raw(async |near| {
        greet(near, 3).await;
        option(near, opt::LIST, b"").await;
        for name in ["nvme0n1", "vdb"] {
            let (_, kind, data) = answer(near).await.unwrap();
            assert_eq!(kind, say::SERVER);
            assert_eq!(data[..4], (name.len() as u32).to_be_bytes());
            assert_eq!(&data[4..], name.as_bytes());
        }
        assert_eq!(answer(near).await.unwrap(), (opt::LIST, say::ACK, vec![]));
        option(near, opt::ABORT, b"").await;
        assert_eq!(answer(near).await.unwrap(), (opt::ABORT, say::ACK, vec![]));
        assert_eq!(near.read_to_end().await, (vec![], true));
    });
    assert_eq!(end, End::Over);
}

#[test]
fn what_is_said_about_an_export_is_so() {
    let kinds = [info::BLOCK_SIZE, info::NAME, info::DESCRIPTION, 99];
    let (_, end, _) = bench().raw(async |near| {
        greet(near, 3).await;
        option(near, opt::INFO, &about("vdb", &kinds)).await;
        let mut infos = vec![];
        loop {
            match answer(near).await.unwrap() {
                (opt::INFO, say::INFO, data) => infos.push(data),
                (opt::INFO, say::ACK, _) => break,
                other => panic!("{other:?}"),
            }
        }
        // Read-only, since the disk is: no TRIM, no FUA.
        let flags = transmission::HAS_FLAGS | transmission::READ_ONLY | transmission::FLUSH;
        let flags = (flags | transmission::MULTI_CONN).to_be_bytes();
        assert_eq!(infos[0], [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, flags[0], flags[1]]);
        assert_eq!(infos[1], b"\0\x01vdb");
        assert_eq!(infos[2], b"\0\x02a disk of Phyros");
        assert_eq!(infos[3], [0, 3, 0, 0, 0, 1, 0, 0, 0x10, 0, 2, 0, 0, 0]);
        assert_eq!(infos.len(), 4);
        // It goes on, and the other one is writable.
        option(near, opt::STRUCTURED_REPLY, b"").await;
        assert_eq!(answer(near).await.unwrap().1, say::ACK);
        option(near, opt::GO, &about("nvme0n1", &[])).await;
        let (_, _, data) = answer(near).await.unwrap();
        let flags = transmission::HAS_FLAGS
            | transmission::FLUSH
            | transmission::MULTI_CONN
            | transmission::FUA
            | transmission::TRIM
            | transmission::WRITE_ZEROES
            | transmission::FAST_ZERO
            | transmission::DONT_FRAGMENT;
        assert_eq!(data[2..10], (BYTES as u64).to_be_bytes());
        assert_eq!(data[10..], flags.to_be_bytes());
    });
    assert_eq!(end, End::Over);
}

#[test]
fn the_old_way_to_begin_has_zeros_unless_they_are_not_wanted() {
    for (flags, zeros) in [(1, 124), (3, 0)] {
        let bench = bench();
        let (_, end, _) = bench.raw(async |near| {
            greet(near, flags).await;
            option(near, opt::EXPORT_NAME, b"vdb").await;
            let mut begin = vec![0xff; 10 + zeros];
            assert!(near.read_exact(&mut begin).await);
            assert_eq!(begin[..8], (64u64 << 10).to_be_bytes());
            assert!(begin[10..].iter().all(|byte| *byte == 0));
            // A read follows at once.
            let mut request = REQUEST.to_be_bytes().to_vec();
            request.extend_from_slice(&[0; 20]);
            request.extend_from_slice(&[0, 0, 0, 5]);
            near.write(&request).await.unwrap();
            let mut reply = [0; 21];
            assert!(near.read_exact(&mut reply).await);
            assert_eq!(reply[..4], SIMPLE_REPLY.to_be_bytes());
            assert_eq!(reply[16..], [7; 5]);
        });
        assert_eq!(end, End::Over);
    }
}

#[test]
fn what_is_not_known_is_refused_and_the_conversation_goes_on() {
    let (_, end, _) = bench().raw(async |near| {
        greet(near, 3).await;
        let wrong_len = [0, 0, 0, 200, 1, 2];
        for (asked, data, expected) in [
            (5, &b""[..], say::UNSUPPORTED), // STARTTLS
            (9, b"", say::UNSUPPORTED),
            (10, b"x", say::UNSUPPORTED),
            (11, b"", say::UNSUPPORTED),
            (0xffff_ffff, b"", say::UNSUPPORTED),
            (0, b"", say::UNSUPPORTED),
            (opt::LIST, b"x", say::INVALID),
            (opt::STRUCTURED_REPLY, b"x", say::INVALID),
            (opt::GO, b"", say::INVALID),
            (opt::GO, &wrong_len, say::INVALID),
            (opt::INFO, &about("nothing", &[]), say::UNKNOWN),
            (opt::GO, &about("nothing", &[3]), say::UNKNOWN),
            (opt::GO, &about("nvme0n1\0", &[3]), say::UNKNOWN),
            (opt::LIST, &[0; 9000], say::TOO_BIG),
        ] {
            option(near, asked, data).await;
            let (to, kind, _) = answer(near).await.unwrap();
            assert_eq!((to, kind), (asked, expected), "{asked} {}", data.len());
        }
        option(near, opt::GO, &about("", &[])).await;
        assert_eq!(answer(near).await.unwrap().1, say::INFO);
    });
    assert_eq!(end, End::Over);
}

#[test]
fn what_makes_no_sense_ends_the_connection() {
    let too_long = {
        let mut bytes = vec![0, 0, 0, 3];
        bytes.extend_from_slice(b"IHAVEOPT\0\0\0\x07\xff\xff\xff\xff");
        bytes
    };
    for bytes in [
        &b"\0\0\0\x07"[..],
        b"\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\0\0\0\x03IHAVEOPS\0\0\0\x07\0\0\0\0",
        &too_long,
    ] {
        let bench = bench();
        let (_, end, _) = bench.raw(async |near| {
            near.write(bytes).await.unwrap();
            near.read_to_end().await
        });
        assert_eq!(end, End::Nonsense, "{bytes:?}");
        assert_eq!(bench.counters.nonsense.get(), 1);
    }
    // One that is not there, in the old way, has no other answer.
    let (_, end, _) = bench().raw(async |near| {
        greet(near, 3).await;
        option(near, opt::EXPORT_NAME, b"nothing").await;
        assert_eq!(near.read_to_end().await, (vec![], true));
    });
    assert_eq!(end, End::Over);
}
