//! The loader's executable. All of it is in the library; this file makes it a program.

#![cfg_attr(phyros, no_std, no_main)]

// The entry point is named by the PVH note and the link script, not by Rust code.
#[cfg(phyros)]
use boot as _;

#[cfg(not(phyros))]
fn main() {
    eprintln!("the loader runs in a virtual machine: type `cargo xtask run`");
    std::process::exit(2);
}
