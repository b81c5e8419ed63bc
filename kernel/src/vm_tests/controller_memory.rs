//! Submission queues in the memory of the controller.

use super::{disk, streams};
use crate::block::blocking::wait;
use crate::drivers::nvme;
use crate::machine::machine;
use crate::storage;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use phyr::Phyr;
use vm_test::{control, vm_test};

/// The base address register that QEMU has for it.
const MEMORY: u8 = 2;
/// Bytes of a queue of 128 entries.
const QUEUE: u64 = 128 * 64;

/// The controller's memory.
fn memory() -> Phyr {
    let functions = machine().functions();
    let controller = functions.iter().find(|one| nvme::is_controller(one));
    let bar = controller.and_then(|controller| controller.bar(MEMORY));
    bar.expect("the controller has memory").phyr
}

/// How many submission queues QEMU was told of at this address.
fn queues_at(at: u64) -> u64 {
    control::trace_count(&format!("pci_nvme_create_sq addr=0x{at:x},"))
}

/// The words of a part of the controller's memory, as QEMU's monitor sees them.
fn words(part: Phyr) -> Vec<u64> {
    let count = part.len() / 8;
    let answer = control::monitor(&format!("xp /{count}gx {:#x}", part.addr().get()));
    let text = String::from_utf8_lossy(answer.text()).into_owned();
    let words = text
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("0x"))
        .map(|word| u64::from_str_radix(word, 16).expect("a number"));
    let words: Vec<u64> = words.collect();
    assert_eq!(words.len() as u64, count, "{text}");
    words
}

/// The dwords 12 and 13 of all commands with this opcode from this block of namespace 1 on, in the queues
/// of so many cores, where the controller takes them from.
pub(super) fn sent(opcode: u8, block: u64, cores: u64) -> Vec<u64> {
    let memory = memory();
    let all = (0..cores * QUEUE).step_by(512);
    let entries = all.flat_map(|at| words(memory.sub(at, 512).expect("it is inside")));
    let entries: Vec<u64> = entries.collect();
    let (entries, _) = entries.as_chunks::<8>();
    let is_it =
        |entry: &&[u64; 8]| entry[0] as u8 == opcode && entry[0] >> 32 == 1 && entry[5] == block;
    entries.iter().filter(is_it).map(|entry| entry[6]).collect()
}

#[vm_test(
    machine = "smp=2,cmb=16M,trace=pci_nvme_create_sq,size=16M",
    timeout = 120
)]
fn commands_lie_in_the_controller_if_that_is_wanted() {
    nvme::use_controller_memory(true);
    let disk = disk();
    let memory = memory();
    assert_eq!(memory.len(), 16 << 20);
    for queue in 0..2 {
        assert_eq!(queues_at(memory.addr().get() + queue * QUEUE), 1);
    }
    // Two cores, with content compared, and around the ring several times.
    streams::each_core_reads(2);

    // The command of one read, where the controller takes it from.
    const PLACE: u64 = 0x4321;
    disk.read_now(PLACE, &mut vec![0; 3 * 512])
        .expect("it reads");
    let found = sent(0x02, PLACE, 1);
    assert_eq!(found, [2], "QEMU has the command in its memory");

    // After a reset the controller has forgotten where its memory is, and is told again.
    let controller = storage::controllers()[0].controller().expect("it is there");
    wait(controller.reset()).expect("it comes back");
    assert_eq!(queues_at(memory.addr().get()), 2);
    streams::each_core_reads(2);
}

#[vm_test(machine = "cmb=16M,trace=pci_nvme_create_sq,size=16M", timeout = 60)]
fn commands_lie_in_ram_if_nobody_says_otherwise() {
    // Firmware has used the controller, too.
    control::trace_mark();
    let disk = disk();
    disk.read_now(0, &mut vec![0; 512]).expect("it reads");
    assert_eq!(control::trace_count("pci_nvme_create_sq"), 1);
    assert_eq!(queues_at(memory().addr().get()), 0);
}
