//! INTx: functions that interrupt by a line which they share, because they have no messages.
//!
//! # The problem
//!
//! A function raises its line, holds it for as long as it asks, and shares it with others (PCI Local Bus specification 3.0, section
//! 2.2.6). Which input of which I/O APIC the line leads to is said by a program in ACPI's description of the machine, and there is
//! nobody here who runs it. And handlers of interrupts set a bit and end: an input that asks for as long as its line is
//! up would interrupt again at once, for ever.
//!
//! # The idea
//!
//! *Which* line it was need not be known. All inputs that such lines may lead to raise one vector of the boot core, when a line
//! rises ([`interrupts`](crate::interrupts)). It says that somebody asks for something. So everybody is asked: a task, the keeper, has
//! each sharer look why and let its line fall ([`Sharer::answer`]). It ends when in one whole pass (`pass`) nobody had
//! asked. Then each line was down once since the vector was last taken notice of, and what comes later is an edge. Why
//! that loses nothing is argued in `docs/decisions/0019-a-line-is-asked-until-nobody-answers.md`, and tried in all
//! orders by the tests of `pass`.
//!
//! - A function that nobody drives by its line has it turned off, by a bit in its command register. Enumeration does that, and
//!   its [`Device`](super::Device) turns it on while it is used.
//! - A line that falls in another way than by an answer, because its function is reset or goes, may have hidden another's
//!   edge. Whoever did that says so ([`Share::nudge`]), and everybody is asked again.
//! - A function that cannot be turned off may hold a line up, and whoever shares it has no edges. So everybody is asked by
//!   the clock as well: now and then, and often while that finds something of which no edge has told (`pace`).

mod pace;
mod pass;
#[cfg(test)]
mod pass_tests;

pub use pass::Sharer;

#[cfg(phyros)]
mod keeper;
#[cfg(phyros)]
pub use keeper::{Counters, Share, counters, join};
