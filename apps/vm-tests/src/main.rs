//! The image that runs one in-VM test and ends.
//!
//! The host says which one. The tests are in the crates that they test; linking those crates is
//! all it takes to have them here. Those of this crate test the harness from inside.

#![cfg_attr(phyros, no_std, no_main)]

#[cfg(phyros)]
extern crate alloc;

#[cfg(phyros)]
mod http;
#[cfg(phyros)]
mod mailbox;
#[cfg(phyros)]
mod selftest;
#[cfg(phyros)]
mod smoke;
#[cfg(phyros)]
mod stress;

#[cfg(phyros)]
bootloader_api::entry_point!(main, config = &kernel::BOOT_CONFIG);

#[cfg(phyros)]
fn main(info: &'static mut bootloader_api::BootInfo) -> ! {
    kernel::start(info);
    mailbox::install();
    let Some(name) = kernel::fw_cfg::read_text("opt/phyros/test") else {
        panic!("the host has named no test in the fw_cfg item `opt/phyros/test`");
    };
    let number = |item| {
        let text = kernel::fw_cfg::read_text(item);
        text.and_then(|text| text.trim().parse().ok())
    };
    let seed = number("opt/phyros/seed").unwrap_or_default();
    let kills = number("opt/phyros/kills").unwrap_or_default();
    vm_test::run(name.trim(), seed, kills);
    kernel::exit::success()
}

#[cfg(not(phyros))]
fn main() {
    eprintln!("this is a program for a virtual machine: type `cargo xtask test`");
    std::process::exit(2);
}
