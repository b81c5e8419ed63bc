//! QEMU must understand what the words of a test's machine come to.

use harness::grammar::Needs;
use harness::machine::Accel;
use harness::micro::Micro;
use harness::verdict::{Expectation, judge};
use harness::vm::{Conditions, Console, boot};
use libtest_mimic::{Failed, Trial};

use crate::lies::LIMIT;

const NAME: &str = "micro::words";

/// Machines that together have all words about controllers and namespaces.
const MACHINES: [&str; 11] = [
    "namespaces=3, ms=8, interleaved, pi=1, pi-first, copy=4, mdts=3",
    "namespaces=2, lba=4096, ms=16, pi=3, guard=64, vwc=on",
    "disks=2, shared, detached, ms=64, hotplug",
    "zoned, active=2, size=4M, vwc=off, smp=2",
    "zoned=2M, switch",
    "spares=2, cmb=2M, queues=2, vectors=3, ioeventfd",
    "latency=1000, namespaces=2",
    "virtio, disks=2, lba=4096, ring=64, without=event_idx+indirect_desc, ro",
    "virtio=modern, spares=1, queues=2, vectors=3, vwc=off, smp=2",
    "nvme, icount, trace=pci_nvme_pci_reset",
    "ivshmem=1M+8G, nvdimm=128M+64M, display, hole, disks=2, pmr=2M, cmb=1M",
];

/// The trials of this module.
pub(crate) fn trials() -> Vec<Trial> {
    let trial = |(index, machine)| {
        let run = move || start(machine);
        Trial::test(format!("words::machine_{index}_starts"), run)
    };
    MACHINES.into_iter().enumerate().map(trial).collect()
}

fn start(words: &str) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("guest.elf");
    let guest = Micro::begun(NAME).record("outcome ok").record("bye ");
    guest.exit(0x10).write(&image)?;
    let machine = Needs::parse(words)?.prepare(&image, Accel::Tcg, folder.path(), 0)?;
    let conditions = Conditions {
        console: Console::Captured,
        limit: Some(LIMIT),
    };
    let ending = boot(&machine, conditions)?;
    let expected = Expectation {
        name: NAME,
        should_panic: None,
    };
    let verdict = judge(&ending, expected);
    verdict.map_err(|failure| format!("{failure}\n{}", ending.command))?;
    if let Some((_, file)) = machine.trace {
        let trace = std::fs::read_to_string(file)?;
        if !trace.contains("pci_nvme_pci_reset") {
            return Err(format!("nothing was traced: `{trace}`").into());
        }
    }
    Ok(())
}
