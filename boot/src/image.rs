//! The embedded kernel: what its ELF file says, checked before a byte of it is copied.
//!
//! A kernel is an ordinary `entry_point!` executable. Holding an [`Image`] tells you:
//!
//! - it is a little-endian x86_64 executable with fixed addresses;
//! - its segments are page-aligned, canonical and disjoint, each within the file;
//! - no segment is both writable and executable;
//! - its entry point lies in an executable segment;
//! - its configuration was written by this version of `bootloader_api`, so both sides lay out
//!   [`BootInfo`](bootloader_api::BootInfo) alike.

use crate::PAGE;
use bootloader_api::BootloaderConfig;
use bootloader_api::info::TlsTemplate;
use core::fmt;
use elf::ElfBytes;
use elf::abi::{EM_X86_64, ET_EXEC, PF_W, PF_X, PT_LOAD, PT_TLS};
use elf::endian::LittleEndian;
use elf::segment::ProgramHeader;

/// The section in which `entry_point!` leaves the kernel's configuration.
const CONFIG_SECTION: &str = ".bootloader-config";

/// As many loadable segments as a kernel may have.
pub const MAX_SEGMENTS: usize = 16;

/// What code may do with a segment's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Constants.
    Read,
    /// Variables.
    ReadWrite,
    /// Code.
    ReadExecute,
}

/// One loadable segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The page-aligned virtual address.
    pub virt: u64,
    /// The bytes from the file.
    pub data: &'a [u8],
    /// The bytes in memory; those beyond `data` are zero.
    pub len: u64,
    /// What code may do with it.
    pub access: Access,
}

/// Why a file cannot be loaded as a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageError {
    /// Not an ELF file, or one whose headers lead outside it.
    NotElf,
    /// An ELF file for another machine or another purpose.
    NotX86Executable,
    /// More than [`MAX_SEGMENTS`] segments, or none.
    SegmentCount(usize),
    /// A segment is not page-aligned, not canonical, larger in the file than in memory, or overlaps another.
    BadSegment(u64),
    /// A segment is both writable and executable.
    WritableCode(u64),
    /// The entry point is in no executable segment.
    BadEntry(u64),
    /// There is no `.bootloader-config` section: the kernel does not use `entry_point!`.
    NoConfig,
    /// The configuration was written by another version of `bootloader_api`.
    BadConfig(&'static str),
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf => write!(f, "it is not an ELF file, or it is damaged"),
            Self::NotX86Executable => {
                write!(
                    f,
                    "it is not an x86_64 executable with fixed addresses (ET_EXEC)"
                )
            }
            Self::SegmentCount(count) => {
                write!(
                    f,
                    "it has {count} loadable segments, and must have 1 to {MAX_SEGMENTS}"
                )
            }
            Self::BadSegment(virt) => write!(
                f,
                "its segment at {virt:#x} is not page-aligned, not canonical, damaged, or overlaps another"
            ),
            Self::WritableCode(virt) => {
                write!(
                    f,
                    "its segment at {virt:#x} is both writable and executable"
                )
            }
            Self::BadEntry(entry) => {
                write!(f, "its entry point {entry:#x} is in no executable segment")
            }
            Self::NoConfig => write!(
                f,
                "it has no section {CONFIG_SECTION}: define its entry with bootloader_api::entry_point!"
            ),
            Self::BadConfig(reason) => write!(
                f,
                "its configuration was not written by this version of bootloader_api: {reason}"
            ),
        }
    }
}

impl core::error::Error for ImageError {}

/// A checked kernel file.
#[derive(Debug)]
pub struct Image<'a> {
    segments: [Option<Segment<'a>>; MAX_SEGMENTS],
    /// The virtual address of `_start`.
    pub entry: u64,
    /// What the kernel asks of its loader.
    pub config: BootloaderConfig,
    /// The template for thread-local variables, where the kernel has any.
    pub tls: Option<TlsTemplate>,
}

impl<'a> Image<'a> {
    /// Checks a kernel file.
    pub fn parse(file: &'a [u8]) -> Result<Self, ImageError> {
        let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| ImageError::NotElf)?;
        if elf.ehdr.e_type != ET_EXEC || elf.ehdr.e_machine != EM_X86_64 {
            return Err(ImageError::NotX86Executable);
        }
        let headers = elf.segments().ok_or(ImageError::NotElf)?;

        let loadable = || {
            headers
                .iter()
                .filter(|header| header.p_type == PT_LOAD && header.p_memsz > 0)
        };
        let count = loadable().count();
        if count == 0 || count > MAX_SEGMENTS {
            return Err(ImageError::SegmentCount(count));
        }
        let mut segments = [None; MAX_SEGMENTS];
        for (place, header) in loadable().enumerate() {
            let data = elf
                .segment_data(&header)
                .map_err(|_| ImageError::BadSegment(header.p_vaddr))?;
            let segment = Segment::check(&header, data)?;
            if segments[..place]
                .iter()
                .flatten()
                .any(|other| segment.overlaps(other))
            {
                return Err(ImageError::BadSegment(segment.virt));
            }
            segments[place] = Some(segment);
        }

        let entry = elf.ehdr.e_entry;
        let holds_entry = |segment: &&Segment| {
            segment.access == Access::ReadExecute
                && (segment.virt..=segment.last()).contains(&entry)
        };
        if !segments
            .iter()
            .flatten()
            .any(|segment| holds_entry(&segment))
        {
            return Err(ImageError::BadEntry(entry));
        }

        let tls = headers
            .iter()
            .find(|header| header.p_type == PT_TLS)
            .map(|header| TlsTemplate {
                start_addr: header.p_vaddr,
                file_size: header.p_filesz,
                mem_size: header.p_memsz,
            });
        Ok(Self {
            segments,
            entry,
            config: config(&elf)?,
            tls,
        })
    }

    /// The segments, in the file's order.
    pub fn segments(&self) -> impl Iterator<Item = Segment<'a>> + '_ {
        self.segments.iter().flatten().copied()
    }
}

impl<'a> Segment<'a> {
    fn check(header: &ProgramHeader, data: &'a [u8]) -> Result<Self, ImageError> {
        let virt = header.p_vaddr;
        let bad = ImageError::BadSegment(virt);
        let last = virt.checked_add(header.p_memsz - 1).ok_or(bad)?;
        let canonical = virt >> 47 == last >> 47 && (virt >> 47 == 0 || virt >> 47 == 0x1_ffff);
        if !virt.is_multiple_of(PAGE) || !canonical || data.len() as u64 > header.p_memsz {
            return Err(bad);
        }
        let access = match (header.p_flags & PF_W != 0, header.p_flags & PF_X != 0) {
            (true, true) => return Err(ImageError::WritableCode(virt)),
            (true, false) => Access::ReadWrite,
            (false, true) => Access::ReadExecute,
            (false, false) => Access::Read,
        };
        Ok(Self {
            virt,
            data,
            len: header.p_memsz,
            access,
        })
    }

    /// The last virtual address, to the end of its last page.
    fn last(&self) -> u64 {
        (self.virt + (self.len - 1)) | (PAGE - 1)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.virt <= other.last() && other.virt <= self.last()
    }
}

fn config(elf: &ElfBytes<LittleEndian>) -> Result<BootloaderConfig, ImageError> {
    let header = elf
        .section_header_by_name(CONFIG_SECTION)
        .map_err(|_| ImageError::NotElf)?
        .ok_or(ImageError::NoConfig)?;
    let (bytes, _) = elf.section_data(&header).map_err(|_| ImageError::NotElf)?;
    let config = BootloaderConfig::deserialize(bytes).map_err(ImageError::BadConfig)?;
    // The layout of `BootInfo` is only promised within one version, which the default carries.
    if config_version(&config) != config_version(&BootloaderConfig::new_default()) {
        return Err(ImageError::BadConfig("its version differs"));
    }
    Ok(config)
}

/// The version bytes of a serialized configuration: they follow the 16-byte identifier.
fn config_version(config: &BootloaderConfig) -> [u8; 7] {
    core::array::from_fn(|index| config.serialize()[16 + index])
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
