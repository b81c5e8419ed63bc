//! The operating system as a library.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    not(phyros),
    allow(
        dead_code,
        reason = "the host compiles the kernel for its tests, without what only runs on the machine"
    )
)]

extern crate alloc;

pub mod acpi;
pub mod arch;
pub mod block;
pub mod console;
pub mod dma;
#[cfg(phyros)]
pub mod drivers;
pub mod exit;
pub mod fs;
pub mod fw_cfg;
#[cfg(phyros)]
pub mod machine;
pub mod memory;
pub mod mmio;
#[cfg(phyros)]
mod panic;
pub mod pci;
#[cfg(phyros)]
pub mod storage;
pub mod time;
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

/// Starts the system: CPU tables, memory, heap, clock, PCI. Call it once, first.
#[cfg(phyros)]
pub fn start(info: &'static mut bootloader_api::BootInfo) {
    console::init();
    let bottom = memory::virt::VirtAddr::new(info.kernel_stack_bottom);
    if let Ok(stack) = bottom.and_then(|at| memory::virt::VirtRange::new(at, info.kernel_stack_len))
    {
        arch::backtrace::set_boot_stack(stack);
    }
    arch::cpu::enable_protection();
    arch::gdt::init();
    arch::exceptions::init();
    memory::init(info);
    machine::init(info.rsdp_addr.into_option());
}
