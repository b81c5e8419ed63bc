//! Vectors: raised, masked, and gathered when the host wants fewer of them.

use super::{Host, entry};
use crate::model::Config;

fn flushes(host: &mut Host, queue: u16, count: usize) {
    for _ in 0..count {
        host.push(queue, entry(0x00, 1));
    }
    host.ring(queue);
    host.machine.model().pass(200);
    while host.take(queue).is_some() {}
    host.give_back(queue);
}

#[test]
fn each_queue_raises_its_vector() {
    let mut host = Host::new(Config::default());
    host.create(1, Some(5));
    host.create(2, Some(6));
    host.create(3, None);
    flushes(&mut host, 1, 1);
    flushes(&mut host, 3, 1);
    let mut model = host.machine.model();
    assert!(model.interrupts.take(5));
    assert!(!model.interrupts.take(5) && !model.interrupts.take(6));
    assert!(model.interrupts.take(0), "the admin queue");
}

#[test]
fn a_masked_vector_waits() {
    let mut host = Host::new(Config::default());
    host.create(1, Some(5));
    host.machine.model().interrupts.mask(5);
    flushes(&mut host, 1, 2);
    assert!(!host.machine.model().interrupts.take(5));
    host.machine.model().interrupts.unmask(5);
    assert!(host.machine.model().interrupts.take(5));
}

#[test]
fn coalescing_waits_for_the_number_or_the_time() {
    let mut host = Host::new(Config::default());
    host.create(1, Some(5));
    // Four completions, or 1.5 milliseconds.
    host.set_feature(0x08, 15 << 8 | 3);
    flushes(&mut host, 1, 3);
    assert!(!host.machine.model().interrupts.take(5), "too few");
    flushes(&mut host, 1, 1);
    assert!(host.machine.model().interrupts.take(5), "enough");
    flushes(&mut host, 1, 1);
    assert!(!host.machine.model().interrupts.take(5), "too early");
    host.machine.model().pass(1500);
    assert!(host.machine.model().interrupts.take(5), "time");
    // Not for this vector.
    host.set_feature(0x09, 1 << 16 | 5);
    assert_eq!(host.get_feature(0x09, 0) & 0xffff, 0);
    flushes(&mut host, 1, 1);
    assert!(host.machine.model().interrupts.take(5));
}
