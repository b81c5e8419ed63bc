//! What people type, and what comes out.

use super::*;
use crate::output::Terminal;
use crate::testing::{Fake, GIB, Wire, phyr, shown_disk};
use kernel::pci::bar::Need;
use kernel::pci::{Bar, BarKind, Function, PciAddress};

/// Runs a script on a machine; line ends as a program writes them.
fn run(machine: &Fake, script: &str) -> (Outcome, String) {
    let wire = Wire::default();
    let outcome = Session::new(machine).run(script, &mut Terminal::new(wire.clone()));
    (
        outcome,
        String::from_utf8(wire.take())
            .unwrap()
            .replace("\r\n", "\n"),
    )
}

fn output(script: &str) -> String {
    let (outcome, text) = run(&Fake::default(), script);
    assert_eq!(outcome, Outcome::Success, "{script}: {text}");
    text
}

fn error(script: &str) -> String {
    let (outcome, text) = run(&Fake::default(), script);
    assert_eq!(outcome, Outcome::Failure, "{script}: {text}");
    text
}

/// Types at the prompt.
fn converse(input: &str) -> String {
    let wire = Wire::default();
    let machine = Fake::default();
    Session::new(&machine).converse(input.as_bytes(), &mut Terminal::new(wire.clone()));
    String::from_utf8(wire.take()).unwrap()
}

#[test]
fn a_script_prints_the_output_of_its_commands_and_nothing_else() {
    assert_eq!(
        output("echo one; echo 'two;  three'\necho"),
        "one\ntwo;  three\n\n"
    );
    assert_eq!(output(""), "");
    assert_eq!(output(" ;\n; "), "");
}

#[test]
fn the_first_failure_is_the_last_command() {
    assert_eq!(
        error("echo a; frobnicate --now; echo b"),
        "a\nphyros: there is no command `frobnicate`; `help` lists them all\n"
    );
}

#[test]
fn a_script_that_is_not_complete_is_not_begun() {
    assert_eq!(
        error("echo a; echo 'b"),
        "phyros: the quote ' is not closed\n"
    );
}

#[test]
fn a_name_that_a_terminal_would_obey_is_not_printed_as_it_is() {
    assert!(!error("\x1b[2J").contains('\x1b'));
    assert!(!error("help '\x1b[2J'").contains('\x1b'));
}

#[test]
fn power_off_ends_a_script_as_a_success() {
    assert_eq!(
        run(&Fake::default(), "echo a; poweroff; nope"),
        (Outcome::PowerOff, "a\n".into())
    );
    assert_eq!(
        error("poweroff now"),
        "poweroff: takes no arguments: `poweroff`\n"
    );
}

#[test]
fn a_session_goes_on_after_an_error_and_ends_with_power_off() {
    assert_eq!(
        converse("nope\r\necho a; nope; echo b\npoweroff\necho never\n"),
        "phyros> nope\r\n\
         phyros: there is no command `nope`; `help` lists them all\r\n\
         phyros> echo a; nope; echo b\r\n\
         a\r\n\
         phyros: there is no command `nope`; `help` lists them all\r\n\
         phyros> poweroff\r\n"
    );
    assert_eq!(converse("\x04echo"), "phyros> \r\n");
}

#[test]
fn history_lists_what_was_typed() {
    let text = converse("echo a\n\necho a\necho b\nhistory\n");
    assert!(
        text.contains("    1  echo a\r\n    2  echo b\r\n    3  history\r\n"),
        "{text}"
    );
}

#[test]
fn help_lists_every_command_and_explains_each() {
    let list = output("help");
    for command in commands::ALL {
        assert!(
            list.contains(&format!("\n  {}", command.name)) || list.starts_with("  help"),
            "{}",
            command.name
        );
        assert!(list.contains(command.about));
        let one = output(&format!("help {}", command.name));
        assert!(one.starts_with(command.name) && one.ends_with('\n'));
        assert!(one.contains(command.about));
        assert!(one.lines().all(|line| line == line.trim_end()), "{one}");
        assert!(
            one.lines().chain(list.lines()).all(|line| line.len() < 100),
            "{one}"
        );
        assert!(command.details.is_empty() || command.details.ends_with('\n'));
    }
    assert!(error("help nope").contains("no command `nope`"));
    assert_eq!(error("help a b"), "help: usage: help [COMMAND]\n");
}

#[test]
fn names_are_unique() {
    for (index, command) in commands::ALL.iter().enumerate() {
        assert!(
            commands::ALL[index + 1..]
                .iter()
                .all(|other| other.name != command.name)
        );
    }
}

#[test]
#[should_panic(expected = "on purpose")]
fn panic_panics() {
    output("panic on purpose");
}

#[test]
fn uptime_is_in_hours_minutes_and_seconds() {
    assert_eq!(output("uptime"), "up 0:01:01.236\n");
}

#[test]
fn each_core_says_what_it_has_done() {
    assert_eq!(
        output("cores"),
        "core      turns      polls      halts      wakes  to others      calls    devices\n\
         \x20  0       1000        200         30        150          4          0          7\n\
         \x20  1       1000        200         30        150          4          1          7\n"
    );
    assert_eq!(error("cores 1"), "cores: takes no arguments: `cores`\n");
}

#[test]
fn time_measures_a_command_that_succeeds_and_one_that_fails() {
    // The clock of the machine advances by 1.5 ms between two looks.
    assert_eq!(
        output("time echo a"),
        "a\ntime  1.500 ms\nread  5000 B (4.8 KiB) directly, 17 B copied\n"
    );
    let text = error("time nope");
    assert!(text.starts_with("time  1.500 ms\n"), "{text}");
    assert!(
        text.ends_with("time: there is no command `nope`; `help` lists them all\n"),
        "{text}"
    );
    assert_eq!(error("time"), "time: usage: time COMMAND [WORD...]\n");
    assert_eq!(error("time time time ls"), "time: cannot be nested\n");
}

#[test]
fn functions_are_shown_with_their_memory() {
    let function = Function {
        address: PciAddress::new(0, 1, 2, 3),
        vendor: 0x1b36,
        device: 0x10,
        class: [1, 8, 2],
        revision: 2,
        bars: vec![
            Bar {
                index: 0,
                phyr: phyr(0xfe00_0000, 0x4000),
                prefetchable: false,
            },
            Bar {
                index: 4,
                phyr: phyr(GIB << 3, GIB),
                prefetchable: true,
            },
        ],
        capabilities: vec![0x11, 0x99],
        secondary_bus: None,
    };
    let bridge = Function {
        address: PciAddress::new(1, 0, 1, 0),
        class: [6, 4, 0],
        bars: Vec::new(),
        capabilities: Vec::new(),
        secondary_bus: Some(1),
        ..function.clone()
    };
    let need = |index, len, kind| Need {
        index,
        len,
        kind,
        prefetchable: false,
    };
    let unplaced = vec![
        (function.address, need(3, 1 << 40, BarKind::Memory64)),
        (function.address, need(1, 32, BarKind::Io)),
        (PciAddress::new(0, 9, 9, 0), need(5, 32, BarKind::Io)),
    ];
    let machine = Fake {
        functions: vec![bridge, function],
        unplaced,
        ..Fake::default()
    };
    let expected = "\
0001:00:01.0  1b36:0010  PCI bridge to bus 01
01:02.3  1b36:0010  NVMe controller
    BAR 0  [0xfe000000..=0xfe003fff]  16 KiB
    BAR 1  32 I/O ports, not used
    BAR 3  1 TiB without a place
    BAR 4  [0x200000000..=0x23fffffff]  1 GiB, prefetchable
    capabilities: MSI-X, capability 99
";
    assert_eq!(run(&machine, "lspci"), (Outcome::Success, expected.into()));
    assert_eq!(output("lspci"), "no PCI functions\n");
}

#[test]
fn disks_are_shown_with_their_partitions() {
    let with_ext4 = |mut volume: crate::system::Volume| {
        volume.has_ext4 = true;
        volume
    };
    let volumes = vec![
        shown_disk("nvme0n1", 512, 131_072, "QEMU NVMe Ctrl"),
        with_ext4(shown_disk("nvme0n1p1", 512, 16, "")),
        shown_disk("nvme0n1p12", 512, 2048, ""),
        with_ext4(shown_disk("nvme1n1", 4096, 1 << 28, "bad\x1bname")),
        shown_disk("nvme1n1part", 4096, 0, ""),
    ];
    let machine = Fake {
        volumes,
        ..Fake::default()
    };
    let expected = "\
NAME                  SIZE    BLOCK      FILES  PATHS             MODEL
nvme0n1             64 MiB    512 B  rw  -                        QEMU NVMe Ctrl
├─nvme0n1p1          8 KiB    512 B  rw  ext4   /
└─nvme0n1p12         1 MiB    512 B  rw  -
nvme1n1              1 TiB    4 KiB  rw  ext4   nvme1n1:/         bad\\u{1b}name
nvme1n1part            0 B    4 KiB  rw  -
";
    assert_eq!(run(&machine, "lsblk"), (Outcome::Success, expected.into()));
    assert_eq!(output("lsblk"), "no disks\n");
}

#[test]
fn the_greeting_is_short_and_says_what_is_there() {
    let greeting = |volumes| {
        let wire = Wire::default();
        let machine = Fake {
            volumes,
            ..Fake::default()
        };
        crate::greeting::print(&machine, &mut Terminal::new(wire.clone())).unwrap();
        String::from_utf8(wire.take())
            .unwrap()
            .replace("\r\n", "\n")
    };
    let text = greeting(vec![
        shown_disk("nvme0n1", 512, 131_072, ""),
        shown_disk("nvme0n1p1", 512, 16, ""),
        shown_disk("nvme1n1", 4096, 1, ""),
    ]);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        text,
        format!(
            "Phyros {version}\n\
             2 CPUs, 3.9 GiB of RAM, 2 disks: nvme0n1 (64 MiB), nvme1n1 (4 KiB)\n\
             Ready 34 ms after power-on. Type `help` for the list of commands.\n"
        )
    );
    assert!(greeting(Vec::new()).contains("RAM, no disks\n"));
    let many = (0..7)
        .map(|n| shown_disk(&format!("nvme{n}n1"), 512, 2, ""))
        .collect();
    assert!(greeting(many).contains(
        "7 disks: nvme0n1 (1 KiB), nvme1n1 (1 KiB), nvme2n1 (1 KiB), nvme3n1 (1 KiB), and 3 more\n"
    ));
}

mod disks;
mod files;
mod jobs;
mod memory;
mod network;
mod ram;
mod services;
mod shares;
