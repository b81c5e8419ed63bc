//! Zoned namespaces.

use crate::model::{Bench, Config, Data, Fate, Then, ZoneState, list, status, zoned_disk};
use nvme::admin::CommandSet;
use nvme::nvm::{Filter, ZoneAction};
use nvme::zones::{State, Zone};
use nvme::{Access, Error, Meaning, Namespace, Options, Request, RequestError, Unusable};

/// Eight zones of 64 blocks, of which 48 can be written.
fn bench() -> (Bench, Namespace) {
    let bench = Bench::new(Config::with_everything().put(1, zoned_disk(8, 64, 48)));
    let namespace = bench.namespace(1).expect("a namespace");
    (bench, namespace)
}

fn zones(bench: &Bench, namespace: &Namespace, block: u64, filter: Filter) -> Vec<Zone> {
    let report = namespace
        .report_zones(block, filter, 100)
        .expect("a report");
    let pages = report.bytes().div_ceil(4096) as usize;
    let memory = list(&[(bench.pages(pages), report.bytes())]);
    let data = Data::lent(&memory, Access::FROM_DEVICE);
    let done = bench.execute(Request::with_data(report, data));
    done.result.expect("a report");
    let bytes = bench.contents(&memory);
    let zoned = namespace.zoned.expect("zones");
    let zones = zoned.report(&bytes);
    zones
        .map(|zone| zone.expect("a zone that can be"))
        .collect()
}

fn write(bench: &Bench, block: u64, blocks: u64) -> Result<(), Error> {
    let memory = list(&[(bench.pages(8), blocks * 512)]);
    bench.write(1, block, &memory)
}

fn meaning(result: Result<(), Error>) -> Meaning {
    match result {
        Err(Error::Command(error)) => error.status.meaning(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_zoned_namespace_is_known_by_its_command_set() {
    let (bench, namespace) = bench();
    assert_eq!(namespace.unusable, None);
    assert_eq!(namespace.set, CommandSet::Zoned);
    let zoned = namespace.zoned.expect("zones");
    assert_eq!((zoned.zone_blocks, zoned.zones), (64, 8));
    assert_eq!(zoned.max_open, None);
    drop(bench);
    // Zones of no size.
    let mut config = Config::with_everything().put(1, zoned_disk(8, 64, 48));
    if let Some(extra) = config.extras.get_mut(&1)
        && let Some(zoned) = &mut extra.zoned
    {
        zoned.lbafe[0].zsze = 0;
    }
    let bench = Bench::new(config);
    let namespace = bench.namespace(1).expect("a namespace");
    assert_eq!(namespace.unusable, Some(Unusable::Zones));
}

#[test]
fn a_report_shows_zones_as_they_are() {
    let (bench, namespace) = bench();
    write(&bench, 64, 10).expect("a write at the write pointer");
    let all = zones(&bench, &namespace, 0, Filter::All);
    assert_eq!(all.len(), 8);
    assert!(all.iter().all(|zone| zone.capacity == 48));
    assert_eq!((all[0].state, all[0].written), (State::Empty, 0));
    assert_eq!((all[1].state, all[1].written), (State::ImplicitlyOpen, 10));
    assert_eq!(all[1].write_pointer(), Some(74));
    let behind = zones(&bench, &namespace, 130, Filter::All);
    assert_eq!(behind[0].block, 128);
    let open = zones(&bench, &namespace, 0, Filter::ImplicitlyOpen);
    assert_eq!(open, [all[1]]);
    assert_eq!(zones(&bench, &namespace, 0, Filter::Full), []);
}

#[test]
fn zones_are_opened_and_reset() {
    let (bench, namespace) = bench();
    let act = |zone, action| {
        let operation = namespace.act_on_zone(zone, action).expect("an action");
        bench.perform(operation).map(drop)
    };
    let state = |index: usize| zones(&bench, &namespace, 0, Filter::All)[index].state;
    act(Some(64), ZoneAction::Open).expect("it opens");
    assert_eq!(state(1), State::ExplicitlyOpen);
    write(&bench, 64, 8).expect("it writes");
    act(Some(64), ZoneAction::Close).expect("it closes");
    assert_eq!(state(1), State::Closed);
    act(Some(64), ZoneAction::Finish).expect("it finishes");
    assert_eq!(state(1), State::Full);
    assert_eq!(meaning(write(&bench, 72, 8)), Meaning::Zone);
    act(None, ZoneAction::Reset).expect("all are reset");
    assert_eq!(state(1), State::Empty);
    assert_eq!(
        meaning(write(&bench, 65, 8)),
        Meaning::Zone,
        "not at the write pointer"
    );
    let no_zone = Err(RequestError::NoZone { block: 65 });
    assert_eq!(namespace.act_on_zone(Some(65), ZoneAction::Reset), no_zone);
}

/// A zone that can only be read is taken out of use; any other is not.
#[test]
fn a_zone_that_can_only_be_read_goes_offline() {
    let (bench, namespace) = bench();
    bench.machine.model().zones(1)[2].state = ZoneState::ReadOnly;
    let state = |index: usize| zones(&bench, &namespace, 0, Filter::All)[index].state;
    let offline = |zone| {
        let operation = namespace.act_on_zone(Some(zone), ZoneAction::Offline);
        bench.perform(operation.expect("an action")).map(drop)
    };
    assert_eq!(state(2), State::ReadOnly);
    assert_eq!(meaning(offline(64)), Meaning::Zone);
    assert_eq!(state(1), State::Empty);
    offline(128).expect("it goes");
    assert_eq!(state(2), State::Offline);
    assert_eq!(zones(&bench, &namespace, 0, Filter::Offline).len(), 1);
    assert_eq!(meaning(write(&bench, 128, 8)), Meaning::Zone);
}

#[test]
fn appends_say_where_they_went() {
    let (bench, namespace) = bench();
    for expected in [128, 136, 144] {
        let append = namespace.append(128, 8).expect("an append");
        let memory = list(&[(bench.pages(1), 4096)]);
        bench.set_contents(&memory, &[expected as u8; 4096]);
        let data = Data::lent(&memory, Access::TO_DEVICE);
        let done = bench.execute(Request::with_data(append, data));
        assert_eq!(done.result, Ok(expected));
    }
    assert_eq!(bench.disk(1, 136, 8), [136; 4096]);
    assert_eq!(
        namespace.append(129, 8),
        Err(RequestError::NoZone { block: 129 })
    );
}

/// An append that was stopped may have been done, and the blocks would be there twice. One that was not begun
/// is sent again.
#[test]
fn an_append_is_not_done_twice() {
    const APPEND: u8 = 0x7d;
    let aborted = status(0, 0x07);
    let internal = status(0, 0x06);
    let not_ready = status(0, 0x82);
    for (told, times) in [(aborted, 1), (internal, 1), (not_ready, 2)] {
        let config = Config::with_everything().put(1, zoned_disk(8, 64, 48));
        let bench = Bench::with_options(config, Options::default());
        let fate = Fate::of_next(APPEND, Then::End(told));
        bench.machine.model().fates.push(fate);
        let namespace = bench.namespace(1).expect("a namespace");
        let append = namespace.append(128, 8).expect("an append");
        let memory = list(&[(bench.pages(1), 4096)]);
        let data = Data::lent(&memory, Access::TO_DEVICE);
        let done = bench.execute(Request::with_data(append, data));
        match done.result {
            Ok(block) => assert_eq!((block, times), (128, 2), "{told}"),
            Err(Error::Command(error)) => assert_eq!((error.status, times), (told, 1)),
            Err(error) => panic!("{error}"),
        }
        assert_eq!(bench.commands().len(), times, "{told}");
    }
}

/// An append goes to one place, so it is one command or none.
#[test]
fn an_append_is_never_cut() {
    let (bench, namespace) = bench();
    let bus = bench.pages(4);
    // Two pieces that one command cannot describe together.
    let memory = list(&[(bus + 512, 512), (bus + 8192 + 512, 512)]);
    let append = namespace.append(0, 2).expect("an append");
    let data = Data::lent(&memory, Access::TO_DEVICE);
    let done = bench.execute(Request::with_data(append, data));
    let too_long = RequestError::TooLong { blocks: 2, most: 1 };
    assert_eq!(done.result, Err(Error::Request(too_long)));
    assert_eq!(bench.commands(), []);

    let mut config = Config::with_everything().put(1, zoned_disk(4, 1024, 1024));
    config.zoned.zasl = 1;
    let bench = Bench::new(config);
    let namespace = bench.namespace(1).expect("a namespace");
    assert!(namespace.append(0, 16).is_ok(), "8 KiB");
    let too_long = RequestError::TooLong {
        blocks: 17,
        most: 16,
    };
    assert_eq!(namespace.append(0, 17), Err(too_long));
}
