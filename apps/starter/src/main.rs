//! The default application: a shell on the serial console.
#![cfg_attr(phyros, no_std, no_main)]

#[cfg(phyros)]
bootloader_api::entry_point!(main, config = &kernel::BOOT_CONFIG);

#[cfg(phyros)]
fn main(info: &'static mut bootloader_api::BootInfo) -> ! {
    kernel::start(info);
    for f in &kernel::machine::machine().bus.functions { kernel::println!("{f:x?}"); }
    for v in kernel::storage::volumes() { kernel::println!("{} {:?} {:?}", v.device.name(), v.geometry(), v.has_ext4); }
    if let Some(r) = kernel::storage::volumes().iter().find(|v| v.has_ext4).map(|v| kernel::fs::FileSystem::mount(v.device.clone()).unwrap()) { kernel::println!("{:?}", r.read_pieces("/README.md", |b| { kernel::print!("{}", core::str::from_utf8(b).unwrap()); Ok::<(), kernel::fs::Error>(()) })); }
    kernel::println!("{:?}", kernel::block::counters());
    kernel::println!("{:?} {:?}", kernel::time::clock(), kernel::time::now());
    kernel::exit::success()
}

#[cfg(not(phyros))]
fn main() {
    eprintln!("this is a program for a virtual machine: type `cargo xtask run`");
    std::process::exit(2);
}
