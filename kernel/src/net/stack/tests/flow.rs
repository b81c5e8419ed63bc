//! The sending half alone.

use super::super::flow::{Flow, Unanswered};
use alloc::vec::Vec;
use proptest::prelude::*;

const MSS: u64 = 1000;

fn flow(window: u64, bytes: u64) -> Flow {
    let mut flow = Flow::new(MSS, window);
    flow.extend(bytes);
    flow
}

fn burst(flow: &mut Flow, most: u64, now: u64) -> Vec<(u64, u64)> {
    core::iter::from_fn(|| flow.next(most, now))
        .map(|bytes| (bytes.start, bytes.end))
        .collect()
}

#[test]
fn it_begins_with_ten_segments_and_grows_by_what_is_acknowledged() {
    let mut flow = flow(1 << 20, 100 * MSS);
    assert_eq!(burst(&mut flow, MSS, 0).len(), 10);
    assert_eq!(flow.acknowledged(4 * MSS, 1 << 20, true, 1000), 4 * MSS);
    assert_eq!(burst(&mut flow, MSS, 1000).len(), 8);
    // What a card cuts is one.
    assert_eq!(flow.acknowledged(10 * MSS, 1 << 20, true, 2000), 6 * MSS);
    assert_eq!(
        burst(&mut flow, 7 * MSS, 2000),
        [(18 * MSS, 25 * MSS), (25 * MSS, 30 * MSS)]
    );
}

#[test]
fn no_byte_beyond_the_window_but_one_to_hear_of_it() {
    let mut flow = flow(2500, 10_000);
    assert_eq!(burst(&mut flow, MSS, 0), [(0, 1000), (1000, 2000)]);
    // The rest of the window is less than a segment, and there is more to come.
    assert_eq!(flow.acknowledged(2000, 0, true, 100), 2000);
    assert_eq!(burst(&mut flow, MSS, 100), []);
    let mut now = flow.deadline().unwrap();
    for _ in 0..4 {
        flow.tick(now).unwrap();
        assert_eq!(burst(&mut flow, MSS, now), [(2000, 2001)]);
        // The other end is there, and has no room.
        flow.acknowledged(2000, 0, true, now);
        let next = flow.deadline().unwrap();
        assert!(next > now);
        now = next;
    }
    // It took the byte.
    flow.acknowledged(2001, 1500, true, now);
    assert_eq!(burst(&mut flow, MSS, now), [(2001, 3001)]);
}

#[test]
fn three_of_the_same_mean_a_loss_and_more_do_not() {
    let mut flow = flow(1 << 20, 10 * MSS);
    burst(&mut flow, MSS, 0);
    for number in 1..=5 {
        flow.acknowledged(2 * MSS, 1 << 20, true, 1000);
        let sent = burst(&mut flow, MSS, 1000);
        // The first one is no duplicate.
        assert_eq!(
            sent,
            if number == 4 {
                [(2 * MSS, 3 * MSS)].to_vec()
            } else {
                Vec::new()
            }
        );
    }
    // Another was lost, too: it is sent when that is known.
    flow.acknowledged(5 * MSS, 1 << 20, true, 2000);
    assert_eq!(burst(&mut flow, MSS, 2000), [(5 * MSS, 6 * MSS)]);
    flow.acknowledged(10 * MSS, 1 << 20, true, 3000);
    assert_eq!((flow.deadline(), flow.retransmitted()), (None, 2));
    assert!(flow.congestion_window() < 10 * MSS);
}

#[test]
fn what_is_overdue_is_sent_again_with_more_and_more_time_between() {
    let mut flow = flow(1 << 20, 3 * MSS);
    burst(&mut flow, MSS, 0);
    let (mut now, mut waits) = (0, Vec::new());
    let result = loop {
        let deadline = flow.deadline().unwrap();
        waits.push(deadline - now);
        now = deadline;
        if let Err(error) = flow.tick(now) {
            break error;
        }
        assert_eq!(burst(&mut flow, MSS, now), [(0, MSS)]);
    };
    assert_eq!(result, Unanswered);
    assert_eq!(waits[..4], [1_000_000, 2_000_000, 4_000_000, 8_000_000]);
    assert!(now > 100_000_000);
}

#[test]
fn of_what_was_never_sent_nothing_is_acknowledged() {
    let mut flow = flow(1 << 20, 3 * MSS);
    assert_eq!(flow.acknowledged(1, 1 << 20, true, 0), 0);
    assert_eq!(flow.next(MSS, 0), Some(0..MSS));
    assert_eq!(flow.acknowledged(MSS + 1, 1 << 20, true, 0), 0);
    flow.sent_less(&(0..MSS), 400);
    assert_eq!(flow.acknowledged(MSS, 1 << 20, true, 0), 0);
    assert_eq!(flow.next(MSS, 0), Some(600..600 + MSS));
}

/// A receiver that keeps what arrives, in any order.
#[derive(Default)]
struct Receiver {
    pieces: Vec<(u64, u64)>,
}

impl Receiver {
    fn take(&mut self, bytes: (u64, u64)) -> u64 {
        self.pieces.push(bytes);
        self.pieces.sort_unstable();
        let mut end = 0;
        for piece in &self.pieces {
            if piece.0 <= end {
                end = end.max(piece.1);
            }
        }
        end
    }
}

proptest! {
    /// Whatever is lost, doubled or late, all of it arrives, and no more is ever out than the window allows.
    #[test]
    fn everything_arrives(
        fates in proptest::collection::vec(0u8..10, 1..400),
        bytes in 1u64..200_000,
        window in 1u64..60_000,
        most in 1u64..40_000,
    ) {
        let mut flow = flow(window, bytes);
        let mut receiver = Receiver::default();
        let mut fates = fates.into_iter();
        let (mut now, mut acks, mut late) = (0u64, Vec::<u64>::new(), None);
        while flow.una() < bytes {
            now += 10_000;
            for sent in burst(&mut flow, most, now) {
                prop_assert!(sent.1 <= bytes && sent.0 < sent.1);
                prop_assert!(sent.1 <= flow.una() + window.max(1));
                // When the fates are used up, everything arrives.
                match fates.next().unwrap_or(9) {
                    0 | 1 => {}
                    2 => late = Some(sent),
                    3 => {
                        receiver.take(sent);
                        acks.push(receiver.take(sent));
                    }
                    _ => {
                        acks.push(receiver.take(sent));
                        if let Some(late) = late.take() {
                            acks.push(receiver.take(late));
                        }
                    }
                }
            }
            for ack in acks.drain(..) {
                if fates.next().unwrap_or(9) > 0 {
                    flow.acknowledged(ack, window, true, now);
                }
            }
            if let Some(deadline) = flow.deadline() {
                now = now.max(deadline);
                // Many losses in a row are no end.
                prop_assume!(flow.tick(now).is_ok());
            }
        }
        prop_assert_eq!(flow.deadline(), None);
    }
}
