//! Finds out whether KVM can be believed in.
//!
//! That `/dev/kvm` exists proves nothing. There are hosts whose KVM has no hardware behind it and
//! dies on the guest's first SSE instruction, or runs a hundred times slower than the translator.
//! And QEMU's own fallback (`-accel kvm -accel tcg`) hangs there. So three proofs are asked for:
//! the CPU can do it, we may use the device, and a machine really boots on it in time.

use std::env;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::image::Image;
use crate::machine::{Accel, Machine, exit};
use crate::vm::{self, Conditions, Console};

/// A machine under KVM boots in a tenth of a second. Slower than this is not worth having.
const LIMIT: Duration = Duration::from_secs(5);

/// Whether KVM works here, proven by booting this machine: it must end with success.
///
/// # Errors
/// If it does not: says which proof failed.
pub fn prove_kvm(machine: &Machine) -> Result<()> {
    possible()?;
    let machine = Machine {
        accel: Accel::Kvm,
        ..machine.clone()
    };
    let ending = vm::boot(
        &machine,
        Conditions {
            console: Console::Captured,
            limit: Some(LIMIT),
        },
    )?;
    match ending.code() {
        Some(exit::SUCCESS) => Ok(()),
        _ if ending.stopped.is_some() => Err(anyhow!("a machine on KVM does not come up in time")),
        _ => Err(anyhow!("a machine on KVM dies: {}", ending.status)),
    }
}

/// The accelerator to use: KVM if it is proven, else the translator.
pub fn choose(proof: Result<()>) -> Accel {
    match proof {
        Ok(()) => Accel::Kvm,
        Err(_) => Accel::Tcg,
    }
}

/// The environment variable that names the accelerator of in-VM tests: `tcg` or `kvm`.
pub const VARIABLE: &str = "PHYROS_ACCEL";

/// The in-VM test that has to pass on KVM before others run there.
const SMOKE_TEST: &str = "vm_tests::smoke::boots_and_returns";

/// The accelerator for the in-VM tests of an image, unless the environment names one.
pub fn choose_for_tests(image: &Image) -> Accel {
    match env::var(VARIABLE).as_deref() {
        Ok("tcg") => return Accel::Tcg,
        Ok("kvm") => return Accel::Kvm,
        _ => {}
    }
    let prove = || -> Result<()> {
        possible()?;
        let name = tempfile::NamedTempFile::new()?;
        fs::write(name.path(), SMOKE_TEST)?;
        let mut machine = Machine::new(&image.elf);
        machine
            .inputs
            .push(("opt/phyros/test".to_owned(), name.path().to_owned()));
        prove_kvm(&machine)
    };
    choose(prove())
}

/// The two proofs that cost nothing.
///
/// # Errors
/// If one of them fails: says which.
pub fn possible() -> Result<()> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if !can_virtualize(&cpu) {
        return Err(anyhow!("the CPU has neither VMX nor SVM"));
    }
    let device = Path::new("/dev/kvm");
    File::options()
        .read(true)
        .write(true)
        .open(device)
        .map(drop)
        .map_err(|error| anyhow!("`{}` cannot be opened: {error}", device.display()))
}

/// Whether the first CPU of `/proc/cpuinfo` has virtualization.
fn can_virtualize(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|line| {
        line.split_whitespace()
            .any(|flag| flag == "vmx" || flag == "svm")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_must_be_a_word_of_its_own() {
        assert!(can_virtualize("model\t: 1\nflags\t\t: fpu vmx sse2\n"));
        assert!(can_virtualize("flags : svm"));
        assert!(!can_virtualize(
            "flags : fpu vmxnot\nvmx flags : vnmi ept\n"
        ));
        assert!(!can_virtualize(""));
    }
}
