//! Sizes as people write them: `512`, `64K`, `16M`, `6G`, `1T`.

use anyhow::{Result, anyhow, ensure};

const UNITS: [(char, u32); 4] = [('T', 40), ('G', 30), ('M', 20), ('K', 10)];

/// Bytes from text. Units are powers of 1024, in upper or lower case.
///
/// # Errors
/// If the text is no number with at most one unit, is zero, or does not fit.
pub fn parse(text: &str) -> Result<u64> {
    let unit = UNITS
        .iter()
        .find(|(name, _)| text.to_ascii_uppercase().ends_with(*name));
    let (digits, shift) = unit.map_or((text, 0), |&(_, shift)| (&text[..text.len() - 1], shift));
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|&bytes| bytes != 0)
        .ok_or_else(|| anyhow!("`{text}` is no size: write a number, or one with K, M, G or T"))
}

/// What QEMU's machines have RAM in, in bytes.
const OF_MEMORY: u64 = 8 << 10;

/// Bytes of a machine's RAM from text.
///
/// # Errors
/// Those of [`parse`], and if it is not a multiple of 8 KiB: QEMU rounds one of two numbers, and then finds that they
/// differ.
pub fn parse_memory(text: &str) -> Result<u64> {
    let bytes = parse(text)?;
    ensure!(
        bytes.is_multiple_of(OF_MEMORY),
        "memory comes in multiples of 8 KiB: `{}` is the next one",
        show(bytes.saturating_add(OF_MEMORY) / OF_MEMORY * OF_MEMORY)
    );
    Ok(bytes)
}

/// The shortest exact way to write a number of bytes.
pub fn show(bytes: u64) -> String {
    let fits = |&&(_, shift): &&(char, u32)| bytes != 0 && bytes.is_multiple_of(1 << shift);
    match UNITS.iter().find(fits) {
        Some((name, shift)) => format!("{}{name}", bytes >> shift),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_read() {
        for (text, bytes) in [
            ("512", 512),
            ("64K", 65536),
            ("900G", 900 << 30),
            ("1T", 1 << 40),
        ] {
            assert_eq!(parse(text).unwrap(), bytes);
            assert_eq!(show(bytes), text);
        }
        assert_eq!(parse("6g").unwrap(), 6 << 30);
    }

    #[test]
    fn memory_that_qemu_would_round_is_refused_with_the_next_size() {
        assert_eq!(parse_memory("3968K").unwrap(), 3968 << 10);
        let refused = |text| parse_memory(text).unwrap_err().to_string();
        assert!(refused("3964K").contains("`3968K`"));
        assert!(refused("1").contains("`8K`"));
        assert!(refused("64MB").contains("is no size"));
    }

    #[test]
    fn nonsense_is_refused_with_a_hint() {
        for text in [
            "",
            "G",
            "0",
            "0M",
            "-1",
            "1.5G",
            "64MB",
            "99999999999T",
            "1é",
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains("K, M, G or T"), "{error}");
        }
    }
}
