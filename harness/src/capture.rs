//! What QEMU has written down of a wire: a file in the format of libpcap.
//!
//! Before a frame to or from a tap QEMU 7 writes the header too that such frames have inside of QEMU, where it says
//! what is still to be done. No reader of captures expects it, so it is [taken out](tidy) when the machine has ended.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// How the addresses of all guests' cards begin.
const GUEST: [u8; 5] = [0x52, 0x54, 0, 0x70, 0x68];

/// Bytes of QEMU's header: when the driver has said what it can do, and before.
const HEADER: usize = 12;
const EARLY_HEADER: usize = 10;

/// Bytes of the file's head, and of what is before each frame.
const HEAD: usize = 24;
const RECORD: usize = 16;

/// Whose a frame is.
pub(crate) fn is_of_guest(frame: &[u8]) -> bool {
    frame.get(6..11) == Some(&GUEST)
}

fn concerns_guest(frame: &[u8]) -> bool {
    is_of_guest(frame) || frame.starts_with(&GUEST)
}

/// The frames in a capture, which ends after one.
///
/// # Errors
/// If it does not, or is none.
pub(crate) fn frames(capture: &[u8]) -> Result<Vec<&[u8]>> {
    let records = records(capture)?;
    let has_headers = has_headers(&records);
    let frames = records.into_iter();
    Ok(frames.map(|(_, bytes)| bare(bytes, has_headers)).collect())
}

/// What is before each frame, and the frame as it was written down.
fn records(capture: &[u8]) -> Result<Vec<(&[u8], &[u8])>> {
    const MAGIC: [u8; 4] = 0xa1b2_c3d4_u32.to_le_bytes();
    ensure!(capture.starts_with(&MAGIC), "not a capture");
    let mut rest = capture.get(HEAD..).context("no header")?;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let len = rest.get(8..12).context("half a header")?;
        let len = u32::from_le_bytes(len.try_into()?) as usize;
        let bytes = rest.get(RECORD..RECORD + len).context("half a frame")?;
        records.push((&rest[..RECORD], bytes));
        rest = &rest[RECORD + len..];
    }
    Ok(records)
}

/// Whether there are headers of QEMU's: they are if that makes guests' addresses of what is in their place.
fn has_headers(records: &[(&[u8], &[u8])]) -> bool {
    let with = |skip: usize| {
        let frames = records.iter().filter_map(|(_, bytes)| bytes.get(skip..));
        frames.filter(|frame| concerns_guest(frame)).count()
    };
    with(HEADER) > with(0)
}

/// The frame alone. Before the driver has said what it can do, the host's kernel sends packets of IP only.
fn bare(bytes: &[u8], has_header: bool) -> &[u8] {
    let is_ip = |at: usize| {
        matches!(
            bytes.get(at + 12..at + 14),
            Some([8, 0] | [8, 6] | [0x86, 0xdd])
        )
    };
    let header = match has_header {
        false => 0,
        true if is_ip(EARLY_HEADER) && !is_ip(HEADER) => EARLY_HEADER,
        true => HEADER,
    };
    bytes.get(header..).unwrap_or_default()
}

/// Takes QEMU's header out of a capture, if it is in there.
///
/// # Errors
/// If it cannot be read or written.
pub(crate) fn tidy(path: &Path) -> Result<()> {
    let capture = fs::read(path)?;
    let records = records(&capture)?;
    if !has_headers(&records) {
        return Ok(());
    }
    let mut tidy = capture[..HEAD].to_vec();
    for (before, bytes) in records {
        let bytes = bare(bytes, true);
        let len = (bytes.len() as u32).to_le_bytes();
        tidy.extend([&before[..8], &len, &len, bytes].concat());
    }
    Ok(fs::write(path, tidy)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut capture = vec![0xd4, 0xc3, 0xb2, 0xa1];
        capture.resize(HEAD, 0);
        for frame in frames {
            let len = (frame.len() as u32).to_le_bytes();
            capture.extend([&[7; 8][..], &len, &len, frame].concat());
        }
        capture
    }

    fn frame(len: usize) -> Vec<u8> {
        let mut frame = vec![1; len];
        frame[6..11].copy_from_slice(&GUEST);
        frame
    }

    #[test]
    fn frames_of_a_capture_are_told_apart_and_half_a_frame_is_none() {
        assert_eq!(frames(&capture(&[])).unwrap(), [&[0; 0]; 0]);
        let all = [frame(60), vec![2; 64], frame(1514)];
        let mut written = capture(&all);
        assert_eq!(frames(&written).unwrap(), all);
        written.pop();
        assert!(frames(&written).is_err());
        assert!(frames(&written[1..]).is_err());
    }

    #[test]
    fn what_qemu_puts_before_frames_is_taken_out() {
        let mut early = vec![0x33; 90];
        early[12..14].copy_from_slice(&[0x86, 0xdd]);
        let all = [early, frame(60), vec![2; 64], frame(1514)];
        let mut with = all
            .each_ref()
            .map(|frame| [vec![0; HEADER], frame.clone()].concat());
        with[0].drain(..HEADER - EARLY_HEADER);
        let written = capture(&with);
        assert_eq!(frames(&written).unwrap(), all);
        let file = tempfile::NamedTempFile::new().unwrap();
        for _ in 0..2 {
            fs::write(file.path(), &written).unwrap();
            tidy(file.path()).unwrap();
            assert!(fs::read(file.path()).unwrap() == capture(&all));
        }
    }
}
