//! Numbers as people write them: `4096`, `4K`, `1GiB`, `0xffff_8000_0000_0000`.

use core::fmt;

/// Why text is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberError {
    /// There is no digit where one is needed, or something that is no digit.
    Digits,
    /// It does not fit into 64 bits.
    TooLarge,
}

impl fmt::Display for NumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Digits => "is no number: write 4096, 4K, 16M, 1G or 0x1000",
            Self::TooLarge => "does not fit into 64 bits",
        })
    }
}

impl core::error::Error for NumberError {}

/// The powers of two that a suffix stands for. None of the letters is a hexadecimal digit.
const UNITS: [(char, u32); 4] = [('k', 10), ('m', 20), ('g', 30), ('t', 40)];

/// A number: decimal, or hexadecimal after `0x`; `_` may stand between digits. It may end in one
/// of the units K, M, G and T, which are powers of 1024, and `iB` may follow the unit.
pub fn parse(text: &str) -> Result<u64, NumberError> {
    let without_unit = |(unit, shift): (char, u32)| {
        let has_unit = |last: char| last.eq_ignore_ascii_case(&unit);
        let rest = text
            .strip_suffix("iB")
            .unwrap_or(text)
            .strip_suffix(has_unit)?;
        Some((rest, shift))
    };
    let (number, shift) = UNITS
        .into_iter()
        .find_map(without_unit)
        .unwrap_or((text, 0));
    let (digits, radix) = match number.strip_prefix("0x").or(number.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    let mut value: u64 = 0;
    let mut last = '_';
    for character in digits.chars() {
        if character != '_' {
            let digit = character.to_digit(radix).ok_or(NumberError::Digits)?;
            value = value
                .checked_mul(radix.into())
                .ok_or(NumberError::TooLarge)?;
            value = value
                .checked_add(digit.into())
                .ok_or(NumberError::TooLarge)?;
        } else if last == '_' {
            return Err(NumberError::Digits);
        }
        last = character;
    }
    if last == '_' {
        return Err(NumberError::Digits);
    }
    value.checked_mul(1 << shift).ok_or(NumberError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_and_hexadecimal() {
        for (text, value) in [
            ("0", 0),
            ("0042", 42),
            ("18446744073709551615", u64::MAX),
            ("0x0", 0),
            ("0XfF", 255),
            ("0xffffffffffffffff", u64::MAX),
            ("0xffff_8000_0000_0000", 0xffff_8000_0000_0000),
            ("1_000", 1000),
        ] {
            assert_eq!(parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn units_are_powers_of_1024() {
        for (text, value) in [
            ("1K", 1 << 10),
            ("64k", 64 << 10),
            ("16M", 16 << 20),
            ("1GiB", 1 << 30),
            ("2T", 2 << 40),
            ("0x10K", 16 << 10),
            ("16777215T", 16_777_215 << 40),
        ] {
            assert_eq!(parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_is_said_to_be_too_large() {
        for text in [
            "18446744073709551616",
            "0x1_0000_0000_0000_0000",
            "16777216T",
            "99999999999999999999999G",
        ] {
            assert_eq!(parse(text), Err(NumberError::TooLarge), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_no_number() {
        for text in [
            "", "K", "0x", "0xK", "x10", "12a", "-1", "+1", "1.5G", "1KB", "1 K", "1KK", "_1",
            "1_", "1__0", "iB", "4iB", "0x_1", "½", "१२",
        ] {
            assert_eq!(parse(text), Err(NumberError::Digits), "{text}");
        }
    }
}
