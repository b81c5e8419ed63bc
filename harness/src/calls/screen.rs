//! What is on the guest's screen, by a screenshot.
//!
//! QEMU draws the screen from the memory of the graphics card as a real one would, and writes what it has
//! drawn into a file (PPM, three bytes a pixel). So this says what somebody would see.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use vm_test::pattern;

use crate::qmp::Remote;

/// A screenshot.
pub struct Picture {
    /// Pixels of a line.
    pub width: u64,
    /// Lines.
    pub height: u64,
    /// Red, green and blue of each pixel.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// Takes one.
    ///
    /// # Errors
    /// If there is no screen.
    pub fn take(remote: &Remote) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("phyros-screen-")
            .tempdir()?;
        let path = folder.path().join("screen.ppm");
        remote.execute("screendump", json!({ "filename": path }))?;
        Self::parse(&fs::read(path)?)
    }

    /// Reads a PPM file of eight bits a colour.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut rest = bytes.strip_prefix(b"P6").context("no PPM picture")?;
        let mut number = || -> Result<u64> {
            let start = rest
                .iter()
                .position(u8::is_ascii_digit)
                .context("a cut picture")?;
            let digits = &rest[start..];
            let end = digits.iter().position(|byte| !byte.is_ascii_digit());
            let end = end.context("a cut picture")?;
            // One byte of white space ends each number.
            rest = &digits[end + 1..];
            Ok(std::str::from_utf8(&digits[..end])?.parse()?)
        };
        let (width, height, highest) = (number()?, number()?, number()?);
        ensure!(highest == 255, "a picture of {highest} shades");
        let pixels = rest.to_vec();
        ensure!(
            pixels.len() as u64 == width * height * 3,
            "a picture of {width} x {height} pixels has {} bytes",
            pixels.len()
        );
        Ok(Self {
            width,
            height,
            pixels,
        })
    }

    /// How many pixels, from the first on, are what these bytes say: blue, green, red, and one that
    /// is not seen.
    pub fn equal_to(&self, bytes: &[u8]) -> u64 {
        let seen = self.pixels.chunks_exact(3).zip(bytes.chunks_exact(4));
        let same = |&(seen, meant): &(&[u8], &[u8])| seen == [meant[2], meant[1], meant[0]];
        seen.take_while(same).count() as u64
    }
}

/// How many pixels, from the first on, show the pattern.
pub(super) fn check(
    remote: &Remote,
    width: u64,
    height: u64,
    seed: u64,
    offset: u64,
) -> Result<u64> {
    let picture = Picture::take(remote)?;
    ensure!(
        (picture.width, picture.height) == (width, height),
        "the screen has {} x {} pixels",
        picture.width,
        picture.height
    );
    let mut bytes = vec![0; usize::try_from(width * height * 4)?];
    pattern::fill(seed, offset, &mut bytes);
    Ok(picture.equal_to(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_are_compared_without_the_byte_that_is_not_seen() {
        let picture = Picture::parse(b"P6\n2 1\n255\n\x03\x02\x01\x0a\x0b\x0c").unwrap();
        assert_eq!((picture.width, picture.height), (2, 1));
        let bytes = [1, 2, 3, 99, 0x0c, 0x0b, 0x0a, 7];
        assert_eq!(picture.equal_to(&bytes), 2);
        assert_eq!(picture.equal_to(&[1, 2, 3, 0, 0x0c, 0x0b, 0, 0]), 1);
        assert!(Picture::parse(b"P6 2 1 255 abc").is_err(), "too short");
        assert!(Picture::parse(b"P5 1 1 255 abc").is_err());
    }
}
