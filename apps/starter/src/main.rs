//! The default application: a shell on the serial console.
#![cfg_attr(phyros, no_std, no_main)]

#[cfg(phyros)]
bootloader_api::entry_point!(main, config = &kernel::BOOT_CONFIG);

#[cfg(phyros)]
fn main(info: &'static mut bootloader_api::BootInfo) -> ! {
    kernel::start(info);
    for f in &kernel::machine::machine().bus.functions { kernel::println!("{f:x?}"); }
    kernel::println!("{:?} {:?}", kernel::time::clock(), kernel::time::now());
    kernel::exit::success()
}

#[cfg(not(phyros))]
fn main() {
    eprintln!("this is a program for a virtual machine: type `cargo xtask run`");
    std::process::exit(2);
}
