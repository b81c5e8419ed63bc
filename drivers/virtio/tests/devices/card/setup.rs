//! From a card that is found to one that carries frames; and what it is told.

use super::world::{World, bring_up, content, frame};
use crate::model::{Device, Machine, bits};
use virtio::net::{Checked, Filter, HEADER, Options};
use virtio::{ConfigError, Error, Failure};

fn machine(change: impl FnOnce(&mut Device)) -> Machine {
    Machine::new(|ram| {
        let mut device = Device::card(ram, 1);
        change(&mut device);
        device
    })
}

#[test]
fn only_what_is_implemented_is_accepted() {
    let world = World::new(|_| {});
    let accepted = world.device().accepted;
    for not in [bits::GUEST_UFO, bits::IN_ORDER, bits::HASH_REPORT] {
        assert_eq!(accepted & not, 0, "{not:#x}");
        assert_ne!(world.device().offered & not, 0);
    }
    assert_eq!(world.device().steps, [0, 1, 3, 11, 15]);
    let properties = world.card.properties();
    assert_eq!(properties.mac, Some([0x52, 0x54, 0, 1, 2, 3]));
    assert!(properties.is_up && properties.mergeable && properties.checksum);
    world.carries();
    world.end();
}

#[test]
fn features_that_are_avoided_are_not_accepted() {
    let machine = machine(|_| {});
    let avoid = u128::from(bits::MRG_RXBUF | bits::GUEST_TSO4 | bits::GUEST_TSO6);
    let avoids = |options: &mut Options| options.avoid = avoid;
    let card = bring_up(&machine, avoids).expect("a good card");
    let properties = card.properties();
    assert!(!properties.mergeable && !properties.joined_tcp4);
    assert_eq!(properties.least(), 1500 + 18 + 12);
    assert_eq!(u128::from(machine.device.borrow().accepted) & avoid, 0);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let refused = |change: fn(&mut Device)| {
        let result = bring_up(&machine(change), |_| {}).map(drop);
        let Err(Error::Failed(Failure::Config(error))) = result else {
            panic!("{result:?}");
        };
        error
    };
    let mtu = |device: &mut Device| device.config[10..12].copy_from_slice(&[67, 0]);
    assert_eq!(refused(mtu), ConfigError::Mtu(67));
    let none = |device: &mut Device| device.config[8..10].fill(0);
    assert_eq!(refused(none), ConfigError::Pairs(0));
    let many = |device: &mut Device| device.config[8..10].fill(0xff);
    assert_eq!(refused(many), ConfigError::Pairs(0xffff));
    let short = |device: &mut Device| device.config.truncate(11);
    assert_eq!(refused(short), ConfigError::Short { len: 11 });
    assert_eq!(
        refused(|device| device.is_unsteady = true),
        ConfigError::Unsteady
    );
}

#[test]
fn a_card_that_can_do_nothing_carries_frames() {
    let world = World::new(|device| device.offered = bits::VERSION_1);
    let properties = world.card.properties();
    assert_eq!(
        (properties.mac, properties.mtu, properties.is_up),
        (None, 1500, true)
    );
    assert!(!properties.mergeable && !properties.checksum && !properties.has_filter);
    world.carries();
    world.end();
}

#[test]
fn more_pairs_than_queues_are_not_believed() {
    let machine = Machine::new(|ram| {
        let mut device = Device::card(ram, 2);
        device.config[8] = 200;
        device
    });
    let card = bring_up(&machine, |_| {}).expect("there are some");
    assert_eq!(card.properties().pairs, 2);
    // The control queue would be behind all pairs, and is not there.
    let queue = Failure::QueueSize {
        queue: 400,
        size: 0,
    };
    assert_eq!(card.control().map(drop), Err(Error::Failed(queue)));
}

/// A card that can spread frames over its queues: the length of its key, and of its table.
fn spreads(device: &mut Device, key: u8, table: u16) {
    device.offered |= bits::RSS;
    device.config.resize(24, 0);
    device.config[17] = key;
    device.config[18..20].copy_from_slice(&table.to_le_bytes());
    device.config[20..24].copy_from_slice(&0x1ff_u32.to_le_bytes());
}

#[test]
fn frames_are_spread_where_the_card_has_room_for_key_and_table() {
    for (key, table, can) in [(40, 128, true), (39, 128, false), (40, 127, false)] {
        let world = World::with_pairs(2, |device| spreads(device, key, table));
        world.idle();
        assert_eq!(world.card.properties().spread.is_some(), can);
        let commands = world.device().wire.commands.split_off(0);
        let told = commands
            .iter()
            .filter(|command| (command.0, command.1) == (4, 1));
        let told: Vec<_> = told.map(|command| command.2.clone()).collect();
        assert_eq!(told.len(), usize::from(can));
        for data in told {
            // IPv4 and IPv6, alone, with TCP, with UDP; a table that deals out both pairs in turn.
            assert_eq!(data[..12], [0x3f, 0, 0, 0, 127, 0, 0, 0, 0, 0, 1, 0]);
            assert_eq!(data[264..267], [2, 0, 40]);
            assert_eq!(data.len(), 307);
        }
        world.carries();
        world.end();
    }
    // With one pair there is nothing to spread.
    let world = World::new(|device| spreads(device, 40, 128));
    world.idle();
    let commands = world.device().wire.commands.split_off(0);
    assert!(
        commands
            .iter()
            .all(|command| (command.0, command.1) != (4, 1))
    );
    world.end();
    // Whoever says that it can, and has no such fields, is not believed.
    let cut = machine(|device| {
        spreads(device, 40, 128);
        device.config.truncate(23);
    });
    let refused = bring_up(&cut, |_| {}).map(drop);
    let short = Failure::Config(ConfigError::Short { len: 23 });
    assert_eq!(refused, Err(Error::Failed(short)));
}

#[test]
fn a_card_is_told_what_is_wished_for_and_again_after_a_reset() {
    let world = World::with_pairs(2, |_| {});
    world.idle();
    let table = |groups: &[u8]| {
        let count = (groups.len() / 6) as u8;
        let mut data = vec![0, 0, 0, 0, count, 0, 0, 0];
        data.extend(groups);
        (1, 0, data)
    };
    let first = world.device().wire.commands.split_off(0);
    assert_eq!(
        first,
        [
            (4, 0, vec![2, 0]),
            table(&[]),
            (0, 1, vec![1]),
            (0, 0, vec![0])
        ]
    );
    let group = [1, 0, 0x5e, 0, 0, 0x16];
    world.set_filter(Filter {
        mac: Some([2, 2, 2, 2, 2, 2]),
        everything: false,
        all_multicast: false,
        multicast: vec![group],
        vlans: vec![5],
    });
    world.idle();
    let second = world.device().wire.commands.split_off(0);
    let expected = [
        (4, 0, vec![2, 0]),
        (1, 1, vec![2; 6]),
        table(&group),
        (0, 1, vec![0]),
        (0, 0, vec![0]),
        (2, 0, vec![5, 0]),
    ];
    assert_eq!(second, expected);
    world.run(world.card.reset()).expect("it comes back");
    world.idle();
    assert_eq!(world.device().wire.commands.split_off(0), expected);
    // What it refuses is counted, and no more.
    world.device().wire.refuses = true;
    world.set_filter(Filter::default());
    world.idle();
    let commands = world.card.commands();
    assert_eq!((commands.done, commands.refused), (16, 5));
    world.carries();
    world.end();
}

#[test]
fn a_change_of_the_link_and_the_wish_for_an_announcement_are_heard() {
    let world = World::new(|_| {});
    world.idle();
    world.device().wire.commands.clear();
    for (status, is_up) in [(0, false), (1, true), (3, true)] {
        world.device().config[6] = status;
        world.device().change();
        world.idle();
        assert_eq!(world.card.properties().is_up, is_up);
    }
    assert_eq!(world.device().wire.commands.split_off(0), [(3, 0, vec![])]);
    assert!(!world.card.properties().must_announce);
    world.carries();
    world.end();
}

#[test]
fn frames_of_each_pair_go_their_own_way() {
    let world = World::with_pairs(3, |_| {});
    for pair in 0..3 {
        let bytes = frame(200, pair);
        let sending = world.plain(&bytes);
        let sent = world.pairs[pair].1.0.borrow_mut().send(sending);
        sent.map_err(|refused| refused.error).expect("room");
        let target = world.target(&[2048]);
        let supplied = world.pairs[pair].0.0.borrow_mut().supply(target);
        supplied.map_err(|(error, _)| error).expect("room");
    }
    world.idle();
    for pair in [2, 0, 1] {
        world
            .device()
            .comes(pair, [0; HEADER], frame(100 + pair, pair));
    }
    world.idle();
    for pair in 0..3 {
        let arrived = world.try_receive(pair).expect("it arrived");
        assert_eq!(content(&arrived), frame(100 + pair, pair));
        assert_eq!(arrived.content.expect("good").checked, Checked::No);
        let (way, _, bytes) = world.device().wire.sent[pair].clone();
        assert_eq!((way, bytes), (pair, frame(200, pair)));
    }
    world.end();
}
