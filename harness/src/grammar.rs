//! The words of `#[vm_test(machine = "…")]`.
//!
//! Words are separated by commas. Each is named once:
//!
//! | word | the machine has |
//! |---|---|
//! | `nvme` | an NVMe controller with a disk; all words on disks imply it |
//! | `disks=N` | so many of them, 1 to 8 |
//! | `lba=512`, `lba=4096` | disks with blocks of this many bytes (512) |
//! | `mdts=N` | controllers that transfer at most 2^N pages; 0: no limit (QEMU's 7) |
//! | `disk=CONTENT` | disks with this content ([`Content`]; `pattern`) |
//! | `size=SIZE` | disks of this size ([`Needs::disk_size`]) |
//! | `bridge` | the controllers behind root ports |
//! | `switch` | the controllers behind root ports and switches |
//! | `ram=SIZE` | so much RAM (128M) |
//! | `smp=N` | so many cores, 1 to 64 (1) |
//! | `firmware=seabios`, `firmware=qboot` | this firmware (seabios) |
//!
//! The empty text is the plainest machine.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use crate::disk::{self, Content};
use crate::machine::{Accel, Firmware, Machine, Memory, Nvme, Place};
use crate::size;

/// What can be written, for the message about what cannot.
const KNOWN: &str = "known words are nvme, disks=N, lba=512|4096, mdts=N, \
    disk=pattern|empty|ext4|mbr|gpt|corrupt, size=SIZE, bridge, switch, ram=SIZE, \
    smp=N, firmware=seabios|qboot";

/// A machine as a test asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Number of NVMe controllers, each with one disk.
    pub disks: u8,
    /// Bytes of a logical block.
    pub lba: u32,
    /// Largest transfer, as a power of two of pages.
    pub mdts: Option<u8>,
    /// What is on the disks.
    pub content: Content,
    /// Bytes of each disk, if the test says it.
    pub size: Option<u64>,
    /// Where the controllers sit.
    pub place: Place,
    /// Bytes of RAM.
    pub ram: u64,
    /// Number of cores.
    pub cores: u8,
    /// What runs first.
    pub firmware: Firmware,
}

impl Default for Needs {
    fn default() -> Self {
        Self {
            disks: 0,
            lba: 512,
            mdts: None,
            content: Content::Pattern,
            size: None,
            place: Place::Root,
            ram: Machine::DEFAULT_RAM,
            cores: 1,
            firmware: Firmware::SeaBios,
        }
    }
}

impl Needs {
    /// Reads the words of a test.
    ///
    /// # Errors
    /// For a word that is not known, has a value it cannot have, or comes twice.
    pub fn parse(text: &str) -> Result<Self> {
        let mut needs = Self::default();
        let mut seen = Vec::new();
        for word in text
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty())
        {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key.trim(), Some(value.trim())),
                None => (word, None),
            };
            ensure!(
                !seen.contains(&key),
                "`{key}` is said twice in the machine `{text}`"
            );
            seen.push(key);
            if !needs.take(key, value)? {
                bail!("`{word}` in the machine `{text}` means nothing: {KNOWN}");
            }
            if !matches!(key, "ram" | "smp" | "firmware" | "disks") {
                needs.disks = needs.disks.max(1);
            }
        }
        Ok(needs)
    }

    /// Takes one word; `false` if it is not in the table above.
    fn take(&mut self, key: &str, value: Option<&str>) -> Result<bool> {
        match (key, value) {
            ("nvme", None) => {}
            ("bridge", None) => self.place = Place::RootPort,
            ("switch", None) => self.place = Place::Switch,
            ("lba", Some("512")) => self.lba = 512,
            ("lba", Some("4096")) => self.lba = 4096,
            ("firmware", Some("seabios")) => self.firmware = Firmware::SeaBios,
            ("firmware", Some("qboot")) => self.firmware = Firmware::Qboot,
            ("ram", Some(value)) => self.ram = size::parse(value)?,
            ("smp", Some(value)) => match value.parse() {
                Ok(cores @ 1..=64) => self.cores = cores,
                _ => return Ok(false),
            },
            ("size", Some(value)) => self.size = Some(size::parse(value)?),
            ("mdts", Some(value)) => match value.parse() {
                Ok(mdts) => self.mdts = Some(mdts),
                Err(_) => return Ok(false),
            },
            ("disks", Some(value)) => match value.parse() {
                Ok(disks @ 1..=8) => self.disks = disks,
                _ => return Ok(false),
            },
            ("disk", Some(value)) => match Content::parse(value) {
                Some(content) => self.content = content,
                None => return Ok(false),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Bytes of each disk: what the test says, or what its content needs.
    pub fn disk_size(&self) -> u64 {
        self.size.unwrap_or_else(|| self.content.default_size())
    }

    /// Makes the disks in `folder` and returns the machine, with memory that the host can see.
    ///
    /// The pattern of disk `n` has the seed `seed + n`, so that no two disks are alike.
    pub fn prepare(&self, image: &Path, accel: Accel, folder: &Path, seed: u64) -> Result<Machine> {
        let mut machine = Machine::new(image);
        machine.ram = self.ram;
        machine.memory = Memory::Shared;
        machine.cores = self.cores;
        machine.firmware = self.firmware;
        machine.accel = accel;
        for index in 0..self.disks {
            let path = folder.join(format!("disk{index}.img"));
            let seed = seed.wrapping_add(index.into());
            disk::create(&path, self.content, self.disk_size(), self.lba, seed)?;
            let (lba, mdts, place) = (self.lba, self.mdts, self.place);
            machine.disks.push(Nvme {
                lba,
                mdts,
                place,
                ..Nvme::new(path)
            });
        }
        Ok(machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_the_plainest_machine() {
        assert_eq!(Needs::parse("").unwrap(), Needs::default());
        assert_eq!(Needs::parse("nvme").unwrap().disks, 1);
    }

    #[test]
    fn every_word_of_the_table_is_understood() {
        let text =
            "nvme, disks=2, lba=4096, mdts=0, disk=gpt, size=32M, switch, ram=6G, firmware=qboot";
        let needs = Needs::parse(text).unwrap();
        assert_eq!((needs.disks, needs.lba, needs.mdts), (2, 4096, Some(0)));
        assert_eq!((needs.content, needs.disk_size()), (Content::Gpt, 32 << 20));
        assert_eq!((needs.place, needs.ram), (Place::Switch, 6 << 30));
        assert_eq!(needs.firmware, Firmware::Qboot);
        for word in ["lba=512", "mdts=1", "disk=ext4", "bridge", "size=1M"] {
            assert_eq!(Needs::parse(word).unwrap().disks, 1, "{word} implies nvme");
        }
        let plain = Needs::parse("ram=64M,firmware=seabios,smp=4").unwrap();
        assert_eq!((plain.disks, plain.cores), (0, 4));
    }

    #[test]
    fn a_wrong_word_is_named_together_with_the_right_ones() {
        for text in [
            "nvmi", "lba=1024", "nvme=1", "mdts=x", "disks=9", "smp=0", "smp=65", "disk=fat", "ram",
        ] {
            let error = Needs::parse(text).expect_err(text).to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
            assert!(error.contains("known words are nvme"), "{error}");
        }
        assert!(
            Needs::parse("nvme,lba=512,lba=4096")
                .unwrap_err()
                .to_string()
                .contains("twice")
        );
        assert!(
            Needs::parse("ram=lots")
                .unwrap_err()
                .to_string()
                .contains("no size")
        );
    }
}
