//! Layers between a disk and its image that fail, hold back, or slow down, changed while the machine runs.
//!
//! ```text
//! disk0 ── faults0-1 (blkdebug) ── limit0 (throttle) ── file0
//! ```
//!
//! A disk has none of them until a test asks. Putting a layer in or taking it out makes QEMU wait
//! until nothing is under way, so what is held back gets through first.
//!
//! **Holding.** A throttle of one byte a second lets one request through and then owes so much time
//! that the next waits for hours. So the host makes that one request itself; from then on every
//! read and write waits until it is released, however fast the host is.

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
    /// There is a throttle.
    has_limit: bool,
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
            has_limit: false,
            is_held: false,
        }
    }

    /// From now on, these requests fail, and no others.
    pub(super) fn set_faults(&mut self, remote: &Remote, faults: Vec<Rule>) -> Result<()> {
        self.faults = faults;
        self.stack(remote)
    }

    /// Holds back every read and write that comes from now on.
    pub(super) fn hold(&mut self, remote: &Remote) -> Result<()> {
        ensure!(!self.is_held, "disk {} is held already", self.disk);
        self.limit(remote, "bps-total", 1)?;
        self.is_held = true;
        self.touch(remote, "64k")
    }

    /// Lets everything through that was held back, and what comes.
    pub(super) fn release(&mut self, remote: &Remote) -> Result<()> {
        self.throttle(remote, 0)
    }

    /// Lets so many requests through in a second; 0 is without limit.
    pub(super) fn throttle(&mut self, remote: &Remote, iops: u64) -> Result<()> {
        self.limit(remote, "iops-total", iops)?;
        self.is_held = false;
        // What waits looks at its new limits only when it is woken.
        self.touch(remote, "512")
    }

    /// Sets one limit, and the others to none.
    fn limit(&mut self, remote: &Remote, name: &str, value: u64) -> Result<()> {
        let disk = self.disk;
        if !self.has_limit {
            self.need_image()?;
            let group = json!({ "qom-type": "throttle-group", "id": format!("group{disk}") });
            remote.execute("object-add", group)?;
            let node = json!({
                "driver": "throttle",
                "node-name": format!("limit{disk}"),
                "throttle-group": format!("group{disk}"),
                "file": format!("file{disk}"),
                "read-only": self.read_only,
            });
            remote.execute("blockdev-add", node)?;
            self.has_limit = true;
            self.stack(remote)?;
        }
        let mut limits = json!({ "bps-total": 0, "iops-total": 0 });
        limits[name] = json!(value);
        let path = format!("/objects/group{disk}");
        let arguments = json!({ "path": path, "property": "limits", "value": limits });
        remote.execute("qom-set", arguments).map(drop)
    }

    /// Reads a little through the throttle. When it is done, QEMU wakes all that waits there.
    fn touch(&self, remote: &Remote, len: &str) -> Result<()> {
        let line = format!("qemu-io limit{} \"aio_read -q 0 {len}\"", self.disk);
        let answer = remote.ask(&line)?;
        ensure!(answer.trim().is_empty(), "QEMU refuses `{line}`: {answer}");
        Ok(())
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
        let below = if self.has_limit { "limit" } else { "file" };
        let mut top = format!("{below}{disk}");
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
        remote.execute("blockdev-reopen", json!({ "options": [options] }))?;
        if let Some(old) = old {
            remote.execute("blockdev-del", json!({ "node-name": old }))?;
        }
        Ok(())
    }
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
