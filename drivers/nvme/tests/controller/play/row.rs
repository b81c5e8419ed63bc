//! The row of bytes that decides a game, and the things that it can describe.

use crate::model::{AbortPolicy, Config, Fate, Mischief, Then, disk, protected_disk, status};
use nvme::Options;
use nvme::wire::{IdentifyController, IdentifyNamespace};

/// The row; zeros when it is over.
pub(super) struct Row<'a>(pub(super) &'a [u8]);

impl Row<'_> {
    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    pub(super) fn word(&mut self) -> u16 {
        u16::from(self.byte()) | u16::from(self.byte()) << 8
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        u64::from(self.word()) % end
    }

    pub(super) fn bit(&mut self) -> bool {
        self.byte() & 1 != 0
    }

    /// One of these.
    pub(super) fn of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[usize::from(self.byte()) % choice.len()]
    }
}

/// A device, and how the driver is to treat it.
pub(super) struct Setting {
    pub(super) config: Config,
    pub(super) options: Options,
    /// Nothing is said of it that a device could not be.
    pub(super) is_sound: bool,
}

pub(super) fn setting(row: &mut Row<'_>) -> Setting {
    let shape = row.byte();
    let mut config = match shape & 1 {
        0 => Config::default(),
        _ => Config::with_everything(),
    };
    config = config.mqes(row.below(40) as u16).mdts(row.byte() % 6);
    // Scatter gather lists: none, anywhere, in multiples of four bytes, and longer than the data.
    config.identify.sgls = [0, 1, 2, 1 << 18 | 1][usize::from(shape >> 6)];
    config.cap.set_dstrd(row.byte() % 5);
    config.cap.set_to(row.byte() % 32);
    config.namespaces = vec![(1, disk(4096, 9)), (2, disk(512, 12))];
    if shape & 0x10 != 0 {
        let (format, kind) = (row.byte() % 12, row.byte());
        config = config.put(2, protected_disk(512, format, kind & 3, kind & 4 != 0));
    }
    config.out_of_order = shape & 2 != 0;
    config.lazy = shape & 4 != 0;
    config.enabled = shape & 8 != 0;
    config.per_tick = 1 + usize::from(row.byte() % 8);
    config.latency = u32::from(row.byte() % 16);
    config.seed = u64::from(row.word()) + 1;
    config.tick = 5_000;
    // A list may take five pages, of each slot.
    config.pages = if shape >> 6 == 0 { 640 } else { 1400 };
    config.granted = (1 + row.below(8) as u16, 1 + row.below(8) as u16);
    if shape & 0x20 != 0 {
        config.failing_allocation = Some(usize::from(row.byte()));
    }
    // What it says of itself may be anything, and it acts as it says.
    let patches = row.byte() % 8;
    let mut is_sound = patches == 0 && config.cap.mqes() > 0 && shape & 0x20 == 0;
    let mut controller = [0; 4096];
    config.identify.encode(&mut controller);
    let mut namespace = [0; 4096];
    config.namespaces[0].1.encode(&mut namespace);
    for _ in 0..patches {
        let (place, value) = (row.word(), row.byte());
        let offset = usize::from(place & 0x3fff) % 544;
        match place >> 14 {
            0 => controller[offset] = value,
            1 => namespace[offset % 384] = value,
            2 => config.cap = (u64::from(config.cap) ^ u64::from(value) << (offset % 57)).into(),
            _ => config.crwmt = u16::from(value),
        }
    }
    config.identify = IdentifyController::decode(&controller);
    // A device may ask for hours between two tries; then a game has to last for days.
    config.identify.crdt = [1, 5, 20];
    config.namespaces[0].1 = IdentifyNamespace::decode(&namespace);
    // A list that is not true is told, and not acted on; see the model.
    if row.bit() {
        is_sound = false;
        config.false_list = Some((0..row.byte() % 5).map(|_| u32::from(row.byte())).collect());
    }
    Setting {
        config,
        options: options(row),
        is_sound,
    }
}

fn options(row: &mut Row<'_>) -> Options {
    let mut options = Options::default();
    let choice = row.byte();
    options.queues = 1 + u16::from(choice & 3);
    options.entries = 2 + u16::from(choice >> 2) % 40;
    let choice = row.byte();
    options.retries = choice & 3;
    options.resets = choice >> 2 & 3;
    options.timeout = [10_000_000, 1_000_000, 200_000, 30_000_000][usize::from(choice >> 4 & 3)];
    options
}

pub(super) fn mischief(row: &mut Row<'_>) -> Mischief {
    match row.byte() % 20 {
        0 => Mischief::WrongCid(row.word()),
        1 => Mischief::Duplicate,
        2 => Mischief::Replay,
        3 => Mischief::SubmissionHead(row.word()),
        4 => Mischief::StuckHead,
        5 => Mischief::WrongQueue(row.word()),
        6 => Mischief::OldPhase,
        7 => Mischief::EarlyPhase(1),
        8 => Mischief::Silence,
        9 => Mischief::Runaway,
        10 => Mischief::Fatal,
        11 => Mischief::Gone,
        12 => Mischief::Vanished,
        13 => Mischief::NotReady,
        14 => Mischief::Noise,
        15 => Mischief::HeadGoesBack,
        16 => Mischief::Storm(row.word() % 200),
        17 => Mischief::Stranger(row.word()),
        18 => Mischief::Stale(row.word()),
        _ => Mischief::Status(row.word()),
    }
}

/// What happens to commands. None of it is a lie: one that ends by a decision, and does
/// nothing, ends with an error.
pub(super) fn fate(row: &mut Row<'_>) -> Fate {
    let queue = match row.byte() % 4 {
        0 => Some(0),
        1 => Some(u16::from(row.byte() % 5)),
        _ => None,
    };
    let opcode = match queue {
        Some(0) => row.bit().then_some(row.byte()),
        _ => row.bit().then(|| row.of(&[0, 1, 2, 5, 8, 9, 0x0c, 0x19])),
    };
    Fate {
        queue,
        opcode,
        after: usize::from(row.byte() % 8),
        times: usize::from(row.byte() % 8),
        then: match row.byte() % 4 {
            0 => Then::Lose,
            1 => Then::Hold,
            2 => Then::Delay(u64::from(row.word()) * 1000),
            _ => {
                let word = row.word();
                let bad = status((word & 7) as u8, (word >> 3) as u8);
                let bad = bad.with_dnr(word & 0x800 != 0);
                let bad = bad.with_crd((word >> 12 & 3) as u8);
                Then::End(match bad.is_success() {
                    true => status(0, 6),
                    false => bad,
                })
            }
        },
    }
}

pub(super) fn abort_policy(row: &mut Row<'_>) -> AbortPolicy {
    row.of(&[
        AbortPolicy::Works,
        AbortPolicy::Refuses,
        AbortPolicy::Lies,
        AbortPolicy::TooLate,
        AbortPolicy::Silent,
    ])
}
