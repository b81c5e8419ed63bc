//! Amounts of bytes, for people.

use core::fmt;

/// A number of bytes. It is shown in the largest unit that it reaches, with one decimal if it is
/// not a whole number of them: `4 KiB`, `255.9 MiB`. The decimal is cut off and never rounded up,
/// so nothing is shown as more than it is. Pads like text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

const UNITS: [(&str, u32); 6] = [
    ("EiB", 60),
    ("PiB", 50),
    ("TiB", 40),
    ("GiB", 30),
    ("MiB", 20),
    ("KiB", 10),
];

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        let Some((name, shift)) = UNITS.iter().find(|(_, shift)| bytes >> shift > 0) else {
            return f.pad(&alloc::format!("{bytes} B"));
        };
        let whole = bytes >> shift;
        let rest = bytes & ((1 << shift) - 1);
        if rest == 0 {
            return f.pad(&alloc::format!("{whole} {name}"));
        }
        let tenth = (u128::from(rest) * 10) >> shift;
        f.pad(&alloc::format!("{whole}.{tenth} {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_in_the_largest_unit() {
        for (bytes, text) in [
            (0, "0 B"),
            (1, "1 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (64 << 20, "64 MiB"),
            (900 << 30, "900 GiB"),
            ((1 << 30) + 1, "1.0 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_size_pads_like_text() {
        assert_eq!(
            format!("[{:>8}|{:<8}]", Size(4096), Size(512)),
            "[   4 KiB|512 B   ]"
        );
    }
}
