//! Who a controller is, and what identifies its namespaces.

use crate::model::{Bench, Config, protected_disk};
use nvme::Device;

#[test]
fn descriptors_identify_a_namespace() {
    let (mut identify, mut extra) = protected_disk(100, 0, 0, false);
    identify.eui64 = [1, 2, 3, 4, 5, 6, 7, 8];
    identify.nguid = [9; 16];
    extra.uuid = [7; 16];
    let config = Config::with_everything().put(1, (identify, extra));
    let bench = Bench::new(config.clone());
    let found = bench.namespace(1).expect("a namespace").identifiers;
    assert_eq!(found.eui64, Some([1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!((found.nguid, found.uuid), (Some([9; 16]), Some([7; 16])));
    assert_eq!(found.csi, Some(0));

    // Before version 1.3, there is only what Identify Namespace has.
    let mut old = config;
    old.version = 0x0001_0200;
    let bench = Bench::new(old);
    let found = bench.namespace(1).expect("a namespace").identifiers;
    assert_eq!(found.eui64, Some([1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!((found.uuid, found.csi), (None, None));
}

/// QEMU verifies though it does not say so, and what it says of identifiers is made up.
#[test]
fn a_known_device_is_treated_as_it_needs() {
    let (mut identify, extra) = protected_disk(100, 0, 0, false);
    identify.nguid = [9; 16];
    let mut config = Config::with_everything().put(1, (identify, extra));
    config.identify.oncs &= !(1 << 7);
    let unknown = Bench::new(config.clone());
    let disk = unknown.namespace(1).expect("a namespace");
    assert_eq!(disk.identifiers.nguid, Some([9; 16]));
    assert!(disk.verify(0, 1).is_err());

    config.device = Some(Device {
        vendor: 0x1b36,
        device: 0x0010,
    });
    let known = Bench::new(config);
    let disk = known.namespace(1).expect("a namespace");
    assert_eq!(disk.identifiers.nguid, None);
    assert!(disk.verify(0, 1).is_ok());
    assert!(known.controller.identity().quirks.never_aborts());
}
