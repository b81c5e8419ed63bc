//! Links the loader by its own script and embeds the kernel named by `PHYROS_KERNEL`.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-env-changed=PHYROS_KERNEL");
    println!("cargo:rerun-if-changed=boot.ld");
    if env::var_os("CARGO_CFG_PHYROS").is_none() {
        return;
    }
    let manifest = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo:rustc-link-arg-bins=-T{manifest}/boot.ld");
    println!("cargo:rustc-link-arg-bins=--build-id=none");

    // An empty kernel is a valid embedding: the loader then says that it has none.
    let embedded =
        PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("kernel.elf");
    match env::var("PHYROS_KERNEL") {
        Ok(path) => {
            println!("cargo:rerun-if-changed={path}");
            if let Err(error) = fs::copy(&path, &embedded) {
                panic!("cannot embed the kernel `{path}` (from PHYROS_KERNEL): {error}");
            }
        }
        Err(_) => fs::write(&embedded, []).expect("OUT_DIR is writable"),
    }
}
