//! The CPU: its protection features, its descriptor tables, its exceptions, its interrupts.

pub mod apic;
pub mod backtrace;
pub mod cpu;
#[cfg(phyros)]
pub mod exceptions;
#[cfg(phyros)]
pub mod gdt;
#[cfg(phyros)]
mod idt;
#[cfg(all(phyros, feature = "vm-tests"))]
pub mod probe;
#[cfg(phyros)]
pub mod stacks;
pub mod vectors;
