//! The operating system as a library.
//!
//! An application links this crate, calls `start`, and has a machine: memory, a clock, PCI devices,
//! disks, files. One image, and an executor on each core. A program in ring 3 may have an address space
//! of its own; what it can call is decided by whoever runs it.
//!
//! Principles, in the order in which they decide:
//!
//! 1. **The phyr is the only memory range.** Free memory, a mapping, a device's registers, a
//!    transfer: each is described by [`phyr::Phyr`]s, and no layer turns them into pages and back.
//!    There is no metadata for each page anywhere.
//! 2. **What may be done with memory is said by what holds it.** [`Frames`](memory::frames::Frames)
//!    own, a [`Mapping`](memory::Mapping) makes visible, a [`Buffer`](dma::Buffer) is for a device
//!    to read or to write, a [`DmaMapping`](dma::DmaMapping) is on the bus. Each ends when it is
//!    dropped.
//! 3. **A physical address becomes a bus address in one place**, [`dma`].
//! 4. **A device is trusted with memory but never with control flow.** It reaches memory only while
//!    a driver owns it, and whatever it writes is checked before it is used.
//! 5. **Errors are values.** Nothing that a device, a disk or a person sends panics the kernel.
//!
//! The way of a buffer through the modules: [`memory`] owns it, [`block`] carries it in a request or
//! [`net`] in a frame, [`dma`] puts it on the bus, `drivers` hand it to a device that [`pci`] found.
//!
//! The parts that only make sense on the bare machine are compiled with `--cfg phyros`; the rest is
//! also compiled for the host, where it is tested.

#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    not(phyros),
    allow(
        dead_code,
        reason = "the host compiles the kernel for its tests, without what only runs on the machine"
    )
)]

extern crate alloc;
#[cfg(not(phyros))]
extern crate std;

pub mod acpi;
pub mod arch;
pub mod block;
pub mod console;
pub mod cores;
mod critical;
pub mod dma;
#[cfg(phyros)]
pub mod drivers;
pub mod executor;
pub mod exit;
pub mod fs;
pub mod fw_cfg;
pub mod hypervisor;
pub mod interrupts;
pub mod iommu;
pub mod lock;
#[cfg(phyros)]
pub mod machine;
pub mod memory;
pub mod mmio;
pub mod named;
pub mod net;
#[cfg(phyros)]
mod panic;
pub mod pci;
#[cfg(phyros)]
pub mod power;
pub mod random;
pub mod storage;
pub mod time;
#[cfg(phyros)]
pub mod user;
#[cfg(all(phyros, feature = "vm-tests"))]
mod vm_tests;

use bootloader_api::BootloaderConfig;
use bootloader_api::config::Mapping;

/// What the kernel asks of its loader.
pub const BOOT_CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.kernel_stack_size = 256 * 1024;
    config.mappings.physical_memory = Some(Mapping::FixedAddress(memory::DIRECT_MAP));
    config
};

/// Starts the system: CPU tables, memory, heap, clock, PCI, interrupts, cores, boards of memory,
/// sources of entropy, balloons, and tasks that look after the slots. Call it once, first.
#[cfg(phyros)]
pub fn start(info: &'static mut bootloader_api::BootInfo) {
    cores::init_boot();
    console::init();
    let bottom = memory::virt::VirtAddr::new(info.kernel_stack_bottom);
    if let Ok(stack) = bottom.and_then(|at| memory::virt::VirtRange::new(at, info.kernel_stack_len))
    {
        arch::stacks::init_boot(stack);
    }
    arch::cpu::enable_protection();
    arch::gdt::init();
    arch::exceptions::init();
    arch::machine_check::enable();
    memory::init(info);
    machine::init(info.rsdp_addr.into_option());
    interrupts::init();
    cores::start_others();
    memory::modules::start(&machine::machine().platform.persistent);
    if let Some(pci) = &machine::machine().pci {
        pci::hotplug::start(pci);
        drivers::boards::start(pci);
        drivers::helpers::start(pci);
    }
    drivers::helpers::start_named();
}
