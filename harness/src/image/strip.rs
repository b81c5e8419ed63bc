//! Leaves out of a kernel what the loader does not need.
//!
//! The linker puts everything that is loaded first, and symbols and debug information behind it.
//! So the stripped file is the front part, followed by a new section table that knows only the
//! loader's configuration section. Program headers and offsets stay as they are.

use anyhow::{Context, Result, ensure};
use object::elf::{FileHeader64, PT_LOAD, SHT_STRTAB, SectionHeader64, SymbolSection};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{LittleEndian, U16, U32, U64};

/// The section in which a `bootloader_api` kernel keeps its wishes.
const CONFIG: &str = ".bootloader-config";

const LE: LittleEndian = LittleEndian;

/// The same ELF file without symbols and debug information.
///
/// # Errors
/// If it is no 64-bit little-endian ELF file, or its parts are in an order that no linker makes.
pub fn strip(elf: &[u8]) -> Result<Vec<u8>> {
    let header = FileHeader64::<LittleEndian>::parse(elf).context("this is no 64-bit ELF file")?;
    let mut end = header.e_phoff(LE) + u64::from(header.e_phnum(LE)) * size_of_program_header();
    for segment in header.program_headers(LE, elf)? {
        if segment.p_type(LE) == PT_LOAD {
            let (at, len) = segment.file_range(LE);
            end = end.max(
                at.checked_add(len)
                    .context("a segment ends behind everything")?,
            );
        }
    }
    let front = elf
        .get(..usize::try_from(end)?)
        .context("a segment ends behind the file")?;

    let sections = header.sections(LE, elf)?;
    let mut names = vec![0];
    let mut table = vec![SectionHeader64 { ..empty() }];
    if let Some((_, section)) = sections.section_by_name(LE, CONFIG.as_bytes()) {
        let (at, len) = section
            .file_range(LE)
            .context("the configuration takes no room")?;
        ensure!(at + len <= end, "the configuration is in no segment");
        table.push(SectionHeader64 {
            sh_name: U32::new(LE, names.len() as u32),
            ..*section
        });
        names.extend(CONFIG.bytes().chain([0]));
    }
    let strings = names.len();
    names.extend(b".shstrtab\0");

    let mut out = front.to_vec();
    table.push(SectionHeader64 {
        sh_name: U32::new(LE, strings as u32),
        sh_type: U32::new(LE, SHT_STRTAB),
        sh_offset: U64::new(LE, out.len() as u64),
        sh_size: U64::new(LE, names.len() as u64),
        sh_addralign: U64::new(LE, 1),
        ..empty()
    });
    out.extend(names);
    out.resize(out.len().next_multiple_of(8), 0);
    let table_at = out.len() as u64;
    out.extend(object::bytes_of_slice(&table));

    let mut new = *header;
    new.e_shoff = U64::new(LE, table_at);
    new.e_shnum = U16::new(LE, table.len() as u16);
    new.e_shstrndx = U16::new(LE, SymbolSection(table.len() as u16 - 1));
    let new = object::bytes_of(&new);
    out[..new.len()].copy_from_slice(new);
    Ok(out)
}

fn size_of_program_header() -> u64 {
    size_of::<object::elf::ProgramHeader64<LittleEndian>>() as u64
}

fn empty() -> SectionHeader64<LittleEndian> {
    let zero = [0; size_of::<SectionHeader64<LittleEndian>>()];
    // A header of zeros is the null section's.
    *object::from_bytes(&zero)
        .expect("the size is the type's own")
        .0
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::{Object, ObjectSection, ObjectSegment};

    #[test]
    fn what_is_loaded_stays_and_the_rest_goes() {
        let elf = std::fs::read("/proc/self/exe").unwrap();
        let stripped = strip(&elf).unwrap();
        assert!(
            stripped.len() < elf.len() / 2,
            "{} of {}",
            stripped.len(),
            elf.len()
        );
        let (old, new) = (
            object::File::parse(&*elf).unwrap(),
            object::File::parse(&*stripped).unwrap(),
        );
        assert_eq!(old.entry(), new.entry());
        let segments = |file: &object::File<'_>| -> Vec<_> {
            file.segments()
                .map(|s| (s.address(), s.size(), s.data().unwrap().to_vec()))
                .collect()
        };
        // The first segment holds the file header, which differs in the section table's place.
        assert_eq!(segments(&old)[1..], segments(&new)[1..]);
        assert_eq!(segments(&old)[0].2[64..], segments(&new)[0].2[64..]);
        assert_eq!(new.symbols().count(), 0);
        let names: Vec<_> = new
            .sections()
            .map(|s| s.name().unwrap().to_owned())
            .collect();
        assert_eq!(names, [".shstrtab"]);
    }

    #[test]
    fn what_is_no_elf_file_is_refused() {
        assert!(strip(b"").is_err());
        assert!(strip(b"\x7fELF").is_err());
    }
}
