//! The host as the hand that changes the machine.
//!
//! Controllers come and go, disks fail, wait and run slow, and QEMU tells what it has seen of the driver.
//! Nothing here waits for the guest: after [`unplug`], the guest that must let the device go is the one that
//! goes on after the call. It looks at [`is_gone`] now and then while its own work goes on.
//!
//! Controllers and disks are counted from 0 as in the test's machine: with two namespaces a controller,
//! the second controller's first disk is disk 2. Spare controllers are counted behind the others.
//!
//! # Panics
//! All of these panic when the host refuses, and say why.

use crate::host::{Answer, ask, call};

/// Kills QEMU, without a word to it. Then the host looks at what was to [outlast](crate::host::outlasts) that, and boots
/// the same machine with the same files again: the test begins anew, and [`kills`](crate::kills) is one more.
pub fn kill() -> ! {
    call("machine.kill", &[]);
    panic!("the machine was not killed");
}

/// Plugs a controller that is not there: a spare one, or one that has been unplugged.
pub fn plug(controller: u64) {
    call("device.plug", &[controller]);
}

/// Presses the button of a controller's slot. The guest must power the slot off; then it [`is_gone`].
pub fn unplug(controller: u64) {
    call("device.unplug", &[controller]);
}

/// Takes a controller away without a word. All that is under way on it ends first, unanswered.
///
/// Its configuration space reads as all ones, its registers as zeros, and its slot still says that somebody is there.
pub fn tear_out(controller: u64) {
    call("device.remove", &[controller]);
}

/// Whether a controller is not there, or not any more.
pub fn is_gone(controller: u64) -> bool {
    call("device.is_gone", &[controller]) == 1
}

/// Sets the critical warnings of a controller's health log, which is an asynchronous event for new ones.
pub fn smart_warning(controller: u64, bits: u64) {
    call("device.smart", &[controller, bits]);
}

/// From now on these requests of a disk fail, and no others.
///
/// Rules are separated by commas: a kind (`read`, `write`, `write-zeroes`, `discard`, `flush`), then if wanted
/// an error number of Linux's (5), `at` and a byte on the disk, and `once`.
/// For example `read at 4096 once, flush`. No rule: nothing fails.
pub fn faults(disk: u64, rules: &str) {
    ask("disk.faults", &[disk], rules);
}

/// Holds back all reads and writes of a disk that come from now on, for as long as it takes.
///
/// A controller that is reset or goes lets through what it has been given before; what comes afterwards is held
/// again. A change of the disk's [`faults`] lets through what waits, too.
pub fn hold(disk: u64) {
    call("disk.hold", &[disk]);
}

/// Lets everything through again.
pub fn release(disk: u64) {
    call("disk.release", &[disk]);
}

/// Lets so many requests of a disk through in a second; 0 is without limit.
pub fn throttle(disk: u64, requests: u64) {
    call("disk.throttle", &[disk, requests]);
}

/// Resizes a disk. QEMU refuses to do it under an NVMe controller that is plugged.
pub fn resize(disk: u64, bytes: u64) {
    call("disk.resize", &[disk, bytes]);
}

/// Fills a part of a disk with the pattern, past every driver. Nobody else should use the disk meanwhile.
pub fn fill_disk(disk: u64, at: u64, len: u64, seed: u64, offset: u64) {
    call("disk.fill", &[disk, at, len, seed, offset]);
}

/// [`trace_count`] counts from here on.
pub fn trace_mark() {
    call("trace.mark", &[]);
}

/// How often QEMU has traced an event, for a machine with `trace=…`.
///
/// The query is an event, or its first letters and `*`, and if wanted a space and a text that the line must
/// contain: `pci_nvme_mmio_doorbell_sq sqid 1`.
pub fn trace_count(query: &str) -> u64 {
    ask("trace.count", &[], query).value
}

/// Gives every core a non-maskable interrupt.
pub fn nmi() {
    call("machine.nmi", &[]);
}

/// Milliseconds of CPU time that QEMU has used so far, over all its threads.
pub fn cpu_milliseconds() -> u64 {
    call("machine.cpu_time", &[])
}

/// What QEMU's monitor for people prints for a command. Its first 4 KB are in the answer's text.
pub fn monitor(command: &str) -> Answer {
    ask("monitor", &[], command)
}
