// What an application's build.rs includes: the application is linked as a kernel.

fn main() {
    // The host's own build of an application is an ordinary program.
    if std::env::var_os("CARGO_CFG_PHYROS").is_none() {
        return;
    }
    let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let script = format!("{manifest}/../../kernel/kernel.ld");
    println!("cargo:rerun-if-changed={script}");
    println!("cargo:rustc-link-arg-bins=-T{script}");
    // Nothing refers to an in-VM test but the bounds of their list; the linker must keep them all.
    println!("cargo:rustc-link-arg-bins=-znostart-stop-gc");
    println!("cargo:rustc-link-arg-bins=--build-id=none");
}
