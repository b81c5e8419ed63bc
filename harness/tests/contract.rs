//! The loader keeps `bootloader_api`'s contract, for a kernel that knows nothing of Phyros.

use std::fs;
use std::time::Duration;

use harness::image::{self, Image};
use harness::machine::{Firmware, Machine, exit};
use harness::vm::{self, Conditions, Console};

fn boots_the_contract_kernel(firmware: Firmware, ram: u64) {
    let image: Image = image::build("contract").expect("the image builds");
    let folder = tempfile::tempdir().expect("there is room for a file");
    let ramdisk = folder.path().join("ramdisk");
    let bytes: Vec<u8> = (0..12_345u32)
        .map(|position| (position % 251) as u8)
        .collect();
    fs::write(&ramdisk, bytes).expect("the folder can be written");

    let mut machine = Machine::new(&image.elf);
    machine.firmware = firmware;
    machine.ram = ram;
    machine.extra = vec!["-initrd".into(), ramdisk.into()];
    let limit = Some(Duration::from_secs(60));
    let ending = vm::boot(
        &machine,
        Conditions {
            console: Console::Captured,
            limit,
        },
    )
    .expect("QEMU starts");
    assert_eq!(
        ending.code(),
        Some(exit::SUCCESS),
        "{}\n{}",
        ending.command,
        ending.serial
    );
    // QEMU's qboot has no way to pass a ramdisk.
    let said = match firmware {
        Firmware::SeaBios => "the boot contract is kept, with a ramdisk",
        Firmware::Qboot => "the boot contract is kept, without a ramdisk",
    };
    assert!(ending.serial.contains(said), "{}", ending.serial);
}

#[test]
fn every_option_is_honoured_under_seabios() {
    boots_the_contract_kernel(Firmware::SeaBios, 128 << 20);
}

#[test]
fn every_option_is_honoured_under_qboot() {
    boots_the_contract_kernel(Firmware::Qboot, 128 << 20);
}

#[test]
fn every_option_is_honoured_with_memory_above_4_gib() {
    boots_the_contract_kernel(Firmware::SeaBios, 6 << 30);
}
