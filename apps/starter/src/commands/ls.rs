//! `ls`: what is in a folder, or what is known of a file.

use super::{Command, Context};
use crate::error::{Error, Result};
use crate::output::Output;
use crate::text::Location;
use crate::text::date::Date;
use crate::text::mode::Mode;
use crate::text::name::Name;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use kernel::fs::{self, FileType, Files};

pub(super) const COMMAND: Command = Command {
    name: "ls",
    usage: "[-l] [PATH]",
    about: "list a folder, or a file",
    details: "Folders end in `/`. With -l: type and rights, owner, group, bytes, time of the last\n\
              change in UTC, name, and where a link leads. Names that are not printable text are\n\
              shown with escapes.\n",
    run,
};

/// Longer targets of links are not printed. (No system makes links so long.)
const LONGEST_TARGET: u64 = 4096;

/// One line of the list.
struct Row {
    name: Vec<u8>,
    file_type: FileType,
    /// Only with `-l`.
    facts: Option<core::result::Result<Facts, fs::Error>>,
}

/// What `-l` shows.
struct Facts {
    mode: Mode,
    owner: u32,
    group: u32,
    bytes: u64,
    changed: i64,
    target: Option<Vec<u8>>,
}

impl Facts {
    /// What `-l` shows of what is at a path; of a link, where it leads, too.
    fn new(files: &Files, path: &[u8]) -> core::result::Result<Self, fs::Error> {
        let known = files.own_facts(path)?;
        let has_target = known.file_type == FileType::Symlink && known.len <= LONGEST_TARGET;
        Ok(Self {
            mode: Mode {
                file_type: known.file_type,
                bits: known.mode,
            },
            owner: known.owner,
            group: known.group,
            bytes: known.len,
            changed: known.modified.0,
            target: match has_target {
                true => Some(files.link(path)?.as_ref().to_vec()),
                false => None,
            },
        })
    }
}

fn run(context: &mut Context<'_>, arguments: &[String]) -> Result {
    let (is_long, path) = match arguments {
        [] => (false, "/"),
        [flag] if flag == "-l" => (true, "/"),
        [flag, path] if flag == "-l" => (true, path.as_str()),
        [path] if path == "/" || !path.starts_with('-') => (false, path.as_str()),
        _ => return Err(COMMAND.misused()),
    };
    let location = Location::parse(path).ok_or(Error::NoPlace)?;
    let file_system = context.mounts.get(context.system, &location)?;
    let mut rows = Vec::new();
    let listed = list(file_system, &location.path, is_long, &mut rows);
    rows.sort_by(|left, right| left.name.cmp(&right.name));
    let mut first_error = None;
    for row in rows {
        show(&row, context.out)?;
        if let Some(Err(error)) = row.facts {
            first_error.get_or_insert((row.name, error));
        }
    }
    // What could be read has been shown; what could not makes the command fail.
    listed.map_err(|error| Error::at(&location, file_system, error))?;
    match first_error {
        Some((name, error)) => {
            let path = format!("{}/{}", location.path.trim_end_matches('/'), Name(&name));
            Err(Error::at(
                &Location { path, ..location },
                file_system,
                error,
            ))
        }
        None => Ok(()),
    }
}

/// Adds what is at a path to the rows, up to the first error.
fn list(
    files: &Files,
    path: &str,
    is_long: bool,
    rows: &mut Vec<Row>,
) -> core::result::Result<(), fs::Error> {
    let path = path.as_bytes();
    if files.facts(path)?.file_type != FileType::Directory {
        rows.push(Row {
            name: path.to_vec(),
            file_type: files.own_facts(path)?.file_type,
            facts: is_long.then(|| Facts::new(files, path)),
        });
        return Ok(());
    }
    let mut entries = Vec::new();
    let listed = files.list(path, &mut entries);
    for entry in entries {
        let place = [path, b"/", &entry.name].concat();
        rows.push(Row {
            facts: is_long.then(|| Facts::new(files, &place)),
            name: entry.name,
            file_type: entry.file_type,
        });
    }
    listed
}

fn show(row: &Row, out: &mut dyn Output) -> fmt::Result {
    let slash = if row.file_type == FileType::Directory {
        "/"
    } else {
        ""
    };
    let name = Name(&row.name);
    match &row.facts {
        None => writeln!(out, "{name}{slash}"),
        Some(Err(_)) => writeln!(out, "??????????  cannot be read: {name}"),
        Some(Ok(facts)) => {
            let Facts {
                mode,
                owner,
                group,
                bytes,
                changed,
                target,
            } = facts;
            let date = Date(*changed);
            write!(
                out,
                "{mode} {owner:>4} {group:>4} {bytes:>11} {date} {name}{slash}"
            )?;
            match target {
                Some(target) => writeln!(out, " -> {}", Name(target)),
                None => writeln!(out),
            }
        }
    }
}
