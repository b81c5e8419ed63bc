//! Lists: of namespaces, of controllers, of what identifies a namespace, of command sets
//! (NVMe base specification 2.0, sections 4.5 and 5.17.2).
//!
//! A list ends where it says, or at its last byte. No count in it leads out of it.

use alloc::vec::Vec;

/// Bytes of each of these lists.
const LIST_BYTES: usize = 4096;

/// The identifiers of a Namespace List, which ends at the first zero.
pub fn namespace_list(bytes: &[u8; LIST_BYTES]) -> impl Iterator<Item = u32> {
    let (ids, _) = bytes.as_chunks::<4>();
    ids.iter()
        .map(|id| u32::from_le_bytes(*id))
        .take_while(|id| *id != 0)
}

/// A Controller List with these identifiers, at most 2047 of them.
pub fn controller_list(controllers: &[u16]) -> [u8; LIST_BYTES] {
    let controllers = &controllers[..controllers.len().min(LIST_BYTES / 2 - 1)];
    let mut bytes = [0; LIST_BYTES];
    let count = controllers.len() as u16;
    for (place, id) in bytes
        .as_chunks_mut::<2>()
        .0
        .iter_mut()
        .zip([count].iter().chain(controllers))
    {
        *place = id.to_le_bytes();
    }
    bytes
}

/// The identifiers of a Controller List.
pub fn controllers(bytes: &[u8; LIST_BYTES]) -> impl Iterator<Item = u16> {
    let (words, _) = bytes.as_chunks::<2>();
    let count = u16::from_le_bytes(words[0]);
    words[1..]
        .iter()
        .take(usize::from(count))
        .map(|id| u16::from_le_bytes(*id))
}

/// What identifies a namespace, for as long as it exists and wherever it is attached (CNS
/// 03h).
///
/// Each field is `None` if the list does not have it. Zeros are as good as nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptors {
    /// IEEE Extended Unique Identifier (EUI64).
    pub eui64: Option<[u8; 8]>,
    /// Namespace Globally Unique Identifier (NGUID).
    pub nguid: Option<[u8; 16]>,
    /// Namespace UUID.
    pub uuid: Option<[u8; 16]>,
    /// Command Set Identifier (CSI).
    pub csi: Option<u8>,
}

impl Descriptors {
    /// Reads a Namespace Identification Descriptor list.
    ///
    /// Descriptors of unknown types or of the wrong length are passed over; one without a
    /// length ends the list.
    pub fn decode(bytes: &[u8; LIST_BYTES]) -> Self {
        const HEADER: usize = 4;
        let mut found = Self::default();
        let mut rest = &bytes[..];
        while let Some((&[kind, len, _, _], behind)) = rest.split_first_chunk::<HEADER>()
            && len != 0
            && let Some((value, next)) = behind.split_at_checked(usize::from(len))
        {
            match kind {
                1 => found.eui64 = nonzero(value),
                2 => found.nguid = nonzero(value),
                3 => found.uuid = nonzero(value),
                4 => found.csi = <[u8; 1]>::try_from(value).ok().map(|[csi]| csi),
                _ => {}
            }
            rest = next;
        }
        found
    }

    /// The list with these descriptors.
    pub fn encode(&self) -> [u8; LIST_BYTES] {
        let mut list = Vec::new();
        let mut put = |kind: u8, value: &[u8]| {
            list.extend_from_slice(&[kind, value.len() as u8, 0, 0]);
            list.extend_from_slice(value);
        };
        if let Some(eui64) = &self.eui64 {
            put(1, eui64);
        }
        if let Some(nguid) = &self.nguid {
            put(2, nguid);
        }
        if let Some(uuid) = &self.uuid {
            put(3, uuid);
        }
        if let Some(csi) = self.csi {
            put(4, &[csi]);
        }
        let mut bytes = [0; LIST_BYTES];
        bytes[..list.len()].copy_from_slice(&list);
        bytes
    }
}

/// A value of the right length that is not all zeros.
fn nonzero<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    let value = <[u8; N]>::try_from(value).ok()?;
    value.iter().any(|byte| *byte != 0).then_some(value)
}

/// Combinations of I/O command sets that can be enabled together (CNS 1Ch).
///
/// Each of the up to 512 vectors has a bit for each Command Set Identifier. The list ends at
/// the first vector of zeros.
pub fn command_sets(bytes: &[u8; LIST_BYTES]) -> impl Iterator<Item = u64> {
    let (vectors, _) = bytes.as_chunks::<8>();
    vectors
        .iter()
        .map(|vector| u64::from_le_bytes(*vector))
        .take_while(|vector| *vector != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_end_at_zero_or_where_they_are_full() {
        let mut bytes = [0; 4096];
        bytes[0] = 1;
        bytes[5] = 1;
        bytes[12] = 9;
        assert_eq!(namespace_list(&bytes).collect::<Vec<_>>(), [1, 256]);
        assert_eq!(namespace_list(&[0xff; 4096]).count(), 1024);
        assert_eq!(namespace_list(&[0; 4096]).count(), 0);
        assert_eq!(command_sets(&[0xff; 4096]).count(), 512);
    }

    #[test]
    fn controller_lists_count_first() {
        let bytes = controller_list(&[3, 0x102]);
        assert_eq!(bytes[..8], [2, 0, 3, 0, 2, 1, 0, 0]);
        assert_eq!(controllers(&bytes).collect::<Vec<_>>(), [3, 0x102]);
        // A count that leads out of the list ends with it.
        assert_eq!(controllers(&[0xff; 4096]).count(), 2047);
        assert_eq!(controllers(&controller_list(&[7; 5000])).count(), 2047);
    }

    #[test]
    fn descriptors_come_in_any_order_and_unknown_ones_are_passed_over() {
        let mut bytes = [0; 4096];
        bytes[..4].copy_from_slice(&[9, 2, 0, 0]);
        bytes[6..11].copy_from_slice(&[4, 1, 0, 0, 2]);
        bytes[11..15].copy_from_slice(&[1, 8, 0, 0]);
        bytes[15] = 0x52;
        // A UUID of the wrong length.
        bytes[23..28].copy_from_slice(&[3, 1, 0, 0, 5]);
        let found = Descriptors::decode(&bytes);
        assert_eq!(found.csi, Some(2));
        assert_eq!(found.eui64, Some([0x52, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!((found.uuid, found.nguid), (None, None));
    }

    #[test]
    fn identifiers_of_zeros_are_none() {
        let mut bytes = [0; 4096];
        bytes[1] = 16;
        bytes[0] = 2;
        assert_eq!(Descriptors::decode(&bytes), Descriptors::default());
    }

    proptest! {
        #[test]
        fn descriptors_survive_the_way_there_and_back(
            eui64 in proptest::option::of(1_u64..), uuid in proptest::option::of(1_u128..),
            csi in proptest::option::of(any::<u8>()),
        ) {
            let descriptors = Descriptors {
                eui64: eui64.map(u64::to_be_bytes),
                nguid: uuid.map(|uuid| uuid.rotate_left(8).to_be_bytes()),
                uuid: uuid.map(u128::to_be_bytes),
                csi,
            };
            prop_assert_eq!(Descriptors::decode(&descriptors.encode()), descriptors);
        }

        #[test]
        fn no_list_leads_astray(bytes in proptest::collection::vec(any::<u8>(), 4096)) {
            let bytes: [u8; 4096] = bytes.try_into().expect("4096 bytes");
            Descriptors::decode(&bytes);
            prop_assert!(controllers(&bytes).count() <= 2047);
        }
    }
}
