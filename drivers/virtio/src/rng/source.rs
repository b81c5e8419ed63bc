//! A device that fills memory with random bytes.

use crate::error::{DeviceError, Error, Failure};
use crate::memory::{Access, Memory};
use crate::options::Options;
use crate::plain::{LanePlan, Pieces, Plain, Plan};
use crate::platform::Platform;
use crate::transport::{Negotiation, Notify};
use alloc::vec;
use virtio_spec::F;

/// The only queue.
const QUEUE: u16 = 0;

/// Most pieces of a request. QEMU's queue has eight entries.
const PIECES: u16 = 4;

/// An entropy device. Requests own memory of the type `D` until it is done. Dropping it stops the device.
pub struct Source<P: Platform, D> {
    plain: Plain<P, D>,
}

/// Memory of which the front is random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled<D> {
    /// The memory.
    pub data: D,
    /// How many bytes the device says that it has written: at least one, and no more than there are.
    pub bytes: u32,
}

/// A request that has failed. The memory may have any content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfilled<D> {
    /// The memory, unless the device may still write there. Then it is lost.
    pub data: Option<D>,
    /// Why.
    pub error: Error,
}

impl<P: Platform, D: Memory> Source<P, D> {
    /// Resets a device, agrees with it on features, and lets it go. `notify` is the block of
    /// [`Platform::notify`].
    ///
    /// # Errors
    /// [`Error::Failed`], with what is wrong, or [`Error::OutOfMemory`]. The device is left reset, and
    /// without a way to memory.
    pub async fn new(platform: P, notify: Notify, options: Options) -> Result<Self, Error> {
        let wishes = Negotiation::new(F::ACCESS_PLATFORM, F::empty());
        let plan = |_: &P, _: &_| {
            let lane = LanePlan {
                queue: QUEUE,
                entries: options.entries,
                pieces: PIECES,
            };
            Ok(Plan {
                lanes: vec![lane],
                known: (),
            })
        };
        let made = Plain::new(platform, &notify, options.timeout, &wishes, plan).await;
        made.map(|(plain, ())| Self { plain })
    }

    /// Fills the front of `data`, as far as the device likes. Dropping that leaves the memory to the device, and
    /// it is given back by a later call.
    ///
    /// # Errors
    /// [`RequestError::Pieces`](crate::RequestError::Pieces) and
    /// [`RequestError::Access`](crate::RequestError::Access), if the memory does not suit, or what became of the
    /// device. The memory may have any content.
    pub async fn fill(&self, data: D) -> Result<Filled<D>, Unfilled<D>> {
        let most = self.plain.most_pieces(0);
        let pieces = match Pieces::of(&data, Access::FromDevice, most) {
            Ok(pieces) => pieces,
            Err(error) => {
                return Err(Unfilled {
                    data: Some(data),
                    error: Error::Request(error),
                });
            }
        };
        match self.plain.ask(0, &pieces, data, drop).await {
            Ok((data, 0)) => Err(Unfilled {
                data: Some(data),
                error: Error::Device(DeviceError::Short { written: 0 }),
            }),
            Ok((data, bytes)) => Ok(Filled { data, bytes }),
            Err((error, data)) => Err(Unfilled { data, error }),
        }
    }

    /// Ends the use of the device: it is left reset, and without a way to memory.
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
}
