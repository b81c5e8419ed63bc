//! Namespaces: identified, made, attached, protected.

use super::host::transfer;
use super::{Host, entry};
use crate::model::{Config, disk, protected_disk, zoned_disk};
use nvme::wire::{Descriptors, IdentifyNamespace, controller_list, namespace_list};

fn list(host: &mut Host, cns: u8, csi: u8) -> Vec<u32> {
    let data: [u8; 4096] = host.identify(cns, csi, 0).try_into().expect("4096 bytes");
    namespace_list(&data).collect()
}

#[test]
fn command_sets_have_lists_of_their_own() {
    let config = Config::with_everything()
        .put(1, protected_disk(100, 0, 0, false))
        .put(3, zoned_disk(4, 16, 16));
    let mut host = Host::new(config.clone());
    assert_eq!(
        list(&mut host, 2, 0),
        [1],
        "only the NVM command set is selected"
    );
    let mut host = Host::with_css(config, 6);
    assert_eq!(list(&mut host, 2, 0), [1, 3]);
    assert_eq!(list(&mut host, 7, 0), [1]);
    assert_eq!(list(&mut host, 7, 2), [3]);
    let data: [u8; 4096] = host.identify(3, 0, 3).try_into().expect("4096 bytes");
    assert_eq!(Descriptors::decode(&data).csi, Some(2));
    assert_eq!(host.identify(0x1c, 0, 0)[0], 5);
    let zones = host.identify(5, 2, 3);
    assert_eq!(zones[2816], 16, "ZSZE");
    let mut identify = entry(0x06, 1);
    identify.cdw10_11 = 5 | 2 << 56;
    identify.prp1 = host.zeros(1);
    assert_eq!(host.fails(0, identify), (0, 0x02), "it has no zones");
}

#[test]
fn namespaces_are_made_attached_detached_and_deleted() {
    let mut host = Host::new(Config::with_everything());
    host.create(1, None);
    let page = host.zeros(1);
    let mut wanted = IdentifyNamespace::default();
    (wanted.nsze, wanted.ncap, wanted.flbas) = (2048, 2048, 4);
    let mut bytes = [0; 4096];
    wanted.encode(&mut bytes);
    host.put(page, &bytes);
    let mut create = entry(0x0d, 0);
    create.prp1 = page;
    assert_eq!(host.done(0, create), 2, "the first free identifier");
    assert_eq!(list(&mut host, 2, 0), [1]);
    assert_eq!(list(&mut host, 0x10, 0), [1, 2]);
    let read = transfer(0x02, 2, 0, 1, host.zeros(2));
    assert_eq!(host.fails(1, read), (0, 0x0b), "not attached");

    host.put(page, &controller_list(&[9]));
    let mut attach = entry(0x15, 2);
    attach.prp1 = page;
    assert_eq!(host.fails(0, attach), (1, 0x1c), "another controller");
    host.put(page, &controller_list(&[7]));
    host.done(0, attach);
    assert_eq!(host.fails(0, attach), (1, 0x18), "already");
    host.done(1, read);
    let identified = host.identify(0, 0, 2);
    assert_eq!(identified[1], 8, "2048 blocks");
    attach.cdw10_11 = 1;
    host.done(0, attach);
    assert_eq!(host.fails(0, attach), (1, 0x1a), "not attached");
    assert_eq!(host.identify(0x11, 0, 2)[1], 8);
    let mut delete = entry(0x0d, 2);
    delete.cdw10_11 = 1;
    host.done(0, delete);
    assert_eq!(host.fails(0, delete), (0, 0x0b));
    assert_eq!(list(&mut host, 0x10, 0), [1]);
}

#[test]
fn a_namespace_can_be_protected_from_writes() {
    let mut host = Host::new(Config::with_everything());
    host.create(1, None);
    let bus = host.zeros(2);
    let mut protect = entry(0x09, 1);
    protect.cdw10_11 = 0x84 | 1 << 32;
    host.done(0, protect);
    assert_eq!(host.fails(1, transfer(0x01, 1, 0, 1, bus)), (0, 0x20));
    host.done(1, transfer(0x02, 1, 0, 1, bus));
    assert_eq!(host.identify(0, 0, 1)[99], 1, "NSATTR");
    let mut format = entry(0x80, 1);
    format.cdw10_11 = 1;
    assert_eq!(host.fails(0, format), (0, 0x20));
    protect.cdw10_11 = 0x84;
    host.done(0, protect);
    host.done(1, transfer(0x01, 1, 0, 1, bus));
    protect.cdw10_11 = 0x84 | 3 << 32;
    host.done(0, protect);
    assert_eq!(host.fails(0, protect), (1, 0x0e), "for ever");
}

#[test]
fn a_smaller_namespace_has_lost_its_end() {
    let mut host = Host::new(Config::with_everything());
    host.create(1, None);
    let bus = host.zeros(2);
    host.done(1, transfer(0x01, 1, 100, 1, bus));
    host.machine.model().resize(1, 100);
    assert_eq!(host.fails(1, transfer(0x02, 1, 100, 1, bus)), (0, 0x80));
    host.machine.model().plug(4, disk(8, 12));
    host.done(1, transfer(0x02, 4, 7, 1, bus));
}
