//! `p2p`: from one device to another, by DMA alone.
//!
//! A disk reads into memory of any kind, and writes from it. So whatever has memory can be copied to a
//! disk and from one, and the CPU gives the orders and touches no byte. Two pieces of memory have a
//! disk between them, two disks have memory between them: somebody has to move the bytes, and disks do.

use super::{Command, Context};
use crate::error::{Error, Result};
use crate::system::{System, Volume};
use crate::text::{Position, Size};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use kernel::block::{BlockDevice, Durability, Operation, Request};
use kernel::dma::{Buffer, Memory, Owner};
use kernel::memory::frames::Frames;
use kernel::memory::regions::Provider;

pub(super) const COMMAND: Command = Command {
    name: "p2p",
    usage: "SRC DST [via PLACE] [--overwrite]",
    about: "copy between disks and memory of any kind, by DMA alone",
    details: "A place is NAME:OFFSET, and at least one of SRC and DST is NAME:OFFSET+LENGTH.\n\
              NAME is a disk or partition (`lsblk`), or memory that is no RAM (`phyrs`).\n\
              \n\
              p2p nvme0n1:0+1M ivshmem0:0                 a disk reads into a board\n\
              p2p vram0:0+3M nvme1n1:64M                  a disk writes from the screen\n\
              p2p nvme0n1:0+1M nvme1n1:0                  through RAM\n\
              p2p nvme0n1:0+1M nvme1n1:0 via nvme1cmb:0   through the second disk's own memory\n\
              p2p pmem0:0+1M vram0:0 via nvme0n1:64M      a disk carries it, and is overwritten there\n\
              \n\
              --overwrite  even if a disk that is written holds partitions or a file system\n",
    run,
};

/// Most bytes that go through RAM at once.
const PIECE: u64 = 4 << 20;

/// One end of a copy.
enum End {
    Disk(Volume),
    Memory(Arc<Provider>),
}

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    let overwrite = arguments.iter().any(|word| word == "--overwrite");
    let words = arguments.iter().map(String::as_str);
    let words: alloc::vec::Vec<&str> = words.filter(|word| *word != "--overwrite").collect();
    let (source, target, via) = match words[..] {
        [source, target] => (parse(source)?, parse(target)?, None),
        [source, target, "via", via] => (parse(source)?, parse(target)?, Some(parse(via)?)),
        _ => return Err(COMMAND.misused()),
    };
    let len = match (source.len, target.len) {
        (Some(one), Some(other)) if one != other => {
            return Err(refuse("the two lengths differ: say one of them"));
        }
        (Some(len), _) | (None, Some(len)) => len,
        (None, None) => return Err(refuse("how much? Write SRC or DST as NAME:OFFSET+LENGTH")),
    };
    let copy = Copy {
        system: context.system,
        overwrite,
        len,
    };
    let commands = || -> u64 {
        let controllers = context.system.controllers();
        controllers
            .iter()
            .map(|controller| controller.commands)
            .sum()
    };
    let ends = (copy.end(&source)?, copy.end(&target)?);
    let (before, copied) = (commands(), context.system.copied());
    match ends {
        (End::Disk(disk), End::Memory(memory)) if via.is_none() => {
            copy.read(&disk, source.offset, copy.claim(&memory, &target)?)?;
        }
        (End::Memory(memory), End::Disk(disk)) if via.is_none() => {
            copy.write(&disk, target.offset, copy.claim(&memory, &source)?)?;
        }
        (End::Disk(from), End::Disk(to)) => {
            copy.through_memory((&from, &source), (&to, &target), via)?
        }
        (End::Memory(from), End::Memory(to)) => {
            let via = via.ok_or(refuse(
                "memory to memory: somebody has to move the bytes. Say which disk, and where it may be \
                 overwritten: via DISK:OFFSET",
            ))?;
            let End::Disk(disk) = copy.end(&via)? else {
                return Err(refuse("memory moves no bytes: `via` must be a disk here"));
            };
            // Both before anything is overwritten.
            let (from, to) = (copy.claim(&from, &source)?, copy.claim(&to, &target)?);
            copy.write(&disk, via.offset, from)?;
            copy.read(&disk, via.offset, to)?;
        }
        _ => {
            return Err(refuse(
                "from a disk to memory and back, nothing is between: leave `via` out",
            ));
        }
    }
    let commands = commands() - before;
    let by_cpu = match context.system.copied() - copied {
        0 => "nothing copied by the CPU".to_string(),
        // A virtio disk has no way to memory that is I/O only.
        bytes => format!("{} copied by the CPU", Size(bytes)),
    };
    writeln!(
        context.out,
        "{} from {} to {}: {commands} commands, {by_cpu}",
        Size(len),
        source.name,
        target.name
    )?;
    Ok(())
}

fn parse(word: &str) -> core::result::Result<Position, Error> {
    Position::parse(word).ok_or_else(|| Error::NoPosition(word.to_string()))
}

fn refuse(why: &str) -> Error {
    Error::Copy(why.to_string())
}

struct Copy<'a> {
    system: &'a dyn System,
    overwrite: bool,
    len: u64,
}

type Given = core::result::Result<Memory, Error>;

impl Copy<'_> {
    fn end(&self, position: &Position) -> core::result::Result<End, Error> {
        let name = &position.name;
        let volumes = self.system.volumes();
        if let Some(volume) = volumes
            .into_iter()
            .find(|volume| volume.device.name() == name)
        {
            return Ok(End::Disk(volume));
        }
        let providers = self.system.providers();
        let provider = providers
            .into_iter()
            .find(|provider| provider.name() == name);
        provider
            .map(End::Memory)
            .ok_or_else(|| Error::NoEnd(name.clone()))
    }

    fn claim(&self, memory: &Arc<Provider>, at: &Position) -> Given {
        let claimed = memory.claim(at.offset, self.len);
        let claimed = claimed.map_err(|error| Error::Copy(format!("{}: {error}", memory.name())));
        claimed.map(Owner::into_memory)
    }

    fn read(&self, disk: &Volume, offset: u64, memory: Memory) -> Given {
        let block = self.block(disk, offset, memory.len() as u64)?;
        let operation = Operation::Read(Buffer::from_device(memory));
        self.carry_out(&disk.device, Request { block, operation })
    }

    fn write(&self, disk: &Volume, offset: u64, memory: Memory) -> Given {
        self.may_write(disk)?;
        let block = self.block(disk, offset, memory.len() as u64)?;
        let operation = Operation::Write(Buffer::to_device(memory), Durability::Flushed);
        self.carry_out(&disk.device, Request { block, operation })
    }

    /// Nobody loses a file system without having said so.
    fn may_write(&self, disk: &Volume) -> Result {
        let name = disk.device.name();
        let is_divided = self.system.volumes().iter().any(|other| {
            let rest = other.device.name().strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with('p'))
        });
        match (disk.has_ext4 || is_divided) && !self.overwrite {
            true => Err(Error::InUse(name.to_string())),
            false => Ok(()),
        }
    }

    /// The block at an offset, where both ends of the copy are whole blocks.
    fn block(&self, disk: &Volume, offset: u64, len: u64) -> core::result::Result<u64, Error> {
        let size = u64::from(disk.device.geometry().block_size);
        match offset.is_multiple_of(size) && len.is_multiple_of(size) {
            true => Ok(offset / size),
            false => Err(Error::Copy(format!(
                "{} has blocks of {size} bytes: its offset and the length are multiples of that",
                disk.device.name()
            ))),
        }
    }

    fn carry_out(&self, disk: &Arc<dyn BlockDevice>, request: Request) -> Given {
        let done = self.system.carry_out(disk, request);
        let failed = |why: &dyn core::fmt::Display| Error::Copy(format!("{}: {why}", disk.name()));
        done.result.map_err(|error| failed(&error))?;
        done.memory.ok_or_else(|| failed(&"its memory is lost"))
    }

    /// From disk to disk, through RAM or what `via` says.
    fn through_memory(
        &self,
        (from, source): (&Volume, &Position),
        (to, target): (&Volume, &Position),
        via: Option<Position>,
    ) -> Result {
        let ends = |at: &Position| at.offset.saturating_add(self.len);
        let same = from.device.name() == to.device.name();
        if same && source.offset < ends(target) && target.offset < ends(source) {
            return Err(refuse("the two parts of the disk overlap"));
        }
        self.may_write(to)?;
        if let Some(via) = via {
            let End::Memory(memory) = self.end(&via)? else {
                return Err(refuse("disks move the bytes: `via` must be memory here"));
            };
            let memory = self.read(from, source.offset, self.claim(&memory, &via)?)?;
            return self.write(to, target.offset, memory).map(drop);
        }
        let size = self.len.min(PIECE).next_multiple_of(4096);
        let mut memory = Frames::allocate(size)?.into_memory();
        let mut done = 0;
        while done < self.len {
            let now = (self.len - done).min(PIECE) as usize;
            let part = memory.whole().part(0..now);
            let part = part.map_err(|_| refuse("the memory is too short"))?;
            let part = self.read(from, source.offset + done, part)?;
            memory = self.write(to, target.offset + done, part)?;
            done += now as u64;
        }
        Ok(())
    }
}
