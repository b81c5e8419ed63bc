//! Disks that fail, hold back, or are slow, from one moment to the next.
//!
//! ```text
//! nvme0 ── (throttle) ── disk0 ── faults0-1 (blkdebug) ── file0
//! ```
//!
//! **Failing** is a layer between the disk and its image. There is none until a test asks. Putting one in or
//! taking it out makes QEMU wait until nothing is under way, so what is held back gets through first.
//!
//! **Holding.** A throttle of one byte a second lets one request through and then owes so much time
//! that the next waits for hours. So the host makes that one request itself; from then on every
//! read and write waits until it is released, however fast the host is. The throttle is the controller's own and not
//! a layer, because a controller that is reset waits for what is under way, and only its own throttle lets go then.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::machine::{Namespace, image_format};
use crate::qmp::Remote;

/// A kind of request that fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    kind: &'static str,
    errno: u64,
    /// Only requests that touch this byte.
    at: Option<u64>,
    /// Only the first.
    once: bool,
}

/// QEMU's names for kinds of requests (`BlkdebugIOType`).
const KINDS: [&str; 6] = [
    "read",
    "write",
    "write-zeroes",
    "discard",
    "flush",
    "block-status",
];

impl Rule {
    /// Reads rules: `KIND [ERRNO] [at BYTE] [once]`, separated by commas. No rule: nothing fails.
    pub(super) fn parse_all(text: &str) -> Result<Vec<Self>> {
        let rules = text.split(',').map(str::trim);
        rules
            .filter(|rule| !rule.is_empty())
            .map(|rule| Self::parse(rule).with_context(|| format!("`{rule}` is no fault")))
            .collect()
    }

    fn parse(text: &str) -> Result<Self> {
        const EIO: u64 = 5;
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let kind = KINDS.into_iter().find(|kind| *kind == name);
        let kind = kind.with_context(|| format!("kinds are {}", KINDS.join(", ")))?;
        let (mut errno, mut at, mut once) = (EIO, None, false);
        while let Some(word) = words.next() {
            match word {
                "once" => once = true,
                "at" => at = Some(words.next().context("at which byte?")?.parse()?),
                number => errno = number.parse()?,
            }
        }
        Ok(Self {
            kind,
            errno,
            at,
            once,
        })
    }

    /// The rule as QEMU's `BlkdebugInjectErrorOptions`.
    fn to_json(&self) -> Value {
        let Self { kind, errno, .. } = self;
        let mut rule =
            json!({ "event": "none", "iotype": kind, "errno": errno, "once": self.once });
        if let Some(at) = self.at {
            rule["sector"] = json!(at / 512);
        }
        rule
    }
}

/// What lies between a disk and its image.
pub(super) struct Layers {
    disk: usize,
    format: &'static str,
    read_only: bool,
    /// There is an image at all.
    has_image: bool,
    faults: Vec<Rule>,
    /// The node that makes them, if there is one.
    fault_node: Option<String>,
    next_node: u32,
    is_held: bool,
}

impl Layers {
    pub(super) fn new(disk: usize, namespace: &Namespace) -> Self {
        Self {
            disk,
            format: image_format(&namespace.image),
            read_only: namespace.read_only,
            has_image: namespace.latency.is_none(),
            faults: Vec::new(),
            fault_node: None,
            next_node: 0,
            is_held: false,
        }
    }

    /// From now on, these requests fail, and no others.
    pub(super) fn set_faults(&mut self, remote: &Remote, faults: Vec<Rule>) -> Result<()> {
        self.faults = faults;
        self.stack(remote)
    }

    /// Holds back every read and write of this device that comes from now on.
    pub(super) fn hold(&mut self, remote: &Remote, device: &str) -> Result<()> {
        ensure!(!self.is_held, "disk {} is held already", self.disk);
        limit(remote, device, 1, 0)?;
        self.is_held = true;
        let line = format!("qemu-io -d {device} \"aio_read -q 0 64k\"");
        let answer = remote.ask(&line)?;
        ensure!(answer.trim().is_empty(), "QEMU refuses `{line}`: {answer}");
        Ok(())
    }

    /// Lets so many requests of this device through in a second; 0 is without limit. Nothing is held.
    pub(super) fn throttle(&mut self, remote: &Remote, device: &str, iops: u64) -> Result<()> {
        limit(remote, device, 0, 0)?;
        self.is_held = false;
        if iops != 0 {
            limit(remote, device, 0, iops)?;
        }
        Ok(())
    }

    /// Another device has the disk now.
    pub(super) fn forget_limits(&mut self) {
        self.is_held = false;
    }

    fn need_image(&self) -> Result<()> {
        if !self.has_image {
            bail!("disk {} has no image under it", self.disk);
        }
        Ok(())
    }

    /// Puts the layers together as they should be.
    fn stack(&mut self, remote: &Remote) -> Result<()> {
        self.need_image()?;
        let disk = self.disk;
        let mut top = format!("file{disk}");
        let old = self.fault_node.take();
        if !self.faults.is_empty() {
            let name = format!("faults{disk}-{}", self.next_node);
            self.next_node += 1;
            let rules: Vec<Value> = self.faults.iter().map(Rule::to_json).collect();
            let node = json!({
                "driver": "blkdebug",
                "node-name": name,
                "image": top,
                "inject-error": rules,
                "read-only": self.read_only,
            });
            remote.execute("blockdev-add", node)?;
            top.clone_from(&name);
            self.fault_node = Some(name);
        }
        let options = json!({
            "driver": self.format,
            "node-name": format!("disk{disk}"),
            "read-only": self.read_only,
            "file": top,
        });
        reopen(remote, &options)?;
        if let Some(old) = old {
            remote.execute("blockdev-del", json!({ "node-name": old }))?;
        }
        Ok(())
    }
}

/// Puts a node over another one. QEMU flushes the old one first, and a fault that was planned for the
/// guest's next flush then meets this flush instead. It has been spent by that: so once more.
fn reopen(remote: &Remote, options: &Value) -> Result<()> {
    const ATTEMPTS: usize = 8;
    let mut result = Ok(());
    for _ in 0..ATTEMPTS {
        let answer = remote.execute("blockdev-reopen", json!({ "options": [options] }));
        result = answer.map(drop);
        match &result {
            Err(error) if error.to_string().contains("Error flushing drive") => {}
            _ => break,
        }
    }
    result
}

/// Sets the limits of a device: bytes and requests a second. Without any, all that waits gets through.
fn limit(remote: &Remote, device: &str, bytes: u64, requests: u64) -> Result<()> {
    let limits = json!({
        "id": device,
        "bps": bytes, "bps_rd": 0, "bps_wr": 0,
        "iops": requests, "iops_rd": 0, "iops_wr": 0,
    });
    remote.execute("block_set_io_throttle", limits).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_written_as_qemu_wants_them() {
        let rules = Rule::parse_all("read, write 28 at 4096 once,flush 5").unwrap();
        assert_eq!(rules.len(), 3);
        assert_eq!(
            rules[1].to_json(),
            json!({ "event": "none", "iotype": "write", "errno": 28, "once": true, "sector": 8 })
        );
        assert_eq!((rules[0].errno, rules[2].kind), (5, "flush"));
        assert_eq!(Rule::parse_all(" ").unwrap(), []);
        for wrong in ["seek", "read at", "read soon", "read,once"] {
            assert!(Rule::parse_all(wrong).is_err(), "{wrong}");
        }
    }
}
