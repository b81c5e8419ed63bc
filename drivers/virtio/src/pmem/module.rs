//! A device of persistent memory: from whatever state it was in to one that flushes, and its end.
//!
//! Flushes are rare and slow, so a lock is no cost here: any core may ask for one, and whoever waits looks at
//! the queue himself. The device has no interrupt for it that this driver would need.

use super::config;
use super::flushing::{Flushes, QUEUE, Ticket};
use crate::error::{Error, Failure, Waiting};
use crate::lock::Mutex;
use crate::options::Options;
use crate::platform::Platform;
use crate::transport::{self, Common, Notify, Step};
use crate::watch::Watch;
use core::sync::atomic::{AtomicU64, Ordering};
use phyr::Phyr;

/// The fewest entries that a flush fits into: request and answer.
const MIN_ENTRIES: u16 = 2;

/// A device of persistent memory. Dropping it stops the device.
pub struct Module<P: Platform> {
    platform: P,
    memory: Phyr,
    notify_at: usize,
    options: Options,
    state: Mutex<State<P::Shared>>,
    /// Queues that are kept for ever, since the device may still use them.
    lost: AtomicU64,
}

struct State<M> {
    /// `None` once the device is out of use.
    flushes: Option<Flushes<M>>,
    /// Why it is, then.
    failure: Failure,
}

impl<P: Platform> Module<P> {
    /// Resets a device, agrees with it on features, and lets it go. `notify` is the block of
    /// [`Platform::notify`], and `shared` the memory that a capability of kind
    /// [`SharedMemory`](crate::transport::Kind::SharedMemory) with the identifier 0 names.
    ///
    /// # Errors
    /// [`Error::Failed`], with what is wrong, or [`Error::OutOfMemory`]. The device is left reset, and
    /// without a way to memory.
    pub async fn new(
        platform: P,
        notify: Notify,
        shared: Option<Phyr>,
        options: Options,
    ) -> Result<Self, Error> {
        // Whatever firmware has told it: not before it has forgotten that.
        platform.stop_dma();
        let agreed = match Common(&platform).reset().await {
            Ok(()) => agree(&platform, shared, &options),
            Err(failure) => Err(failure),
        };
        let made = agreed.map_err(Error::Failed).and_then(|(memory, entries)| {
            let flushes = Flushes::allocate(&platform, entries)?;
            Ok((memory, flushes))
        });
        let (memory, flushes) = match made {
            Ok(made) => made,
            Err(error) => {
                Common(&platform).stop();
                return Err(error);
            }
        };
        let started = start(&platform, &flushes, &notify);
        let module = Self {
            platform,
            memory,
            notify_at: *started.as_ref().unwrap_or(&0),
            options,
            state: Mutex::new(State {
                flushes: Some(flushes),
                failure: Failure::ShutDown,
            }),
            lost: AtomicU64::new(0),
        };
        match started {
            Ok(_) => Ok(module),
            Err(failure) => {
                module.end(failure);
                Err(Error::Failed(failure))
            }
        }
    }

    /// Where its memory is. That nobody else uses it is not known here.
    pub fn memory(&self) -> Phyr {
        self.memory
    }

    /// Makes everything last that was written to its memory and is done. Any number of these may be
    /// under way. Dropping one leaves it to the device.
    ///
    /// # Errors
    /// Something may not last: [`Error::Device`] is what the device says, [`Error::Failed`] and
    /// [`Error::Dead`] that it is out of use.
    pub async fn flush(&self) -> Result<(), Error> {
        let mut watch = Watch::new(&self.platform, self.options.timeout);
        let mut flight = loop {
            match self.send()? {
                Some(flight) => break flight,
                None => self.turn(&mut watch).await?,
            }
        };
        let mut watch = Watch::for_answer(&self.platform, self.options.timeout);
        loop {
            match flight.look() {
                Some(result) => return result,
                None => self.turn(&mut watch).await?,
            }
        }
    }

    /// Ends the use of the device: it is left reset, and without a way to memory.
    pub fn shutdown(&self) {
        self.end(Failure::ShutDown);
    }

    /// Why the device is out of use, if it is.
    pub fn failure(&self) -> Option<Failure> {
        let state = self.state.lock();
        state.flushes.is_none().then_some(state.failure)
    }

    /// Queues that are kept for ever, since the device may still use them.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Sends a flush, if there is room.
    fn send(&self) -> Result<Option<Flight<'_, P>>, Error> {
        let failure = {
            let mut state = self.state.lock();
            let failure = state.failure;
            let flushes = state.flushes.as_mut().ok_or(Error::Dead(failure))?;
            match flushes.reap() {
                Ok(()) => {
                    let Some((ticket, wants_notice)) = flushes.send() else {
                        return Ok(None);
                    };
                    if wants_notice {
                        transport::notify(&self.platform, self.notify_at, QUEUE);
                    }
                    return Ok(Some(Flight {
                        module: self,
                        ticket: Some(ticket),
                    }));
                }
                Err(failure) => failure,
            }
        };
        self.end(failure);
        Err(Error::Failed(failure))
    }

    /// Lets a moment pass, and looks whether the device is well.
    async fn turn(&self, watch: &mut Watch) -> Result<(), Error> {
        let failure = match watch.turn(&self.platform).await {
            Err(_) => Some(Failure::Timeout(Waiting::Request)),
            Ok(()) => Common(&self.platform).ailment(),
        };
        let Some(failure) = failure else {
            return Ok(());
        };
        // Another one may have ended it meanwhile: then the status says nothing new.
        Err(Error::Failed(self.end(failure)))
    }

    /// The device is out of use. Returns the reason, which is the first that was given.
    fn end(&self, failure: Failure) -> Failure {
        let flushes = {
            let mut state = self.state.lock();
            let Some(flushes) = state.flushes.take() else {
                return state.failure;
            };
            state.failure = failure;
            flushes
        };
        if !Common(&self.platform).stop() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            core::mem::forget(flushes);
        }
        failure
    }
}

impl<P: Platform> Drop for Module<P> {
    fn drop(&mut self) {
        self.end(Failure::ShutDown);
    }
}

/// A flush that somebody waits for.
struct Flight<'m, P: Platform> {
    module: &'m Module<P>,
    /// `None` once it is over: its slot may be another's by then.
    ticket: Option<Ticket>,
}

impl<P: Platform> Flight<'_, P> {
    /// What became of it, if it is over.
    fn look(&mut self) -> Option<Result<(), Error>> {
        let failure = {
            let mut state = self.module.state.lock();
            let failure = state.failure;
            let Some(flushes) = state.flushes.as_mut() else {
                return Some(Err(Error::Failed(failure)));
            };
            match flushes.reap() {
                Ok(()) => {
                    let result = flushes.take(self.ticket.as_ref()?)?;
                    self.ticket = None;
                    return Some(result);
                }
                Err(failure) => failure,
            }
        };
        Some(Err(Error::Failed(self.module.end(failure))))
    }
}

impl<P: Platform> Drop for Flight<'_, P> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take()
            && let Some(flushes) = &mut self.module.state.lock().flushes
        {
            flushes.abandon(&ticket);
        }
    }
}

/// From a device that is reset to where its memory is, and how many entries the queue is to have.
fn agree<P: Platform>(
    platform: &P,
    shared: Option<Phyr>,
    options: &Options,
) -> Result<(Phyr, u16), Failure> {
    let common = Common(platform);
    common.step(Step::Acknowledge)?;
    common.step(Step::Driver)?;
    let features = common.negotiate(&config::wishes())?;
    let memory = config::memory(platform, &features, shared)?;
    common.set_config_vector(None);
    let size = common.queue_size(QUEUE);
    let wanted = size.min(options.entries);
    if wanted < MIN_ENTRIES {
        return Err(Failure::QueueSize { queue: QUEUE, size });
    }
    // A split queue's size is a power of two, whatever the device says.
    Ok((memory, 1 << wanted.ilog2()))
}

/// Tells the device of its queue, and lets it go. Returns where it is notified.
fn start<P: Platform>(
    platform: &P,
    flushes: &Flushes<P::Shared>,
    notify: &Notify,
) -> Result<usize, Failure> {
    let common = Common(platform);
    let introduced = common.introduce(flushes.rings(), notify)?;
    platform.start_dma();
    common.step(Step::DriverOk)?;
    Ok(introduced.notify_at)
}
