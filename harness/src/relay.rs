//! A wire on which frames get lost, come twice, or come late.
//!
//! It lies between a card and QEMU's user network, which are real, and decides by a number alone: the same number
//! and the same frames have the same fate. It waits for nothing: a frame that is late comes after the next one.
//!
//! Only frames of TCP fare like that, of which one in a hundred is lost: of the others nobody would say once more
//! what was lost, or not soon.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result};

use crate::machine::{Machine, Wire};

/// No frame is longer.
const LONGEST: usize = 1 << 17;

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Arrives,
    Lost,
    Twice,
    Late,
}

/// Frames that were lost, doubled, and late, both ways.
#[derive(Debug, Default)]
pub struct Fates([AtomicU64; 3]);

impl Fates {
    /// How many were lost (0), doubled (1), or late (2).
    pub(crate) fn count(&self, fate: u64) -> Result<u64> {
        let count = usize::try_from(fate).ok().and_then(|fate| self.0.get(fate));
        Ok(count
            .context("there is no such fate")?
            .load(Ordering::Relaxed))
    }
}

/// Decides, one frame after the other.
struct Judge(u64);

impl Judge {
    fn judge(&mut self, frame: &[u8]) -> Fate {
        if !is_tcp(frame) {
            return Fate::Arrives;
        }
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        match (mixed ^ mixed >> 31) % 100 {
            0 => Fate::Lost,
            1 => Fate::Twice,
            2 => Fate::Late,
            _ => Fate::Arrives,
        }
    }
}

fn is_tcp(frame: &[u8]) -> bool {
    match frame.get(12..14) {
        Some([8, 0]) => frame.get(23) == Some(&6),
        Some([0x86, 0xdd]) => frame.get(20) == Some(&6),
        _ => false,
    }
}

/// One direction: what becomes of frames, and in which order the rest goes on.
struct Way {
    judge: Judge,
    fates: Arc<Fates>,
    late: Option<Vec<u8>>,
}

impl Way {
    fn new(seed: u64, fates: Arc<Fates>) -> Self {
        Self {
            judge: Judge(seed),
            fates,
            late: None,
        }
    }

    /// Takes a frame, and gives those that go on.
    fn take(&mut self, frame: &[u8]) -> Vec<Vec<u8>> {
        let count = |which: usize| self.fates.0[which].fetch_add(1, Ordering::Relaxed);
        match self.judge.judge(frame) {
            Fate::Lost => {
                count(0);
                Vec::new()
            }
            Fate::Late if self.late.is_none() => {
                count(2);
                self.late = Some(frame.to_vec());
                Vec::new()
            }
            fate => {
                let mut all = vec![frame.to_vec()];
                if fate == Fate::Twice {
                    count(1);
                    all.push(frame.to_vec());
                }
                all.extend(self.late.take());
                all
            }
        }
    }
}

/// A relay on the wire of a card, for as long as it lives.
pub struct Relay {
    /// Which card.
    pub(crate) card: usize,
    /// What has become of frames.
    pub(crate) fates: Arc<Fates>,
    over: Arc<AtomicBool>,
    ends: [PathBuf; 2],
}

impl Relay {
    /// All that a machine has, which has not started yet.
    ///
    /// # Errors
    /// If there are sockets of their names already.
    pub(crate) fn start_all(machine: &Machine) -> Result<Vec<Self>> {
        let mut relays = Vec::new();
        for (index, card) in machine.cards.iter().enumerate() {
            if let Wire::User(network) = &card.wire
                && let Some(seed) = network.loses
            {
                let near = [card.guest_end(), card.host_end()];
                relays.push(Self::start(index, seed, near, card.beyond())?);
            }
        }
        Ok(relays)
    }

    fn start(card: usize, seed: u64, near: [PathBuf; 2], far: [PathBuf; 2]) -> Result<Self> {
        let (one, other) = (UnixDatagram::bind(&near[1])?, UnixDatagram::bind(&far[1])?);
        let over = Arc::new(AtomicBool::new(false));
        let fates = Arc::new(Fates::default());
        for (from, to, at, seed) in [
            (one.try_clone()?, other.try_clone()?, &far[0], seed),
            (other, one, &near[0], !seed),
        ] {
            let (over, at) = (over.clone(), at.clone());
            let mut way = Way::new(seed, fates.clone());
            thread::spawn(move || {
                let mut frame = vec![0; LONGEST];
                while let Ok(len) = from.recv(&mut frame) {
                    if over.load(Ordering::Acquire) {
                        return;
                    }
                    for frame in way.take(&frame[..len]) {
                        // Nobody may be there any more.
                        let _ = to.send_to(&frame, &at);
                    }
                }
            });
        }
        let [_, one] = near;
        let [_, other] = far;
        let ends = [one, other];
        Ok(Self {
            card,
            fates,
            over,
            ends,
        })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Ok(socket) = UnixDatagram::unbound() {
            for end in &self.ends {
                let _ = socket.send_to(&[], end);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(number: u32) -> Vec<u8> {
        let mut frame = vec![0; 60];
        (frame[12], frame[23]) = (8, 6);
        frame[50..54].copy_from_slice(&number.to_be_bytes());
        frame
    }

    /// What goes on of so many frames of TCP.
    fn arrived(seed: u64, count: u32) -> (Vec<Vec<u8>>, [u64; 3]) {
        let fates = Arc::new(Fates::default());
        let mut way = Way::new(seed, fates.clone());
        let all = (0..count)
            .flat_map(|number| way.take(&tcp(number)))
            .collect();
        (all, [0, 1, 2].map(|fate| fates.count(fate).unwrap()))
    }

    #[test]
    fn one_frame_in_a_hundred_is_lost_and_the_number_decides_which() {
        let (all, [lost, twice, late]) = arrived(7, 100_000);
        for count in [lost, twice, late] {
            assert!((800..1200).contains(&count), "{lost} {twice} {late}");
        }
        assert!(all.len().abs_diff((100_000 + twice - lost) as usize) <= 1);
        assert!(!all.is_sorted() && arrived(7, 100_000).0 == all);
        assert!(arrived(8, 100_000).0 != all);
    }

    #[test]
    fn other_frames_arrive() {
        let mut way = Way::new(1, Arc::default());
        for number in 0..10_000 {
            let mut frame = tcp(number);
            frame[23] = 17;
            assert_eq!(way.take(&frame), [frame]);
        }
        assert_eq!(way.take(&[1; 13]), [[1; 13]]);
    }

    #[test]
    fn both_ways_lead_through() {
        let folder = tempfile::tempdir().unwrap();
        let ends =
            |name: &str| ["guest", "host"].map(|end| folder.path().join(format!("{name}.{end}")));
        let (near, far) = (ends("near"), ends("far"));
        let relay = Relay::start(0, 1, near.clone(), far.clone()).unwrap();
        let (one, other) = (
            UnixDatagram::bind(&near[0]).unwrap(),
            UnixDatagram::bind(&far[0]).unwrap(),
        );
        let mut bytes = [0; 100];
        one.send_to(b"hello", &near[1]).unwrap();
        assert_eq!(other.recv(&mut bytes).unwrap(), 5);
        other.send_to(b"hello you", &far[1]).unwrap();
        assert_eq!(one.recv(&mut bytes).unwrap(), 9);
        assert_eq!(&bytes[..9], b"hello you");
        drop(relay);
    }
}
