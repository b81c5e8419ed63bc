//! Checksums of protection information, bit by bit, as their definitions have them.

/// CRC-16 of T10 DIF: polynomial 8BB7h, most significant bit first, from zero.
pub(crate) fn crc16(bytes: impl Iterator<Item = u8>) -> u16 {
    let mut crc = 0_u16;
    for byte in bytes {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            let carry = crc & 0x8000 != 0;
            crc <<= 1;
            if carry {
                crc ^= 0x8bb7;
            }
        }
    }
    crc
}

/// CRC-64 of NVM Express: polynomial AD93D23594C93659h, least significant bit first, from
/// all ones and inverted.
pub(crate) fn crc64(bytes: impl Iterator<Item = u8>) -> u64 {
    const REVERSED: u64 = 0xad93_d235_94c9_3659_u64.reverse_bits();
    let mut crc = u64::MAX;
    for byte in bytes {
        crc ^= u64::from(byte);
        for _ in 0..8 {
            let carry = crc & 1 != 0;
            crc >>= 1;
            if carry {
                crc ^= REVERSED;
            }
        }
    }
    !crc
}

#[test]
fn known_answers() {
    assert_eq!(crc16(b"123456789".iter().copied()), 0xd0db);
    assert_eq!(crc64(b"123456789".iter().copied()), 0xae8b_1486_0a79_9888);
    // The specification's table of known answers.
    assert_eq!(crc64([0; 4096].into_iter()), 0x6482_d367_eb22_b64e);
    assert_eq!(crc64([0xff; 4096].into_iter()), 0xc0dd_ba73_02ec_a3ac);
}
