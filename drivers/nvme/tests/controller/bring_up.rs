//! Reset, enable, identify, shutdown: from any state, within any limit.

use crate::model::{Bench, Config, Machine, bring_up, bring_up_with_queue, disk};
use nvme::registers::{ControllerStatus, Version};
use nvme::{Error, Failure, Platform, Unsupported, Waiting};

/// The error of a controller that should not come up. Nothing is left behind.
fn refused(machine: &Machine) -> Error {
    match bring_up_with_queue(machine) {
        Ok(_) => panic!("the controller came up"),
        Err(error) => {
            assert_eq!(machine.model().memory.mapped_pages(), 0);
            assert_eq!(machine.model().memory.faults, []);
            error
        }
    }
}

fn refused_config(change: impl FnOnce(&mut Config)) -> Error {
    let mut config = Config::default();
    change(&mut config);
    refused(&Machine::new(config))
}

#[test]
fn a_controller_comes_up_and_says_who_it_is() {
    let bench = Bench::new(Config::default());
    let identity = bench.controller.identity();
    assert_eq!(identity.vendor, 0x1b36);
    assert_eq!(identity.serial.as_str(), "phyr-0001");
    assert_eq!(identity.model.as_str(), "Model Controller");
    assert_eq!(identity.firmware.as_str(), "1.0");
    assert_eq!(identity.version, Version::from(0x0001_0400));
    assert_eq!(identity.mdts, 7);
    assert!(identity.write_cache);
    assert_eq!(bench.dead(), None);
}

/// Features, queues and namespaces come in the specification's order.
#[test]
fn set_up_commands_come_in_order() {
    let bench = Bench::new(Config::default());
    let log = bench.machine.model().admin_log.clone();
    // Identify: the controller, the list, the namespace and what identifies it.
    assert_eq!(log, [0x06, 0x09, 0x06, 0x06, 0x06, 0x0c, 0x05, 0x01]);
}

#[test]
fn doorbells_are_found_at_any_stride() {
    for dstrd in [0, 1, 4, 10, 15] {
        let mut config = Config::default();
        config.cap.set_dstrd(dstrd);
        let bench = Bench::new(config);
        bench.flush(1).expect("an answer");
    }
}

#[test]
fn a_controller_that_firmware_left_running_is_reset_before_it_may_reach_memory() {
    let machine = Machine::new(Config {
        enabled: true,
        ..Config::default()
    });
    // `start_dma` of the machine objects if the controller still runs.
    let controller = bring_up(&machine).expect("it comes up");
    assert_eq!(machine.model().offences, [""; 0]);
    drop(controller);
}

#[test]
fn dropping_a_controller_stops_it_and_gives_all_memory_back() {
    let machine = Machine::new(Config::default());
    let controller = bring_up(&machine).expect("it comes up");
    assert!(machine.model().memory.mapped_pages() > 0);
    drop(controller);
    assert!(!machine.model().memory.dma);
    assert_eq!(machine.model().memory.mapped_pages(), 0);
    // It was asked to stop as well, and does so in its own time.
    machine.model().clock += 1_000_000;
    let csts = ControllerStatus::from(machine.model().read32(nvme::registers::CSTS));
    assert!(!csts.rdy());
}

#[test]
fn each_missing_allocation_is_an_error_and_nothing_leaks() {
    let needed = {
        let bench = Bench::new(Config::default());
        bench.machine.model().allocations
    };
    assert!(needed >= 4);
    for failing in 0..needed {
        let error = refused_config(|config| config.failing_allocation = Some(failing));
        assert_eq!(error, Error::OutOfMemory, "allocation {failing}");
    }
}

#[test]
fn slow_controllers_get_the_time_that_they_ask_for() {
    let mut config = Config::default();
    config.cap.set_to(40);
    config.ready_delay = 19_000_000;
    Bench::new(config.clone());
    config.ready_delay = 21_000_000;
    let machine = Machine::new(config);
    assert_eq!(
        refused(&machine),
        Error::Failed(Failure::Timeout(Waiting::Enable))
    );
}

#[test]
fn the_longer_ready_timeout_of_version_2_counts() {
    let mut config = Config::default();
    config.cap.set_to(1);
    config.cap.set_crms_with_media(true);
    config.crwmt = 20;
    config.ready_delay = 9_000_000;
    Bench::new(config);
}

/// CRTO has room for nine hours.
#[test]
fn a_controller_that_asks_for_hours_does_not_get_them() {
    let mut config = Config::default();
    config.cap.set_crms_with_media(true);
    config.crwmt = u16::MAX;
    config.tick = 10_000;
    let machine = Machine::new(config);
    machine.model().never_ready = true;
    let before = machine.microseconds();
    assert_eq!(
        refused(&machine),
        Error::Failed(Failure::Timeout(Waiting::Enable))
    );
    let waited = machine.microseconds() - before;
    // One wait for it to start, and at most another one for it to stop.
    assert!((127_500_000..260_000_000).contains(&waited), "{waited}");
}

#[test]
fn a_controller_that_never_gets_ready_is_given_up_in_time() {
    let machine = Machine::new(Config::default());
    machine.model().never_ready = true;
    let before = machine.microseconds();
    assert_eq!(
        refused(&machine),
        Error::Failed(Failure::Timeout(Waiting::Enable))
    );
    let waited = machine.microseconds() - before;
    // CAP.TO is 7.5 seconds, and stopping it takes no longer than that again.
    assert!((7_500_000..15_100_000).contains(&waited), "{waited}");
    assert!(!machine.model().memory.dma);
}

#[test]
fn a_controller_that_never_stops_is_kept_from_memory() {
    let machine = Machine::new(Config {
        enabled: true,
        ..Config::default()
    });
    machine.model().never_stops = true;
    machine.model().memory.dma = true;
    assert_eq!(
        refused(&machine),
        Error::Failed(Failure::Timeout(Waiting::Disable))
    );
    assert!(!machine.model().memory.dma);
}

#[test]
fn fatal_status_while_enabling_is_no_timeout() {
    let error = refused_config(|config| {
        // The model objects to queue entries that are not what it offers, among others.
        config.identify.sqes = 0x77;
    });
    let sizes = Unsupported::EntrySize {
        sqes: 0x77,
        cqes: 0x44,
    };
    assert_eq!(error, Error::Unsupported(sizes));
    let machine = Machine::new(Config::default());
    machine.model().fatal_on_enable = true;
    assert_eq!(refused(&machine), Error::Failed(Failure::Fatal));
}

#[test]
fn a_device_that_is_not_there_is_gone() {
    let machine = Machine::new(Config::default());
    machine.model().all_ones = true;
    assert_eq!(refused(&machine), Error::Failed(Failure::Gone));
}

#[test]
fn a_device_that_reads_as_zeros_is_no_controller() {
    let machine = Machine::new(Config::default());
    machine.model().all_zeros = true;
    assert_eq!(
        refused(&machine),
        Error::Unsupported(Unsupported::CommandSet)
    );
}

#[test]
fn what_the_driver_cannot_drive_is_left_alone() {
    let page_size = refused_config(|config| config.cap.set_mpsmin(1));
    let shift = 13;
    assert_eq!(
        page_size,
        Error::Unsupported(Unsupported::PageSize { shift })
    );
    let command_set = refused_config(|config| config.cap.set_css_nvm(false));
    assert_eq!(command_set, Error::Unsupported(Unsupported::CommandSet));
    let queues = refused_config(|config| config.cap.set_mqes(0));
    assert_eq!(
        queues,
        Error::Unsupported(Unsupported::QueueEntries { mqes: 0 })
    );
    let version = refused_config(|config| config.version = 0);
    assert_eq!(
        version,
        Error::Unsupported(Unsupported::Version(Version::new()))
    );
}

#[test]
fn a_register_window_must_have_room_for_all_doorbells() {
    for (dstrd, len) in [(0, 0), (0, 0x100f), (4, 0x10c3)] {
        let error = refused_config(|config| {
            config.cap.set_dstrd(dstrd);
            config.window = Some(len);
        });
        let needed = 0x1000 + 3 * (4 << dstrd) + 4;
        let smallest = if len < 0x1010 { 0x1010 } else { needed };
        assert_eq!(
            error,
            Error::Unsupported(Unsupported::RegisterWindow {
                len,
                needed: smallest
            })
        );
    }
    Bench::new(Config {
        window: Some(0x1010),
        ..Config::default()
    });
}

#[test]
fn a_set_up_command_that_fails_is_named() {
    for (opcode, name) in [
        (0x01, "Create I/O Submission Queue"),
        (0x05, "Create I/O Completion Queue"),
        (0x06, "Identify Controller"),
        (0x09, "Set Features (Number of Queues)"),
    ] {
        let machine = Machine::new(Config::default());
        let internal = crate::model::status(0, 6).with_dnr(true);
        machine.model().bad_admin.insert(opcode, internal);
        match refused(&machine) {
            Error::Command(error) => {
                assert_eq!(error.command.name(), name);
                assert_eq!((error.status.sct(), error.status.sc()), (0, 6));
                assert!(error.status.dnr());
            }
            error => panic!("{error}"),
        }
    }
}

#[test]
fn shutdown_is_waited_for_and_is_the_end() {
    let bench = Bench::new(Config::default());
    bench.shutdown().expect("it shuts down");
    {
        let mut model = bench.machine.model();
        let csts = ControllerStatus::from(model.read32(nvme::registers::CSTS));
        assert_eq!(csts.shst(), ControllerStatus::SHUTDOWN_COMPLETE);
        assert!(!model.memory.dma);
    }
    let down = Err(Error::Dead(Failure::ShutDown));
    assert_eq!(bench.flush(1), down);
    assert_eq!(bench.shutdown(), down);
    assert_eq!(bench.dead(), Some(Failure::ShutDown));
}

#[test]
fn a_shutdown_that_never_ends_is_a_timeout() {
    let bench = Bench::new(Config::default());
    bench.machine.model().never_shuts_down = true;
    let timeout = Failure::Timeout(Waiting::Shutdown);
    assert_eq!(bench.shutdown(), Err(Error::Failed(timeout)));
    assert_eq!(bench.shutdown(), Err(Error::Dead(timeout)));
}

#[test]
fn a_reset_after_shutdown_brings_the_controller_back() {
    let bench = Bench::new(Config::default());
    let pages = bench.machine.model().memory.mapped_pages();
    bench.shutdown().expect("it shuts down");
    bench.reset().expect("it comes back");
    bench.flush(1).expect("it works");
    assert_eq!(bench.machine.model().memory.mapped_pages(), pages);
    assert_eq!(
        (bench.controller.failures(), bench.controller.resets()),
        (2, 1)
    );
}

#[test]
fn a_reset_shows_namespaces_as_they_are_now() {
    let bench = Bench::new(Config::default());
    assert_eq!(bench.controller.namespaces().len(), 1);
    bench.machine.model().config.namespaces = vec![(1, disk(8192, 9)), (5, disk(16, 12))];
    bench.reset().expect("it comes back");
    let seen = bench.controller.namespaces();
    let seen: Vec<_> = seen
        .iter()
        .map(|ns| (ns.id, ns.blocks, ns.block_size))
        .collect();
    assert_eq!(seen, [(1, 8192, 512), (5, 16, 4096)]);
}

/// With smaller lists from the first time, larger transfers after a reset still work.
#[test]
fn a_reset_to_a_larger_mdts_keeps_to_the_memory_that_there_is() {
    let bench = Bench::new(Config::with_disk(4096, 12).mdts(1));
    bench.machine.model().config.identify.mdts = 0;
    bench.reset().expect("it comes back");
    let bus = bench.pages(600);
    let list = crate::model::list(&[(bus + 512, 599 * 4096)]);
    bench.read(1, 7, &list).expect("it reads");
    assert_eq!(bench.contents(&list), bench.disk(1, 7, 599));
}
