//! A device of any kind: from whatever state it was in to one that runs, and back there after a failure.
//!
//! The order is the specification's (section 3.1.1). What differs from kind to kind is which features
//! are implemented and what the configuration says: a [`Kind`]. What a device's queues carry is no
//! affair of this module. It knows each as a [`Member`]: where its rings are, and the link over which
//! it is told what to do.

mod one_queue;
mod recovery;
mod shared;

pub use shared::Options;
pub(crate) use shared::{Member, SCANS, Shared, State};

use crate::error::{ConfigError, Error, Failure};
use crate::link::Order;
use crate::platform::Platform;
use crate::transport::{Accepted, Common, Negotiation, Notify, Step};
use alloc::sync::Arc;
use alloc::vec::Vec;
use atomic_waker::AtomicWaker;
use core::future::poll_fn;
use core::sync::atomic::Ordering;
use core::task::Poll;
use virtio_spec::FeatureBits;

/// A kind of device.
pub(crate) trait Kind {
    /// Its feature bits.
    type Features: FeatureBits + Copy + PartialEq;
    /// What its configuration says.
    type Properties: Copy;
    /// What lasts over a reset: what was asked of the device, and what its queues look at on their way.
    type Standing: Default;

    /// The features that the driver implements.
    fn wishes() -> Negotiation<Self::Features>;

    /// Reads the configuration, once: it may change meanwhile.
    fn read_once(
        config: &impl crate::platform::Registers,
        accepted: &Accepted<Self::Features>,
    ) -> Result<Self::Properties, ConfigError>;

    /// What else is known of a device that has so many queues.
    fn with_queues(properties: Self::Properties, queues: u16) -> Self::Properties;

    /// Whether a device that says this now can go on where one that said `before` was.
    fn continues(now: &Self::Properties, before: &Self::Properties) -> bool;

    /// Asks a device that is as new once more for what was asked of it before. Behind the lock.
    fn renew(
        _standing: &Self::Standing,
        _config: &impl crate::platform::Registers,
        _properties: &mut Self::Properties,
    ) {
    }

    /// Takes notice of what the configuration says now. Behind the lock, and the rest was read before it: so what the
    /// driver itself changes is read once more.
    fn notice(
        _standing: &Self::Standing,
        _config: &impl crate::platform::Registers,
        _properties: &mut Self::Properties,
    ) {
    }
}

/// Times that the configuration is read anew because it changed meanwhile.
const ATTEMPTS: usize = 16;

/// Reads the configuration of a device that has accepted these features, until it stands still.
pub(crate) fn read<P: Platform, K: Kind>(
    platform: &P,
    accepted: &Accepted<K::Features>,
) -> Result<K::Properties, Failure> {
    let common = Common(platform);
    for _ in 0..ATTEMPTS {
        let before = common.generation();
        let read = K::read_once(platform.config(), accepted);
        if common.generation() == before {
            let properties = read.map_err(Failure::Config)?;
            return Ok(K::with_queues(properties, common.queues()));
        }
    }
    Err(Failure::Config(ConfigError::Unsteady))
}

/// What a device and its driver agree on.
type Agreed<K> = (
    Accepted<<K as Kind>::Features>,
    u32,
    <K as Kind>::Properties,
);

/// From a device that is reset to features and properties.
pub(crate) fn agree<P: Platform, K: Kind>(
    platform: &P,
    options: &Options,
) -> Result<Agreed<K>, Failure> {
    let common = Common(platform);
    common.step(Step::Acknowledge)?;
    common.step(Step::Driver)?;
    let features = common.negotiate(&K::wishes().without(options.avoid))?;
    let generation = common.generation();
    let properties = read::<P, K>(platform, &features)?;
    common.set_config_vector(options.config_vector);
    Ok((features, generation, properties))
}

impl<P: Platform, K: Kind> Shared<P, K> {
    /// Resets a device and agrees with it on features.
    pub(crate) async fn open(
        platform: P,
        notify: Notify,
        options: Options,
    ) -> Result<Arc<Self>, Error> {
        // Whatever firmware has told it: not before it has forgotten that.
        platform.stop_dma();
        let agreed = match Common(&platform).reset().await {
            Ok(()) => agree::<P, K>(&platform, &options),
            Err(failure) => Err(failure),
        };
        let (features, generation, mut properties) = match agreed {
            Ok(agreed) => agreed,
            Err(failure) => {
                let _ = Common(&platform).step(Step::Reset);
                return Err(Error::Failed(failure));
            }
        };
        let standing = K::Standing::default();
        K::notice(&standing, platform.config(), &mut properties);
        let state = State {
            properties,
            features,
            generation,
            queues: 0,
            members: Vec::new(),
            trouble: None,
            sick: Vec::new(),
            reason: Failure::Reset,
            is_live: false,
            is_dead: false,
            resets: 0,
            queue_resets: 0,
        };
        Ok(Arc::new(Self {
            platform,
            notify,
            options,
            state: crate::lock::Mutex::new(state),
            standing,
            service: AtomicWaker::new(),
            is_nudged: false.into(),
            watcher: AtomicWaker::new(),
            changes: 0.into(),
            lost: 0.into(),
        }))
    }

    /// Entries that a queue of this number is to have: a power of two, not fewer than `least`.
    pub(crate) fn entries(&self, queue: u16, least: u16) -> Result<u16, Failure> {
        let size = self.common().queue_size(queue);
        let wanted = size.min(self.options.entries);
        match wanted < least {
            true => Err(Failure::QueueSize { queue, size }),
            // A split queue's size is a power of two, whatever the device says.
            false => Ok(1 << wanted.ilog2()),
        }
    }

    /// Tells the device of its queues, and lets it go.
    pub(crate) async fn start(&self) -> Result<(), Error> {
        match self.introduce_all() {
            Ok(()) => {
                self.state.lock().is_live = true;
                self.order(Order::Live).await;
                Ok(())
            }
            Err(failure) => {
                self.give_up(failure).await;
                Err(Error::Failed(failure))
            }
        }
    }

    /// Resets the device, and waits until it is back.
    pub(crate) async fn reset(&self) -> Result<(), Error> {
        let resets = self.resets();
        self.report(Failure::Reset);
        self.until(|state| state.is_dead || state.resets != resets)
            .await;
        match self.failure() {
            Some(failure) => Err(Error::Dead(failure)),
            None => Ok(()),
        }
    }

    /// Ends the use of the device.
    pub(crate) async fn shutdown(&self) {
        self.report(Failure::ShutDown);
        self.until(|state| state.is_dead).await;
    }

    pub(crate) async fn until(&self, is_so: impl Fn(&State<K>) -> bool) {
        let period = self.options.scan_microseconds().min(10_000);
        while !is_so(&self.state.lock()) {
            self.platform.pause(period).await;
        }
    }

    /// Resolves when something has changed since `seen`. One task may wait for that.
    pub(crate) async fn until_changed(&self, seen: u64) -> u64 {
        poll_fn(|cx| {
            self.watcher.register(cx.waker());
            match self.changes.load(Ordering::Acquire) {
                now if now == seen => Poll::Pending,
                now => Poll::Ready(now),
            }
        })
        .await
    }

    /// Why the device is out of use, if it is.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let state = self.state.lock();
        state.is_dead.then_some(state.reason)
    }

    /// Times that it was reset and came back.
    pub(crate) fn resets(&self) -> u64 {
        self.state.lock().resets
    }
}
