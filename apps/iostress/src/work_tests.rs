//! Whole runs on a disk made of memory: a good one passes, and each lie is found out.

use crate::disk::Disk;
use crate::fake::{Fake, Lie, SIZE};
use crate::plan::Mix;
use crate::report::{Counts, Trouble};
use crate::table::{self, Layout};
use crate::work::{Options, round, share, verify};
use embassy_futures::block_on;
use futures_util::future::join_all;
use std::cell::Cell;

const WORKERS: usize = 3;

/// Rounds on several workers, a last look at everything, and the table behind it.
fn run(disk: &Fake, options: Options, operations: u32) -> (Counts, Option<Trouble>) {
    let layout = Layout::of(disk.blocks(), SIZE as u32).unwrap();
    let mut parts = share(layout.stamped, WORKERS);
    let mut counts = Counts::default();
    let mut trouble = None;
    for number in 0..4 {
        parts.rotate_left(1);
        let left = Cell::new(operations / 4);
        let works = parts.drain(..).zip(0..).map(|(ledger, worker)| {
            let is_over = || {
                left.set(left.get().saturating_sub(1));
                left.get() == 0
            };
            round(disk, ledger, options, number << 8 | worker, is_over)
        });
        for work in block_on(join_all(works)) {
            counts += work.counts;
            trouble = trouble.or(work.trouble);
            parts.push(work.ledger);
        }
    }
    parts.sort_by_key(|part| part.blocks().start);
    let mut generations = Vec::new();
    for ledger in parts {
        let work = block_on(verify(disk, ledger, options));
        counts += work.counts;
        trouble = trouble.or(work.trouble);
        for block in work.ledger.blocks() {
            generations.push(work.ledger.known(block).unwrap_or(u32::MAX));
        }
    }
    let bytes = table::write(options.seed, SIZE as u32, &generations);
    let mut memory = disk.memory(bytes.len(), 0, 1).unwrap();
    crate::disk::Memory::put(&mut memory, 0, &bytes);
    let mut result = block_on(disk.write(layout.stamped, memory, true)).1;
    if options.may_fail {
        result = Ok(());
    }
    result.unwrap();
    (counts, trouble)
}

fn options(seed: u64) -> Options {
    let mix = Mix {
        most_blocks: 32,
        trim: true,
        zero: true,
        cancel_one_in: 8,
    };
    Options {
        seed,
        depth: 6,
        mix,
        may_fail: false,
    }
}

fn check(disk: &Fake) -> Result<table::Sound, table::Damage<()>> {
    let image = disk.image();
    table::check(disk.blocks(), SIZE as u32, |block, into| {
        into.copy_from_slice(&image[block as usize * SIZE..][..SIZE]);
        Ok(())
    })
}

#[test]
fn a_good_disk_passes_and_so_does_its_image() {
    for seed in 0..8 {
        let disk = Fake::new(700, seed, Lie::None);
        let (counts, trouble) = run(&disk, options(seed), 4000);
        assert_eq!(trouble, None);
        assert!(counts.reads > 300 && counts.writes > 300, "{counts}");
        assert!(counts.trims > 20 && counts.cancelled > 100, "{counts}");
        assert_eq!(counts.failed, 0);
        assert_eq!(disk.outstanding.get(), 0);
        let sound = check(&disk).unwrap();
        assert_eq!(sound.seed, seed);
        assert!(sound.written > 100, "{sound:?}");
    }
}

#[test]
fn a_disk_that_fails_honestly_passes_if_it_may() {
    for seed in 0..8 {
        let mut disk = Fake::new(700, seed, Lie::None);
        disk.fail_one_in = 20;
        let may_fail = Options {
            may_fail: true,
            ..options(seed)
        };
        let (counts, trouble) = run(&disk, may_fail, 4000);
        assert_eq!(trouble, None);
        assert!(counts.failed > 50, "{counts}");
    }
    let mut disk = Fake::new(700, 1, Lie::None);
    disk.fail_one_in = 20;
    let (_, trouble) = run(&disk, options(1), 4000);
    assert!(
        matches!(trouble, Some(Trouble::Failed { .. })),
        "{trouble:?}"
    );
}

#[test]
fn a_disk_that_is_removed_ends_the_run_even_if_it_may_fail() {
    let disk = Fake::new(700, 1, Lie::None);
    disk.gone.set(true);
    let may_fail = Options {
        may_fail: true,
        ..options(1)
    };
    let work = block_on(round(&disk, share(600, 1).remove(0), may_fail, 0, || false));
    assert!(matches!(work.trouble, Some(Trouble::Failed { .. })));
    assert!(work.counts.failed <= 2 * may_fail.depth as u64);
}

/// A lie, with several seeds. A block that is written again before anybody looks hides one, so
/// not each seed finds it.
fn found_out(lie: Lie, is_right: impl Fn(&Trouble) -> bool) {
    let mut found = 0;
    for seed in 0..10 {
        let disk = Fake::new(700, seed, lie);
        match run(&disk, options(seed), 4000).1 {
            Some(trouble) if is_right(&trouble) => found += 1,
            Some(trouble) => panic!("{lie:?} is taken for: {trouble}"),
            None => {}
        }
    }
    assert!(found >= 5, "{lie:?}: {found} of 10");
}

#[test]
fn a_lost_write_is_found_out() {
    found_out(Lie::LoseWrite, |trouble| {
        matches!(trouble, Trouble::Wrong(_))
    });
}

#[test]
fn a_misplaced_write_is_found_out() {
    found_out(Lie::Misplace, |trouble| {
        matches!(trouble, Trouble::Wrong(_) | Trouble::Damaged(..))
    });
}

#[test]
fn a_torn_block_is_found_out() {
    found_out(Lie::Tear, |trouble| {
        matches!(trouble, Trouble::Damaged(..) | Trouble::Wrong(_))
    });
}

#[test]
fn a_read_of_another_block_is_found_out() {
    found_out(Lie::WrongBlock, |trouble| {
        matches!(trouble, Trouble::Damaged(..) | Trouble::Wrong(_))
    });
}

#[test]
fn a_byte_beside_the_memory_is_found_out() {
    found_out(Lie::Overrun, |trouble| {
        matches!(trouble, Trouble::Margins { .. })
    });
}

#[test]
fn a_write_that_comes_again_is_found_out() {
    found_out(Lie::Replay, |trouble| matches!(trouble, Trouble::Wrong(_)));
}
