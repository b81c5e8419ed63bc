//! `lsblk`: disks and their partitions.

use super::{Command, Context};
use crate::error::Result;
use crate::mounts;
use crate::system::Volume;
use crate::text::Size;
use crate::text::name::Name;
use alloc::format;
use alloc::string::{String, ToString};

pub(super) const COMMAND: Command = Command {
    name: "lsblk",
    usage: "",
    about: "list disks and partitions, and folders of the host's",
    details: "The last but one column says how paths on the file system begin.\n",
    run,
};

/// Whether a volume is a partition of another one, which its name says: `DISKpNUMBER`.
pub fn is_partition(volume: &Volume, volumes: &[Volume]) -> bool {
    let name = volume.device.name();
    volumes.iter().any(|disk| {
        let number = name
            .strip_prefix(disk.device.name())
            .and_then(|rest| rest.strip_prefix('p'));
        number.is_some_and(|number| number.parse::<u32>().is_ok())
    })
}

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    COMMAND.takes_nothing(arguments)?;
    let volumes = context.system.volumes();
    let shares = context.system.shares();
    if volumes.is_empty() && shares.is_empty() {
        writeln!(context.out, "no disks")?;
        return Ok(());
    }
    let root = mounts::root(&volumes).map(|volume| volume.device.name());
    writeln!(
        context.out,
        "NAME                  SIZE    BLOCK      FILES  PATHS             MODEL"
    )?;
    for (index, volume) in volumes.iter().enumerate() {
        let branch = if is_partition(volume, &volumes) {
            let has_sibling = volumes
                .get(index + 1)
                .is_some_and(|next| is_partition(next, &volumes));
            if has_sibling { "├─" } else { "└─" }
        } else {
            ""
        };
        let name = volume.device.name();
        let paths = match root {
            Some(root) if root == name => "/".to_string(),
            _ if volume.has_ext4 => format!("{name}:/"),
            _ => String::new(),
        };
        let geometry = volume.device.geometry();
        let line = format!(
            "{:<14} {:>11} {:>8}  {}  {:<5}  {paths:<16}  {}",
            format!("{branch}{}", Name(name.as_bytes())),
            Size(geometry.bytes()),
            Size(u64::from(geometry.block_size)),
            if geometry.writable { "rw" } else { "ro" },
            if volume.has_ext4 { "ext4" } else { "-" },
            Name(volume.model.as_bytes()),
        );
        writeln!(context.out, "{}", line.trim_end())?;
    }
    for (index, share) in shares.iter().enumerate() {
        let name = share.name();
        let paths = match index == 0 && root.is_none() {
            true => "/".to_string(),
            false => format!("{name}:/"),
        };
        writeln!(
            context.out,
            "{:<14} {:>11} {:>8}  ro  9p     {paths:<16}  a folder of the host",
            Name(name.as_bytes()).to_string(),
            "-",
            "-",
        )?;
    }
    Ok(())
}
