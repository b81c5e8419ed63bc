//! From a path to a file.
//!
//! The server walks along names, and says of each what it has found. It is given names only: `.` and `..` are dealt with
//! here, and a link is read here and followed here, as if the share were all there is. So a link to `/etc` leads to
//! `etc` in the share, `..` above the root is the root, and nothing that the host has elsewhere can be reached.
//!
//! What was a folder a moment ago may be a link now. So each walk begins at the root, and all that it has met is looked
//! at.

use super::client::{Client, Share, kind};
use super::error::{Errno, PathError, ReplyError, ShareError};
use super::fids;
use super::node::{Fid, Node};
use super::reply::{Qid, Reply};
use crate::memory::Memory;
use crate::platform::Platform;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Most names of a message. The protocol allows one more; all of any length fit into a room.
const NAMES: usize = 15;

/// Most bytes of a name.
const LONGEST: usize = 255;

/// Most names on a way.
const DEEPEST: usize = 1000;

/// Most links on a way.
const LINKS: usize = 40;

/// What becomes of a link at the end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// The file that it leads to is meant.
    Follow,
    /// The link is meant.
    Keep,
}

/// How far a walk has come.
struct Walked<P: Platform, D> {
    /// What each name has led to.
    qids: Vec<Qid>,
    /// The last of them, if all were found.
    end: Option<Node<P, D>>,
}

impl<P: Platform, D: Memory> Share<P, D> {
    /// Finds what a path leads to, from the root of the share, with or without a slash before it.
    ///
    /// # Errors
    /// [`ShareError::Path`], if it leads nowhere, or what became of the requests.
    pub async fn find(&self, path: &[u8], links: Links) -> Result<Node<P, D>, ShareError> {
        self.tidy().await?;
        // Names on the way from the root, and those that are still to come, the next one last.
        let mut way: Vec<Vec<u8>> = Vec::new();
        let mut rest: Vec<Vec<u8>> = Vec::new();
        put(&mut rest, path)?;
        let must_be_folder = path.ends_with(b"/");
        let mut followed = 0;
        loop {
            // As far as no `..` says that it matters what is there.
            while rest.last().is_some_and(|name| name != b"..") {
                way.extend(rest.pop());
            }
            let is_end = rest.is_empty();
            let walked = walk(&self.0, &way).await?;
            let is_last = |index: usize| is_end && index + 1 == way.len();
            let is_followed = |(index, qid): &(usize, &Qid)| {
                qid.is_link() && (!is_last(*index) || links == Links::Follow || must_be_folder)
            };
            if let Some((index, _)) = walked.qids.iter().enumerate().find(is_followed) {
                drop(walked.end);
                followed += 1;
                if followed > LINKS {
                    return Err(PathError::Links.into());
                }
                for name in way.drain(index + 1..).rev() {
                    rest.push(name);
                }
                let target = self.target(&way).await?;
                way.pop();
                if target.starts_with(b"/") {
                    way.clear();
                }
                put(&mut rest, &target)?;
                continue;
            }
            let Some(node) = walked.end else {
                return Err(match walked.qids.last() {
                    Some(qid) if !qid.is_folder() => PathError::NotAFolder.into(),
                    _ => PathError::NotFound.into(),
                });
            };
            if !node.is_folder() && (!is_end || must_be_folder) {
                return Err(PathError::NotAFolder.into());
            }
            if is_end {
                return Ok(node);
            }
            // Above the root is the root.
            (_, _) = (rest.pop(), way.pop());
        }
    }

    /// Where a link leads that is at the end of a way.
    async fn target(&self, way: &[Vec<u8>]) -> Result<Vec<u8>, ShareError> {
        let Some(link) = walk(&self.0, way).await?.end else {
            return Err(PathError::NotFound.into());
        };
        let target = link.target().await?;
        match target.is_empty() || target.contains(&0) {
            true => Err(ReplyError::Name.into()),
            false => Ok(target),
        }
    }
}

/// Puts the names of a path before those that are to come.
fn put(rest: &mut Vec<Vec<u8>>, path: &[u8]) -> Result<(), PathError> {
    let names = path.split(|byte| *byte == b'/');
    let names = names.filter(|name| !name.is_empty() && *name != b".");
    for name in names.rev() {
        if name.len() > LONGEST || name.contains(&0) || rest.len() > DEEPEST {
            return Err(PathError::Name);
        }
        rest.push(name.into());
    }
    Ok(())
}

/// Lets the server walk from the root along names, as far as there is something.
async fn walk<P: Platform, D: Memory>(
    client: &Arc<Client<P, D>>,
    names: &[Vec<u8>],
) -> Result<Walked<P, D>, ShareError> {
    if names.len() > DEEPEST {
        return Err(PathError::Name.into());
    }
    let number = client.fids.lock().take().ok_or(ShareError::OutOfMemory)?;
    // If nobody waits for an answer, nobody knows what the server does with it.
    let mut fid = Fid {
        client: client.clone(),
        number,
        is_known: false,
    };
    let mut qids = Vec::new();
    let mut rest = names;
    loop {
        let (now, later) = rest.split_at(rest.len().min(NAMES));
        let from = if fid.is_known { number } else { fids::ROOT };
        match step(client, from, number, now).await {
            Ok(found) => {
                let is_all = found.len() == now.len();
                qids.extend(found);
                if !is_all {
                    forget(&fid);
                    return Ok(Walked { qids, end: None });
                }
                fid.is_known = true;
            }
            Err(error) => {
                if matches!(error, ShareError::Server(_) | ShareError::Path(_)) {
                    forget(&fid);
                }
                let is_cut = qids.last().is_some_and(|qid| !qid.is_folder());
                return match error {
                    // Not even the first of these names; or what is before them is a link or a file.
                    ShareError::Server(Errno::ENOENT) => Ok(Walked { qids, end: None }),
                    ShareError::Server(_) if is_cut => Ok(Walked { qids, end: None }),
                    error => Err(error),
                };
            }
        }
        if later.is_empty() {
            let qid = qids.last().copied().unwrap_or(client.root);
            return Ok(Walked {
                qids,
                end: Some(Node { fid, qid }),
            });
        }
        rest = later;
    }
}

/// The server has not made this file's number known, so it is free, unless it was known before.
fn forget<P: Platform, D>(fid: &Fid<P, D>) {
    if !fid.is_known {
        fid.client.fids.lock().release(fid.number);
    }
}

/// Walks a part of the way. Returns what each name has led to, which may be fewer than names.
async fn step<P: Platform, D: Memory>(
    client: &Client<P, D>,
    from: u32,
    to: u32,
    names: &[Vec<u8>],
) -> Result<Vec<Qid>, ShareError> {
    let reply = client.ask(kind::WALK, |message| {
        message.u32(from).u32(to).u16(names.len() as u16);
        for name in names {
            message.name(name);
        }
    });
    let reply = reply.await?;
    let mut reply = Reply::new(&reply)?;
    let count = reply.u16()?;
    // Without a name on the way nothing is found, and the server has to say that it failed.
    let is_right = usize::from(count) <= names.len() && (count > 0 || names.is_empty());
    if !is_right {
        return Err(ReplyError::Walked(count).into());
    }
    let qids: Result<Vec<Qid>, ReplyError> = (0..count).map(|_| reply.qid()).collect();
    Ok(qids?)
}
