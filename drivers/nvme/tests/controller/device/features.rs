//! Features: current, default, saved; and what they do.

use super::host::transfer;
use super::{Host, entry};
use crate::model::Config;

#[test]
fn values_are_current_default_and_saved() {
    let mut host = Host::new(Config::with_everything());
    host.set_feature(0x04, 0x160);
    assert_eq!(host.get_feature(0x04, 0), 0x160);
    assert_eq!(host.get_feature(0x04, 1), 0x157);
    assert_eq!(host.get_feature(0x04, 2), 0x157);
    assert_eq!(host.get_feature(0x04, 3), 5, "changeable and saveable");
    let mut save = entry(0x09, 0);
    save.cdw10_11 = 0x04 | 1 << 31 | 0x170 << 32;
    host.done(0, save);
    host.set_feature(0x04, 0x161);
    host.disable();
    host.enable(0);
    assert_eq!(
        host.get_feature(0x04, 0),
        0x170,
        "what was saved comes back"
    );
    let mut unknown = entry(0x0a, 0);
    unknown.cdw10_11 = 0x33;
    assert_eq!(host.fails(0, unknown), (0, 0x02));
    save.cdw10_11 = 0x0e | 1 << 31;
    assert_eq!(host.fails(0, save), (1, 0x0d));
}

#[test]
fn the_timestamp_goes_on_from_where_it_was_set() {
    let mut host = Host::new(Config::with_everything());
    let bus = host.zeros(1);
    host.put(bus, &0x0123_4567_89ab_u64.to_le_bytes());
    let mut set = entry(0x09, 0);
    (set.prp1, set.cdw10_11) = (bus, 0x0e);
    host.done(0, set);
    host.machine.model().pass(5_000_000);
    let mut get = entry(0x0a, 0);
    (get.prp1, get.cdw10_11) = (bus, 0x0e);
    host.done(0, get);
    let mut bytes: [u8; 8] = host.get(bus, 8).try_into().expect("8 bytes");
    assert_eq!(bytes[6], 2, "set by the host");
    bytes[6] = 0;
    let passed = u64::from_le_bytes(bytes) - 0x0123_4567_89ab;
    assert!((5000..5010).contains(&passed), "{passed}");
}

#[test]
fn unflushed_data_is_lost_when_the_power_goes() {
    let mut host = Host::new(Config::with_everything());
    host.create(1, None);
    let bus = host.zeros(2);
    let write = |host: &mut Host, block: u64, byte: u8, fua: bool| {
        host.put(bus, &[byte; 512]);
        let mut write = transfer(0x01, 1, block, 1, bus);
        write.cdw12_13 |= u64::from(fua) << 30;
        host.done(1, write);
    };
    write(&mut host, 0, 1, false);
    host.done(1, entry(0x00, 1));
    write(&mut host, 0, 2, false);
    write(&mut host, 1, 3, true);
    write(&mut host, 2, 4, false);
    assert_eq!(host.machine.model().cache.dirty(), 2);
    host.machine.model().power_cut();
    let first = |host: &Host, block| host.machine.model().contents(1, block, 1, 9)[..2].to_vec();
    assert_eq!(first(&host, 0), [1, 1], "flushed, and overwritten in vain");
    assert_eq!(first(&host, 1), [3, 3], "FUA");
    assert_ne!(first(&host, 2), [4, 4], "lost");
    host.enable(0);
    host.create(1, None);
    host.set_feature(0x06, 0);
    write(&mut host, 2, 5, false);
    host.machine.model().power_cut();
    assert_eq!(first(&host, 2), [5, 5], "no cache, nothing to lose");
}

#[test]
fn an_idle_controller_dozes_as_its_table_says() {
    let mut host = Host::new(Config::with_everything());
    host.create(1, None);
    let bus = host.zeros(1);
    // From state 0 to state 2 after 100 ms.
    host.put(bus, &(2_u64 << 3 | 100 << 8).to_le_bytes());
    let mut set = entry(0x09, 0);
    (set.prp1, set.cdw10_11) = (bus, 0x0c | 1 << 32);
    host.done(0, set);
    host.done(1, entry(0x00, 1));
    host.machine.model().pass(99_000);
    assert_eq!(host.machine.model().power.state, 0);
    host.machine.model().pass(3_000);
    assert_eq!(host.machine.model().power.state, 2);
    let before = host.machine.model().clock;
    host.done(1, entry(0x00, 1));
    assert!(
        host.machine.model().clock - before >= 5000,
        "it has to wake up"
    );
    assert_eq!(host.machine.model().power.history, [2, 0]);
    let mut too_deep = entry(0x09, 0);
    too_deep.cdw10_11 = 0x02 | 3 << 32;
    assert_eq!(host.fails(0, too_deep), (0, 0x02));
}

#[test]
fn a_host_that_is_not_alive_is_given_up() {
    let mut host = Host::new(Config::with_everything());
    host.set_feature(0x0f, 500);
    for _ in 0..5 {
        host.machine.model().pass(400_000);
        host.done(0, entry(0x18, 0));
    }
    host.machine.model().pass(600_000);
    use nvme::Registers;
    assert_eq!(host.machine.read32(nvme::registers::CSTS) & 2, 2);
}
