//! Random controllers, random transfers, random mischief.
//!
//! Every run ends with the same questions: are the right bytes in the right place, is every
//! other byte as it was, and has the driver kept the rules?

use crate::model::{Bench, CANARY, Config, Machine, Mischief, Ours, PAGE, bring_up, disk, list};
use nvme::Error;
use nvme::registers::Capabilities;
use proptest::prelude::*;
use std::ops::Range;

/// Pages of data memory of a run.
const PAGES: u64 = 160;

/// How many of them are for what is missing of the last block.
const REST: u64 = 3;

/// Blocks of each namespace.
const BLOCKS: u64 = 1 << 12;

/// How a piece of memory lies.
#[derive(Clone, Copy, Debug)]
enum Piece {
    /// Whole pages, to be joined with what is before and behind.
    Pages(u64),
    /// Blocks at any multiple of four bytes in a page.
    Blocks { count: u64, offset: u64 },
    /// Bytes at any place, which are blocks only together; for controllers that take them.
    Crumbs { bytes: u64, offset: u64 },
}

#[derive(Clone, Debug)]
enum Step {
    Transfer {
        is_write: bool,
        nsid: u32,
        block: u64,
        pieces: Vec<Piece>,
        shuffle: u64,
    },
    Flush(u32),
    Reset,
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        (1..5_u64).prop_map(Piece::Pages),
        (1..20_u64).prop_map(Piece::Pages),
        (1..12_u64, 0..1024_u64).prop_map(|(count, dword)| Piece::Blocks {
            count,
            offset: dword * 4
        }),
        (1..3 * PAGE, 0..PAGE).prop_map(|(bytes, offset)| Piece::Crumbs { bytes, offset }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let transfer = (
        any::<bool>(),
        prop::sample::select(vec![1, 2, 9]),
        0..BLOCKS,
        prop::collection::vec(piece(), 1..8),
        any::<u64>(),
    )
        .prop_map(|(is_write, nsid, block, pieces, shuffle)| Step::Transfer {
            is_write,
            nsid,
            block,
            pieces,
            shuffle,
        });
    prop_oneof![
        20 => transfer,
        2 => Just(Step::Flush(2)),
        1 => Just(Step::Reset),
    ]
}

fn config() -> impl Strategy<Value = Config> {
    (
        1..20_u16,
        0..6_u8,
        0..5_u8,
        (any::<bool>(), prop::sample::select(vec![0, 0, 1, 1, 2, 3])),
        1..5_usize,
        0..30_u32,
        any::<u64>(),
    )
        .prop_map(
            |(mqes, dstrd, mdts, (out_of_order, sgls), per_tick, latency, seed)| {
                let mut config = Config::default().mqes(mqes).mdts(mdts).sgls(sgls);
                config.cap.set_dstrd(dstrd);
                config.namespaces = vec![
                    (1, disk(BLOCKS, 9)),
                    (2, disk(BLOCKS, 12)),
                    (9, disk(BLOCKS, 13)),
                ];
                config.out_of_order = out_of_order;
                config.per_tick = per_tick;
                config.latency = latency;
                config.seed = seed;
                config.pages = 700;
                config
            },
        )
}

fn shift_of(nsid: u32) -> u32 {
    match nsid {
        1 => 9,
        2 => 12,
        _ => 13,
    }
}

/// Lays pieces out in the data memory, in an order that `shuffle` gives. The list is a
/// whole number of blocks and can be cut into commands where edges are multiples of `grain`.
fn lay_out(pieces: &[Piece], bus: u64, nsid: u32, shuffle: u64, grain: u64) -> Ours {
    let block = 1_u64 << shift_of(nsid);
    let mut places: Vec<(u64, u64)> = Vec::new();
    let mut next = 0;
    for piece in pieces {
        let (offset, len) = match *piece {
            Piece::Pages(pages) => (0, (pages * PAGE).next_multiple_of(block)),
            Piece::Blocks { count, offset } => (offset, count * block),
            Piece::Crumbs { bytes, offset } if grain < PAGE => (
                offset.next_multiple_of(grain),
                bytes.next_multiple_of(grain),
            ),
            Piece::Crumbs { bytes, .. } => (0, bytes.next_multiple_of(block.max(PAGE))),
        };
        let pages = (offset + len).div_ceil(PAGE);
        if next + pages > PAGES - REST {
            break;
        }
        places.push((bus + next * PAGE + offset, len));
        // Sometimes the next piece touches this one, sometimes it does not.
        next += pages + (shuffle >> places.len() & 1);
    }
    // A simple shuffle.
    let mut state = shuffle | 1;
    for index in (1..places.len()).rev() {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        places.swap(index, (state >> 33) as usize % (index + 1));
    }
    // Crumbs may have left part of a block.
    let total: u64 = places.iter().map(|(_, len)| len).sum();
    let rest = total.next_multiple_of(block) - total;
    if rest > 0 {
        places.push((bus + (PAGES - REST) * PAGE + grain, rest));
    }
    list(&places)
}

/// Every block that was ever written, but for some.
fn blocks_except(bench: &Bench, nsid: u32, except: Range<u64>) -> Vec<((u32, u64), Vec<u8>)> {
    let model = bench.machine.model();
    let blocks = model.blocks.iter();
    blocks
        .filter(|((id, block), _)| *id != nsid || !except.contains(block))
        .map(|(place, data)| (*place, data.clone()))
        .collect()
}

/// Does a step. An error is returned, and only then may anything be different from what
/// was asked for.
fn take(bench: &Bench, bus: u64, step: &Step) -> Result<(), Error> {
    let Step::Transfer {
        is_write,
        nsid,
        block,
        pieces,
        shuffle,
    } = step
    else {
        return match step {
            Step::Flush(nsid) => bench.flush(*nsid),
            _ => bench.reset(),
        };
    };
    let limits = bench.limits(*nsid)?;
    let memory = lay_out(pieces, bus, *nsid, *shuffle, limits.edge_alignment);
    let nsid = *nsid;
    let blocks = memory.bytes() >> shift_of(nsid);
    let block = (*block).min(BLOCKS - blocks);

    let whole = list(&[(bus, PAGES * PAGE)]);
    bench.set_contents(&whole, &vec![CANARY; (PAGES * PAGE) as usize]);
    if *is_write {
        let data: Vec<u8> = (0..memory.bytes())
            .map(|byte| (byte.wrapping_mul(shuffle | 1) >> 11) as u8)
            .collect();
        bench.set_contents(&memory, &data);
        let all = bench.contents(&whole);
        let around = blocks_except(bench, nsid, block..block + blocks);
        let result = bench.write(nsid, block, &memory);
        // Nothing of a write touches memory, whether it succeeds or not.
        assert!(bench.contents(&whole) == all, "memory was written");
        let after = blocks_except(bench, nsid, block..block + blocks);
        assert!(around == after, "another block was written");
        result?;
        assert!(bench.disk(nsid, block, blocks) == data, "wrong data");
    } else {
        let result = bench.read(nsid, block, &memory);
        let data = bench.contents(&memory);
        // Without the memory that was asked for, only canaries are left.
        bench.set_contents(&memory, &vec![CANARY; memory.bytes() as usize]);
        let canaries = vec![CANARY; (PAGES * PAGE) as usize];
        assert!(
            bench.contents(&whole) == canaries,
            "other memory was written"
        );
        result?;
        assert!(data == bench.disk(nsid, block, blocks), "wrong data");
    }
    Ok(())
}

fn mischief() -> impl Strategy<Value = Mischief> {
    prop_oneof![
        (1..=u16::MAX).prop_map(Mischief::WrongCid),
        Just(Mischief::Duplicate),
        Just(Mischief::Replay),
        (0..40_u16).prop_map(Mischief::SubmissionHead),
        any::<u16>().prop_map(Mischief::SubmissionHead),
        Just(Mischief::StuckHead),
        any::<u16>().prop_map(Mischief::WrongQueue),
        Just(Mischief::OldPhase),
        (1..4_u16).prop_map(Mischief::EarlyPhase),
        Just(Mischief::Silence),
        Just(Mischief::Runaway),
        Just(Mischief::Fatal),
        Just(Mischief::Gone),
        Just(Mischief::Vanished),
        Just(Mischief::NotReady),
        Just(Mischief::Noise),
    ]
}

proptest! {
    /// A sound controller of any kind does what it is asked to do.
    #[test]
    fn any_transfer_moves_its_bytes_and_no_other(
        config in config(),
        steps in prop::collection::vec(step(), 1..12),
    ) {
        let bench = Bench::new(config);
        let bus = bench.pages(PAGES as usize);
        for step in &steps {
            if let Err(error) = take(&bench, bus, step) {
                panic!("{step:?}: {error}");
            }
            bench.check();
        }
    }

    /// Whatever a controller does wrong, no other memory is touched, every call comes
    /// back, and after repair and reset all is well.
    #[test]
    fn no_mischief_does_harm(
        mut config in config(),
        steps in prop::collection::vec((step(), mischief(), 0..12_usize), 1..6),
        last in step(),
    ) {
        config.tick = 2000;
        let bench = Bench::new(config);
        let bus = bench.pages(PAGES as usize);
        for (step, mischief, after) in &steps {
            bench.machine.model().mischief = Some((*after, *mischief));
            if let Err(error) = take(&bench, bus, step) {
                prop_assert!(matches!(error, Error::Failed(_)), "{}", error);
                prop_assert!(bench.dead().is_some());
                prop_assert!(!bench.machine.model().memory.dma);
            }
            bench.check();
            bench.machine.model().repair();
            prop_assert_eq!(bench.reset(), Ok(()));
        }
        prop_assert_eq!(take(&bench, bus, &last), Ok(()));
    }

    /// Identify data may be anything. Namespaces that come out of it as usable have sizes
    /// that a caller can calculate with.
    #[test]
    fn identify_data_may_be_anything(
        bytes: [u64; 32],
        places in prop::collection::vec((0..512_usize, any::<u64>()), 0..40),
        has_list: bool,
        nsze in prop_oneof![Just(0), 0..10_u64, any::<u64>()],
        lbads: u8,
    ) {
        let mut data = Box::new([0_u8; 4096]);
        for (index, word) in bytes.into_iter().enumerate() {
            data[index * 8..index * 8 + 8].copy_from_slice(&word.to_le_bytes());
        }
        data[..8].copy_from_slice(&nsze.to_le_bytes());
        data[26] &= 0x60;
        for format in 0..64 {
            data[128 + format * 4..][..4].copy_from_slice(&[0, 0, lbads % 24, 0]);
        }
        // Entry sizes that let set-up go on to the namespaces.
        data[512] = 0x66;
        data[513] = 0x44;
        for (index, word) in places {
            data[index * 8..index * 8 + 8].copy_from_slice(&word.to_le_bytes());
        }
        let mut config = Config {
            false_identify: Some(data),
            active_list: has_list,
            pages: 1024,
            ..Config::default()
        };
        config.cap.set_mqes(3);
        let machine = Machine::new(config);
        match bring_up(&machine) {
            Ok(controller) => {
                for namespace in controller.namespaces() {
                    if namespace.unusable.is_none() {
                        let size = u64::from(namespace.block_size);
                        prop_assert!(size.is_power_of_two() && size >= 512);
                        prop_assert!(namespace.blocks > 0);
                        prop_assert!(namespace.blocks.checked_mul(size).is_some());
                        let limits = namespace.limits();
                        prop_assert!(limits.max_transfer_bytes >= size);
                        prop_assert_eq!(limits.max_transfer_bytes % size, 0);
                    }
                }
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
        prop_assert_eq!(machine.model().memory.mapped_pages(), 0);
        prop_assert_eq!(&machine.model().memory.faults, &[]);
    }

    /// Registers that read as anything at the start.
    #[test]
    fn capabilities_may_be_anything(cap: u64, ready_delay in 0..100_000_000_u64) {
        let config = Config {
            cap: Capabilities::from(cap),
            tick: 100_000,
            ready_delay,
            pages: 512,
            ..Config::default()
        };
        let machine = Machine::new(config);
        let result = bring_up(&machine);
        prop_assert_eq!(&machine.model().offences, &[""; 0]);
        drop(result);
        prop_assert_eq!(machine.model().memory.mapped_pages(), 0);
        prop_assert_eq!(&machine.model().memory.faults, &[]);
    }
}
