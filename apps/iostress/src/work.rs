//! The work of one core: several lanes, each doing one operation after the other.
//!
//! The lanes share a ledger of the blocks that belong to the core for this round. In the next
//! round the blocks belong to another core, which then reads what this one wrote.

use crate::disk::{Disk, Memory};
use crate::ledger::{End, Ledger};
use crate::plan::{Kind, Mix, Operation, Plan};
use crate::report::{Counts, Trouble};
use crate::stamp::{self, Stamp};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ops::Range;
use embassy_futures::select::{Either, select};
use futures_util::future::join_all;

/// What all lanes of a run have in common.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Gives the same operations again.
    pub seed: u64,
    /// Operations at a time on each core.
    pub depth: usize,
    /// How operations are chosen.
    pub mix: Mix,
    /// Operations may fail; what they leave is checked all the same.
    pub may_fail: bool,
}

/// What a core did in a round.
#[derive(Debug)]
pub struct Work {
    /// What its blocks may hold now. Nothing is outstanding.
    pub ledger: Ledger,
    /// How much was done.
    pub counts: Counts,
    /// The first thing that went wrong.
    pub trouble: Option<Trouble>,
}

/// A round on one core. `is_over` is asked before each operation.
///
/// `place` tells rounds and cores apart: with the same number the same operations come again.
pub async fn round<D: Disk>(
    disk: &D,
    ledger: Ledger,
    options: Options,
    place: u64,
    is_over: impl Fn() -> bool,
) -> Work {
    let state = State {
        disk,
        options,
        ledger: RefCell::new(ledger),
        counts: Cell::default(),
        trouble: RefCell::new(None),
    };
    let lanes = (0..options.depth as u64).map(|lane| state.lane(place << 16 | lane, &is_over));
    join_all(lanes).await;
    disk.settle().await;
    let mut ledger = state.ledger.into_inner();
    ledger.settle();
    Work {
        ledger,
        counts: state.counts.get(),
        trouble: state.trouble.into_inner(),
    }
}

/// Reads every block, so that no doubt is left.
pub async fn verify<D: Disk>(disk: &D, ledger: Ledger, options: Options) -> Work {
    let state = State {
        disk,
        options,
        ledger: RefCell::new(ledger),
        counts: Cell::default(),
        trouble: RefCell::new(None),
    };
    let blocks = state.ledger.borrow().blocks();
    for start in blocks.clone().step_by(options.mix.most_blocks as usize) {
        let blocks = start..(start + options.mix.most_blocks).min(blocks.end);
        // Errors are injected at random, and a second attempt is an answer to them.
        for attempt in 0..5 {
            let failed = state.counts.get().failed;
            let operation = Operation {
                kind: Kind::Read,
                blocks: blocks.clone(),
                offset: 0,
                pieces: 1,
                cancel_after: None,
            };
            state.carry_out(operation).await;
            if state.counts.get().failed == failed {
                break;
            }
            if attempt == 4 {
                let error = "cannot be read, again and again".to_string();
                state.report(Trouble::Failed {
                    block: blocks.start,
                    error,
                });
            }
        }
        if state.is_in_trouble() {
            break;
        }
    }
    Work {
        ledger: state.ledger.into_inner(),
        counts: state.counts.get(),
        trouble: state.trouble.into_inner(),
    }
}

struct State<'a, D> {
    disk: &'a D,
    options: Options,
    ledger: RefCell<Ledger>,
    counts: Cell<Counts>,
    trouble: RefCell<Option<Trouble>>,
}

impl<D: Disk> State<'_, D> {
    async fn lane(&self, place: u64, is_over: &impl Fn() -> bool) {
        let blocks = self.ledger.borrow().blocks();
        for operation in Plan::new(self.options.seed, place, blocks, self.options.mix) {
            if is_over() || self.is_in_trouble() {
                return;
            }
            if !self.carry_out(operation).await {
                self.disk.turn().await;
            }
        }
    }

    /// Does an operation. False if its blocks were not to be had.
    async fn carry_out(&self, operation: Operation) -> bool {
        let Operation {
            kind,
            blocks,
            cancel_after,
            ..
        } = operation.clone();
        let claimed = match kind {
            Kind::Flush => true,
            Kind::Read => self.ledger.borrow_mut().claim_for_reading(&blocks),
            _ => self.ledger.borrow_mut().claim_for_changing(&blocks),
        };
        if !claimed {
            return false;
        }
        let generation = match kind {
            Kind::Write { .. } => self.ledger.borrow_mut().next_generation(),
            _ => 0,
        };
        let work = async {
            match kind {
                Kind::Read => self.read(&operation).await,
                Kind::Write { durable } => self.write(&operation, generation, durable).await,
                Kind::Zero => self.disk.zero(blocks.clone()).await,
                Kind::Trim => self.disk.trim(blocks.clone()).await,
                Kind::Flush => self.disk.flush().await,
            }
        };
        let ended = match cancel_after {
            None => Some(work.await),
            Some(turns) => match select(work, self.turns(turns)).await {
                Either::First(ended) => Some(ended),
                Either::Second(()) => None,
            },
        };
        let end = match &ended {
            Some(Ok(())) => End::Done,
            Some(Err(_)) => End::Failed,
            None => End::Cancelled,
        };
        self.enter(kind, &blocks, generation, end);
        if let Some(Err(error)) = ended
            && (!self.options.may_fail || self.disk.is_gone())
        {
            let error = error.to_string();
            self.report(Trouble::Failed {
                block: blocks.start,
                error,
            });
        }
        true
    }

    /// Writes into the books what was done.
    fn enter(&self, kind: Kind, blocks: &Range<u64>, generation: u32, end: End) {
        let mut ledger = self.ledger.borrow_mut();
        match kind {
            Kind::Read => ledger.release(blocks),
            Kind::Write { .. } | Kind::Zero => ledger.written(blocks, generation, end),
            Kind::Trim => ledger.trimmed(blocks, end),
            Kind::Flush => {}
        }
        let mut counts = self.counts.get();
        *match (end, kind) {
            (End::Cancelled, _) => &mut counts.cancelled,
            (End::Failed, _) => &mut counts.failed,
            (End::Done, Kind::Read) => &mut counts.reads,
            (End::Done, Kind::Write { .. }) => &mut counts.writes,
            (End::Done, Kind::Zero | Kind::Trim) => &mut counts.trims,
            (End::Done, Kind::Flush) => &mut counts.flushes,
        } += 1;
        self.counts.set(counts);
    }

    async fn turns(&self, turns: u8) {
        for _ in 0..=turns {
            self.disk.turn().await;
        }
    }

    async fn read(&self, operation: &Operation) -> Result<(), D::Error> {
        let size = self.disk.block_size() as usize;
        let blocks = operation.blocks.clone();
        let bytes = (blocks.end - blocks.start) as usize * size;
        let mut memory = self
            .disk
            .memory(bytes, operation.offset, operation.pieces)?;
        // What was there before is no block of any kind.
        for at in (0..bytes).step_by(size) {
            memory.put(at, &[0x5a; 32]);
        }
        let (memory, result) = self.disk.read(blocks.start, memory).await;
        if !memory.margins_are_intact() {
            self.report(Trouble::Margins {
                block: blocks.start,
            });
        }
        result?;
        let mut bytes = vec![0; size];
        for (index, block) in blocks.enumerate() {
            memory.get(index * size, &mut bytes);
            match stamp::read(&bytes, self.options.seed, block) {
                Err(flaw) => self.report(Trouble::Damaged(block, flaw)),
                Ok(generation) => {
                    if let Err(wrong) = self.ledger.borrow_mut().found(block, generation) {
                        self.report(Trouble::Wrong(wrong));
                    }
                }
            }
            let mut counts = self.counts.get();
            counts.checked += 1;
            self.counts.set(counts);
        }
        Ok(())
    }

    async fn write(
        &self,
        operation: &Operation,
        generation: u32,
        durable: bool,
    ) -> Result<(), D::Error> {
        let size = self.disk.block_size() as usize;
        let blocks = operation.blocks.clone();
        let bytes = (blocks.end - blocks.start) as usize * size;
        let mut memory = self
            .disk
            .memory(bytes, operation.offset, operation.pieces)?;
        let seed = self.options.seed;
        let mut bytes = vec![0; size];
        for (index, block) in blocks.clone().enumerate() {
            stamp::write(
                &mut bytes,
                Stamp {
                    seed,
                    block,
                    generation,
                },
            );
            memory.put(index * size, &bytes);
        }
        let (memory, result) = self.disk.write(blocks.start, memory, durable).await;
        if !memory.margins_are_intact() {
            self.report(Trouble::Margins {
                block: blocks.start,
            });
        }
        result
    }

    /// Keeps the first trouble; all lanes end soon.
    fn report(&self, trouble: Trouble) {
        self.trouble.borrow_mut().get_or_insert(trouble);
    }

    fn is_in_trouble(&self) -> bool {
        self.trouble.borrow().is_some()
    }
}

/// Divides an area into one part for each of several workers.
pub fn share(blocks: u64, workers: usize) -> Vec<Ledger> {
    let workers = workers.max(1) as u64;
    (0..workers)
        .map(|worker| {
            let first = blocks * worker / workers;
            let count = (blocks * (worker + 1) / workers - first) as usize;
            // Generations of different parts are different.
            Ledger::new(first, count, ((worker as u32) << 24) % (1 << 31))
        })
        .collect()
}
