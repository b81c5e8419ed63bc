//! The conversation before the first request.

use super::client::{about, answer, greet, option, queries};
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
            (12, b"x", say::UNSUPPORTED),
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

#[test]
fn contexts_are_listed_and_chosen_for_one_disk() {
    let chosen = b"\0\0\0\x01base:allocation".to_vec();
    let listed = b"\0\0\0\0base:allocation".to_vec();
    let (_, end, _) = bench().raw(async |near| {
        greet(near, 3).await;
        let own = queries("vdb", &["base:allocation"]);
        // Replies have no place for it yet.
        option(near, opt::SET_META_CONTEXT, &own).await;
        assert_eq!(answer(near).await.unwrap().1, say::INVALID);
        option(near, opt::STRUCTURED_REPLY, b"").await;
        assert_eq!(answer(near).await.unwrap().1, say::ACK);
        let (list, set) = (opt::LIST_META_CONTEXT, opt::SET_META_CONTEXT);
        for (kind, data, expected) in [
            (list, queries("vdb", &[]), Some(&listed)),
            (list, queries("", &["x:", "base:"]), Some(&listed)),
            (list, queries("vdb", &["x:"]), None),
            (set, queries("vdb", &[]), None),
            (set, queries("vdb", &["base:"]), None),
            (set, own.clone(), Some(&chosen)),
        ] {
            option(near, kind, &data).await;
            if let Some(expected) = expected {
                let context = (kind, say::META_CONTEXT, expected.clone());
                assert_eq!(answer(near).await.unwrap(), context);
            }
            assert_eq!(answer(near).await.unwrap(), (kind, say::ACK, vec![]));
        }
        for (data, error) in [
            (queries("sdz", &["base:allocation"]), say::UNKNOWN),
            (own[..own.len() - 1].to_vec(), say::INVALID),
            (vec![], say::INVALID),
        ] {
            option(near, list, &data).await;
            assert_eq!(answer(near).await.unwrap().1, error);
        }
        option(near, opt::ABORT, b"").await;
        assert_eq!(answer(near).await.unwrap().1, say::ACK);
    });
    assert_eq!(end, End::Over);
}

/// What a disk is asked that the context was chosen for, and one that it was not.
#[test]
fn only_who_has_chosen_a_context_may_ask_for_it() {
    for (chosen, then, is_told) in [
        (&[("vdb", true)][..], "vdb", true),
        (&[("", true)], "nvme0n1", true),
        (&[("vdb", true)], "nvme0n1", false),
        // A choice that fails takes back the one before.
        (&[("vdb", true), ("sdz", false)], "vdb", false),
    ] {
        let (_, end, _) = bench().raw(async |near| {
            greet(near, 3).await;
            option(near, opt::STRUCTURED_REPLY, b"").await;
            assert_eq!(answer(near).await.unwrap().1, say::ACK);
            for (name, works) in chosen {
                let data = queries(name, &["base:allocation"]);
                option(near, opt::SET_META_CONTEXT, &data).await;
                let kind = answer(near).await.unwrap().1;
                assert_eq!(kind == say::META_CONTEXT, *works);
                if *works {
                    assert_eq!(answer(near).await.unwrap().1, say::ACK);
                }
            }
            option(near, opt::GO, &about(then, &[])).await;
            assert_eq!(answer(near).await.unwrap().1, say::INFO);
            assert_eq!(answer(near).await.unwrap().1, say::ACK);
            let mut ask = REQUEST.to_be_bytes().to_vec();
            ask.extend([0, 8, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8]);
            ask.extend(512u64.to_be_bytes());
            ask.extend(1024u32.to_be_bytes());
            near.write(&ask).await.unwrap();
            let mut start = [0; 20];
            assert!(near.read_exact(&mut start).await);
            assert_eq!(start[..5], [0x66, 0x8e, 0x33, 0xef, 0]);
            assert_eq!(start[8..16], [1, 2, 3, 4, 5, 6, 7, 8]);
            let mut rest = vec![0; usize::from(start[19])];
            assert!(near.read_exact(&mut rest).await);
            match is_told {
                true => {
                    assert_eq!(start[5..8], [1, 0, 5]);
                    assert_eq!(rest, [0, 0, 0, 1, 0, 0, 4, 0, 0, 0, 0, 0]);
                }
                false => {
                    assert_eq!(start[5..8], [1, 0x80, 1]);
                    assert_eq!(rest[..4], [0, 0, 0, 22]);
                }
            }
        });
        assert_eq!(end, End::Over, "{chosen:?}");
    }
}
