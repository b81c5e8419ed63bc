//! The CPU: its protection features, its descriptor tables, its exceptions, its interrupts.

pub mod apic;
pub mod backtrace;
pub mod cpu;
#[cfg(phyros)]
pub mod exceptions;
#[cfg(phyros)]
pub(crate) mod flush;
#[cfg(phyros)]
pub mod gdt;
#[cfg(phyros)]
mod idt;
#[cfg(phyros)]
pub(crate) mod interrupts;
pub mod machine_check;
#[cfg(phyros)]
pub(crate) mod pic;
#[cfg(all(phyros, feature = "vm-tests"))]
pub mod probe;
#[cfg(phyros)]
pub mod ring3;
#[cfg(phyros)]
pub mod stacks;
#[cfg(all(phyros, feature = "vm-tests"))]
pub mod storm;
#[cfg(phyros)]
pub(crate) mod trampoline;
pub mod vectors;
