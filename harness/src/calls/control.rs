//! What a test may have done to its machine: devices come and go, disks fail and wait.
//!
//! All of it goes through QEMU's monitor, and nothing waits for the guest: `device.unplug` only presses the
//! button of the slot, and the guest that must let the device go is the one that waits for our answer.
//!
//! `device.remove` is a removal without a word. QEMU has no command for it, but unrealizing a device
//! through its property takes it off the bus at once: its configuration space reads as all ones,
//! its memory as QEMU's nothing. The slot goes on saying that something is there. What was torn out
//! keeps its hold on its image, which is why such controllers share theirs.
//!
//! A namespace cannot be resized under an NVMe controller: QEMU 7.2 has no such event, and refuses. A
//! virtio disk can.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::layers::{Layers, Rule};
use super::{screen, trace};
use crate::machine::Machine;
use crate::qmp::Remote;

/// Time that QEMU gets to let go of the image of a device that is gone.
const LETTING_GO: Duration = Duration::from_secs(10);

/// The way to change a machine that runs.
pub struct Control {
    remote: Remote,
    machine: Machine,
    qemu: u32,
    state: Mutex<State>,
}

/// What has been changed so far.
struct State {
    controllers: Vec<Controller>,
    layers: Vec<Layers>,
    /// Devices that were plugged get names that nobody has had.
    next_name: u32,
    /// Bytes of the trace that have been counted already.
    mark: usize,
}

/// A controller's present name, if it is plugged.
struct Controller {
    name: String,
    is_gone: bool,
}

impl Control {
    /// Control of this machine, which runs as the process `qemu`.
    pub fn new(remote: Remote, machine: Machine, qemu: u32) -> Self {
        let named = |(index, nvme): (usize, &crate::machine::Nvme)| Controller {
            name: nvme.name(index),
            is_gone: !nvme.plugged,
        };
        let disks = machine.disks.iter().flat_map(|nvme| &nvme.namespaces);
        let state = State {
            controllers: machine.disks.iter().enumerate().map(named).collect(),
            layers: disks
                .enumerate()
                .map(|(disk, namespace)| Layers::new(disk, namespace))
                .collect(),
            next_name: 0,
            mark: 0,
        };
        Self {
            remote,
            machine,
            qemu,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Computes a function: its value and its text. `None` if it has another name.
    ///
    /// # Errors
    /// If QEMU refuses, or the arguments make no sense.
    pub(super) fn compute(
        &self,
        function: &str,
        arguments: &[u64],
        text: &str,
    ) -> Result<Option<(u64, String)>> {
        let done = |()| (0, String::new());
        let value = |value| (value, String::new());
        Ok(Some(match (function, arguments) {
            ("device.plug", &[index]) => self.plug(index).map(done)?,
            ("device.unplug", &[index]) => self.unplug(index).map(done)?,
            ("device.remove", &[index]) => self.remove(index).map(done)?,
            ("device.is_gone", &[index]) => self.is_gone(index).map(u64::from).map(value)?,
            ("device.smart", &[index, bits]) => self.smart(index, bits).map(done)?,
            ("disk.faults", &[disk]) => {
                let rules = Rule::parse_all(text)?;
                self.layers(disk, |layers| layers.set_faults(&self.remote, rules))?;
                done(())
            }
            ("disk.hold", &[disk]) => {
                let device = self.device_of(disk)?;
                self.layers(disk, |layers| layers.hold(&self.remote, &device))?;
                done(())
            }
            ("disk.release", &[disk]) => self.throttle(disk, 0).map(done)?,
            ("disk.throttle", &[disk, iops]) => self.throttle(disk, iops).map(done)?,
            ("disk.resize", &[disk, bytes]) => self.resize(disk, bytes).map(done)?,
            ("screen.check", &[width, height, seed, offset]) => {
                value(screen::check(&self.remote, width, height, seed, offset)?)
            }
            ("physical.check", &[address, len, seed, offset]) => {
                value(self.equal_physical(address, len, seed, offset)?)
            }
            ("trace.mark", &[]) => {
                self.state().mark = self.trace()?.len();
                done(())
            }
            ("trace.count", &[]) => {
                let trace = self.trace()?;
                let new = trace.get(self.state().mark..).unwrap_or_default();
                value(trace::count(new, text))
            }
            ("machine.nmi", &[]) => {
                self.remote.execute("inject-nmi", json!({}))?;
                done(())
            }
            ("machine.cpu_time", &[]) => value(cpu_time(self.qemu)?),
            ("monitor", &[]) => (0, self.remote.ask(text)?),
            _ => return Ok(None),
        }))
    }

    /// Runs a command of the monitor for people that prints only when it fails.
    fn order(&self, line: &str) -> Result<()> {
        let answer = self.remote.ask(line)?;
        let answer = answer.trim();
        ensure!(answer.is_empty(), "QEMU refuses `{line}`: {answer}");
        Ok(())
    }

    /// The index of a controller, and of its first disk.
    fn controller(&self, index: u64) -> Result<(usize, usize)> {
        let index = usize::try_from(index)?;
        let before = self.machine.disks.get(..index);
        let before = before.filter(|_| index < self.machine.disks.len());
        let before = before.with_context(|| format!("the machine has no controller {index}"))?;
        let disk = before.iter().map(|nvme| nvme.namespaces.len()).sum();
        Ok((index, disk))
    }

    fn plug(&self, index: u64) -> Result<()> {
        let (index, disk) = self.controller(index)?;
        ensure!(self.is_gone(index as u64)?, "controller {index} is plugged");
        let mut state = self.state();
        let name = self.machine.disks[index].name(index);
        let name = format!("{name}-{}", state.next_name);
        let device = self.machine.disks[index].device(index, disk, &name);
        self.order(&format!("device_add {device}"))?;
        state.next_name += 1;
        let disks = self.machine.disks[index].namespaces.len();
        for layers in &mut state.layers[disk..disk + disks] {
            layers.forget_limits();
        }
        state.controllers[index] = Controller {
            name,
            is_gone: false,
        };
        Ok(())
    }

    fn unplug(&self, index: u64) -> Result<()> {
        let name = self.name(index)?;
        self.order(&format!("device_del {name}"))
    }

    fn remove(&self, index: u64) -> Result<()> {
        let name = self.name(index)?;
        let path = format!("/machine/peripheral/{name}");
        let arguments = json!({ "path": path, "property": "realized", "value": false });
        self.remote.execute("qom-set", arguments)?;
        let (index, _) = self.controller(index)?;
        self.state().controllers[index].is_gone = true;
        Ok(())
    }

    fn is_gone(&self, index: u64) -> Result<bool> {
        let (index, _) = self.controller(index)?;
        let mut state = self.state();
        let controller = &mut state.controllers[index];
        controller.is_gone |= self.remote.is_deleted(&controller.name);
        Ok(controller.is_gone)
    }

    /// The name of a controller that is there.
    fn name(&self, index: u64) -> Result<String> {
        ensure!(!self.is_gone(index)?, "controller {index} is not plugged");
        let (index, _) = self.controller(index)?;
        Ok(self.state().controllers[index].name.clone())
    }

    fn smart(&self, index: u64, bits: u64) -> Result<()> {
        let path = format!("/machine/peripheral/{}", self.name(index)?);
        let property = "smart_critical_warning";
        let arguments = json!({ "path": path, "property": property, "value": bits });
        self.remote.execute("qom-set", arguments).map(drop)
    }

    /// The name of the device that has a disk: a namespace, or a controller with a plain one.
    fn device_of(&self, disk: u64) -> Result<String> {
        let mut first = 0;
        for (index, nvme) in self.machine.disks.iter().enumerate() {
            let behind = first + nvme.namespaces.len() as u64;
            if disk < behind {
                let name = self.name(index as u64)?;
                return Ok(nvme.holder(&name, usize::try_from(disk)?));
            }
            first = behind;
        }
        bail!("the machine has no disk {disk}")
    }

    fn throttle(&self, disk: u64, iops: u64) -> Result<()> {
        let device = self.device_of(disk)?;
        self.layers(disk, |layers| layers.throttle(&self.remote, &device, iops))
    }

    fn layers(&self, disk: u64, change: impl FnOnce(&mut Layers) -> Result<()>) -> Result<()> {
        let mut state = self.state();
        let layers = usize::try_from(disk).ok();
        let layers = layers.and_then(|disk| state.layers.get_mut(disk));
        change(layers.with_context(|| format!("the machine has no disk {disk}"))?)
    }

    fn resize(&self, disk: u64, bytes: u64) -> Result<()> {
        let arguments = json!({ "node-name": format!("disk{disk}"), "size": bytes });
        let deadline = Instant::now() + LETTING_GO;
        loop {
            let result = self.remote.execute("block_resize", arguments.clone());
            if result.is_ok() || Instant::now() > deadline {
                return result.map(drop);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// How many bytes of anything at a physical address are those of the pattern. QEMU goes there as a CPU
    /// does, whatever it is.
    fn equal_physical(&self, address: u64, len: u64, seed: u64, offset: u64) -> Result<u64> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("memory");
        let name = file.to_str().context("the name of a folder is no text")?;
        self.order(&format!("pmemsave {address:#x} {len:#x} \"{name}\""))?;
        super::equal_in_file(&file, 0, len, seed, offset)
    }

    /// Everything that was traced.
    fn trace(&self) -> Result<String> {
        let Some((_, file)) = &self.machine.trace else {
            bail!("the machine traces nothing: say `trace=` in its description");
        };
        read(file)
    }
}

fn read(file: &PathBuf) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("no trace in `{}`", file.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Milliseconds of CPU time that a process has used, in all its threads (proc(5)).
fn cpu_time(process: u32) -> Result<u64> {
    /// Ticks are hundredths of a second on every Linux that runs QEMU for x86.
    const TICK: u64 = 10;
    let line = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may contain anything.
    let (_, fields) = line.rsplit_once(')').context("no process status")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks =
        |field: usize| -> Result<u64> { Ok(fields.get(field).context("too few fields")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) * TICK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_uses_time() {
        let before = cpu_time(std::process::id()).unwrap();
        let start = Instant::now();
        while cpu_time(std::process::id()).unwrap() == before {
            assert!(start.elapsed() < Duration::from_secs(60), "no time passes");
        }
    }
}
