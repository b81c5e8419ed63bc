//! Waking the other cores.
//!
//! The firmware leaves all cores but one halted, and lists them (ACPI, MADT). Each is reset and told
//! where to start (INIT, then a startup message; Intel SDM volume 3, section 9.4.4), comes through
//! the [`trampoline`] onto its own stack, sets up what each core has for itself, and takes part from
//! then on.
//!
//! One core comes at a time, so that there is one place for what it takes along. A core that does not
//! come is named and left out: it is put back into its reset, where it can do no harm, and the boot
//! goes on. So nothing the firmware lists can stop the machine.

use super::{CoreId, MAX_CORES, local, shootdown};
use crate::acpi::Cpu;
use crate::arch::gdt::Segments;
use crate::arch::stacks::{self, NoStacks, Stacks};
use crate::arch::trampoline::{self, Trampoline};
use crate::arch::{apic, cpu, exceptions, machine_check};
use crate::memory::identity::Identity;
use crate::memory::paging::MapError;
use crate::memory::usable_below_1_mib;
use crate::{executor, println, time};
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicPtr, Ordering};
use core::time::Duration;

/// Between the reset of a core and its start. Cores older than 64-bit mode would want longer.
const AFTER_INIT: Duration = Duration::from_micros(200);

/// Until the startup message is repeated: it can get lost.
const UNTIL_REPEATED: Duration = Duration::from_millis(20);

/// Until a core counts as one that does not come. On a host that is short of CPUs, a virtual core may
/// wait for seconds until it runs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a core does not take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// There are as many cores already as the kernel can use.
    TooMany,
    /// It has no stacks.
    Stacks(NoStacks),
    /// The local APIC cannot send to it.
    Unreachable(apic::IpiError),
    /// It did not start.
    Silent,
    /// It started, and then was not heard of again.
    Lost,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "the kernel uses {MAX_CORES} cores"),
            Self::Stacks(error) => error.fmt(f),
            Self::Unreachable(error) => error.fmt(f),
            Self::Silent => f.write_str("it does not start"),
            Self::Lost => f.write_str("it started and was not heard of again"),
        }
    }
}

/// Why no other core can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoTrampoline {
    /// No page of RAM below 1 MiB is free.
    NoPage,
    /// The page tables for the way could not be made.
    Tables(MapError),
}

impl fmt::Display for NoTrampoline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPage => f.write_str("there is no free RAM below 1 MiB to start them in"),
            Self::Tables(error) => write!(f, "their way into the kernel cannot be mapped: {error}"),
        }
    }
}

/// Starts all cores that the firmware lists, and waits until they take part. Returns those that were
/// tried and do not, by their APIC identifiers.
///
/// A core that takes part is never reset, however often it is listed.
///
/// Memory, clock and the boot core's APIC are ready; it runs on the boot core.
pub(crate) fn start_all(listed: &[Cpu]) -> Vec<(u32, Absent)> {
    let mut others = listed.iter().filter(|cpu| !is_here(cpu.apic_id)).peekable();
    if others.peek().is_none() {
        return Vec::new();
    }
    let trampoline = match place_trampoline() {
        Ok(trampoline) => trampoline,
        Err(error) => {
            println!("cores: {} cores stay off: {error}", others.count());
            return Vec::new();
        }
    };
    let mut absent: Vec<(u32, Absent)> = Vec::new();
    let mut patience = PATIENCE;
    for Cpu { apic_id } in listed.iter().copied() {
        // Looked at only now: it may be the twin of one that has come a moment ago.
        if is_here(apic_id) || absent.iter().any(|(tried, _)| *tried == apic_id) {
            continue;
        }
        let Err(reason) = start(apic_id, &trampoline, patience) else {
            continue;
        };
        println!("cores: the core with APIC id {apic_id} is left out: {reason}");
        absent.push((apic_id, reason));
        match reason {
            // A list of cores that do not exist must not hold up the boot for long.
            Absent::Silent => patience /= 2,
            // Nobody else can come; or one is on its way that may still use what all use to come.
            Absent::TooMany | Absent::Lost => {
                println!("cores: those that are listed after it are not started");
                break;
            }
            Absent::Stacks(_) | Absent::Unreachable(_) => {}
        }
    }
    let may_be_on_its_way =
        |(_, reason): &(u32, Absent)| matches!(reason, Absent::Silent | Absent::Lost);
    if absent.iter().any(may_be_on_its_way) {
        // Should it come after all, it finds code that halts it.
        core::mem::forget(trampoline);
    }
    absent
}

/// Whether the core of this APIC identifier takes part.
fn is_here(apic_id: u32) -> bool {
    super::online().any(|core| local::of(core).apic_id() == apic_id)
}

fn place_trampoline() -> Result<Trampoline, NoTrampoline> {
    let page = trampoline::place(usable_below_1_mib()).ok_or(NoTrampoline::NoPage)?;
    let tables = Identity::new(page).map_err(NoTrampoline::Tables)?;
    // SAFETY: the memory map calls the page free RAM, and the frame allocator leaves the first MiB
    // alone. The direct map has all RAM.
    Ok(unsafe { Trampoline::write(page, tables) })
}

/// The segments of the core that is being started.
static SEGMENTS: AtomicPtr<Segments> = AtomicPtr::new(core::ptr::null_mut());

/// Starts one core. `patience` is how long it may take.
fn start(apic_id: u32, trampoline: &Trampoline, patience: Duration) -> Result<CoreId, Absent> {
    // Numbers are not used twice: stacks of a lost core may be in use.
    let number = |core: &CoreId| stacks::of(*core).is_none();
    let core = (0..MAX_CORES).filter_map(CoreId::new).find(number);
    let core = core.ok_or(Absent::TooMany)?;
    let main = stacks::of(CoreId::BOOT).map_or(64 << 10, |boot| boot.main.len());
    let stacks = Stacks::allocate(main).map_err(Absent::Stacks)?;
    let stacks = stacks::note(core, stacks);
    let segments = Segments::make(stacks);
    SEGMENTS.store(core::ptr::from_ref(segments).cast_mut(), Ordering::Release);
    trampoline::offer(stacks.main, core.index());

    let has_come = || super::is_online(core);
    let attempt = || {
        apic::send_init(apic_id)?;
        wait_until(AFTER_INIT, || false);
        apic::send_startup(apic_id, trampoline.number())?;
        if !wait_until(UNTIL_REPEATED, has_come) {
            apic::send_startup(apic_id, trampoline.number())?;
        }
        Ok(wait_until(patience, has_come))
    };
    match attempt() {
        Ok(true) => Ok(core),
        Ok(false) if !trampoline::withdraw() => {
            // It has taken its stack. It may be slow.
            if wait_until(PATIENCE, has_come) {
                return Ok(core);
            }
            Err(Absent::Lost)
        }
        Ok(false) => {
            // The reset keeps it from starting later.
            let _ = apic::send_init(apic_id);
            Err(Absent::Silent)
        }
        Err(error) => {
            trampoline::withdraw();
            Err(Absent::Unreachable(error))
        }
    }
}

/// Waits until something has happened, but no longer than so long.
fn wait_until(longest: Duration, happened: impl Fn() -> bool) -> bool {
    let start = time::now();
    loop {
        if happened() {
            return true;
        }
        if time::now().saturating_sub(start) >= longest {
            return false;
        }
        core::hint::spin_loop();
    }
}

/// The first Rust that another core runs, on its own main stack. Interrupts are disabled.
pub(crate) extern "C" fn start_core(index: u64) -> ! {
    let core = CoreId::new(index as usize).expect("the number comes from `start`");
    // SAFETY: this core has taken the offer, and with it the number, that no other core has.
    unsafe { local::install(core) };
    let segments: *const Segments = SEGMENTS.load(Ordering::Acquire);
    // SAFETY: `start` has stored a reference that stays valid for ever.
    let segments = unsafe { &*segments };
    // SAFETY: they were made for the core with this offer.
    unsafe { segments.load() };
    exceptions::load();
    // The control registers came from the boot core, with the trampoline.
    cpu::set_page_attributes();
    machine_check::enable();
    apic::init_core();
    shootdown::join(core);
    x86_64::instructions::interrupts::enable();
    executor::run()
}
