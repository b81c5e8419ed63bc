//! What blocks hold, and what reads bring, whatever the device has said so far.
//!
//! A lie changes no block. The model executes what it was given and nothing else, and says of
//! no command that it is done unless it is: that lie would be one that nobody finds out. So
//! also after others, and after resets, a block holds what one of its writers has put there.
//!
//! - Where the device has lied about the size of blocks, the ones that a request changes may
//!   hold anything, and what it reads says nothing. All others are as sure as before.
//! - When nothing is on its way any more, what blocks hold is seen, and from then on certain.
//! - In the end all blocks are looked at, also those that nobody has read, and those that
//!   nobody has asked for.

use super::Game;
use super::flight::{Flight, Kind, Wish};
use super::ledger::Content;
use crate::model::Data;
use nvme::{Done, Error, Namespace, Placement};

impl Game {
    /// Whether the driver knows what the blocks of a namespace look like.
    pub(super) fn is_as_told(&self, namespace: &Namespace) -> bool {
        let format = namespace.format;
        self.machine.model().shape(namespace.id).is_ok_and(|shape| {
            let is_inside = format.placement == Placement::Interleaved;
            1 << shape.shift == format.data
                && shape.metadata == usize::from(format.metadata)
                && (shape.metadata == 0 || shape.is_interleaved == is_inside)
                && shape.protection.is_some() == format.protection.is_some()
        })
    }

    /// What a block holds now. `None` if the device itself does not know what its blocks are.
    fn now(&self, nsid: u32, block: u64) -> Option<Content> {
        let model = self.machine.model();
        let shape = model.shape(nsid).ok()?;
        Some(Content::of(&model.contents(nsid, block, 1, shape.shift)))
    }

    /// A block that is asked for, if nobody has asked for it before.
    fn meet(&mut self, nsid: u32, block: u64) {
        if !self.ledger.knows(nsid, block) {
            match self.now(nsid, block) {
                Some(now) => self.ledger.holds(nsid, block, now),
                None => self.ledger.may_hold_anything(nsid, block),
            }
        }
    }

    /// Writes down what blocks may hold from now on. Returns what a write puts there.
    pub(super) fn enter(&mut self, wish: &Wish, before: &[u8]) -> Vec<Content> {
        let nsid = wish.nsid;
        for block in wish.blocks.clone() {
            self.meet(nsid, block);
        }
        let Some(size) = wish.block_size else {
            if wish.kind.changes() {
                for block in wish.blocks.clone() {
                    self.ledger.may_hold_anything(nsid, block);
                }
            }
            return Vec::new();
        };
        let count = wish.blocks.end - wish.blocks.start;
        let shift = size.trailing_zeros() as u8;
        let filled = |byte| vec![Content::of(&vec![byte; size as usize]); count as usize];
        let contents = match wish.kind {
            Kind::Write | Kind::Forced => before.chunks(size as usize).map(Content::of).collect(),
            Kind::Zeroes => filled(0),
            _ => Vec::new(),
        };
        for (block, content) in wish.blocks.clone().zip(&contents) {
            self.ledger.may_hold(nsid, block, *content);
        }
        for block in wish.blocks.clone() {
            match wish.kind {
                Kind::Deallocate => {
                    let fills = [vec![0; size as usize], vec![0xff; size as usize]];
                    for fill in fills {
                        self.ledger.may_hold(nsid, block, Content::of(&fill));
                    }
                    // Or as if it had never been written.
                    let blank = self.machine.model().blank(nsid, block, shift);
                    self.ledger.may_hold(nsid, block, Content::of(&blank));
                }
                Kind::Copy(from) => {
                    let from = from + block - wish.blocks.start;
                    self.meet(nsid, from);
                    let contents = self.ledger.of(nsid, from).to_vec();
                    if contents.is_empty() {
                        self.ledger.may_hold_anything(nsid, block);
                    }
                    for content in contents {
                        self.ledger.may_hold(nsid, block, content);
                    }
                }
                _ => {}
            }
        }
        contents
    }

    /// Looks at the result of a request.
    pub(super) fn check(&mut self, flight: &Flight, done: Done<Data>) {
        if matches!(done.result, Err(Error::Lost(_))) {
            assert!(self.may_lose, "memory was lost for no reason");
        }
        let found = flight.check_memory(&self.machine, &done);
        if done.result.is_err() {
            return;
        }
        let nsid = flight.nsid;
        if flight.kind == Kind::Flush && flight.is_alone {
            // Whatever was written before. Nobody has written since.
            let model = self.machine.model();
            let is_dirty = (0..600).any(|block| model.cache.is_dirty(nsid, block));
            assert!(!is_dirty, "flushed, and not durable");
        }
        if flight.block_size.is_none() {
            return;
        }
        let others = || self.flights.iter().chain(&self.ghosts);
        for (index, block) in flight.blocks.clone().enumerate() {
            let is_near = others().any(|other| other.is_near(nsid, block));
            let is_alone = !is_near && !flight.is_contended;
            match flight.kind {
                Kind::Read | Kind::Compare => {
                    let is_right = self.ledger.allows(nsid, block, found[index]);
                    assert!(is_right, "wrong data of block {block}");
                }
                Kind::Write | Kind::Forced | Kind::Zeroes if is_alone => {
                    self.ledger.holds(nsid, block, flight.contents[index]);
                }
                _ => {}
            }
            if flight.kind == Kind::Forced && is_alone {
                let is_dirty = self.machine.model().cache.is_dirty(nsid, block);
                assert!(!is_dirty, "a forced write is not durable");
            }
        }
    }

    /// Looks at what blocks hold that may hold one of several things, if nothing is on its way
    /// that could still change them.
    pub(super) fn look_at_blocks(&mut self) {
        let is_quiet = self.flights.is_empty() && self.ghosts.is_empty();
        // What nobody could stop may still be at work.
        if !is_quiet || self.may_lose || self.machine.model().has_io() {
            return;
        }
        for (nsid, block) in self.ledger.uncertain() {
            if let Some(now) = self.now(nsid, block) {
                let is_right = self.ledger.allows(nsid, block, now);
                assert!(is_right, "block {block} holds what nobody wrote");
                self.ledger.holds(nsid, block, now);
            }
        }
    }

    /// All blocks hold what they should, and nobody has written to any others.
    pub(super) fn look_at_all_blocks(&self) {
        for (nsid, block) in self.ledger.blocks() {
            if let Some(now) = self.now(nsid, block) {
                let is_right = self.ledger.allows(nsid, block, now);
                assert!(is_right, "block {block} holds what nobody wrote");
            }
        }
        let model = self.machine.model();
        let mut written = model.blocks.keys();
        let stranger = written.find(|(nsid, block)| !self.ledger.knows(*nsid, *block));
        assert_eq!(stranger, None, "a block was written that nobody asked for");
    }
}
