//! What else a client may want to know of a disk than its bytes: contexts, each with a name and a number.
//!
//! There is one, `base:allocation`: where there is data, and where there is none. A disk does not say what of it was
//! given up, and what was is free to read as anything. So all of it is data, which is always true: whoever copies a disk
//! by that copies all of it.

use alloc::vec::Vec;

/// The only context.
pub const ALLOCATION: &str = "base:allocation";

/// What it is known by in replies.
pub const ID: u32 = 1;

/// The data of the two options about contexts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queries<'b> {
    /// Of which export.
    pub name: &'b [u8],
    /// Names of contexts, or of families of them.
    queries: Vec<&'b [u8]>,
}

impl<'b> Queries<'b> {
    /// Understands the data. `None`: its lengths do not fit each other.
    pub fn parse(data: &'b [u8]) -> Option<Self> {
        let (name, rest) = string(data)?;
        let (count, mut rest) = rest.split_first_chunk()?;
        let mut queries = Vec::new();
        for _ in 0..u32::from_be_bytes(*count) {
            let (query, behind) = string(rest)?;
            queries.push(query);
            rest = behind;
        }
        rest.is_empty().then_some(Self { name, queries })
    }

    /// Whether the context is among those that a client asks for: by no name at all, by its family's, or by its own.
    pub fn lists(&self) -> bool {
        self.queries.is_empty() || self.queries.contains(&&b"base:"[..]) || self.selects()
    }

    /// Whether a client wants the context. Then it has to know its name.
    pub fn selects(&self) -> bool {
        self.queries.contains(&ALLOCATION.as_bytes())
    }
}

/// A length, and so many bytes.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)
}

/// The data of a reply that has the context.
pub fn context(id: u32) -> Vec<u8> {
    let mut data = id.to_be_bytes().to_vec();
    data.extend_from_slice(ALLOCATION.as_bytes());
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn data(name: &str, queries: &[&str]) -> Vec<u8> {
        let mut data = vec![];
        let string = |data: &mut Vec<u8>, text: &str| {
            data.extend_from_slice(&(text.len() as u32).to_be_bytes());
            data.extend_from_slice(text.as_bytes());
        };
        string(&mut data, name);
        data.extend_from_slice(&(queries.len() as u32).to_be_bytes());
        queries.iter().for_each(|query| string(&mut data, query));
        data
    }

    #[test]
    fn a_context_is_listed_by_its_family_and_chosen_by_its_name() {
        for (queries, lists, selects) in [
            (&[][..], true, false),
            (&["base:"], true, false),
            (&["base:allocation"], true, true),
            (&["qemu:dirty-bitmap:x", "base:allocation"], true, true),
            (&["base", "base:alloc", "BASE:allocation", ""], false, false),
        ] {
            let data = data("disk", queries);
            let asked = Queries::parse(&data).unwrap();
            assert_eq!(
                (asked.lists(), asked.selects()),
                (lists, selects),
                "{queries:?}"
            );
            assert_eq!(asked.name, b"disk");
            for len in 0..data.len() {
                assert_eq!(Queries::parse(&data[..len]), None);
            }
            assert_eq!(Queries::parse(&[&data[..], &[0]].concat()), None);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(data in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..64)) {
            let _ = Queries::parse(&data);
        }
    }
}
