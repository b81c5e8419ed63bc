//! NFIT: where persistent memory is (ACPI specification 6.5, section 5.2.25).
//!
//! The table is a list of structures, each with a type and a length. The one that counts here says that a
//! range of addresses is persistent memory; the others say which modules it is made of.

use super::Flaw;
use super::table::{Fields, HEADER, Table};
use alloc::vec::Vec;
use phyr::{Phyr, PhysAddr};

/// System Physical Address Range structure.
const RANGE: u16 = 0;
/// Its length at least.
const RANGE_BYTES: usize = 56;

/// A range of persistent memory (66f0d379-b4f3-4074-ac43-0d3318b78cdb), as ACPI stores it.
const PERSISTENT: [u8; 16] = [
    0x79, 0xd3, 0xf0, 0x66, 0xf3, 0xb4, 0x74, 0x40, 0xac, 0x43, 0x0d, 0x33, 0x18, 0xb7, 0x8c, 0xdb,
];

/// The ranges of persistent memory. A structure that is cut or makes no sense ends the list: what comes
/// before is sound by itself.
pub(super) fn read(table: &Table) -> (Vec<Phyr>, Option<Flaw>) {
    const RESERVED: usize = 4;
    let mut found: Vec<Phyr> = Vec::new();
    let mut rest = table.bytes().get(HEADER + RESERVED..).unwrap_or_default();
    while !rest.is_empty() {
        let structure = match next(rest) {
            Ok(structure) => structure,
            Err(flaw) => return (found, Some(flaw)),
        };
        match range(structure) {
            // The same range twice would have two owners.
            Ok(Some(phyr)) if found.iter().any(|other| other.overlaps(phyr)) => {
                return (found, Some(Flaw::Unreadable));
            }
            Ok(phyr) => found.extend(phyr),
            Err(flaw) => return (found, Some(flaw)),
        }
        rest = &rest[structure.len()..];
    }
    (found, None)
}

/// The first structure.
fn next(rest: &[u8]) -> Result<&[u8], Flaw> {
    let len = usize::from(Fields(rest).u16(2)?);
    if len < 4 {
        return Err(Flaw::Truncated);
    }
    rest.get(..len).ok_or(Flaw::Truncated)
}

/// The memory of a structure, if that is what it tells of.
fn range(structure: &[u8]) -> Result<Option<Phyr>, Flaw> {
    let fields = Fields(structure);
    if fields.u16(0)? != RANGE {
        return Ok(None);
    }
    let guid = structure.get(16..32).ok_or(Flaw::Truncated)?;
    if structure.len() < RANGE_BYTES {
        return Err(Flaw::Truncated);
    }
    if guid != PERSISTENT {
        return Ok(None);
    }
    let (base, len) = (fields.u64(32)?, fields.u64(40)?);
    let phyr = Phyr::new(PhysAddr::new(base), len);
    phyr.map(Some).map_err(|_| Flaw::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn structure(kind: u16, guid: [u8; 16], base: u64, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; RANGE_BYTES];
        bytes[..2].copy_from_slice(&kind.to_le_bytes());
        bytes[2..4].copy_from_slice(&(RANGE_BYTES as u16).to_le_bytes());
        bytes[16..32].copy_from_slice(&guid);
        bytes[32..40].copy_from_slice(&base.to_le_bytes());
        bytes[40..48].copy_from_slice(&len.to_le_bytes());
        bytes
    }

    fn read_all(structures: &[Vec<u8>]) -> (Vec<Phyr>, Option<Flaw>) {
        let mut bytes = vec![0; HEADER + 4];
        bytes.extend(structures.iter().flatten());
        read(&Table::of(bytes))
    }

    fn phyr(base: u64, len: u64) -> Phyr {
        Phyr::new(PhysAddr::new(base), len).unwrap()
    }

    #[test]
    fn only_ranges_of_persistent_memory_count() {
        let control = [0x11; 16];
        let all = [
            structure(RANGE, PERSISTENT, 1 << 32, 1 << 20),
            structure(1, PERSISTENT, 7, 7),
            structure(RANGE, control, 3, 3),
            structure(RANGE, PERSISTENT, 2 << 32, 1),
        ];
        let (found, flaw) = read_all(&all);
        assert_eq!(found, [phyr(1 << 32, 1 << 20), phyr(2 << 32, 1)]);
        assert_eq!(flaw, None);
        assert_eq!(read_all(&[]), (Vec::new(), None));
    }

    #[test]
    fn what_makes_no_sense_ends_the_list() {
        let good = structure(RANGE, PERSISTENT, 1 << 32, 1 << 20);
        let first = phyr(1 << 32, 1 << 20);
        let mut cut = good.clone();
        cut[2] = 40;
        cut.truncate(40);
        let mut endless = good.clone();
        endless[2] = 0;
        for (bad, flaw) in [
            (cut, Flaw::Truncated),
            (endless, Flaw::Truncated),
            (vec![0; 3], Flaw::Truncated),
            (good[..50].to_vec(), Flaw::Truncated),
            (structure(RANGE, PERSISTENT, u64::MAX, 2), Flaw::Unreadable),
            (structure(RANGE, PERSISTENT, 0, 0), Flaw::Unreadable),
            (
                structure(RANGE, PERSISTENT, (1 << 32) + 5, 1),
                Flaw::Unreadable,
            ),
        ] {
            let found = read_all(&[good.clone(), bad]);
            assert_eq!(found, (vec![first], Some(flaw)));
        }
    }
}
