//! What the controller says by itself.

use crate::model::{Bench, Config, Event, disk};
use nvme::{Happening, Notice};

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
