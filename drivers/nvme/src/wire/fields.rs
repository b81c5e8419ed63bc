//! Structures as tables of fields.
//!
//! The specification describes a structure by a table: byte offset, name, meaning. The macro
//! [`structure!`] is that table in Rust. Each field stands with its offset, and the compiler
//! checks that fields are in order, do not overlap, and stay inside the structure. What lies
//! between them is reserved: it is written as zeros and not looked at.

/// A field that lies in a structure as little-endian bytes.
pub(super) trait Field: Sized {
    /// Bytes of the field.
    const BYTES: usize;
    /// Reads the field from the front of `bytes`.
    fn get(bytes: &[u8]) -> Self;
    /// Writes the field to the front of `bytes`.
    fn put(&self, bytes: &mut [u8]);
}

macro_rules! integers {
    ($($integer:ty)*) => { $(
        impl Field for $integer {
            const BYTES: usize = size_of::<$integer>();
            fn get(bytes: &[u8]) -> Self {
                let mut raw = [0; size_of::<$integer>()];
                raw.copy_from_slice(&bytes[..size_of::<$integer>()]);
                Self::from_le_bytes(raw)
            }
            fn put(&self, bytes: &mut [u8]) {
                bytes[..size_of::<$integer>()].copy_from_slice(&self.to_le_bytes());
            }
        }
    )* };
}

integers!(u8 u16 u32 u64 u128);

impl<T: Field, const N: usize> Field for [T; N] {
    const BYTES: usize = N * T::BYTES;
    fn get(bytes: &[u8]) -> Self {
        core::array::from_fn(|index| T::get(&bytes[index * T::BYTES..]))
    }
    fn put(&self, bytes: &mut [u8]) {
        for (index, item) in self.iter().enumerate() {
            item.put(&mut bytes[index * T::BYTES..]);
        }
    }
}

/// Lets bitfields of one integer be fields.
macro_rules! bitfields {
    ($($name:ident: $integer:ty)*) => { $(
        impl $crate::wire::fields::Field for $name {
            const BYTES: usize = size_of::<$integer>();
            fn get(bytes: &[u8]) -> Self {
                Self::from_bits(<$integer as $crate::wire::fields::Field>::get(bytes))
            }
            fn put(&self, bytes: &mut [u8]) {
                $crate::wire::fields::Field::put(&self.into_bits(), bytes);
            }
        }
    )* };
}

/// Defines a structure of a number of bytes by its fields.
macro_rules! structure {
    (
        $(#[$about:meta])*
        $name:ident: $bytes:literal { $( $(#[$doc:meta])* $offset:literal => $field:ident: $kind:ty, )* }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$doc])* pub $field: $kind, )*
        }

        impl $name {
            /// Size of the structure in bytes.
            pub const BYTES: usize = $bytes;

            /// The fields of a structure that lies in memory as `bytes`.
            pub fn decode(bytes: &[u8; Self::BYTES]) -> Self {
                <Self as $crate::wire::fields::Field>::get(bytes)
            }

            /// Writes the fields to their places, and nothing else.
            pub fn encode(&self, bytes: &mut [u8; Self::BYTES]) {
                $crate::wire::fields::Field::put(self, bytes);
            }
        }

        impl Default for $name {
            /// The structure of zeros.
            fn default() -> Self {
                Self::decode(&[0; Self::BYTES])
            }
        }

        impl $crate::wire::fields::Field for $name {
            const BYTES: usize = $bytes;
            fn get(bytes: &[u8]) -> Self {
                Self { $( $field: $crate::wire::fields::Field::get(&bytes[$offset..]), )* }
            }
            fn put(&self, bytes: &mut [u8]) {
                $( $crate::wire::fields::Field::put(&self.$field, &mut bytes[$offset..]); )*
            }
        }

        const _: () = {
            use $crate::wire::fields::Field;
            let end = 0;
            $(
                assert!($offset >= end, "fields overlap or are out of order");
                let end = $offset + <$kind as Field>::BYTES;
            )*
            assert!(end <= $bytes, "a field leaves the structure");
        };
    };
}

pub(super) use {bitfields, structure};

#[cfg(test)]
#[expect(
    unreachable_pub,
    reason = "structures are public wherever they are defined"
)]
mod tests {
    super::structure! {
        /// An example.
        Example: 16 {
            /// A byte.
            1 => byte: u8,
            /// Words.
            4 => words: [u16; 2],
            /// A long one.
            8 => long: u64,
        }
    }

    #[test]
    fn fields_are_little_endian_at_their_offsets() {
        let mut bytes = [0; 16];
        bytes[1] = 7;
        bytes[4..8].copy_from_slice(&[1, 2, 3, 4]);
        bytes[15] = 0x80;
        let example = Example::decode(&bytes);
        assert_eq!(example.byte, 7);
        assert_eq!(example.words, [0x0201, 0x0403]);
        assert_eq!(example.long, 1 << 63);
        let mut again = [0; 16];
        example.encode(&mut again);
        assert_eq!(again, bytes);
    }

    #[test]
    fn reserved_bytes_stay_as_they_are() {
        let mut bytes = [0xaa; 16];
        Example::default().encode(&mut bytes);
        assert_eq!(bytes[0], 0xaa);
        assert_eq!(bytes[1], 0);
        assert_eq!(bytes[2..4], [0xaa, 0xaa]);
        assert_eq!(bytes[4..], [0; 12]);
    }
}
