//! A balloon: reports of free memory, and memory that is in it.

use super::config::{self, DEFLATE, INFLATE, STATISTICS};
use super::pages::{BYTES, Numbers, Surrendered};
use super::statistics::{self, Answer};
use crate::error::{Error, Failure, RequestError};
use crate::lock::Mutex;
use crate::memory::{Access, Memory};
use crate::options::Options;
use crate::plain::{Asked, LanePlan, Pieces, Plain, Plan};
use crate::platform::{Platform, SharedMemory};
use crate::transport::{Accepted, Notify};
use alloc::vec;
use alloc::vec::Vec;
use phyr::DmaRange;
use virtio_spec::balloon::F;

/// Most ranges of a report.
const RANGES: u16 = 16;

/// Which lane is for what.
const INFLATING: usize = 0;
const DEFLATING: usize = 1;
const REPORTING: usize = 2;

/// What went wrong, and the memory: unless the device may still have it. Then it is lost.
pub type Refused<T> = (Error, Option<T>);

/// A balloon. `S` is what is in it, and `R` what is reported. Dropping it stops the device.
pub struct Balloon<P: Platform, S, R> {
    pub(super) plain: Plain<P, Kept<P::Shared, S, R>>,
    pub(super) inside: Mutex<Inside<P::Shared, S>>,
    features: Accepted<F>,
    /// The lane of statistics, if the device may ask for them.
    pub(super) statistics: Option<usize>,
}

/// What a request has.
pub(super) enum Kept<M, S, R> {
    /// The numbers of pages, and the memory that goes into the balloon.
    In(M, S),
    /// Likewise, of what comes out.
    Out(M, S),
    Report(R),
    Statistics(M),
}

pub(super) struct Inside<M, S> {
    /// Where the numbers of pages are written, if no request has it.
    words: Option<M>,
    /// What is in the balloon.
    held: Vec<S>,
    /// How many pages that is.
    pages: u32,
    /// What the device is told when it asks; `None` while somebody is at it, if it never does, and if it keeps that for
    /// good.
    pub(super) answer: Option<Answer<M>>,
}

impl<P: Platform, S: Surrendered, R: Memory> Balloon<P, S, R> {
    /// Resets a device, agrees with it on features, and lets it go. `notify` is the block of
    /// [`Platform::notify`].
    ///
    /// # Errors
    /// [`Error::Failed`], with what is wrong, or [`Error::OutOfMemory`]. The device is left reset, and
    /// without a way to memory.
    pub async fn new(platform: P, notify: Notify, options: Options) -> Result<Self, Error> {
        let entries = options.entries;
        let plan = |platform: &P, accepted: &Accepted<F>| {
            config::check(platform.config())?;
            let lane = |queue, pieces| LanePlan {
                queue,
                entries,
                pieces,
            };
            let mut lanes = vec![lane(INFLATE, 1), lane(DEFLATE, 1)];
            let reports = config::reporting_queue(platform, accepted);
            lanes.extend(reports.map(|queue| lane(queue, RANGES)));
            let has_statistics = accepted.contains(F::STATS_VQ);
            let statistics = has_statistics.then_some(lanes.len());
            lanes.extend(statistics.map(|_| lane(STATISTICS, 1)));
            Ok(Plan {
                lanes,
                known: (*accepted, statistics),
            })
        };
        let words = platform.allocate(BYTES)?;
        let made = Plain::new(platform, &notify, options.timeout, &config::wishes(), plan).await;
        let (plain, (features, statistics)) = made?;
        let answer = match statistics {
            Some(_) => Some(Answer::Here(plain.platform().allocate(statistics::BYTES)?)),
            None => None,
        };
        // Whatever was in it before the reset is not any more.
        config::set_actual(plain.platform(), 0);
        Ok(Self {
            plain,
            features,
            statistics,
            inside: Mutex::new(Inside {
                words: Some(words),
                held: Vec::new(),
                pages: 0,
                answer,
            }),
        })
    }

    /// Whether the device wants to know what is free.
    pub fn can_report(&self) -> bool {
        self.features.contains(F::PAGE_REPORTING)
    }

    /// Most ranges of a report.
    pub fn most_ranges(&self) -> u16 {
        match self.can_report() {
            true => self.plain.most_pieces(REPORTING),
            false => 0,
        }
    }

    /// Says that memory is free, and gives it back when the device has answered. Its content is anything then.
    ///
    /// Dropping that leaves the memory to the device; a later call lets go of it.
    ///
    /// # Errors
    /// [`RequestError::Unsupported`], [`RequestError::Access`] and [`RequestError::Pieces`], if device or memory do not
    /// suit, or what became of the device.
    pub async fn report(&self, free: R) -> Result<R, Refused<R>> {
        self.settle_all();
        let pieces = match self.pieces(&free) {
            Ok(pieces) => pieces,
            Err(error) => return Err((error.into(), Some(free))),
        };
        let asked = self.ask(REPORTING, &pieces, Kept::Report(free)).await;
        match asked {
            Ok((Kept::Report(free), _)) => Ok(free),
            Err((error, Some(Kept::Report(free)))) => Err((error, Some(free))),
            Err((error, _)) => Err((error, None)),
            Ok(_) => unreachable!("a lane gives back what it was given"),
        }
    }

    fn pieces(&self, free: &R) -> Result<Pieces, RequestError> {
        match self.can_report() {
            // The content goes, as if the device wrote it.
            true => Pieces::of(free, Access::FromDevice, self.most_ranges()),
            false => Err(RequestError::Unsupported),
        }
    }

    /// How many pages the hypervisor wants in the balloon. It may want more than there are.
    ///
    /// # Errors
    /// If the device does not say so.
    pub fn target(&self) -> Result<u32, Failure> {
        match self.plain.failure() {
            Some(failure) => Err(failure),
            None => config::target(self.plain.platform()),
        }
    }

    /// Resolves when the hypervisor wants something else than before. Never, where the device has no way to say so. One
    /// task may wait for that.
    pub async fn retargeted(&self) {
        self.plain.platform().interrupted().await;
    }

    /// How many pages are in the balloon.
    pub fn pages(&self) -> u32 {
        self.inside.lock().pages
    }

    /// Puts memory into the balloon: at most 4 MiB at once, whole pages, below 16 TiB.
    ///
    /// # Errors
    /// [`RequestError::Length`] and [`RequestError::OutOfRange`], if the memory does not suit; [`Error::Full`], if
    /// another call is under way; or what became of the device.
    pub async fn inflate(&self, memory: S) -> Result<(), Refused<S>> {
        self.settle_all();
        let (words, numbers) = match self.prepare(&memory) {
            Ok(prepared) => prepared,
            Err(error) => return Err((error, Some(memory))),
        };
        let pieces = numbers_for_device(&words, numbers);
        let kept = Kept::In(words, memory);
        match self.ask(INFLATING, &pieces, kept).await {
            Ok((kept, _)) => {
                self.arrived(kept);
                Ok(())
            }
            Err((error, kept)) => match kept {
                Some(Kept::In(words, memory)) => {
                    self.inside.lock().words = Some(words);
                    Err((error, Some(memory)))
                }
                _ => Err((error, None)),
            },
        }
    }

    /// Takes some memory out of the balloon, that which came last; `None` if there is none. The device has been
    /// told when this returns.
    ///
    /// # Errors
    /// [`Error::Full`], if another call is under way, or what became of the device. The memory stays in the balloon.
    pub async fn deflate(&self) -> Result<Option<S>, Error> {
        self.settle_all();
        let Some(memory) = self.pop() else {
            return Ok(None);
        };
        let (words, numbers) = match self.prepare(&memory) {
            Ok(prepared) => prepared,
            Err(error) => {
                self.push(memory);
                return Err(error);
            }
        };
        let pieces = numbers_for_device(&words, numbers);
        match self.ask(DEFLATING, &pieces, Kept::Out(words, memory)).await {
            Ok((Kept::Out(words, memory), _)) => {
                self.inside.lock().words = Some(words);
                self.tell();
                Ok(Some(memory))
            }
            Err((error, Some(Kept::Out(words, memory)))) => {
                self.inside.lock().words = Some(words);
                self.push(memory);
                Err(error)
            }
            Err((error, _)) => Err(error),
            Ok(_) => unreachable!("a lane gives back what it was given"),
        }
    }

    /// Memory that is in the balloon of a device that is out of use, if it may be used again without telling anybody.
    pub fn reclaim(&self) -> Option<S> {
        let is_over = self.plain.failure().is_some() && self.plain.lost() == 0;
        let may = !self.features.contains(F::MUST_TELL_HOST);
        match is_over && may {
            true => self.pop(),
            false => None,
        }
    }

    /// Ends the use of the device: it is left reset, and without a way to memory. What is in the balloon stays
    /// there, so [take it out](Self::deflate) before.
    pub fn shutdown(&self) {
        self.plain.shutdown();
    }

    /// Why the device is out of use, if it is.
    pub fn failure(&self) -> Option<Failure> {
        self.plain.failure()
    }

    /// Queues that are kept for ever, since the device may still use them.
    pub fn lost(&self) -> u64 {
        self.plain.lost()
    }

    /// Where the numbers of these pages go, if they can be said and nobody is at it.
    fn prepare(&self, memory: &S) -> Result<(P::Shared, Numbers), Error> {
        let numbers = Numbers::of(memory.phyr())?;
        let mut inside = self.inside.lock();
        let room = inside.held.try_reserve(1);
        room.map_err(|_| Error::OutOfMemory)?;
        match inside.words.take() {
            Some(words) => Ok((words, numbers)),
            None => Err(Error::Full),
        }
    }

    /// Memory that the device has taken.
    fn arrived(&self, kept: Kept<P::Shared, S, R>) {
        if let Kept::In(words, memory) = kept {
            self.inside.lock().words = Some(words);
            self.push(memory);
            self.tell();
        }
    }

    fn push(&self, memory: S) {
        let mut inside = self.inside.lock();
        inside.pages += pages_of(&memory);
        inside.held.push(memory);
    }

    fn pop(&self) -> Option<S> {
        let mut inside = self.inside.lock();
        let memory = inside.held.pop()?;
        inside.pages -= pages_of(&memory);
        Some(memory)
    }

    /// Says how much is in the balloon.
    fn tell(&self) {
        if self.plain.failure().is_none() {
            config::set_actual(self.plain.platform(), self.pages());
        }
    }

    async fn ask(
        &self,
        lane: usize,
        pieces: &Pieces,
        kept: Kept<P::Shared, S, R>,
    ) -> Asked<Kept<P::Shared, S, R>> {
        let settle = |kept| self.settle(kept);
        self.plain.ask(lane, pieces, kept, settle).await
    }

    /// Deals with what requests have left behind for whose end nobody has waited.
    fn settle_all(&self) {
        while let Some(kept) = self.plain.loose() {
            self.settle(kept);
        }
    }

    fn settle(&self, kept: Kept<P::Shared, S, R>) {
        match kept {
            // Whoever wanted it in is not there to take it back.
            kept @ Kept::In(..) => self.arrived(kept),
            Kept::Out(words, memory) => {
                self.inside.lock().words = Some(words);
                self.tell();
                drop(memory);
            }
            Kept::Report(free) => drop(free),
            // Nobody leaves it to the device.
            Kept::Statistics(_) => {}
        }
    }
}

impl<P: Platform, S, R> Drop for Balloon<P, S, R> {
    fn drop(&mut self) {
        self.plain.shutdown();
        let held = core::mem::take(&mut self.inside.lock().held);
        if self.plain.lost() > 0 || self.features.contains(F::MUST_TELL_HOST) {
            // The host has not been told, and nobody can any more.
            core::mem::forget(held);
        }
    }
}

fn pages_of(memory: &impl Surrendered) -> u32 {
    Numbers::of(memory.phyr()).map_or(0, |numbers| numbers.count)
}

/// Writes numbers down for the device. What is written there stays until it has answered.
fn numbers_for_device(words: &impl SharedMemory, numbers: Numbers) -> Pieces {
    let bytes = numbers.write(words);
    let range = DmaRange::new(words.bus().addr(), bytes);
    Pieces::one(range.expect("a part of a range"), Access::ToDevice)
}
