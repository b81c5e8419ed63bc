//! What a device answers (section 5.7.6.7).

use super::SCREENS;
use super::command::{Command, FENCE, HEAD};
use super::error::{GpuError, Refusal, ReplyError};
use crate::platform::SharedMemory;

/// Bytes that a screen has in the answer: a rectangle, whether it is there, and flags.
const SCREEN: usize = 24;

/// Bytes of the longest answer.
pub(super) const LONGEST: usize = HEAD + SCREENS * SCREEN;

/// Numbers of answers.
const OK_NODATA: u32 = 0x1100;
const OK_DISPLAY_INFO: u32 = 0x1101;

/// A screen, as the hypervisor has it at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Its number.
    pub number: u32,
    /// Where its first pixel is among all the screens, and how large it is.
    pub place: [u32; 4],
    /// Somebody looks at it.
    pub is_enabled: bool,
}

/// Number and length of the answer to a command that goes well.
pub(super) const fn good(command: Command) -> (u32, usize) {
    match command {
        Command::Screens => (OK_DISPLAY_INFO, LONGEST),
        _ => (OK_NODATA, HEAD),
    }
}

/// Wipes what is where the answer comes.
pub(super) fn wipe(memory: &impl SharedMemory, at: usize) {
    for word in 0..HEAD / 8 {
        memory.store64(at + 8 * word, 0);
    }
}

/// Looks whether this is the good answer to a command with this number of its own. So many bytes were written, as the
/// device says. Each word is read once: the device may change them.
pub(super) fn check(
    memory: &impl SharedMemory,
    at: usize,
    command: Command,
    fence: u64,
    written: u32,
) -> Result<(), GpuError> {
    if (written as usize) < HEAD {
        return Err(ReplyError::Short(written).into());
    }
    let [kind, flags] = halves(memory.load64(at));
    let answers = memory.load64(at + 8);
    if flags & FENCE == 0 || answers != fence {
        return Err(ReplyError::Fence(answers).into());
    }
    if let Some(refusal) = Refusal::of(kind) {
        return Err(GpuError::Refused(refusal));
    }
    let (expected, len) = good(command);
    if kind != expected {
        let got = kind;
        return Err(ReplyError::Kind { expected, got }.into());
    }
    match written as usize == len {
        true => Ok(()),
        false => Err(ReplyError::Short(written).into()),
    }
}

/// The screen of this number, in a [good](check) answer.
pub(super) fn screen(memory: &impl SharedMemory, at: usize, number: u32) -> Screen {
    let at = at + HEAD + number as usize * SCREEN;
    let word = |index: usize| halves(memory.load64(at + 8 * index));
    let ([x, y], [width, height], [enabled, _]) = (word(0), word(1), word(2));
    Screen {
        number,
        place: [x, y, width, height],
        is_enabled: enabled != 0,
    }
}

fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}
