//! A kernel that only checks whether its loader keeps the boot contract.
//!
//! The Phyros kernel asks for one set of options. This one asks for the others: addresses that it
//! fixes itself where the kernel leaves them open, and the reverse, a range for the open ones,
//! recursive page tables, an odd stack size, a ramdisk. It knows nothing of the Phyros kernel and
//! would check any loader that implements `bootloader_api` 0.11.

#![cfg_attr(phyros, no_std, no_main)]

#[cfg(phyros)]
mod checks;
#[cfg(phyros)]
mod tables;

#[cfg(phyros)]
mod kernel {
    use bootloader_api::config::Mapping;
    use bootloader_api::{BootInfo, BootloaderConfig};
    use core::fmt::Write;
    use core::panic::PanicInfo;
    use rt::exit::{Outcome, end};
    use uart_16550::{Config, Uart16550Tty};

    pub(crate) const STACK: u64 = 0xffff_a000_0000_0000;
    pub(crate) const STACK_LEN: u64 = (1 << 20) + 3 * 4096;
    pub(crate) const BOOT_INFO: u64 = 0xffff_b000_0000_0000;
    pub(crate) const DYNAMIC: core::ops::RangeInclusive<u64> =
        0xffff_9000_0000_0000..=0xffff_97ff_ffff_ffff;

    const CONFIG: BootloaderConfig = {
        let mut config = BootloaderConfig::new_default();
        // Not a multiple of a page: the loader rounds it up.
        config.kernel_stack_size = STACK_LEN - 100;
        config.mappings.kernel_stack = Mapping::FixedAddress(STACK);
        config.mappings.boot_info = Mapping::FixedAddress(BOOT_INFO);
        config.mappings.physical_memory = Some(Mapping::Dynamic);
        config.mappings.page_table_recursive = Some(Mapping::Dynamic);
        config.mappings.ramdisk_memory = Mapping::Dynamic;
        config.mappings.dynamic_range_start = Some(*DYNAMIC.start());
        config.mappings.dynamic_range_end = Some(*DYNAMIC.end());
        config
    };

    bootloader_api::entry_point!(main, config = &CONFIG);

    fn main(info: &'static mut BootInfo) -> ! {
        let what = match crate::checks::run(info) {
            true => "with",
            false => "without",
        };
        print(format_args!(
            "the boot contract is kept, {what} a ramdisk\n"
        ));
        end(Outcome::Success)
    }

    fn print(text: core::fmt::Arguments<'_>) {
        // SAFETY: COM1 belongs to the kernel, and this is its only user.
        if let Ok(mut uart) = unsafe { Uart16550Tty::new_port(0x3f8, Config::default()) } {
            // A UART cannot fail to send.
            let _ = uart.write_fmt(text);
        }
    }

    #[panic_handler]
    fn panic(info: &PanicInfo<'_>) -> ! {
        print(format_args!("the boot contract is broken: {info}\n"));
        end(Outcome::Failure)
    }
}

#[cfg(not(phyros))]
fn main() {
    eprintln!("this is a program for a virtual machine: type `cargo xtask test`");
    std::process::exit(2);
}
