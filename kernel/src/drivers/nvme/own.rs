//! Memory that a controller has, given out to whoever wants to do I/O with it.
//!
//! - `nvme0cmb` is the controller memory buffer. The controller is told where it is on the bus, so that it
//!   takes these addresses for its own and does not go out to the bus for them. Behind an IOMMU that is where
//!   the IOMMU shows it ([`with_own_memory`]).
//! - `nvme0pmr` is the persistent memory region, switched on.
//!
//! What a controller says of its memory may be anything, so it is checked against its base address
//! registers. What does not hold is said on the console, and that memory is nobody's.

use super::hub::Controller;
use crate::dma::{Domain, with_own_memory};
use crate::lock::Mutex;
use crate::memory::regions::{self, Kind, Persist, PersistError, Persisting, Provider};
use crate::pci::device::{BarPart, Bars, DeviceError};
use crate::pci::ecam::Ecam;
use crate::println;
use crate::storage::Name;
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use phyr::{DmaRange, Phyr};

/// What a controller has of its own, for as long as the controller is there.
#[derive(Default)]
pub(super) struct Own {
    providers: Vec<Arc<Provider>>,
    /// What the controller takes for its own memory, if it has been told of any.
    buffer: Option<DmaRange>,
    /// Who is asked whether something lasts.
    lasting: Option<Arc<Lasting>>,
}

/// A controller that says whether its persistent memory is in order, for as long as it is there.
struct Lasting(Mutex<Option<Controller>>);

impl Persist for Lasting {
    fn persist(&self) -> Persisting<'_> {
        Box::pin(async {
            let is_in_order = self.0.lock().as_ref().map(Controller::persist);
            match is_in_order {
                Some(true) => Ok(()),
                Some(false) => Err(PersistError::Device(NOT_IN_ORDER.into())),
                None => Err(PersistError::Revoked),
            }
        })
    }
}

const NOT_IN_ORDER: &str = "the controller says that its persistent memory is not in order";

impl Own {
    /// Opens what there is. Not the memory buffer if it `is_taken`: where queues lie in it. Where the controller
    /// is behind an IOMMU, `domain` becomes one that knows the buffer.
    pub(super) async fn open(
        bars: &Bars<Ecam>,
        controller: &Controller,
        hub: &str,
        is_taken: bool,
        domain: &mut Domain,
    ) -> Self {
        let mut own = Self::default();
        if let Some(memory) = controller.memory_buffer().filter(|_| !is_taken) {
            let name = Name::or_next(&format!("{hub}cmb"));
            if let Some(phyr) = own.offer(bars, memory, name, Kind::Controller)
                && phyr.is_aligned(4096)
            {
                own.tell(controller, phyr, domain);
            }
        }
        if let Some(memory) = controller.enable_persistent_memory().await {
            let name = Name::or_next(&format!("{hub}pmr"));
            let offered = own.offer(bars, memory, name, Kind::Persistent);
            if let Some(provider) = own.providers.last().filter(|_| offered.is_some()) {
                let lasting = Arc::new(Lasting(Mutex::new(Some(controller.clone()))));
                provider.lasts_by(lasting.clone());
                own.lasting = Some(lasting);
            }
        }
        own
    }

    /// Tells the controller where its buffer is on the bus.
    fn tell(&mut self, controller: &Controller, phyr: Phyr, domain: &mut Domain) {
        let bus = if domain.is_direct() {
            // The bus address of a base address register is its physical one.
            phyr.to_same_bus_range()
        } else {
            // SAFETY: it is the provider's that has just been made; its claim is kept by the controller's
            // driver, which the domain does not outlive.
            match unsafe { with_own_memory(domain, phyr) } {
                Ok((bus, with)) => {
                    *domain = with;
                    bus
                }
                Err(error) => {
                    println!("a controller does not reach its own buffer: {error}");
                    if let Some(unreached) = self.providers.pop() {
                        regions::remove(&unreached);
                    }
                    return;
                }
            }
        };
        controller.open_memory_buffer(bus.addr());
        self.buffer = Some(bus);
    }

    /// Gives out a piece of memory. Returns where it is, if it is where the controller says.
    fn offer(
        &mut self,
        bars: &Bars<Ecam>,
        memory: nvme::OwnMemory,
        name: Name,
        kind: Kind,
    ) -> Option<Phyr> {
        if !(memory.takes_data && memory.gives_data) {
            return None;
        }
        let part = match (memory.offset, memory.bytes) {
            (offset, Some(len)) => BarPart::Bytes { offset, len },
            (0, None) => BarPart::All,
            (_, None) => return None,
        };
        // The registers and the doorbells are at the start of register 0.
        let opened = match memory.bar {
            0 => Err(DeviceError::NotInside(0)),
            // SAFETY: the specification says that it is memory, for data; this driver keeps nothing there.
            bar => unsafe { bars.memory(bar, part, name, kind) },
        };
        match opened {
            Ok(provider) => {
                let phyr = provider.phyr();
                regions::add(provider.clone());
                self.providers.push(provider);
                Some(phyr)
            }
            Err(error) => {
                println!("{kind} of a controller is not used: {error}");
                None
            }
        }
    }

    /// What the controller takes for its own memory. A command must not have data in it and
    /// elsewhere, too.
    #[inline]
    pub(super) fn buffer(&self) -> Option<DmaRange> {
        self.buffer
    }

    /// Nobody finds it any more.
    pub(super) fn hide(&self) {
        self.providers.iter().for_each(regions::remove);
    }

    /// Takes all of it back, and waits until it is in use no more.
    pub(super) async fn take_back(&self) {
        for provider in &self.providers {
            provider.revoke().await;
        }
        if let Some(lasting) = &self.lasting {
            drop(lasting.0.lock().take());
        }
    }
}
