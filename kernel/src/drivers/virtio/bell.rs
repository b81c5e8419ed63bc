//! What interrupts a core for a queue: a message of the device's, its wire, or a line that it shares.
//!
//! # The problem
//!
//! A PCI device has a table of messages, one for each queue if there are enough. A device without a bus has one wire, for all
//! its queues and for changes of its configuration. The wire stays up until the device is told that it was heard, and
//! vectors of devices run no Rust: nobody can tell it before the vector is acknowledged.
//!
//! # The idea
//!
//! The wire's input of the I/O APIC takes notice of edges only. So a wire that stays up interrupts once.
//! Whoever looks at the queue next has the device let it fall ([`Bell::take_rung`]), and then looks once more. What the device
//! has done before that is seen by that look; what it does later raises the wire anew, which is an edge.
//! Nothing is lost, and no interrupt comes twice.
//!
//! A PCI device without messages shares its line. Who hears it has asked the device already, and tells the
//! cores: see [`intx`](super::intx).

use super::intx::{Ear, Intx};
use super::platform::Registers;
use crate::cores::CoreId;
use crate::interrupts::{self, Interrupt, LegacyError};
use crate::lock::Mutex;
use crate::pci::ecam::Ecam;
use crate::pci::msix::Msix;
use alloc::sync::Arc;
use core::cell::Cell;
use core::future::{pending, poll_fn};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Poll;
use embassy_sync::waitqueue::AtomicWaker;
use virtio::transport::mmio;

/// What a device interrupts by. Clones are the same.
#[derive(Clone)]
pub(super) enum Messages {
    /// A table, of which each queue has an entry.
    Table(Arc<Msix<Ecam>>),
    /// One wire for all.
    Wire(Arc<Wire>),
    /// One line for all, and for other devices.
    Line(Arc<Intx>),
}

impl Messages {
    /// Queues that can interrupt cores of their own.
    pub(super) fn cores(&self) -> usize {
        match self {
            Self::Table(_) | Self::Line(_) => usize::MAX,
            Self::Wire(_) => 1,
        }
    }

    /// Lets an entry interrupt a core. `None` if there is no such entry, or it cannot reach the core.
    pub(super) fn bell(&self, entry: u16, core: CoreId) -> Option<Bell> {
        let kind = match self {
            Self::Table(table) => {
                let interrupt = Interrupt::allocate(core);
                table.route(entry, &interrupt).ok()?;
                Kind::Entry(interrupt, table.clone())
            }
            Self::Wire(wire) if entry == 0 => Kind::Wire(wire.take(core)?, wire.clone()),
            Self::Wire(_) => return None,
            Self::Line(line) => Kind::Line(line.clone(), Cell::new(line.calls())),
        };
        Some(Bell { kind, entry })
    }
}

/// The wire of a device without a bus.
pub(super) struct Wire {
    /// What it is up for.
    registers: Registers,
    /// Until a queue has it.
    interrupt: Mutex<Option<Interrupt>>,
    pub(super) changes: Changes,
}

impl Wire {
    /// The wire at this input of all I/O APICs.
    ///
    /// # Errors
    /// Why the device must be polled.
    pub(super) fn new(registers: Registers, input: u32) -> Result<Self, LegacyError> {
        Ok(Self {
            registers,
            interrupt: Mutex::new(Some(interrupts::wired(input)?)),
            changes: Changes::new(),
        })
    }

    fn take(&self, core: CoreId) -> Option<Interrupt> {
        let mut interrupt = self.interrupt.lock();
        interrupt.take_if(|interrupt| interrupt.core() == core)
    }

    /// Lets it fall.
    fn acknowledge(&self) {
        const CONFIGURATION: u32 = 2;
        if mmio::acknowledge(&self.registers) & CONFIGURATION != 0 {
            self.changes.tell();
        }
    }
}

/// That the configuration has changed, and nobody has looked yet.
pub(super) struct Changes {
    has_changed: AtomicBool,
    /// Who looks then.
    watcher: AtomicWaker,
}

impl Changes {
    pub(super) const fn new() -> Self {
        Self {
            has_changed: AtomicBool::new(false),
            watcher: AtomicWaker::new(),
        }
    }

    pub(super) fn tell(&self) {
        self.has_changed.store(true, Ordering::Release);
        self.watcher.wake();
    }

    /// Resolves when there was a change since the last time. One task may wait for that.
    pub(super) async fn heard(&self) {
        poll_fn(|cx| {
            self.watcher.register(cx.waker());
            match self.has_changed.swap(false, Ordering::AcqRel) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }
}

/// What interrupts a core for a queue.
pub(super) struct Bell {
    kind: Kind,
    entry: u16,
}

enum Kind {
    Entry(Interrupt, Arc<Msix<Ecam>>),
    Wire(Interrupt, Arc<Wire>),
    /// How often the device had called at the last look.
    Line(Arc<Intx>, Cell<u32>),
}

/// Whether a bell has rung since the last look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rung {
    No,
    Yes,
    /// Yes, and only what is seen from here on is all that it has rung for: look at the queue once more.
    LookAgain,
}

impl Bell {
    /// The entry, which is what the device is told.
    pub(super) fn entry(&self) -> u16 {
        self.entry
    }

    /// Whether it has rung since the last look at it. A wire falls by this.
    #[inline]
    pub(super) fn take_rung(&self) -> Rung {
        match &self.kind {
            Kind::Entry(interrupt, _) => match interrupt.take_raised() {
                true => Rung::Yes,
                false => Rung::No,
            },
            Kind::Wire(interrupt, wire) => {
                if !interrupt.take_raised() {
                    return Rung::No;
                }
                wire.acknowledge();
                Rung::LookAgain
            }
            // The line has fallen before the count went up.
            Kind::Line(line, seen) => {
                let calls = line.calls();
                match seen.replace(calls) == calls {
                    true => Rung::No,
                    false => Rung::LookAgain,
                }
            }
        }
    }

    /// What a task of the queue's core must hear, so that the core is woken. `None` if the core is interrupted itself.
    pub(super) fn ear(&self) -> Option<Ear> {
        match &self.kind {
            Kind::Entry(..) | Kind::Wire(..) => None,
            Kind::Line(line, _) => Some(Ear::new(line)),
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        // The interrupt of a wire masks its input itself. An entry that was routed exists.
        if let Kind::Entry(_, table) = &self.kind {
            let _ = table.mask(self.entry);
        }
    }
}

/// Keeps a core from sleeping through what an ear hears. For ever.
pub(super) async fn listen(ear: Option<Ear>) {
    match ear {
        Some(ear) => ear.listen().await,
        None => pending().await,
    }
}
