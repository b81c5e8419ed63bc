//! Numbers in the structures of a disk: little-endian, at fixed places.
//!
//! Structures have grown over the years. A field beyond the end of an older, shorter structure is
//! zero, and so it reads here. What must be there is checked by those who read it.

/// The 16-bit number at `at`.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
    field.map_or(0, |field| u16::from_le_bytes(*field))
}

/// The 32-bit number at `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
    field.map_or(0, |field| u32::from_le_bytes(*field))
}

/// A number whose lower 32 bits are at `low`; the others are given.
pub(super) fn wide(bytes: &[u8], low: usize, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(u32_at(bytes, low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_little_endian_and_zero_beyond_the_end() {
        let bytes = [1, 2, 3, 4, 5];
        assert_eq!(u16_at(&bytes, 1), 0x0302);
        assert_eq!(u32_at(&bytes, 1), 0x0504_0302);
        assert_eq!(wide(&bytes, 0, 9), 0x9_0403_0201);
        assert_eq!((u16_at(&bytes, 4), u32_at(&bytes, 2)), (0, 0));
        assert_eq!(u32_at(&bytes, usize::MAX), 0);
    }
}
