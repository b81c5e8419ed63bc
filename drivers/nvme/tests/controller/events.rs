//! What the controller says by itself.

use crate::model::{Bench, Config, Event, disk};
use nvme::{Happening, Notice, Options};

fn bench() -> Bench {
    Bench::new(Config::with_everything())
}

fn happening(bench: &Bench) -> Happening {
    match bench.run(bench.controller.next_notice()) {
        Notice::Event(event) => event.what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_changed_namespace_is_seen_without_being_asked_for() {
    let bench = bench();
    bench.machine.model().resize(1, 9000);
    assert_eq!(happening(&bench), Happening::NamespacesChanged);
    assert_eq!(bench.namespace(1).expect("it is there").blocks, 9000);
    // And once more: the log page was read, so the event is not masked.
    bench.machine.model().plug(5, disk(77, 12));
    assert_eq!(happening(&bench), Happening::NamespacesChanged);
    assert_eq!(bench.namespace(5).expect("it is there").blocks, 77);
    bench.machine.model().unplug(5);
    assert_eq!(happening(&bench), Happening::NamespacesChanged);
    assert!(bench.namespace(5).is_err());
}

#[test]
fn a_warning_is_passed_on() {
    let bench = bench();
    for _ in 0..3 {
        bench.machine.model().event(Event::TEMPERATURE);
        assert_eq!(happening(&bench), Happening::Temperature);
    }
}

/// Event requests keep their identifiers for as long as they wait, whatever else is sent. The
/// model objects to an identifier that is out already.
#[test]
fn identifiers_of_event_requests_are_nobody_elses() {
    let bench = bench();
    for _ in 0..300 {
        bench.run(bench.controller.rescan()).expect("it answers");
    }
    bench.machine.model().event(Event::TEMPERATURE);
    assert_eq!(happening(&bench), Happening::Temperature);
    bench.check();
}

#[test]
fn events_come_after_a_reset_too() {
    let bench = bench();
    bench.reset().expect("it comes back");
    while bench.run(bench.controller.next_notice()) != Notice::Reset {}
    bench.machine.model().resize(1, 5000);
    assert_eq!(happening(&bench), Happening::NamespacesChanged);
    assert_eq!(bench.namespace(1).expect("it is there").blocks, 5000);
}

/// An error that is over is only worth a notice. One that stays is cured by a reset.
#[test]
fn errors_of_the_controller_are_passed_on_and_cured() {
    let bench = Bench::with_options(Config::with_everything(), Options::default());
    bench.machine.model().event(Event::TRANSIENT);
    assert_eq!(happening(&bench), Happening::TransientError);
    assert_eq!(bench.controller.resets(), 0);
    bench.machine.model().event(Event::PERSISTENT);
    let seen = [(); 2].map(|()| bench.run(bench.controller.next_notice()));
    assert!(seen.contains(&Notice::Reset), "{seen:?}");
    let is_error = |notice: &Notice| match notice {
        Notice::Event(event) => event.what == Happening::PersistentError,
        _ => false,
    };
    assert!(seen.iter().any(is_error), "{seen:?}");
    assert_eq!(bench.controller.resets(), 1);
    bench.flush(1).expect("it works");
}
