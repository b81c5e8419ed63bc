//! `iostress`: random I/O on a disk whose every block says what it is.

use super::{Command, Context};
use crate::error::{Error, Result};
use crate::jobs::Stress;
use crate::text::number;
use alloc::string::{String, ToString};
use core::time::Duration;

pub(super) const COMMAND: Command = Command {
    name: "iostress",
    usage: "DISK [OPTION...] [&]",
    about: "overwrite a disk with random I/O, and check every block",
    details: "Every core reads, writes, trims and flushes at random sizes and alignments, and drops some\n\
              operations half-way. Each block carries its address, a generation and a checksum.\n\
              \n\
              --seconds N  how long (10)\n\
              --seed N     asks for the same operations again (1)\n\
              --depth N    operations at a time on each core (8)\n\
              --cancel N   drop one of N operations; 0: none (16)\n\
              --errors     the disk may fail operations; what they leave is checked all the same\n\
              --resets     reset the controller three times a second\n\
              --overwrite  even if the disk holds partitions or a file system\n\
              \n\
              With & it goes on while you type: see `jobs` and `wait`.\n\
              Afterwards the image can be checked on the host: cargo xtask iostress IMAGE\n",
    run,
};

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    let mut words = arguments.iter().map(String::as_str);
    let name = words.next().ok_or(COMMAND.misused())?;
    let volumes = context.system.volumes();
    let volume = volumes
        .iter()
        .find(|volume| volume.device.name() == name)
        .ok_or_else(|| Error::NoVolume(name.to_string()))?;
    let mut stress = Stress {
        device: volume.device.clone(),
        seed: 1,
        length: Duration::from_secs(10),
        depth: 8,
        cancel_one_in: 16,
        may_fail: false,
        resets: false,
    };
    let (mut overwrite, mut background) = (false, false);
    while let Some(word) = words.next() {
        let mut value = || -> core::result::Result<u64, Error> {
            let text = words.next().ok_or(COMMAND.misused())?;
            number::parse(text).map_err(|error| Error::Number(text.to_string(), error))
        };
        match word {
            "--seconds" => stress.length = Duration::from_secs(value()?),
            "--seed" => stress.seed = value()?,
            "--depth" => stress.depth = value()?.clamp(1, 1024) as usize,
            "--cancel" => stress.cancel_one_in = value()?.min(255) as u8,
            "--errors" => stress.may_fail = true,
            "--resets" => stress.resets = true,
            "--overwrite" => overwrite = true,
            "&" => background = true,
            _ => return Err(COMMAND.misused()),
        }
    }
    let is_divided = volumes
        .iter()
        .any(|other| is_part(other.device.name(), name));
    if (volume.has_ext4 || is_divided) && !overwrite {
        return Err(Error::InUse(name.to_string()));
    }
    let number = context.system.start(stress);
    if background {
        writeln!(context.out, "job {number} has begun")?;
        return Ok(());
    }
    super::wait::wait(context, number)
}

/// Whether a name is that of a partition of a disk.
fn is_part(name: &str, disk: &str) -> bool {
    let number = name
        .strip_prefix(disk)
        .and_then(|rest| rest.strip_prefix('p'));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}
