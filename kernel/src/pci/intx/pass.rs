//! Everybody is asked, until nobody has anything.

use core::ops::Deref;

/// A function that interrupts by a line.
pub trait Sharer {
    /// Learns what the function asks for, by which its line falls, and *then* has its driver look. Returns whether it
    /// had asked for anything.
    ///
    /// The order is all: what the function does before its line falls is seen by the look, and what it does later raises the
    /// line again.
    fn answer(&self) -> bool;
}

/// Passes before others have a turn: a function that always asks does not keep the core.
const MOST: u32 = 16;

/// What asking everybody has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// The first pass found nobody.
    Nothing,
    /// Somebody had asked, and in the last pass nobody.
    Answered,
    /// In each pass somebody had. Ask again soon: there may be no edge.
    NotYet,
}

/// Asks everybody, until in one whole pass nobody had asked for anything.
///
/// The caller takes notice of the edges so far *before* this, and calls again when there was one since then.
pub(super) fn settle<S>(sharers: &[S]) -> Settled
where
    S: Deref<Target: Sharer>,
{
    for passes in 0..MOST {
        // Each is asked in each pass: that somebody asked says nothing of the others.
        let asked = sharers.iter().filter(|sharer| sharer.answer()).count();
        match (passes, asked) {
            (0, 0) => return Settled::Nothing,
            (_, 0) => return Settled::Answered,
            _ => {}
        }
    }
    Settled::NotYet
}
