//! A guest: its memory, its processor, and the time that it gets.

use super::confinement;
use super::enter::Context;
use super::exit::{Event, Exit, GuestAddr, Reason};
use super::ram::Ram;
use super::support::{self, Ready, Unsupported};
use super::vmcb::Vmcb;
use crate::memory::frames::window;
use crate::memory::mapping::TableFrames;
use crate::memory::paging::{Features, LeafCount, MapError, NestedTables};
use crate::memory::window::DirectMap;
use core::fmt;
use embassy_futures::yield_now;
use embassy_time::{Duration, Instant};
use phyr::PhyrList;
use x86_64::instructions::interrupts;

/// How long a guest runs before the core's other tasks have their turn, in microseconds.
const TURN: u64 = 1000;

/// A processor of 32 bits without paging reaches no more.
const MOST: u64 = 1 << 32;

/// Why there is no guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestError {
    /// The machine cannot run guests.
    Unsupported(Unsupported),
    /// The memory cannot be mapped for it.
    Map(MapError),
    /// The memory, or the entry, lies beyond what its processor could reach, 4 GiB.
    Unreachable,
}

impl fmt::Display for GuestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(reason) => reason.fmt(f),
            Self::Map(error) => error.fmt(f),
            Self::Unreachable => f.write_str("a guest reaches no more than 4 GiB"),
        }
    }
}

impl core::error::Error for GuestError {}

/// A guest that has its memory, and does not run.
#[derive(Debug)]
pub struct Guest<R: Ram> {
    processor: Processor,
    ram: R,
}

/// A guest without its memory: what is left when a device has that.
///
/// It cannot run, because it is no [`Guest`] any more:
///
/// ```
/// # use kernel::{hypervisor::Guest, memory::frames::Frames};
/// # use embassy_time::Duration;
/// async fn join_and_run(guest: Guest<Frames>) {
///     let (processor, ram) = guest.split();
///     let mut guest = processor.join(ram).unwrap();
///     let _ = guest.run(Duration::from_secs(1)).await;
/// }
/// ```
///
/// ```compile_fail,E0599
/// # use kernel::{hypervisor::Guest, memory::frames::Frames};
/// # use embassy_time::Duration;
/// async fn split_and_run(guest: Guest<Frames>) {
///     let (mut processor, ram) = guest.split();
///     let _ = processor.run(Duration::from_secs(1)).await;
/// }
/// ```
///
/// ```compile_fail,E0382
/// # use kernel::{hypervisor::Guest, memory::frames::Frames};
/// # use embassy_time::Duration;
/// async fn run_what_was_split(mut guest: Guest<Frames>) {
///     let (processor, ram) = guest.split();
///     let _ = guest.run(Duration::from_secs(1)).await;
/// }
/// ```
#[derive(Debug)]
pub struct Processor {
    context: Context,
    tables: NestedTables<DirectMap, TableFrames>,
    /// What the tables map.
    memory: PhyrList,
    /// Nothing but an answer lets a guest go on.
    end: Option<Exit>,
}

impl<R: Ram> Guest<R> {
    /// A guest that has `ram` from its address 0 on, and is to start at `entry`.
    ///
    /// # Errors
    /// Why not, and the memory.
    pub fn new(ram: R, entry: GuestAddr) -> Result<Self, (GuestError, R)> {
        match Processor::new(&ram, entry) {
            Ok(processor) => Ok(Self { processor, ram }),
            Err(error) => Err((error, ram)),
        }
    }

    /// The memory. What is at the guest's address 0 comes first.
    pub fn ram(&self) -> &R {
        &self.ram
    }

    /// The bytes of the memory, to be changed.
    pub fn ram_mut(&mut self) -> &mut [u8] {
        self.ram.bytes_mut()
    }

    /// How many leaves of each size map the memory.
    pub fn leaves(&self) -> LeafCount {
        self.processor.tables.leaves()
    }

    /// Takes the memory out of the guest, to give it to a device.
    pub fn split(self) -> (Processor, R) {
        (self.processor, self.ram)
    }

    // ANCHOR: run
    /// Lets the guest run until it answers, or for `time`. It goes on where it stopped.
    ///
    /// The core's other tasks go on as well: an interrupt stops the guest, and so does a timer.
    ///
    /// # Errors
    /// If this core cannot run guests.
    pub async fn run(&mut self, time: Duration) -> Result<Exit, Unsupported> {
        let processor = &mut self.processor;
        if let Some(end) = processor.end {
            return Ok(end);
        }
        let ready = support::ready()?;
        let until = Instant::now().checked_add(time).unwrap_or(Instant::MAX);
        loop {
            // SAFETY: `self` has the memory, borrowed exclusively.
            unsafe { processor.enter(&ready, until) };
            let reason = match processor.context.report().event() {
                Event::Stopped(reason) => reason,
                Event::MachineCheck => raise_machine_check(),
                Event::Interrupted if Instant::now() >= until => Reason::OutOfTime,
                Event::Interrupted => {
                    yield_now().await;
                    continue;
                }
            };
            return Ok(processor.stopped(reason));
        }
    }
    // ANCHOR_END: run
}

impl Processor {
    fn new(ram: &impl Ram, entry: GuestAddr) -> Result<Self, GuestError> {
        let ready = support::ready().map_err(GuestError::Unsupported)?;
        confinement::check(&ready).map_err(GuestError::Unsupported)?;
        let memory = ram.phyrs().map_err(GuestError::Map)?;
        if memory.bytes() > MOST || entry.get() >= MOST {
            return Err(GuestError::Unreachable);
        }
        let tables = NestedTables::new(window(), TableFrames, Features::detect());
        let mut tables = tables.map_err(GuestError::Map)?;
        for phyr in memory.iter() {
            // SAFETY: whoever uses the tables has the memory: `Guest::run` does.
            unsafe { tables.append(phyr) }.map_err(GuestError::Map)?;
        }
        let vmcb = Vmcb::new(tables.root(), ready.all, entry.get());
        Ok(Self {
            context: Context::new(vmcb),
            tables,
            memory,
            end: None,
        })
    }

    /// Gives the guest its memory back.
    ///
    /// # Errors
    /// If it is not that which it had: both.
    #[expect(
        clippy::result_large_err,
        reason = "nothing may be lost, and nobody joins often"
    )]
    pub fn join<R: Ram>(self, ram: R) -> Result<Guest<R>, (Self, R)> {
        match ram.phyrs() {
            Ok(memory) if memory == self.memory => Ok(Guest {
                processor: self,
                ram,
            }),
            _ => Err((self, ram)),
        }
    }

    /// Lets the guest run until something stops it; the timer does after a turn at the latest.
    ///
    /// # Safety
    /// The caller has the guest's memory.
    unsafe fn enter(&mut self, ready: &Ready, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        // The interrupt must not come before the guest runs: it would be taken, and nothing would stop
        // the guest any more.
        interrupts::disable();
        ready.timer.arm(left.as_micros().min(TURN));
        // SAFETY: the core is ready; the tables map what the caller has.
        unsafe { self.context.enter() };
        ready.timer.stop();
    }

    /// What a stop means for what comes next.
    fn stopped(&mut self, reason: Reason) -> Exit {
        let at = self.context.at();
        let exit = Exit { at, reason };
        if matches!(reason, Reason::Answer(_)) {
            self.context.skip_call();
        } else {
            self.end = Some(exit);
        }
        exit
    }
}

/// The hardware has failed while a guest ran. It is for the machine-check handler to say how.
fn raise_machine_check() -> ! {
    // SAFETY: the handler reports, and ends the machine.
    unsafe { core::arch::asm!("int 18") };
    unreachable!("a machine check is the end")
}
