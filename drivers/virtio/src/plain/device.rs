//! The way to a device that answers, its end, and the wait for an answer.

use super::lane::{Lane, Ticket};
use super::pieces::Pieces;
use crate::error::{Error, Failure, Violation, Waiting};
use crate::lock::Mutex;
use crate::platform::Platform;
use crate::transport::{self, Accepted, Common, Negotiation, Notify, Step};
use crate::watch::Watch;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use virtio_spec::FeatureBits;

/// A device, and the queues that it was told of. Dropping it stops the device.
pub(crate) struct Plain<P: Platform, T> {
    platform: P,
    /// Microseconds that a request may take before the device is out of use.
    timeout: u64,
    state: Mutex<State<P::Shared, T>>,
    /// Queues that are kept for ever, since the device may still use them.
    lost: AtomicU64,
}

struct State<M, T> {
    lanes: Vec<Lane<M, T>>,
    over: Option<Over>,
}

/// The device is out of use.
#[derive(Clone, Copy)]
struct Over {
    why: Failure,
    /// It is certain that it does not use memory any more.
    is_stopped: bool,
}

impl Over {
    fn error(self) -> Error {
        match self.is_stopped {
            true => Error::Failed(self.why),
            false => Error::Lost(self.why),
        }
    }
}

/// A queue that a device is to have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LanePlan {
    pub(crate) queue: u16,
    /// Most entries.
    pub(crate) entries: u16,
    /// Most pieces of a chain, as long as two chains fit.
    pub(crate) pieces: u16,
}

/// What was agreed on, and which queues there are to be.
pub(crate) struct Plan<R> {
    pub(crate) lanes: Vec<LanePlan>,
    /// What else is known of the device.
    pub(crate) known: R,
}

/// What became of a request: what was kept with it, and how many bytes the device says it has written. After a
/// failure it is back as well, unless the device may still use it.
pub(crate) type Asked<T> = Result<(T, u32), (Error, Option<T>)>;

impl<P: Platform, T> Plain<P, T> {
    /// Resets a device, agrees with it on features, and lets it go.
    ///
    /// # Errors
    /// [`Error::Failed`], with what is wrong, or [`Error::OutOfMemory`]. The device is left reset, and
    /// without a way to memory.
    pub(crate) async fn new<B: FeatureBits + Copy, R>(
        platform: P,
        notify: &Notify,
        timeout: u64,
        wishes: &Negotiation<B>,
        plan: impl FnOnce(&P, &Accepted<B>) -> Result<Plan<R>, Failure>,
    ) -> Result<(Self, R), Error> {
        // Whatever firmware has told it: not before it has forgotten that.
        platform.stop_dma();
        let agreed = match Common(&platform).reset().await {
            Ok(()) => agree(&platform, wishes, plan),
            Err(failure) => Err(failure),
        };
        let made = agreed.map_err(Error::Failed).and_then(|plan| {
            let lanes = allocate(&platform, &plan.lanes)?;
            Ok((lanes, plan.known))
        });
        let (lanes, known) = match made {
            Ok(made) => made,
            Err(error) => {
                Common(&platform).stop();
                return Err(error);
            }
        };
        let plain = Self {
            platform,
            timeout,
            state: Mutex::new(State { lanes, over: None }),
            lost: AtomicU64::new(0),
        };
        match plain.start(notify) {
            Ok(()) => Ok((plain, known)),
            Err(failure) => Err(plain.end(failure).error()),
        }
    }

    pub(crate) fn platform(&self) -> &P {
        &self.platform
    }

    /// Most pieces of a chain in this queue.
    pub(crate) fn most_pieces(&self, lane: usize) -> u16 {
        self.state.lock().lanes[lane].most_pieces()
    }

    /// Most chains of this queue that are under way.
    pub(crate) fn most_chains(&self, lane: usize) -> u16 {
        self.state.lock().lanes[lane].most_chains()
    }

    /// Sends a chain, and waits until the device is done with it. Dropping that leaves it to the device; what was
    /// kept is [loose](Self::loose) then. Where that is in the way, `settle` gets it.
    pub(crate) async fn ask(
        &self,
        lane: usize,
        pieces: &Pieces,
        kept: T,
        settle: impl Fn(T),
    ) -> Asked<T> {
        let mut watch = Watch::new(&self.platform, self.timeout);
        let mut kept = kept;
        let mut flight = loop {
            while let Some(loose) = self.loose() {
                settle(loose);
            }
            match self.fly(lane, pieces, kept) {
                Ok(flight) => break flight,
                Err((Error::Full, back)) => kept = back,
                Err((error, back)) => return Err((error, Some(back))),
            }
            if let Err(error) = self.turn(&mut watch).await {
                return Err((error, Some(kept)));
            }
        };
        let mut watch = Watch::for_answer(&self.platform, self.timeout);
        loop {
            if let Some(asked) = flight.look() {
                return asked;
            }
            // If it fails, the next look says so.
            let _ = self.turn(&mut watch).await;
        }
    }

    /// Sends a chain, or gives back what was to be kept with it: with [`Error::Full`], if all slots are taken.
    /// Dropping what is returned leaves it to the device.
    pub(crate) fn fly(
        &self,
        lane: usize,
        pieces: &Pieces,
        kept: T,
    ) -> Result<Flight<'_, P, T>, (Error, T)> {
        let posted = Some(self.post(lane, pieces, kept)?);
        Ok(Flight {
            plain: self,
            posted,
        })
    }

    /// What became of a chain, if it is over.
    pub(crate) fn look(&self, posted: Posted) -> Result<Asked<T>, Posted> {
        let Posted { lane, ticket } = &posted;
        let mut state = self.state.lock();
        if state.over.is_none() {
            match state.lanes[*lane].reap() {
                Ok(()) => {
                    return match state.lanes[*lane].take(ticket) {
                        Some(taken) => Ok(Ok(taken)),
                        None => Err(posted),
                    };
                }
                Err(failure) => {
                    drop(state);
                    self.end(failure);
                    state = self.state.lock();
                }
            }
        }
        let Some(over) = state.over else {
            return Err(posted);
        };
        let kept = match over.is_stopped {
            true => state.lanes[*lane].recall(ticket),
            false => None,
        };
        Ok(Err((over.error(), kept)))
    }

    /// Nobody wants to know what becomes of a chain: what it has is [loose](Self::loose) then.
    pub(crate) fn leave(&self, posted: &Posted) {
        self.state.lock().lanes[posted.lane].abandon(&posted.ticket);
    }

    /// The device has broken a rule that only its driver knows, and is out of use.
    pub(crate) fn object(&self, violation: Violation) {
        self.end(Failure::Violation(violation));
    }

    /// What was kept with a request for which nobody waits any more, and that is over.
    pub(crate) fn loose(&self) -> Option<T> {
        let mut state = self.state.lock();
        if state.over.is_none()
            && let Err(failure) = state.lanes.iter_mut().try_for_each(Lane::reap)
        {
            drop(state);
            self.end(failure);
            state = self.state.lock();
        }
        let over = state.over;
        if over.is_some_and(|over| !over.is_stopped) {
            return None;
        }
        let mut lanes = state.lanes.iter_mut();
        lanes.find_map(|lane| lane.loose(over.is_some()))
    }

    /// Ends the use of the device: it is left reset, and without a way to memory.
    pub(crate) fn shutdown(&self) {
        self.end(Failure::ShutDown);
    }

    /// Why the device is out of use, if it is.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.state.lock().over.map(|over| over.why)
    }

    /// Queues that are kept for ever, since the device may still use them.
    pub(crate) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Tells the device of its queues, and lets it go.
    fn start(&self, notify: &Notify) -> Result<(), Failure> {
        let common = Common(&self.platform);
        for lane in &mut self.state.lock().lanes {
            lane.notify_at = common.introduce(lane.rings(), notify)?.notify_at;
        }
        self.platform.start_dma();
        common.step(Step::DriverOk)
    }

    /// Sends a chain, like [`fly`](Self::fly). What is returned does nothing when it is dropped.
    pub(crate) fn post(
        &self,
        number: usize,
        pieces: &Pieces,
        kept: T,
    ) -> Result<Posted, (Error, T)> {
        let mut state = self.state.lock();
        if let Some(over) = state.over {
            return Err((Error::Dead(over.why), kept));
        }
        let lane = &mut state.lanes[number];
        let sent = match lane.reap() {
            Ok(()) => lane.send(pieces, kept),
            Err(failure) => {
                drop(state);
                return Err((self.end(failure).error(), kept));
            }
        };
        let (ticket, wants_notice) = sent.map_err(|kept| (Error::Full, kept))?;
        if wants_notice {
            let queue = lane.rings().queue;
            transport::notify(&self.platform, lane.notify_at, queue);
        }
        Ok(Posted {
            lane: number,
            ticket,
        })
    }

    /// Lets a moment pass, and looks whether the device is well.
    pub(crate) async fn turn(&self, watch: &mut Watch) -> Result<(), Error> {
        let failure = match watch.turn(&self.platform).await {
            Err(_) => Some(Failure::Timeout(Waiting::Request)),
            Ok(()) => Common(&self.platform).ailment(),
        };
        let Some(failure) = failure else {
            return Ok(());
        };
        // Another one may have ended it meanwhile: then the status says nothing new.
        Err(self.end(failure).error())
    }

    /// The device is out of use. Returns the reason, which is the first that was given.
    fn end(&self, failure: Failure) -> Over {
        let mut state = self.state.lock();
        if let Some(over) = state.over {
            return over;
        }
        let over = Over {
            why: failure,
            is_stopped: Common(&self.platform).stop(),
        };
        state.over = Some(over);
        if !over.is_stopped {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        over
    }
}

impl<P: Platform, T> Drop for Plain<P, T> {
    fn drop(&mut self) {
        if !self.end(Failure::ShutDown).is_stopped {
            core::mem::forget(core::mem::take(&mut self.state.lock().lanes));
        }
    }
}

/// A chain that was sent, and is not over.
#[derive(Debug)]
pub(crate) struct Posted {
    lane: usize,
    ticket: Ticket,
}

/// A request that somebody waits for.
pub(crate) struct Flight<'d, P: Platform, T> {
    plain: &'d Plain<P, T>,
    /// `None` once it is over: its slot may be another's by then.
    posted: Option<Posted>,
}

impl<P: Platform, T> Flight<'_, P, T> {
    /// What became of it, if it is over.
    pub(crate) fn look(&mut self) -> Option<Asked<T>> {
        match self.plain.look(self.posted.take()?) {
            Ok(asked) => Some(asked),
            Err(posted) => {
                self.posted = Some(posted);
                None
            }
        }
    }
}

impl<P: Platform, T> Drop for Flight<'_, P, T> {
    fn drop(&mut self) {
        if let Some(posted) = &self.posted {
            self.plain.leave(posted);
        }
    }
}

/// From a device that is reset to what it is to have.
fn agree<P: Platform, B: FeatureBits + Copy, R>(
    platform: &P,
    wishes: &Negotiation<B>,
    plan: impl FnOnce(&P, &Accepted<B>) -> Result<Plan<R>, Failure>,
) -> Result<Plan<R>, Failure> {
    let common = Common(platform);
    common.step(Step::Acknowledge)?;
    common.step(Step::Driver)?;
    let features = common.negotiate(wishes)?;
    let mut plan = plan(platform, &features)?;
    common.set_config_vector(None);
    for lane in &mut plan.lanes {
        let queue = lane.queue;
        let size = common.queue_size(queue);
        if size == 0 {
            return Err(Failure::QueueSize { queue, size });
        }
        // A split queue's size is a power of two, whatever the device says.
        lane.entries = 1 << size.min(lane.entries).ilog2();
        lane.pieces = lane.pieces.min((lane.entries / 2).max(1));
    }
    Ok(plan)
}

fn allocate<P: Platform, T>(
    platform: &P,
    plans: &[LanePlan],
) -> Result<Vec<Lane<P::Shared, T>>, Error> {
    let lane = |plan: &LanePlan| Lane::allocate(platform, plan.queue, plan.entries, plan.pieces);
    let lanes: Result<_, _> = plans.iter().map(lane).collect();
    Ok(lanes?)
}
