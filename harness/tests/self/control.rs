//! Guests that have their machine changed, and see what has come of it.

use harness::grammar::Needs;
use harness::machine::Accel;
use harness::micro::Micro;
use harness::verdict::{Expectation, judge};
use harness::vm::{Conditions, Console, Ending, boot};
use libtest_mimic::{Failed, Trial};

use crate::lies::LIMIT;

const NAME: &str = "micro::control";
const MAILBOX: u32 = 0x30_0000;

/// QEMU resets a new controller so often.
const RESETS: u32 = 2;

/// A guest that makes calls.
struct Caller(Micro);

impl Caller {
    fn new() -> Self {
        Self(Micro::begun(NAME))
    }

    /// Makes a call, and hangs if its status or value is another.
    fn call(self, function: &str, arguments: &str, status: u32, value: u32) -> Self {
        let arguments = arguments.trim_end();
        let call = self
            .0
            .call(MAILBOX, &format!("call {function} {MAILBOX:x}{arguments}"));
        Self(call.expect(MAILBOX + 8, status).expect(MAILBOX + 16, value))
    }

    /// Has it done.
    fn does(self, function: &str, arguments: &str) -> Self {
        self.call(function, arguments, 0, 0)
    }

    /// Is refused.
    fn refused(self, function: &str, arguments: &str) -> Self {
        self.call(function, arguments, 1, 0)
    }

    /// Is told a value.
    fn sees(self, function: &str, arguments: &str, value: u32) -> Self {
        self.call(function, arguments, 0, value)
    }

    fn run(self, words: &str) -> Result<Ending, Failed> {
        let folder = tempfile::tempdir()?;
        let image = folder.path().join("guest.elf");
        let guest = self.0.record("outcome ok").record("bye ").exit(0x10);
        guest.write(&image)?;
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
        match judge(&ending, expected) {
            Ok(()) => Ok(ending),
            Err(failure) => Err(format!("{failure}\n{ending:#?}").into()),
        }
    }
}

/// The trials of this module.
pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut add = |name: &str, run: fn() -> Result<(), Failed>| {
        trials.push(Trial::test(format!("control::{name}"), run));
    };
    add(
        "a_spare_controller_is_plugged_torn_out_and_plugged_again",
        || {
            Caller::new()
                .sees("device.is_gone", " 0", 0)
                .sees("device.is_gone", " 1", 1)
                .refused("device.unplug", " 1")
                .does("device.plug", " 1")
                .sees("device.is_gone", " 1", 0)
                .refused("device.plug", " 1")
                .does("device.remove", " 1")
                .sees("device.is_gone", " 1", 1)
                .does("device.plug", " 1")
                .sees("device.is_gone", " 1", 0)
                .refused("device.is_gone", " 2")
                .run("disks=1,spares=1")
                .map(drop)
        },
    );
    add("a_guest_that_lets_nothing_go_keeps_its_controller", || {
        Caller::new()
            .does("device.unplug", " 0")
            .sees("device.is_gone", " 0", 0)
            .run("hotplug")
            .map(drop)
    });
    add("what_is_on_the_root_complex_cannot_be_unplugged", || {
        Caller::new()
            .refused("device.unplug", " 0")
            .run("nvme")
            .map(drop)
    });
    add("faults_come_and_go_with_limits_beside_them", || {
        Caller::new()
            .does("disk.faults", " 0 : read at 4096 once, write 28")
            .does("disk.faults", " 0 : flush")
            .does("disk.hold", " 0")
            .refused("disk.hold", " 0")
            .does("disk.faults", " 0 : read")
            .does("disk.release", " 0")
            .does("disk.throttle", " 0 64")
            .does("disk.throttle", " 0 0")
            .does("disk.faults", " 0")
            .refused("disk.faults", " 0 : think")
            .refused("disk.faults", " 1 : read")
            .run("nvme")
            .map(drop)
    });
    add("each_namespace_waits_for_itself", || {
        Caller::new()
            .does("disk.hold", " 1")
            .does("disk.hold", " 0")
            .does("disk.release", " 1")
            .refused("disk.hold", " 2")
            .run("namespaces=2")
            .map(drop)
    });
    add("a_disk_without_an_image_waits_and_does_not_fail", || {
        Caller::new()
            .does("disk.hold", " 0")
            .refused("disk.hold", " 0")
            .refused("disk.faults", " 0 : read")
            .run("latency=10")
            .map(drop)
    });
    add("a_disk_is_resized_while_nobody_has_it", || {
        Caller::new()
            .does("disk.resize", " 1 2000000")
            .refused("disk.resize", " 0 2000000")
            .run("disks=1,spares=1")
            .map(drop)
    });
    add("a_health_warning_reaches_the_controller", || {
        Caller::new()
            .does("device.smart", " 0 4")
            .refused("device.smart", " 1 4")
            .run("disks=1,spares=1")
            .map(drop)
    });
    add("traced_events_are_counted_from_a_mark_on", || {
        Caller::new()
            .does("trace.mark", "")
            .sees("trace.count", " : pci_nvme_*", 0)
            .does("monitor", " : device_add nvme,id=a,serial=a,bus=port0")
            .sees("trace.count", " : pci_nvme_pci_reset Function", RESETS)
            .sees("trace.count", " : pci_nvme_pci_reset nothing", 0)
            .does("trace.mark", "")
            .sees("trace.count", " : pci_nvme_*", 0)
            .run("spares=1,trace=pci_nvme_*")
            .map(drop)
    });
    add("a_machine_that_traces_nothing_counts_nothing", || {
        Caller::new()
            .refused("trace.count", " : a")
            .run("")
            .map(drop)
    });
    add("the_monitor_for_people_answers_with_text", || {
        let word = u32::from_le_bytes(*b"VM s");
        let mut caller = Caller::new().does("monitor", " : info status");
        caller.0 = caller.0.expect(MAILBOX + 32, word);
        caller.run("").map(drop)
    });
    trials
}
