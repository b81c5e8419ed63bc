//! Interrupt controllers: the local APIC of each core, and what feeds it.
//!
//! - [`registers`] says what is written where, as pure functions;
//! - [`bus`] reaches the registers, as memory (xAPIC) or as model-specific registers (x2APIC);
//! - [`local`](mod@local) drives the APIC of the core that runs: interrupts for other cores, the timer;
//! - [`timer`] knows how long a tick is;
//! - [`io`] turns the wires of old devices into messages.

pub mod bus;
pub mod io;
pub mod local;
pub mod registers;
pub mod timer;

pub use local::{IpiError, LocalApic};

#[cfg(phyros)]
pub use machine::{
    init, init_core, local, send_init, send_ipi, send_nmi, send_startup, timer_rate,
};

#[cfg(phyros)]
mod machine {
    use super::bus::{self, Hardware};
    use super::timer::Rate;
    use super::{IpiError, LocalApic, timer};
    use crate::cores::{self, CoreId};
    use spin::Once;

    static LOCAL: Once<LocalApic<Hardware>> = Once::new();
    static TIMER: Once<Option<Rate>> = Once::new();

    /// Finds the APIC, prepares that of the boot core, and measures its timer.
    ///
    /// Memory and the clock are there. Interrupts are still disabled.
    ///
    /// # Panics
    /// If the CPU's own APIC lies in RAM or cannot be mapped: such a machine cannot be woken.
    pub fn init() {
        LOCAL.call_once(|| match Hardware::open() {
            Ok(hardware) => LocalApic::new(hardware),
            Err(bus::OpenError::InRam(address)) => {
                panic!("the local APIC is said to be in RAM, at {address}")
            }
            Err(bus::OpenError::Map(error)) => panic!("the local APIC cannot be mapped: {error}"),
        });
        local().enable();
        cores::local().set_apic_id(local().id());
        TIMER.call_once(timer::measure);
    }

    /// Prepares the APIC of another core, which calls this itself. [`init`] was first.
    pub fn init_core() {
        bus::turn_on(local().mode());
        local().enable();
        cores::local().set_apic_id(local().id());
    }

    /// The APIC of the core that runs this.
    ///
    /// # Panics
    /// Before [`init`].
    #[inline]
    pub fn local() -> &'static LocalApic<Hardware> {
        LOCAL.get().expect("the local APIC is opened first")
    }

    /// The rate of every core's timer. `None` where the timer stands still.
    pub fn timer_rate() -> Option<Rate> {
        TIMER.get().copied().flatten()
    }

    /// Raises a vector on a core, this one or another.
    #[inline]
    pub fn send_ipi(to: CoreId, vector: u8) -> Result<(), IpiError> {
        local().send_fixed(cores::local_of(to).apic_id(), vector)
    }

    /// Sends the non-maskable interrupt to a core.
    pub fn send_nmi(to: CoreId) -> Result<(), IpiError> {
        local().send_nmi(cores::local_of(to).apic_id())
    }

    /// Resets the core of this APIC identifier. It has no [`CoreId`] yet.
    pub fn send_init(apic_id: u32) -> Result<(), IpiError> {
        local().send_init(apic_id)
    }

    /// Starts a core that was reset, at 4096 times `page`.
    pub fn send_startup(apic_id: u32, page: u8) -> Result<(), IpiError> {
        local().send_startup(apic_id, page)
    }
}
