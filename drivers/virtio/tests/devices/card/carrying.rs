//! Frames of every shape, both ways, through both readers of virtqueues.

use super::world::{World, content, frame, offload};
use crate::model::{Data, Reader, bits};
use proptest::prelude::*;
use virtio::net::{Checked, HEADER, Sending, Works};
use virtio::{Access, Error, Failure, RequestError};

#[test]
fn a_frame_in_two_pieces_needs_no_table_and_one_notification() {
    let world = World::new(|_| {});
    let bytes = frame(1500, 1);
    for number in 0..5 {
        let sending = Sending {
            head: world.source(&[54], &bytes[..54]),
            body: Some(world.source(&[1446], &bytes[54..])),
            offload: offload(1, 1500),
            tag: Some(number),
        };
        world
            .tx()
            .send(sending)
            .map_err(|refused| refused.error)
            .expect("room");
    }
    world.idle();
    let counters = world.tx().counters();
    assert_eq!(
        (counters.frames, counters.indirect, counters.notifications),
        (5, 0, 1)
    );
    let sent = world.device().wire.sent.split_off(0);
    assert!(sent.iter().all(|(_, _, sent)| *sent == bytes));
    assert_eq!(sent[0].1, [1, 0, 0, 0, 0, 0, 34, 0, 16, 0, 0, 0]);
    for number in 0..5 {
        let back = world.run(world.sent());
        assert_eq!((back.tag, back.result), (number, Ok(())));
        let (head, body) = back.memory.expect("it comes back");
        assert_eq!(head.bytes(), bytes[..54]);
        assert_eq!(body.expect("both").bytes(), bytes[54..]);
    }
    world.end();
}

#[test]
fn what_cannot_be_sent_comes_back() {
    let world = World::new(|_| {});
    let refused = |sending: Sending<Data>| {
        let refused = world.tx().send(sending).expect_err("refused");
        drop(refused.frame);
        refused.error
    };
    let length = Error::Request(RequestError::Length);
    assert_eq!(refused(world.plain(&frame(13, 0))), length);
    assert_eq!(refused(world.plain(&frame(1519, 0))), length);
    let mut long = world.plain(&frame(65_554, 0));
    long.offload = offload(2, 65_554);
    assert_eq!(refused(long), length);
    let mut wrong = world.plain(&frame(100, 0));
    wrong.head = world.target(&[100]);
    assert_eq!(refused(wrong), Error::Request(RequestError::Access));
    let mut crumbs = world.plain(&frame(100, 0));
    crumbs.head = world.source(&[5; 20], &frame(100, 0));
    let pieces = Error::Request(RequestError::Pieces { offset: 0 });
    assert_eq!(refused(crumbs), pieces);
    let mut unknown = world.plain(&frame(51, 0));
    unknown.offload = offload(1, 52);
    assert_eq!(refused(unknown), Error::Request(RequestError::Unsupported));
    // And memory to receive in.
    let supply = |data: Data| world.rx().supply(data).expect_err("refused").0;
    assert_eq!(supply(world.target(&[127])), length);
    assert_eq!(supply(world.target(&[100; 9])), pieces);
    let source = world.source(&[2000], &frame(2000, 0));
    assert_eq!(supply(source), Error::Request(RequestError::Access));
    world.carries();
    world.end();
}

#[test]
fn a_full_queue_says_so_and_a_tag_keeps_its_place() {
    let world = World::new(|device| device.wire.is_held = true);
    let depth = world.tx().depth();
    for number in 0..depth {
        let mut sending = world.plain(&frame(60, number));
        sending.tag = (number % 2 == 0).then_some(number as u64);
        assert!(world.tx().send(sending).is_ok());
    }
    let full = world
        .tx()
        .send(world.plain(&frame(60, 0)))
        .expect_err("full");
    assert_eq!(full.error, Error::Full);
    drop(full);
    world.idle();
    world.device().wire.is_held = false;
    world.device().queues[1].is_notified = true;
    world.idle();
    // Those without a tag are gone, the others wait to be asked for.
    assert_eq!(world.tx().frames(), depth.div_ceil(2));
    for number in (0..depth).step_by(2) {
        assert_eq!(world.run(world.sent()).tag, number as u64);
    }
    assert_eq!(world.tx().frames(), 0);
    world.end();
}

#[test]
fn frames_that_were_out_come_back_after_a_reset_and_memory_lies_ready() {
    let world = World::new(|device| device.wire.is_held = true);
    world.supply(8, 2048);
    for number in 0..4 {
        let mut sending = world.plain(&frame(60, number));
        sending.tag = (number != 2).then_some(number as u64);
        assert!(world.tx().send(sending).is_ok());
    }
    world.idle();
    world.run(world.card.reset()).expect("it comes back");
    for number in [0, 1, 3] {
        let back = world.run(world.sent());
        assert_eq!((back.tag, back.memory.is_some()), (number, true));
        assert_eq!(back.result, Err(Error::Failed(Failure::Reset)));
    }
    assert_eq!((world.tx().frames(), world.rx().supplied()), (0, 8));
    world.device().wire.is_held = false;
    for number in 0..8 {
        world.device().comes(0, [0; HEADER], frame(100, number));
    }
    world.idle();
    for number in 0..8 {
        let arrived = world.try_receive(0).expect("memory was there");
        assert_eq!(content(&arrived), frame(100, number));
    }
    world.end();
}

#[test]
fn a_frame_that_is_cut_off_by_a_reset_is_malformed_and_its_memory_comes_back() {
    let world = World::new(|_| {});
    world.supply(4, 128);
    world.idle();
    // It says that there are more pieces to come.
    let mischief = crate::model::Mischief::Buffers(3);
    world.device().mischief = Some((mischief, 1));
    world.device().comes(0, [0; HEADER], frame(60, 0));
    world.idle();
    assert!(world.try_receive(0).is_none());
    world.run(world.card.reset()).expect("it comes back");
    let broken = world.try_receive(0).expect("its memory");
    assert!(broken.content.is_err() && broken.rest.is_empty());
    assert_eq!(world.rx().supplied(), 3);
    drop(broken);
    world.carries();
    world.end();
}

#[test]
fn what_the_card_says_of_a_frame_is_told() {
    let world = World::new(|_| {});
    world.supply(3, 2048);
    world.idle();
    world
        .device()
        .comes(0, [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], frame(100, 0));
    world
        .device()
        .comes(0, [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0], frame(100, 0));
    world
        .device()
        .comes(0, [1, 4, 74, 0, 0, 5, 54, 0, 16, 0, 0, 0], frame(1900, 0));
    world.idle();
    let said = |world: &World| {
        world
            .try_receive(0)
            .expect("it arrived")
            .content
            .expect("good")
    };
    assert_eq!(said(&world).checked, Checked::Yes);
    assert_eq!(
        said(&world),
        virtio::net::Content {
            checked: Checked::Partial(
                offload(1, 52)
                    .checksum
                    .map(|sum| virtio::net::Checksum { field: 6, ..sum })
                    .expect("one")
            ),
            joined: None,
        }
    );
    let joined = said(&world).joined.expect("it is several");
    assert_eq!((joined.size, joined.headers), (0x500, 74));
    world.end();
}

#[test]
fn frames_go_on_after_every_index_has_wrapped() {
    let world = World::new(|_| {});
    world.supply(32, 2048);
    world.idle();
    let before = world.tx().counters().notifications;
    for number in 0..70_000_usize {
        let bytes = frame(60, number);
        assert!(world.tx().send(world.plain(&bytes)).is_ok());
        world.device().comes(0, [0; HEADER], bytes.clone());
        if number % 16 != 15 {
            continue;
        }
        world.tx().turn();
        world.device().work();
        world.tx().turn();
        world.rx().turn();
        for back in (0..16).rev() {
            let arrived = world.try_receive(0).expect("it arrived");
            assert!(content(&arrived) == frame(60, number - back));
            drop(arrived);
            assert!(world.rx().supply(world.target(&[2048])).is_ok());
        }
        let sent = world.device().wire.sent.split_off(0);
        assert_eq!(sent.len(), 16);
        assert!(sent[15].2 == bytes);
        world.rx().turn();
        world.device().work();
    }
    let notifications = world.tx().counters().notifications - before;
    assert!(notifications <= 70_000 / 16 + 1, "{notifications}");
    world.end();
}

#[derive(Clone, Debug)]
enum Step {
    /// A frame leaves: lengths of pieces of head and body, what for, tag.
    Send(Vec<u64>, Vec<u64>, u8, bool),
    /// Memory to receive in.
    Supply(Vec<u64>),
    /// A frame arrives, of so many bytes.
    Arrive(usize),
    /// Everything is taken that is there.
    Take,
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let pieces = |most| prop::collection::vec(1..400_u64, 1..most);
    prop_oneof![
        6 => (pieces(4), prop::collection::vec(1..2000_u64, 0..12), 0..4_u8, any::<bool>())
            .prop_map(|(head, body, kind, tag)| Step::Send(head, body, kind, tag)),
        6 => prop::collection::vec(60..900_u64, 1..8).prop_map(Step::Supply),
        6 => (14..1514_usize).prop_map(Step::Arrive),
        3 => Just(Step::Take),
        1 => Just(Step::Reset),
    ]
}

/// Plays a game, and looks whether each frame is there once, in order, and whole.
fn play(steps: Vec<Step>, reader: Reader, without: u64) {
    let world = World::new(|device| {
        device.reader = reader;
        device.offered &= !without;
    });
    let (mut out, mut tags, mut next_tag) = (Vec::new(), 0, 0);
    let mut coming = std::collections::VecDeque::new();
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Send(head, body, kind, tagged) => {
                let len = head.iter().chain(&body).sum::<u64>() as usize;
                let bytes = frame(len, number);
                let (first, second) = bytes.split_at(head.iter().sum::<u64>() as usize);
                let offload = offload(kind, len);
                let sending = Sending {
                    head: world.source(&head, first),
                    body: (!body.is_empty()).then(|| world.source(&body, second)),
                    offload,
                    tag: tagged.then_some(next_tag),
                };
                match world.tx().send(sending) {
                    Ok(()) => {
                        out.push((bytes, kind));
                        tags += u64::from(tagged);
                        next_tag += 1;
                    }
                    Err(refused) => assert!(refused.error != Error::OutOfMemory),
                }
            }
            Step::Supply(pieces) => {
                let access = world.target(&pieces);
                let _ = world.rx().supply(access);
            }
            Step::Arrive(len) => {
                world.idle();
                let dropped = world.device().wire.dropped;
                let bytes = frame(len, number);
                world.device().comes(0, [0; HEADER], bytes.clone());
                world.idle();
                if world.device().wire.dropped == dropped {
                    coming.push_back(bytes);
                }
            }
            Step::Take => {
                world.idle();
                while let Some(arrived) = world.try_receive(0) {
                    let expected = coming.pop_front().expect("it was sent");
                    assert!(arrived.content.is_ok() && content(&arrived) == expected);
                }
                assert!(coming.is_empty(), "all have arrived");
                let sent = world.device().wire.sent.split_off(0);
                assert_eq!(sent.len(), out.len());
                for ((_, header, sent), (bytes, kind)) in sent.iter().zip(out.drain(..)) {
                    assert!(*sent == bytes);
                    assert_eq!(
                        header[0] == 1,
                        offload(kind, bytes.len()).checksum.is_some()
                    );
                }
                while tags > 0 {
                    let back = world.run(world.sent());
                    assert!(back.memory.is_some());
                    tags -= 1;
                }
            }
            Step::Reset => {
                world.idle();
                world.run(world.card.reset()).expect("it comes back");
                // What had arrived and was not taken is lost.
                coming.clear();
            }
        }
    }
    world.end();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_frame_is_there_once_in_order_and_whole(
        steps in prop::collection::vec(step(), 1..60),
        reader in prop::sample::select(&Reader::ALL),
        without in prop::sample::subsequence(
            vec![bits::EVENT_IDX, bits::INDIRECT, bits::MRG_RXBUF, bits::CTRL_VQ | bits::CTRL_RX
                | bits::CTRL_VLAN | bits::CTRL_MAC_ADDR | bits::GUEST_ANNOUNCE | bits::NET_MQ],
            0..4,
        ),
    ) {
        play(steps, reader, without.into_iter().fold(0, |all, bit| all | bit));
    }
}

#[test]
fn a_list_is_no_frame() {
    // Memory is a value that vouches for itself: the access is part of it.
    let world = World::new(|_| {});
    assert_eq!(
        virtio::Memory::access(&world.target(&[64])),
        Access::FromDevice
    );
    world.end();
}
