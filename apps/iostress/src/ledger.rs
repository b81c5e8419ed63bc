//! What each block may hold.
//!
//! - A block is *busy* while an operation on it is outstanding. Two operations never overlap, so
//!   their order is never in question.
//! - A write or trim that was cancelled may still reach the disk at any later time. Its blocks
//!   stay busy until [`Ledger::settle`], which is called when nothing is outstanding at all.
//! - A block in doubt holds its old generation or one other. It is only read, which decides.

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// One block. Two equal generations: there is no doubt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cell {
    known: u32,
    /// The highest bit says that the block is busy.
    other: u32,
}

const BUSY: u32 = 1 << 31;

impl Cell {
    fn is_busy(self) -> bool {
        self.other & BUSY != 0
    }

    fn is_certain(self) -> bool {
        self.other & !BUSY == self.known
    }
}

/// How a change of blocks ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The device says that it is done.
    Done,
    /// The device is done, and says that it failed: each block may have changed, or not.
    Failed,
    /// Nobody waited for the end: the blocks may change now or later.
    Cancelled,
}

/// A block does not hold what it must.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrong {
    /// Its address, in blocks.
    pub block: u64,
    /// The generation that was found.
    pub found: u32,
    /// The generations that would have been right; twice the same if there is no doubt.
    pub expected: [u32; 2],
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            block,
            found,
            expected: [one, other],
        } = self;
        write!(f, "block {block} holds generation {found} and not {one}")?;
        if one != other {
            write!(f, " or {other}")?;
        }
        Ok(())
    }
}

impl core::error::Error for Wrong {}

/// The blocks from `first` on.
#[derive(Debug)]
pub struct Ledger {
    first: u64,
    cells: Vec<Cell>,
    generation: u32,
}

impl Ledger {
    /// `count` blocks from `first` on that hold zeros. Generations count from `generation` on.
    pub fn new(first: u64, count: usize, generation: u32) -> Self {
        let cells = alloc::vec![Cell::default(); count];
        Self {
            first,
            cells,
            generation,
        }
    }

    /// The blocks.
    pub fn blocks(&self) -> Range<u64> {
        self.first..self.first + self.cells.len() as u64
    }

    /// A generation that no write of this ledger has had. Generations end at 2^31.
    pub fn next_generation(&mut self) -> u32 {
        self.generation = (self.generation + 1) % BUSY;
        self.generation
    }

    fn cells(&mut self, blocks: &Range<u64>) -> &mut [Cell] {
        let start = (blocks.start - self.first) as usize;
        let end = (blocks.end - self.first) as usize;
        &mut self.cells[start..end]
    }

    /// Makes blocks busy for a read. False, and nothing changes, if one of them is busy.
    pub fn claim_for_reading(&mut self, blocks: &Range<u64>) -> bool {
        self.claim(blocks, |_| true)
    }

    /// Makes blocks busy for a change. False, and nothing changes, if one is busy or in doubt.
    pub fn claim_for_changing(&mut self, blocks: &Range<u64>) -> bool {
        self.claim(blocks, Cell::is_certain)
    }

    fn claim(&mut self, blocks: &Range<u64>, fits: fn(Cell) -> bool) -> bool {
        let cells = self.cells(blocks);
        let is_free = cells.iter().all(|cell| !cell.is_busy() && fits(*cell));
        if is_free {
            cells.iter_mut().for_each(|cell| cell.other |= BUSY);
        }
        is_free
    }

    /// The blocks of a read are free again.
    pub fn release(&mut self, blocks: &Range<u64>) {
        self.cells(blocks)
            .iter_mut()
            .for_each(|cell| cell.other &= !BUSY);
    }

    /// Blocks were written, or zeroed with generation 0.
    pub fn written(&mut self, blocks: &Range<u64>, generation: u32, end: End) {
        for cell in self.cells(blocks) {
            *cell = match end {
                End::Done => Cell {
                    known: generation,
                    other: generation,
                },
                End::Failed => Cell {
                    other: generation,
                    ..*cell
                },
                End::Cancelled => Cell {
                    other: generation | BUSY,
                    ..*cell
                },
            };
        }
    }

    /// Blocks were deallocated: they may hold zeros from now on, or what they held before.
    pub fn trimmed(&mut self, blocks: &Range<u64>, end: End) {
        let end = if end == End::Done { End::Failed } else { end };
        self.written(blocks, 0, end);
    }

    /// Nothing is outstanding any more: blocks of cancelled changes are free again.
    pub fn settle(&mut self) {
        self.cells.iter_mut().for_each(|cell| cell.other &= !BUSY);
    }

    /// A block was read. From now on it holds what was found.
    ///
    /// # Errors
    /// If it must not hold that.
    pub fn found(&mut self, block: u64, generation: u32) -> Result<(), Wrong> {
        let cell = &mut self.cells(&(block..block + 1))[0];
        let expected = [cell.known, cell.other & !BUSY];
        if !expected.contains(&generation) {
            return Err(Wrong {
                block,
                found: generation,
                expected,
            });
        }
        cell.known = generation;
        cell.other = generation | cell.other & BUSY;
        Ok(())
    }

    /// The generation of a block; `None` if it is in doubt.
    pub fn known(&self, block: u64) -> Option<u32> {
        let cell = self
            .cells
            .get(usize::try_from(block.checked_sub(self.first)?).ok()?)?;
        cell.is_certain().then_some(cell.known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_expected_and_nothing_else() {
        let mut ledger = Ledger::new(100, 8, 0);
        let blocks = 102..104;
        assert!(ledger.claim_for_changing(&blocks));
        assert!(!ledger.claim_for_reading(&(103..105)), "busy");
        let generation = ledger.next_generation();
        ledger.written(&blocks, generation, End::Done);
        assert_eq!(ledger.found(102, generation), Ok(()));
        let wrong = Wrong {
            block: 103,
            found: 0,
            expected: [1, 1],
        };
        assert_eq!(ledger.found(103, 0), Err(wrong), "lost");
        assert_eq!(ledger.found(101, 0), Ok(()));
        assert!(ledger.found(101, generation).is_err(), "misplaced");
    }

    #[test]
    fn a_failed_write_leaves_a_doubt_that_a_read_decides() {
        let mut ledger = Ledger::new(0, 2, 0);
        assert!(ledger.claim_for_changing(&(0..2)));
        ledger.written(&(0..2), 5, End::Failed);
        assert!(!ledger.claim_for_changing(&(0..1)), "in doubt");
        assert!(ledger.claim_for_reading(&(0..2)));
        assert_eq!(ledger.found(0, 5), Ok(()));
        assert_eq!(ledger.found(1, 0), Ok(()));
        ledger.release(&(0..2));
        assert!(ledger.found(0, 0).is_err(), "decided");
        assert!(ledger.found(1, 5).is_err(), "decided");
        assert!(ledger.claim_for_changing(&(0..2)));
    }

    #[test]
    fn a_cancelled_write_keeps_its_blocks_until_everything_has_settled() {
        let mut ledger = Ledger::new(0, 1, 0);
        assert!(ledger.claim_for_changing(&(0..1)));
        ledger.written(&(0..1), 9, End::Cancelled);
        assert!(!ledger.claim_for_reading(&(0..1)));
        ledger.settle();
        assert_eq!(ledger.known(0), None);
        assert!(ledger.claim_for_reading(&(0..1)));
        assert_eq!(ledger.found(0, 9), Ok(()));
        assert_eq!(ledger.known(0), Some(9));
    }

    #[test]
    fn a_trim_may_do_nothing() {
        let mut ledger = Ledger::new(0, 1, 0);
        ledger.written(&(0..1), 4, End::Done);
        ledger.trimmed(&(0..1), End::Done);
        assert!(ledger.found(0, 3).is_err());
        assert_eq!(ledger.found(0, 4), Ok(()));
    }

    /// A disk that does what it says, for the ledger to follow.
    #[derive(Debug, Clone)]
    enum Step {
        Write {
            blocks: Range<u64>,
            end: u8,
            landed: u8,
        },
        Trim {
            blocks: Range<u64>,
            does: bool,
        },
        Read(Range<u64>),
        Settle,
    }

    fn step() -> impl Strategy<Value = Step> {
        let blocks = (0..8_u64, 1..4_u64).prop_map(|(start, len)| start..(start + len).min(8));
        prop_oneof![
            (blocks.clone(), 0..3_u8, any::<u8>()).prop_map(|(blocks, end, landed)| Step::Write {
                blocks,
                end,
                landed
            }),
            (blocks.clone(), any::<bool>()).prop_map(|(blocks, does)| Step::Trim { blocks, does }),
            blocks.prop_map(Step::Read),
            Just(Step::Settle),
        ]
    }

    proptest! {
        /// An honest disk is never accused, and a disk that loses one write is found out.
        #[test]
        fn honest_disks_pass_and_one_lost_write_does_not(
            steps in proptest::collection::vec(step(), 1..60),
            lie in 0..8_u64,
        ) {
            let mut ledger = Ledger::new(0, 8, 0);
            let mut disk = [0_u32; 8];
            for step in steps {
                match step {
                    Step::Write { blocks, end, landed } => {
                        if !ledger.claim_for_changing(&blocks) { continue; }
                        let generation = ledger.next_generation();
                        let end = [End::Done, End::Failed, End::Cancelled][usize::from(end)];
                        for block in blocks.clone() {
                            if end == End::Done || landed >> (block % 8) & 1 == 1 {
                                disk[block as usize] = generation;
                            }
                        }
                        ledger.written(&blocks, generation, end);
                    }
                    Step::Trim { blocks, does } => {
                        if !ledger.claim_for_changing(&blocks) { continue; }
                        if does { disk[blocks.start as usize] = 0; }
                        ledger.trimmed(&blocks, End::Done);
                    }
                    Step::Read(blocks) => {
                        if !ledger.claim_for_reading(&blocks) { continue; }
                        for block in blocks.clone() {
                            prop_assert_eq!(ledger.found(block, disk[block as usize]), Ok(()));
                        }
                        ledger.release(&blocks);
                    }
                    Step::Settle => ledger.settle(),
                }
            }
            ledger.settle();
            for block in 0..8 {
                prop_assert_eq!(ledger.found(block, disk[block as usize]), Ok(()));
            }
            let generation = ledger.next_generation();
            prop_assert!(ledger.claim_for_changing(&(lie..lie + 1)));
            ledger.written(&(lie..lie + 1), generation, End::Done);
            prop_assert!(ledger.found(lie, disk[lie as usize]).is_err());
        }
    }
}
