//! Features: values that a controller keeps.

use crate::model::Data;
use crate::model::{Bench, Config};
use nvme::admin::{Coalescing, Feature, HostBehaviour, Save, Select, VectorConfiguration};
use nvme::{Access, Error, Options, Request, RequestError, execute};
use std::cell::RefCell;
use std::rc::Rc;

fn bench() -> Bench {
    Bench::new(Config::with_everything())
}

fn unsupported<T>() -> Result<T, Error> {
    Err(Error::Request(RequestError::Unsupported))
}

#[test]
fn the_write_cache_goes_off_and_on() {
    let bench = bench();
    let controller = &bench.controller;
    assert_eq!(bench.run(controller.write_cache()), Ok(true));
    assert_eq!(bench.run(controller.set_write_cache(false)), Ok(()));
    assert_eq!(bench.run(controller.write_cache()), Ok(false));
    assert_eq!(bench.machine.model().feature(0x06), 0);
    assert_eq!(bench.run(controller.set_write_cache(true)), Ok(()));
    assert_eq!(bench.run(controller.write_cache()), Ok(true));
    let mut config = Config::with_everything();
    config.identify.vwc = 0;
    let bench = Bench::new(config);
    assert_eq!(bench.run(bench.controller.write_cache()), unsupported());
    assert_eq!(
        bench.run(bench.controller.set_write_cache(true)),
        unsupported()
    );
}

#[test]
fn values_are_selected_and_saved() {
    let bench = bench();
    let controller = &bench.controller;
    let feature = Feature::TemperatureThreshold;
    let value = |select| bench.run(controller.feature(feature, 0, select, 0));
    assert_eq!(value(Select::Current), Ok(0x157));
    let set = |value, save| bench.run(controller.set_feature(feature, 0, value, save));
    assert_eq!(set(0x160, Save::No), Ok(()));
    assert_eq!(
        (value(Select::Current), value(Select::Saved)),
        (Ok(0x160), Ok(0x157))
    );
    assert_eq!(set(0x161, Save::Yes), Ok(()));
    assert_eq!(
        (value(Select::Saved), value(Select::Default)),
        (Ok(0x161), Ok(0x157))
    );
    bench.reset().expect("it comes back");
    assert_eq!(value(Select::Current), Ok(0x161), "it was saved");
    let supported = bench
        .run(controller.supported(feature, 0))
        .expect("an answer");
    assert!(supported.changeable() && supported.saveable());
    // What the driver stands on is not for sale.
    let set = controller.set_feature(Feature::NumberOfQueues, 0, 0, Save::No);
    assert_eq!(bench.run(set), unsupported());
}

#[test]
fn interrupts_are_coalesced() {
    let bench = bench();
    let coalescing = Coalescing::new().with_threshold(7).with_time(2);
    assert_eq!(bench.run(bench.controller.coalesce(coalescing)), Ok(()));
    assert_eq!(bench.machine.model().feature(0x08), 0x0207);
}

/// A vector that is waited for is not collected, though all others are.
#[test]
fn a_vector_interrupts_at_once_if_it_is_told_to() {
    let mut options = Options::default();
    options.queues = 2;
    let bench = Bench::with_options(Config::with_everything(), options);
    let controller = &bench.controller;
    // Eight completions, or 25 milliseconds.
    let coalescing = Coalescing::new().with_threshold(7).with_time(250);
    assert_eq!(bench.run(controller.coalesce(coalescing)), Ok(()));
    let queue = bench.run(controller.queue(Some(5))).expect("a queue");
    let queue = Rc::new(RefCell::new(queue));
    bench.add(queue.clone());
    let disk = bench.namespace(1).expect("a namespace");
    let is_interrupted = || {
        let data = Data::owned(&bench.machine, 1, Access::FROM_DEVICE);
        let read = disk.read(0, 8).expect("a read");
        let done = bench.run(execute(queue.clone(), Request::with_data(read, data)));
        assert_eq!(done.result, Ok(0));
        bench.machine.model().interrupts.take(5)
    };
    let configuration = || bench.run(controller.vector_configuration(5));
    let collected = VectorConfiguration::new().with_vector(5);
    let immediate = collected.with_is_immediate(true);
    assert_eq!(configuration(), Ok(collected));
    assert!(!is_interrupted(), "one is not enough");
    assert_eq!(bench.run(controller.configure_vector(immediate)), Ok(()));
    assert_eq!(configuration(), Ok(immediate));
    assert!(is_interrupted());
    let other = bench.run(controller.vector_configuration(6));
    assert_eq!(other.map(|other| other.is_immediate()), Ok(false));
    assert_eq!(bench.run(controller.configure_vector(collected)), Ok(()));
    assert!(!is_interrupted(), "as it was");
    let none = immediate.with_vector(u16::MAX);
    let refused = bench.run(controller.configure_vector(none));
    assert!(matches!(refused, Err(Error::Command(error)) if error.status.sc() == 0x02));
}

#[test]
fn the_clock_is_set_and_read() {
    let bench = bench();
    let controller = &bench.controller;
    assert_eq!(
        bench.run(controller.set_timestamp(1_700_000_000_000)),
        Ok(())
    );
    let time = bench.run(controller.timestamp()).expect("a time");
    let passed = time.milliseconds() - 1_700_000_000_000;
    assert!(passed < 10_000, "it goes on from there");
    assert_eq!(time.origin(), 1);
}

#[test]
fn the_host_says_what_it_can() {
    let mut config = Config::with_everything();
    config.identify.crdt = [1, 2, 3];
    config.identify.ctratt = 1 << 15;
    let bench = Bench::new(config);
    let all = HostBehaviour {
        advanced_retry: true,
        extended_formats: true,
    };
    assert_eq!(bench.run(bench.controller.host_behaviour()), Ok(all));
    bench.reset().expect("it comes back");
    assert_eq!(bench.run(bench.controller.host_behaviour()), Ok(all));
    let bench = Bench::new(Config::with_everything());
    let none = HostBehaviour::default();
    assert_eq!(bench.run(bench.controller.host_behaviour()), Ok(none));
}

#[test]
fn power_states_are_chosen() {
    let bench = bench();
    let controller = &bench.controller;
    assert_eq!(controller.identity().abilities.power.states().len(), 3);
    assert_eq!(bench.run(controller.power_state()), Ok(0));
    assert_eq!(bench.run(controller.set_power_state(1)), Ok(()));
    assert_eq!(bench.run(controller.power_state()), Ok(1));
    assert_eq!(bench.run(controller.set_power_state(3)), unsupported());
}

#[test]
fn the_controller_sleeps_by_a_table() {
    let bench = bench();
    let controller = &bench.controller;
    // State 2 takes 5 ms to come back from.
    let table = bench.run(controller.sleep_within(10_000)).expect("a table");
    assert_eq!((table.0[0].state, table.0[0].milliseconds), (2, 250));
    assert_eq!(bench.machine.model().feature(0x0c), 1);
    let table = bench.run(controller.sleep_within(1000)).expect("a table");
    assert!(table.is_empty());
    assert_eq!(bench.machine.model().feature(0x0c), 0);
}
