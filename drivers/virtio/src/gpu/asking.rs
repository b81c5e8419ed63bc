//! One command at a time: where it is written, its number, and the answer to it.

use super::command::{Command, WORDS};
use super::device::Gpu;
use super::entries;
use super::error::GpuError;
use super::reply::{self, LONGEST};
use crate::error::Error;
use crate::memory::{Access, Memory};
use crate::plain::Pieces;
use crate::platform::{Platform, SharedMemory};
use crate::watch::Watch;
use phyr::{DmaAddr, DmaRange};

/// Pieces of a chain: the command, the entries that belong to it, and the answer.
pub(super) const PIECES: u16 = 3;

/// Where the answer is in the page of commands, and bytes of that page.
pub(super) const ANSWER: usize = 1024;
pub(super) const BYTES: usize = 4096;

const _: () = assert!(WORDS * 8 <= ANSWER && ANSWER + LONGEST <= BYTES);

/// What a command has until the device is done.
pub(super) struct Kept<M> {
    page: M,
    /// The entries of memory.
    _list: Option<M>,
}

/// What commands need.
pub(super) struct Desk<M> {
    /// Where a command is written, if none has it.
    page: Option<M>,
    /// Commands so far.
    fence: u64,
}

impl<M> Desk<M> {
    /// With the page that all commands are written into.
    pub(super) const fn new(page: M) -> Self {
        Self {
            page: Some(page),
            fence: 0,
        }
    }

    /// Keeps the page for ever: the device may still read there.
    pub(super) fn keep(&mut self) {
        core::mem::forget(self.page.take());
    }
}

impl<P: Platform, D: Memory> Gpu<P, D> {
    pub(super) async fn tell(&self, command: Command) -> Result<(), GpuError> {
        self.ask(command, None, |_| ()).await
    }

    /// Sends a command, with entries behind it, and looks at the good answer to it.
    pub(super) async fn ask<R>(
        &self,
        command: Command,
        list: Option<(P::Shared, u32)>,
        then: impl FnOnce(&P::Shared) -> R,
    ) -> Result<R, GpuError> {
        let (page, fence) = self.page().await?;
        let (words, count) = command.words(fence);
        for (index, word) in words[..count].iter().enumerate() {
            page.store64(8 * index, *word);
        }
        reply::wipe(&page, ANSWER);
        let (_, longest) = reply::good(command);
        let mut pieces = Pieces::none();
        push(&mut pieces, &page, 0..8 * count, Access::ToDevice);
        if let Some((list, count)) = &list {
            let bytes = *count as usize * entries::ENTRY;
            push(&mut pieces, list, 0..bytes, Access::ToDevice);
        }
        let answer = ANSWER..ANSWER + longest;
        push(&mut pieces, &page, answer, Access::FromDevice);
        let kept = Kept {
            page,
            _list: list.map(|(list, _)| list),
        };
        let settle = |kept: Kept<P::Shared>| self.give_back(kept.page);
        match self.plain.ask(0, &pieces, kept, settle).await {
            Ok((kept, written)) => {
                let checked = reply::check(&kept.page, ANSWER, command, fence, written);
                let result = checked.map(|()| then(&kept.page));
                self.give_back(kept.page);
                result
            }
            Err((error, kept)) => {
                if let Some(kept) = kept {
                    self.give_back(kept.page);
                }
                Err(error.into())
            }
        }
    }

    /// The page of commands, as soon as no other command has it, and the number of the next command.
    async fn page(&self) -> Result<(P::Shared, u64), Error> {
        let mut watch = Watch::new(self.plain.platform(), self.timeout);
        loop {
            while let Some(loose) = self.plain.loose() {
                self.give_back(loose.page);
            }
            if let Some(failure) = self.plain.failure() {
                return Err(Error::Dead(failure));
            }
            if let Some(taken) = self.take_page() {
                return Ok(taken);
            }
            self.plain.turn(&mut watch).await?;
        }
    }

    fn take_page(&self) -> Option<(P::Shared, u64)> {
        let mut desk = self.desk.lock();
        let page = desk.page.take()?;
        desk.fence += 1;
        Some((page, desk.fence))
    }

    fn give_back(&self, page: P::Shared) {
        self.desk.lock().page = Some(page);
    }
}

fn push(
    pieces: &mut Pieces,
    memory: &impl SharedMemory,
    bytes: core::ops::Range<usize>,
    access: Access,
) {
    let start = memory.bus().addr().get() + bytes.start as u64;
    let range = DmaRange::new(DmaAddr::new(start), bytes.len() as u64);
    let pushed = range.is_ok_and(|range| pieces.push(range, access).is_ok());
    debug_assert!(pushed, "three short pieces");
}
