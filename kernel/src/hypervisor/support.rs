//! Whether the CPU can run guests, and what it takes to begin (AMD APM vol. 2, §15.4 and §15.30).

use super::turn::Timer;
use crate::memory::frames::{self, Frames};
use crate::memory::window::PAGE;
use core::arch::x86_64::__cpuid;
use core::fmt;
use core::marker::PhantomData;
use phyr::PhysAddr;
use spin::Once;
use x86_64::registers::model_specific::{Efer, EferFlags, Msr};

/// Why no guest can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// The CPU has no SVM. It may have VMX, Intel's way to do the same, which is not supported.
    NoSvm,
    /// Firmware has turned SVM off, for good.
    Disabled,
    /// The CPU has SVM without nested paging.
    NoNestedPaging,
    /// The core has no timer, so nothing would end a guest that loops.
    NoTimer,
    /// There is no memory for what the CPU needs.
    OutOfMemory,
    /// The CPU lets guests out of their memory: a fault of an emulator.
    NotConfined,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSvm => "this CPU has no SVM, so it can run no guests",
            Self::Disabled => "firmware has turned SVM off",
            Self::NoNestedPaging => "this CPU has SVM, but no nested paging",
            Self::NoTimer => "without a timer nothing ends a guest that loops",
            Self::OutOfMemory => "no memory to run guests",
            Self::NotConfined => "this CPU lets guests out of their memory",
        })
    }
}

impl core::error::Error for Unsupported {}

/// The running core can run guests. It is not `Send`: another core has to say so itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// 12 KiB of ones: a permission map that permits nothing.
    pub(super) all: PhysAddr,
    /// Of the timer that ends a guest's turn.
    pub(super) timer: Timer,
    _here: PhantomData<*const ()>,
}

/// The fields of CPUID that matter.
#[derive(Clone, Copy)]
struct Abilities {
    svm: bool,
    nested_paging: bool,
}

impl Abilities {
    fn detect() -> Self {
        let highest = __cpuid(0x8000_0000).eax;
        let svm = highest >= 0x8000_000a && __cpuid(0x8000_0001).ecx & 1 << 2 != 0;
        let nested_paging = svm && __cpuid(0x8000_000a).edx & 1 << 0 != 0;
        Self { svm, nested_paging }
    }
}

/// Prepares the running core, if it has not been.
pub(super) fn ready() -> Result<Ready, Unsupported> {
    let abilities = Abilities::detect();
    if !abilities.svm {
        return Err(Unsupported::NoSvm);
    }
    if !abilities.nested_paging {
        return Err(Unsupported::NoNestedPaging);
    }
    let ready = Ready {
        all: permission_map()?,
        timer: Timer::find().ok_or(Unsupported::NoTimer)?,
        _here: PhantomData,
    };
    if !Efer::read().contains(EferFlags::SECURE_VIRTUAL_MACHINE_ENABLE) {
        turn_on()?;
    }
    Ok(ready)
}

/// Turns SVM on, on the running core.
fn turn_on() -> Result<(), Unsupported> {
    const VM_CR: u32 = 0xc001_0114;
    const SVM_DISABLE: u64 = 1 << 4;
    /// Where the core keeps the host's state.
    const VM_HSAVE_PA: u32 = 0xc001_0117;

    // SAFETY: a CPU that has SVM has the register, and reading it has no effect.
    if unsafe { Msr::new(VM_CR).read() } & SVM_DISABLE != 0 {
        return Err(Unsupported::Disabled);
    }
    let area = Frames::zeroed(PAGE).map_err(|_| Unsupported::OutOfMemory)?;
    // SAFETY: it only makes instructions valid that nobody else uses.
    unsafe { Efer::update(|flags| flags.insert(EferFlags::SECURE_VIRTUAL_MACHINE_ENABLE)) };
    // The core has the page from here on.
    let area = frames::leak(area);
    // SAFETY: the page is RAM that nobody else has.
    unsafe { Msr::new(VM_HSAVE_PA).write(area.addr().get()) };
    Ok(())
}

/// A map for ports (12 KiB) and model-specific registers (8 KiB) in which all bits are set. One
/// serves both, for all guests.
fn permission_map() -> Result<PhysAddr, Unsupported> {
    static MAP: Once<Frames> = Once::new();
    let map = MAP.try_call_once(|| {
        let mut map = Frames::allocate(3 * PAGE).map_err(|_| Unsupported::OutOfMemory)?;
        map.bytes_mut().fill(0xff);
        Ok(map)
    })?;
    Ok(map.phyr().addr())
}
