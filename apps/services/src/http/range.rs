//! Which bytes of something are wanted (RFC 9110, section 14).

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// Most ranges of one request. Who asks for more gets all of it.
pub const MOST: usize = 16;

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: nothing else was asked for, or in a way that nobody has to understand.
    Whole,
    /// These bytes. One range, or several that together are no more than the whole.
    Parts(Vec<Range<u64>>),
    /// Nothing, since none of what was asked for is there.
    Nothing,
}

/// Understands a `Range` field, of something that has `len` bytes.
pub fn parse(field: &str, len: u64) -> Wanted {
    let Some(set) = field
        .get(..6)
        .filter(|unit| unit.eq_ignore_ascii_case("bytes="))
        .map(|unit| &field[unit.len()..])
    else {
        return Wanted::Whole;
    };
    let mut parts: Vec<Range<u64>> = vec![];
    let mut count = 0;
    for spec in set.split(',').map(str::trim_ascii) {
        // A list may have empty members.
        if spec.is_empty() {
            continue;
        }
        count += 1;
        match range(spec, len) {
            None => return Wanted::Whole,
            Some(range) => parts.extend(range),
        }
        if count > MOST {
            return Wanted::Whole;
        }
    }
    if count == 0 {
        return Wanted::Whole;
    }
    let total = parts
        .iter()
        .try_fold(0u64, |sum, part| sum.checked_add(part.end - part.start));
    match (parts.len(), total) {
        (0, _) => Wanted::Nothing,
        // The same bytes again and again would make a large answer of a small request.
        (_, Some(total)) if total <= len => Wanted::Parts(parts),
        _ => Wanted::Whole,
    }
}

/// One range: `None` if it is no range, `Some(None)` if none of it is there.
fn range(spec: &str, len: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = spec.split_once('-')?;
    let (first, last) = (first.trim_ascii(), last.trim_ascii());
    if first.is_empty() {
        let suffix = number(last)?.min(len);
        return Some((suffix > 0).then(|| len - suffix..len));
    }
    let first = number(first)?;
    let end = match last {
        "" => len,
        last => {
            let last = number(last)?;
            if last < first {
                return None;
            }
            last.saturating_add(1).min(len)
        }
    };
    Some((first < end).then_some(first..end))
}

/// A number; one too large for us is beyond the end of everything.
fn number(digits: &str) -> Option<u64> {
    let are_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parts<const N: usize>(parts: [Range<u64>; N]) -> Wanted {
        Wanted::Parts(parts.into())
    }

    fn part(start: u64, end: u64) -> Wanted {
        Wanted::Parts(vec![Range { start, end }])
    }

    #[test]
    fn ranges_are_what_the_standard_says() {
        for (field, wanted) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-499", part(0, 100)),
            ("bytes=10-19", part(10, 20)),
            ("bytes=90-", part(90, 100)),
            ("bytes=-1", part(99, 100)),
            ("bytes=-500", part(0, 100)),
            ("Bytes=1-2, 5-6 ,-1", parts([1..3, 5..7, 99..100])),
            ("bytes=,1-1,", part(1, 2)),
            ("bytes=5-6,200-300", part(5, 7)),
            ("bytes=0-18446744073709551615", part(0, 100)),
            ("bytes=99-99999999999999999999999", part(99, 100)),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=100-200,300-", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=2-1", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=1", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
            ("", Wanted::Whole),
            ("bytes=0-60,0-60", Wanted::Whole),
        ] {
            assert_eq!(parse(field, 100), wanted, "{field}");
        }
        assert_eq!(parse("bytes=0-", 0), Wanted::Nothing);
    }

    #[test]
    fn more_ranges_than_the_limit_are_the_whole() {
        let many = |count: usize| {
            let all: Vec<String> = (0..count).map(|at| format!("{at}-{at}")).collect();
            parse(&format!("bytes={}", all.join(",")), 100)
        };
        assert!(matches!(many(MOST), Wanted::Parts(parts) if parts.len() == MOST));
        assert_eq!(many(MOST + 1), Wanted::Whole);
    }

    proptest! {
        #[test]
        fn parts_are_within_and_no_more_than_the_whole(
            field in "bytes=([0-9]{0,3}-[0-9]{0,3},?){0,5}|[ -~]{0,30}",
            len in 0..1000u64,
        ) {
            if let Wanted::Parts(parts) = parse(&field, len) {
                prop_assert!(!parts.is_empty());
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= len));
                prop_assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() <= len);
            }
        }
    }
}
