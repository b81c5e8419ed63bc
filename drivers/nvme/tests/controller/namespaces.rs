//! Which namespaces there are, and which of them can be used.

use crate::model::{Bench, Config, disk, list, status};
use nvme::wire::LbaFormat;
use nvme::{Error, RequestError, Unusable};

/// Identifiers of the namespaces that the driver shows.
fn shown(config: Config) -> Vec<u32> {
    let bench = Bench::new(config);
    let namespaces = bench.controller.namespaces();
    namespaces.iter().map(|ns| ns.id).collect()
}

fn many(ids: &[u32]) -> Config {
    Config {
        namespaces: ids.iter().map(|id| (*id, disk(64, 9))).collect(),
        ..Config::default()
    }
}

#[test]
fn active_namespaces_are_found_over_gaps() {
    assert_eq!(shown(many(&[1, 3, 200, 256])), [1, 3, 200, 256]);
    assert_eq!(shown(many(&[])), [0; 0]);
}

#[test]
fn without_a_list_each_identifier_is_tried() {
    let mut config = many(&[2, 3, 9]);
    config.active_list = false;
    config.identify.nn = 10;
    assert_eq!(shown(config), [2, 3, 9]);
}

#[test]
fn a_list_longer_than_a_page_is_followed() {
    let ids: Vec<u32> = (1..=1024).map(|id| id * 2).collect();
    let mut config = many(&ids);
    config.identify.nn = 4096;
    let bench = Bench::new(config.clone());
    assert_eq!(bench.controller.namespaces().len(), 1024);
    assert!(!bench.controller.namespaces_left_out());
    config.namespaces.push((2049, disk(64, 9)));
    let bench = Bench::new(config);
    assert_eq!(bench.controller.namespaces().len(), 1024);
    assert!(bench.controller.namespaces_left_out());
}

#[test]
fn a_list_that_makes_no_sense_ends_where_it_stops_making_sense() {
    let with = |ids: &[u32]| {
        let mut config = many(&[1, 2, 3]);
        config.false_list = Some(ids.to_vec());
        let bench = Bench::new(config);
        let namespaces = bench.controller.namespaces();
        let ids: Vec<_> = namespaces.iter().map(|ns| ns.id).collect();
        (ids, bench.controller.namespaces_left_out())
    };
    assert_eq!(with(&[1, 2, 2, 3]), (vec![1, 2], true));
    assert_eq!(with(&[3, 1]), (vec![3], true));
    assert_eq!(with(&[1, u32::MAX]), (vec![1], true));
    // A full page of the same again and again would otherwise never end.
    let same: Vec<u32> = (1..=1024).collect();
    assert_eq!(with(&same).0.len(), 256, "NN is 256");
    let mut config = many(&[1, 2, 3]);
    config.false_list = Some(same);
    config.identify.nn = 4096;
    let bench = Bench::new(config);
    assert_eq!(bench.controller.namespaces().len(), 1024);
    assert!(bench.controller.namespaces_left_out());
}

#[test]
fn a_huge_number_of_namespaces_is_not_counted_through() {
    let mut config = many(&[1, 700]);
    config.active_list = false;
    config.identify.nn = u32::MAX;
    let bench = Bench::new(config);
    let namespaces = bench.controller.namespaces();
    assert_eq!(namespaces.len(), 2);
    assert!(bench.controller.namespaces_left_out());
}

/// What becomes of a namespace that is changed in some way.
fn verdict(change: impl FnOnce(&mut nvme::wire::IdentifyNamespace)) -> Option<Unusable> {
    let mut config = Config::default();
    change(&mut config.namespaces[0].1);
    let bench = Bench::new(config);
    let namespace = bench.controller.namespaces()[0];
    let bus = bench.pages(16);
    let read = bench.read(1, 0, &list(&[(bus, 0x1_0000)]));
    match namespace.unusable {
        None if namespace.is_plain() => assert_eq!(read, Ok(())),
        // There is metadata, and no memory for it.
        None => assert_eq!(read, Err(Error::Request(RequestError::Access))),
        Some(reason) => {
            let refused = Error::Request(RequestError::UnusableNamespace { nsid: 1, reason });
            assert_eq!(read, Err(refused));
            assert_eq!(bench.limits(1), Err(refused));
            assert_eq!(bench.commands(), [], "nothing was sent");
        }
    }
    namespace.unusable
}

#[test]
fn formats_that_cannot_be_used_are_listed_with_the_reason() {
    let format =
        |shift, ms| verdict(|ns| ns.lbaf[1] = LbaFormat::new().with_lbads(shift).with_ms(ms));
    assert_eq!(format(9, 0), None);
    assert_eq!(format(12, 0), None);
    assert_eq!(format(16, 0), None);
    assert_eq!(format(9, 8), None);
    assert_eq!(format(9, 6), Some(Unusable::Metadata { bytes: 6 }));
    for shift in [0, 1, 8, 20, 31, 32, 60, 63, 64, 255] {
        assert_eq!(format(shift, 0), Some(Unusable::BlockSize { shift }));
    }
    assert_eq!(
        verdict(|ns| ns.dps = 1),
        Some(Unusable::Protection { kind: 1 })
    );
    assert_eq!(verdict(|ns| ns.dps = 8), None, "a position, but no type");
    assert_eq!(
        verdict(|ns| ns.flbas = 3),
        Some(Unusable::Format { index: 3 })
    );
    assert_eq!(verdict(|ns| ns.nsze = 0), Some(Unusable::Empty));
    assert_eq!(verdict(|ns| ns.nsze = u64::MAX), Some(Unusable::TooLarge));
    assert_eq!(verdict(|ns| ns.nsze = u64::MAX >> 9), None);
}

#[test]
fn high_format_numbers_are_used() {
    assert_eq!(
        verdict(|ns| {
            ns.nlbaf = 63;
            ns.flbas = 0x65;
            ns.lbaf[0x35] = LbaFormat::new().with_lbads(12);
        }),
        None
    );
}

#[test]
fn a_namespace_that_is_not_described_is_listed() {
    let mut config = many(&[1, 2]);
    config.false_list = Some(vec![1, 2, 300]);
    config.identify.nn = 300;
    // The model does not know 300 as active and describes it by zeros.
    let bench = Bench::new(config);
    let reasons: Vec<_> = bench
        .controller
        .namespaces()
        .iter()
        .map(|ns| (ns.id, ns.unusable))
        .collect();
    assert_eq!(
        reasons,
        [(1, None), (2, None), (300, Some(Unusable::Empty))]
    );
}

#[test]
fn a_namespace_whose_identify_fails_does_not_hide_the_others() {
    let mut config = many(&[1, 2, 3]);
    config.bad_namespace = Some((2, status(0, 0x82)));
    let bench = Bench::new(config);
    let reasons: Vec<_> = bench
        .controller
        .namespaces()
        .iter()
        .map(|ns| ns.unusable)
        .collect();
    let not_ready = Some(Unusable::NotIdentified(status(0, 0x82)));
    assert_eq!(reasons, [None, not_ready, None]);
}

#[test]
fn namespaces_are_kept_apart() {
    let bench = Bench::new(many(&[1, 7]));
    let bus = bench.pages(1);
    let list = list(&[(bus, 4096)]);
    bench.read(7, 3, &list).expect("it reads");
    assert_eq!(bench.contents(&list), bench.disk(7, 3, 8));
    assert_ne!(bench.contents(&list), bench.disk(1, 3, 8));
    for nsid in [0, 2, u32::MAX] {
        assert_eq!(
            bench.read(nsid, 0, &list),
            Err(Error::Request(RequestError::NoSuchNamespace { nsid }))
        );
    }
}

#[test]
fn write_protected_namespaces_are_read_only() {
    let mut config = Config::default();
    config.namespaces[0].1.nsattr = 1;
    let bench = Bench::new(config);
    assert!(bench.controller.namespaces()[0].write_protected);
    let bus = bench.pages(1);
    let list = list(&[(bus, 4096)]);
    bench.read(1, 0, &list).expect("it reads");
    assert_eq!(
        bench.write(1, 0, &list),
        Err(Error::Request(RequestError::WriteProtected { nsid: 1 }))
    );
}
