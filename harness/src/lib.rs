//! The host's side: builds images, boots machines, judges how they end.
//!
//! The idea of the harness in five sentences. Every in-VM test gets a virtual machine of its own,
//! so that no test sees what another has left. The list of tests is read from the kernel's ELF
//! file, not from a running kernel. A test has passed only if three witnesses say so
//! ([`verdict`]). The host sees guest memory and disks as files and can check a transfer that it
//! had no part in ([`calls`]). And the harness is tested like everything else: with guests that
//! hang, reset, lie and vanish.
//!
//! From the outside in:
//!
//! | module | what it knows |
//! |---|---|
//! | [`trial`] | one test, from its machine to the report |
//! | [`list`] | which tests an image has |
//! | [`grammar`] | the words with which a test describes its machine |
//! | [`verdict`] | what the end of a machine means |
//! | [`vm`] | how to boot a machine and wait for its end |
//! | [`records`], [`qmp`], [`calls`], [`ram`] | the wires between guest and host |
//! | [`relay`], [`dissect`] | wires on which frames get lost, and what was on a wire |
//! | [`machine`], [`accel`] | QEMU's command line |
//! | [`image`], [`disk`] | what is booted, and what is read there |
//! | [`micro`] | guests without a kernel, to test all this |
//! | [`symbols`], [`postmortem`] | where it happened |
//! | [`tools`], [`workspace`], [`size`], [`ports`] | the surroundings |

pub mod accel;
pub mod calls;
pub(crate) mod capture;
pub mod disk;
pub mod dissect;
pub mod grammar;
pub mod image;
pub mod list;
pub mod machine;
pub mod micro;
pub mod ports;
pub mod postmortem;
pub mod qmp;
pub mod ram;
pub mod records;
pub mod relay;
pub mod size;
pub mod symbols;
pub mod tools;
pub mod trial;
pub mod verdict;
pub mod vm;
pub mod workspace;
