//! Bitmaps (BMP files) of 32 bits a pixel: where the pixels are.
//!
//! Such a pixel is blue, green, red, and a byte that nobody looks at, which is what a screen takes, too. All numbers are
//! little-endian. Lines follow one another without a gap. They go from bottom to top, unless the height is negative.

use core::ops::Range;

/// Bytes of the header that are looked at.
pub const HEADER: usize = 66;

/// Bytes of a pixel.
pub const PIXEL: u64 = 4;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bitmap {
    /// Pixels of a line.
    pub width: u16,
    /// Lines.
    pub height: u16,
    /// The first line in the file is the lowest.
    pub is_upside_down: bool,
    start: u64,
}

impl Bitmap {
    /// Reads the header.
    ///
    /// # Errors
    /// Why it is none, or none that is understood.
    pub fn parse(header: &[u8]) -> Result<Self, &'static str> {
        const CUT: &str = "it ends within its header";
        if !header.starts_with(b"BM") {
            return Err("it is no bitmap (BMP)");
        }
        let word = |at: usize| -> Result<u32, &'static str> {
            let bytes = header
                .get(at..at + 4)
                .and_then(|bytes| bytes.try_into().ok());
            bytes.map(u32::from_le_bytes).ok_or(CUT)
        };
        let (start, width, height) = (word(10)?, word(18)? as i32, word(22)? as i32);
        if word(14)? < 40 {
            return Err("its header is of an old kind");
        }
        if word(26)? >> 16 != 32 {
            return Err("its pixels have not 32 bits");
        }
        match word(30)? {
            0 => {}
            3 | 6 if [word(54)?, word(58)?, word(62)?] == [0xff_0000, 0xff00, 0xff] => {}
            _ => return Err("it is compressed, or has its colours in another order"),
        }
        let measure = |number: u32| u16::try_from(number).ok().filter(|number| *number > 0);
        let measures = u32::try_from(width)
            .ok()
            .and_then(measure)
            .zip(measure(height.unsigned_abs()));
        let (width, height) = measures.ok_or("it has impossible measures")?;
        Ok(Self {
            width,
            height,
            is_upside_down: word(22)? as i32 > 0,
            start: start.into(),
        })
    }

    /// The bytes of all pixels.
    pub fn bytes(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * PIXEL
    }

    /// Where they are in the file.
    pub fn pixels(&self) -> Range<u64> {
        self.start..self.start + self.bytes()
    }

    /// Whether a screen can show the pixels as they lie in the file.
    pub fn is_direct(&self) -> bool {
        !self.is_upside_down && self.start.is_multiple_of(PIXEL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(width: i32, height: i32, bits: u32, compression: u32) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[..2].copy_from_slice(b"BM");
        let mut put =
            |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(10, 68);
        put(14, 40);
        put(18, width as u32);
        put(22, height as u32);
        put(26, bits << 16 | 1);
        put(30, compression);
        for (at, mask) in [(54, 0xff_0000), (58, 0xff00), (62, 0xff)] {
            put(at, mask);
        }
        bytes
    }

    #[test]
    fn a_bitmap_says_where_its_pixels_are() {
        let bitmap = Bitmap::parse(&header(640, -480, 32, 0)).unwrap();
        assert_eq!((bitmap.width, bitmap.height), (640, 480));
        assert_eq!(bitmap.pixels(), 68..68 + 640 * 480 * 4);
        assert!(bitmap.is_direct());
        let bitmap = Bitmap::parse(&header(640, 480, 32, 3)).unwrap();
        assert!(bitmap.is_upside_down && !bitmap.is_direct());
        let mut odd = header(64, -64, 32, 0);
        odd[10] = 70;
        assert!(!Bitmap::parse(&odd).unwrap().is_direct());
    }

    #[test]
    fn what_is_not_understood_is_refused_with_a_reason() {
        for (bytes, reason) in [
            (b"P6 1 1 255".to_vec(), "no bitmap"),
            (header(640, -480, 32, 0)[..20].to_vec(), "within its header"),
            (header(640, -480, 24, 0), "32 bits"),
            (header(640, -480, 32, 1), "compressed"),
            (header(-640, -480, 32, 0), "measures"),
            (header(640, i32::MIN, 32, 0), "measures"),
            (header(0, -480, 32, 0), "measures"),
            (header(70_000, -480, 32, 0), "measures"),
        ] {
            let error = Bitmap::parse(&bytes).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
        let mut colours = header(640, -480, 32, 3);
        colours[54] = 1;
        assert!(Bitmap::parse(&colours).is_err());
    }
}
