//! Links the application as a kernel.

fn main() {
    if std::env::var_os("CARGO_CFG_PHYROS").is_none() {
        return;
    }
    let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let script = format!("{manifest}/../../kernel/kernel.ld");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bins=-T{script}");
    println!("cargo:rustc-link-arg-bins=-znostart-stop-gc");
    println!("cargo:rustc-link-arg-bins=--build-id=none");
}
