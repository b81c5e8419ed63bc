//! Shadow doorbells: the register is rung only when the device sleeps.

use super::{Host, entry};
use crate::model::Config;
use nvme::{Platform, SharedMemory};

fn host_with_shadows() -> (Host, impl SharedMemory, impl SharedMemory) {
    let mut host = Host::new(Config::with_everything());
    host.create(1, None);
    let shadow = host.machine.allocate(4096).expect("memory");
    let event = host.machine.allocate(4096).expect("memory");
    let mut configure = entry(0x7c, 0);
    configure.prp1 = shadow.bus().addr().get();
    configure.prp2 = event.bus().addr().get();
    host.done(0, configure);
    (host, shadow, event)
}

/// The tail of queue 1 and the head of its completion queue share a word.
fn store(host: &Host, shadow: &impl SharedMemory) {
    let both = u64::from(host.tail(1)) | u64::from(host.head(1)) << 32;
    shadow.store64(8, both);
}

#[test]
fn the_register_is_needed_only_to_wake_the_device() {
    let (mut host, shadow, event) = host_with_shadows();
    host.push(1, entry(0x00, 1));
    store(&host, &shadow);
    host.machine.model().pass(1000);
    assert!(host.take(1).is_none(), "it sleeps");
    host.ring(1);
    host.machine.model().pass(1000);
    assert!(host.take(1).is_some());
    assert_eq!(event.load64(8) as u32, 1, "rung past this");
    assert_eq!(host.machine.model().shadow.rings, 1);
    host.disable();
}

/// The right order: shadow, then EventIdx. The device sees the one or shows the other.
#[test]
fn whoever_looks_at_the_event_index_after_the_shadow_is_never_left_waiting() {
    let (mut host, shadow, event) = host_with_shadows();
    for _ in 0..100 {
        let old = host.tail(1);
        host.push(1, entry(0x00, 1));
        store(&host, &shadow);
        let seen = event.load64(8) as u16;
        if seen == old {
            host.ring(1);
        }
        host.machine.model().pass(300);
        assert!(host.take(1).is_some());
    }
    host.disable();
}

/// The wrong order is found out: the device falls asleep in between.
#[test]
fn whoever_looks_at_the_event_index_too_early_waits_for_ever() {
    let (mut host, shadow, event) = host_with_shadows();
    let mut hung = false;
    for _ in 0..10 {
        // Two commands, the second while the device is still awake.
        for _ in 0..2 {
            let old = host.tail(1);
            let seen = event.load64(8) as u16;
            host.push(1, entry(0x00, 1));
            store(&host, &shadow);
            // Just past EventIdx, as it was before.
            if seen == old {
                host.ring(1);
            }
        }
        host.machine.model().pass(300);
        hung |= host.take(1).is_none() || host.take(1).is_none();
    }
    assert!(hung);
    host.disable();
}

#[test]
fn shadows_end_with_a_reset_and_may_be_given_back_then() {
    let (mut host, shadow, event) = host_with_shadows();
    drop(event);
    assert_eq!(host.offences().len(), 1, "too early");
    host.disable();
    drop(shadow);
    host.enable(0);
    host.create(1, None);
    host.done(1, entry(0x00, 1));
}
