//! The connections between QEMU and the harness.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::watch::Sign;
use super::{Console, backlog};
use crate::calls::{Cards, Control, Host, Outlet, outlasting};
use crate::machine::{Machine, Memory, escape};
use crate::qmp::{Monitor, Remote};
use crate::ram::Ram;
use crate::records::{Channel, Event};
use crate::relay::Relay;

/// Time that QEMU gets to connect to us.
const GRACE: Duration = Duration::from_secs(60);

/// The sockets and files of one machine.
pub(super) struct Wires {
    records: (PathBuf, UnixListener),
    monitor: (PathBuf, UnixListener),
    serial: PathBuf,
}

impl Wires {
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let listen = |name: &str| -> Result<_> {
            let path = folder.join(name);
            let listener = UnixListener::bind(&path)
                .with_context(|| format!("cannot listen on `{}`", path.display()))?;
            listener.set_nonblocking(true)?;
            Ok((path, listener))
        };
        let serial = folder.join("serial.txt");
        fs::write(&serial, "")?;
        Ok(Self {
            records: listen("records")?,
            monitor: listen("monitor")?,
            serial,
        })
    }

    /// QEMU connects to us, not we to QEMU: so it is there before the first instruction.
    pub(super) fn add_arguments(&self, arguments: &mut Vec<OsString>, console: Console) {
        let mut add = |option: &str, before: &str, path: Option<&Path>| {
            let mut value = OsString::from(before);
            value.extend(path.map(escape));
            arguments.extend([option.into(), value]);
        };
        add("-chardev", "socket,id=records,path=", Some(&self.records.0));
        add("-device", "isa-debugcon,iobase=0xe9,chardev=records", None);
        add("-chardev", "socket,id=monitor,path=", Some(&self.monitor.0));
        add("-mon", "chardev=monitor,mode=control", None);
        let chardev = match console {
            Console::Captured => "file,id=serial,path=",
            Console::Printed => "stdio,id=serial,signal=on,logfile=",
            Console::Interactive => "stdio,id=serial,mux=on,signal=off,logfile=",
        };
        add("-chardev", chardev, Some(&self.serial));
        add("-serial", "chardev:serial", None);
        if console == Console::Interactive {
            add("-mon", "chardev=serial,mode=readline", None);
        }
        // Paused at the start and at the end: so the monitor misses neither.
        arguments.extend(["-S".into(), "-no-shutdown".into()]);
    }

    /// Takes QEMU's connections and starts the threads that watch them, then the guest.
    pub(super) fn connect(
        &self,
        machine: &Machine,
        relays: &[Relay],
        qemu: &mut Child,
        signs: Sender<Sign>,
        ready: Box<dyn FnMut(&str) + Send>,
    ) -> Result<Remote> {
        let records = accept(&self.records.1, qemu)?;
        let mut monitor = Monitor::greet(accept(&self.monitor.1, qemu)?)?;
        if let Err(error) = backlog::widen(machine, qemu.id()) {
            // It does without: who comes when others do waits for some seconds.
            eprintln!("only two clients may connect at the same moment: {error:#}");
        }
        let disks = machine
            .disks
            .iter()
            .flat_map(|nvme| &nvme.namespaces)
            .map(|namespace| namespace.image.clone())
            .collect();
        let remote = monitor.remote();
        let host = match machine.memory {
            Memory::Private => None,
            Memory::Shared => {
                let host = Host::new(Ram::of_process(qemu.id(), machine.ram)?, disks);
                let control = Control::new(remote.clone(), machine.clone(), qemu.id());
                let cards = Cards::new(remote.clone(), machine, relays)?;
                let host = host.with_files(machine.files()).with_control(control);
                let outlet = Outlet::new(machine.outlet.clone());
                Some(host.with_cards(cards).with_outlet(outlet))
            }
        };
        let sender = signs.clone();
        thread::spawn(move || {
            let kill = || drop(sender.send(Sign::Kill));
            let (channel, trouble) = read_records(records, host.as_ref(), kill, ready);
            let _ = sender.send(Sign::ChannelClosed(channel, trouble));
        });
        monitor.start_guest()?;
        thread::spawn(move || {
            while let Some(notice) = monitor.notice() {
                let _ = signs.send(Sign::Notice(notice));
            }
            let _ = signs.send(Sign::MonitorClosed);
        });
        Ok(remote)
    }

    pub(super) fn serial_text(&self) -> String {
        let bytes = fs::read(&self.serial).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }
}

/// Waits for QEMU to connect, as long as it lives.
fn accept(listener: &UnixListener, qemu: &mut Child) -> Result<UnixStream> {
    let deadline = Instant::now() + GRACE;
    loop {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false)?;
            return Ok(stream);
        }
        if qemu.try_wait()?.is_some() {
            bail!("QEMU ended before it started the machine");
        }
        if Instant::now() > deadline {
            bail!("QEMU does not start the machine");
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Reads records until the channel closes, and answers questions.
///
/// The one to be killed has no answer: whoever asks is not to go on.
fn read_records(
    mut stream: UnixStream,
    host: Option<&Host>,
    kill: impl Fn(),
    mut ready: impl FnMut(&str),
) -> (Channel, Vec<String>) {
    let (mut channel, mut trouble) = (Channel::default(), Vec::new());
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        for &byte in &buffer[..count] {
            let Some(record) = channel.push(byte) else {
                continue;
            };
            let call = match &record.event {
                Event::Call(call) => call,
                Event::Ready(what) => {
                    ready(what);
                    continue;
                }
                _ => continue,
            };
            if outlasting::is_kill(call) {
                kill();
                continue;
            }
            let answered = match host {
                Some(host) => host.answer(record.number, call),
                None => Err(anyhow::anyhow!("this machine does not share its memory")),
            };
            if let Err(error) = answered {
                trouble.push(format!("no answer to `{call}`: {error:#}"));
            }
        }
    }
    channel.finish();
    (channel, trouble)
}
