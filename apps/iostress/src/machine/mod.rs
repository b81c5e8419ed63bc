//! A whole run: all cores, round after round, and a table behind the blocks.
//!
//! In each round a core works on a part of the area. In the next round another core has the part, so
//! that what was written through one queue is read through another. At the end of a round nothing
//! is outstanding on any core. At the end of the run every block is read once more, and the
//! table is written.

mod disk;
mod memory;

pub use disk::Area;

use crate::disk::{Disk, Memory};
use crate::ledger::Ledger;
use crate::plan::Mix;
use crate::report::{Counts, Trouble};
use crate::table::{self, Layout};
use crate::work::{self, Options, Work};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::ControlFlow;
use embassy_time::{Duration, Instant};
use futures_util::future::join_all;
use kernel::cores::{self, CoreId};
use kernel::executor;
use kernel::memory::frames::with_allocator;
use kernel::memory::heap;
use memory::Framed;

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Gives the same operations again, on as many cores.
    pub seed: u64,
    /// Operations at a time on each core, at least 1.
    pub depth: usize,
    /// How long, apart from the preparation and the last look at everything.
    pub length: Duration,
    /// It goes on until so many operations are done, even if it takes longer.
    pub least: u64,
    /// Most bytes of one operation.
    pub most_bytes: u64,
    /// One of this many operations is cancelled; 0: none.
    pub cancel_one_in: u8,
    /// Operations may fail; what they leave is checked all the same.
    pub may_fail: bool,
}

/// How a run went.
#[derive(Debug)]
pub struct Outcome {
    /// How much was done.
    pub counts: Counts,
    /// Rounds.
    pub rounds: u64,
    /// Blocks under test.
    pub blocks: u64,
    /// The first thing that went wrong.
    pub trouble: Option<Trouble>,
    /// Bytes of memory that were free before and are not any more.
    pub missing: i64,
}

impl Outcome {
    /// Nothing was lost, nothing corrupted, and all memory is back.
    pub fn is_good(&self) -> bool {
        self.trouble.is_none() && self.missing == 0
    }
}

/// How long a round takes.
const ROUND: Duration = Duration::from_millis(1000);

/// Runs. `after_round` is told how much has been done so far, and says whether to go on.
///
/// The content of the area is overwritten, with zeros first.
pub async fn run(
    area: Area,
    setup: Setup,
    mut after_round: impl FnMut(u64, &Counts) -> ControlFlow<()>,
) -> Outcome {
    let free_before = free();
    let mut outcome = Outcome {
        counts: Counts::default(),
        rounds: 0,
        blocks: 0,
        trouble: None,
        missing: 0,
    };
    let block_size = area.block_size();
    let Some(layout) = Layout::of(area.blocks, block_size) else {
        let what = format!(
            "{} blocks are too few for the blocks and their table",
            area.blocks
        );
        outcome.trouble = Some(Trouble::NoRoom(what));
        return outcome;
    };
    outcome.blocks = layout.stamped;
    let limits = area.device.limits();
    let options = Options {
        seed: setup.seed,
        depth: setup.depth.max(1),
        mix: Mix {
            most_blocks: (setup.most_bytes / u64::from(block_size)).max(1),
            trim: limits.discard.is_some(),
            zero: limits.write_zeroes.is_some(),
            cancel_one_in: setup.cancel_one_in,
        },
        may_fail: setup.may_fail,
    };
    match all(
        &area,
        layout,
        options,
        setup,
        &mut outcome,
        &mut after_round,
    )
    .await
    {
        Ok(()) => {}
        Err(trouble) => outcome.trouble = Some(trouble),
    }
    area.settle().await;
    outcome.missing = free_before as i64 - free() as i64;
    outcome
}

async fn all(
    area: &Area,
    layout: Layout,
    options: Options,
    setup: Setup,
    outcome: &mut Outcome,
    after_round: &mut impl FnMut(u64, &Counts) -> ControlFlow<()>,
) -> Result<(), Trouble> {
    clear(area, options.mix.most_blocks).await?;
    let cores: Vec<CoreId> = cores::online().collect();
    let mut parts = work::share(layout.stamped, cores.len());
    let end = Instant::now() + setup.length;
    while Instant::now() < end || outcome.counts.operations() < setup.least {
        let round_end = Instant::now() + ROUND;
        let number = outcome.rounds;
        let works = cores.iter().zip(parts.drain(..)).zip(0..);
        let works = works.map(|((core, part), index)| {
            let area = area.clone();
            let place = number << 8 | index;
            executor::spawn_on(*core, move || async move {
                let is_over = || Instant::now() >= round_end;
                work::round(&area, part, options, place, is_over).await
            })
        });
        parts = take(join_all(works).await, outcome)?;
        // Another core has the part next time.
        parts.rotate_left(1);
        outcome.rounds += 1;
        if after_round(outcome.rounds, &outcome.counts).is_break() {
            break;
        }
    }
    let mut parts = last_look(area, parts, options, outcome).await?;
    parts.sort_by_key(|part| part.blocks().start);
    write_table(area, layout, options.seed, &parts).await
}

/// Adds up what the cores did. Gives back their ledgers, or what went wrong.
fn take(works: Vec<Work>, outcome: &mut Outcome) -> Result<Vec<Ledger>, Trouble> {
    let mut trouble = None;
    let mut parts = Vec::new();
    for work in works {
        outcome.counts += work.counts;
        trouble = trouble.or(work.trouble);
        parts.push(work.ledger);
    }
    match trouble {
        Some(trouble) => Err(trouble),
        None => Ok(parts),
    }
}

/// Reads every block, each core its part.
async fn last_look(
    area: &Area,
    parts: Vec<Ledger>,
    options: Options,
    outcome: &mut Outcome,
) -> Result<Vec<Ledger>, Trouble> {
    let works = cores::online().zip(parts).map(|(core, part)| {
        let area = area.clone();
        executor::spawn_on(core, move || async move {
            work::verify(&area, part, options).await
        })
    });
    take(join_all(works).await, outcome)
}

/// Writes zeros to the whole area.
async fn clear(area: &Area, most_blocks: u64) -> Result<(), Trouble> {
    let size = u64::from(area.block_size());
    let bytes = (most_blocks * size) as usize;
    let no_room = |error| Trouble::NoRoom(format!("no memory: {error}"));
    let mut memory = area.memory(bytes, 0, 1).map_err(no_room)?;
    let zeros = [0; 512];
    for at in (0..bytes).step_by(zeros.len()) {
        memory.put(at, &zeros);
    }
    let mut block = 0;
    while block + most_blocks <= area.blocks {
        memory = write(area, block, memory).await?;
        block += most_blocks;
    }
    while block < area.blocks {
        let mut memory = area.memory(size as usize, 0, 1).map_err(no_room)?;
        for at in (0..size as usize).step_by(zeros.len()) {
            memory.put(at, &zeros);
        }
        write(area, block, memory).await?;
        block += 1;
    }
    Ok(())
}

async fn write_table(
    area: &Area,
    layout: Layout,
    seed: u64,
    parts: &[Ledger],
) -> Result<(), Trouble> {
    let mut generations = Vec::new();
    for part in parts {
        for block in part.blocks() {
            let Some(generation) = part.known(block) else {
                let error = "nobody knows what it holds".to_string();
                return Err(Trouble::Failed { block, error });
            };
            generations.push(generation);
        }
    }
    let bytes = table::write(seed, area.block_size(), &generations);
    let mut memory = area
        .memory(bytes.len(), 0, 1)
        .map_err(|error| Trouble::NoRoom(format!("no memory: {error}")))?;
    memory.put(0, &bytes);
    write(area, layout.stamped, memory).await?;
    area.flush().await.map_err(|error| Trouble::Failed {
        block: layout.stamped,
        error,
    })
}

/// Writes, more than once if it must be: errors may be injected at random.
async fn write(area: &Area, block: u64, mut memory: Framed) -> Result<Framed, Trouble> {
    let mut last = String::new();
    for _ in 0..5 {
        let (back, result) = area.write(block, memory, false).await;
        memory = back;
        match result {
            Ok(()) => return Ok(memory),
            Err(error) => last = error,
        }
    }
    Err(Trouble::Failed { block, error: last })
}

/// Free memory. What has become heap counts as free: it comes back to the heap.
fn free() -> u64 {
    let frames: u64 =
        with_allocator(|allocator| allocator.extents().map(|extent| extent.len()).sum());
    frames + heap::taken()
}
