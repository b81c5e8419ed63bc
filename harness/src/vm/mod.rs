//! Boots a machine and waits for its end.
//!
//! Three things are watched at once: the record channel, whose questions are answered; the monitor;
//! and the process. [`boot`] returns when the machine is gone, and only then, with everything
//! that it has left behind ([`Ending`]). What that means, [`verdict`](crate::verdict) says.
//!
//! - No machine outlives its time limit, and none outlives the caller's scope.
//! - Only the process that was started here is ever killed.

mod backlog;
pub mod network;
mod watch;
mod wires;

use std::io::{IsTerminal, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::capture;
use crate::machine::{self, Machine};
use crate::qmp::Shutdown;
use crate::records::Channel;
use crate::relay::Relay;
use crate::symbols;
use crate::tools::Tool;
use watch::Watch;
use wires::Wires;

/// Time that QEMU gets to go away when it has closed the channel or failed to start. It may have to give back a lot of
/// memory, on a host that does several other things.
const LAST_GRACE: Duration = Duration::from_secs(60);

/// Where the serial console goes. It is kept in a file in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// Nowhere else.
    Captured,
    /// To standard output; nothing is typed.
    Printed,
    /// To the terminal. Ctrl-A X ends the machine, Ctrl-A C switches to QEMU's monitor.
    Interactive,
}

/// How a machine is run.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// Where the serial console goes.
    pub console: Console,
    /// The machine is stopped after this time.
    pub limit: Option<Duration>,
}

/// What a machine has left behind.
#[derive(Debug)]
pub struct Ending {
    /// The command line, as a shell takes it.
    pub command: String,
    /// What came over the record channel.
    pub channel: Channel,
    /// What came over the serial port.
    pub serial: String,
    /// What QEMU itself complained about.
    pub complaints: String,
    /// How the process ended.
    pub status: ExitStatus,
    /// Why, in the monitor's words. `None`: it has not said.
    pub shutdown: Option<Shutdown>,
    /// We stopped the machine, for this reason.
    pub stopped: Option<Stop>,
    /// Where the CPU was, if the guest did not end by itself: the addresses of a backtrace.
    pub remains: Vec<u64>,
    /// From the start of QEMU to its end.
    pub time: Duration,
    /// From the guest's first instruction to the end. QEMU's own preparations are not in it; for
    /// 900 GiB of RAM they take longer than for 64 MiB, with any guest.
    pub guest_time: Duration,
    /// Why the harness itself could not play its part.
    pub trouble: Vec<String>,
}

impl Ending {
    /// QEMU's exit status, if it was not killed.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The addresses of a backtrace: the kernel's own, or else what the monitor has seen.
    pub fn backtrace(&self) -> Vec<u64> {
        let printed = symbols::last_words(&self.serial).unwrap_or_default();
        if printed.is_empty() {
            self.remains.clone()
        } else {
            printed
        }
    }

    /// The signal that killed QEMU.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }
}

/// Why a machine was stopped from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its time was over.
    TimeLimit(Duration),
    /// QEMU had stopped executing the guest.
    StoodStill,
    /// The guest wanted to be killed.
    Asked,
}

/// Who takes part in the run of a machine.
pub struct Guide {
    /// Is called with what the guest says when it does for others what it was started for.
    pub ready: Box<dyn FnMut(&str) + Send>,
    /// What comes here has the machine's power button pressed; the second time, QEMU is told to quit.
    pub end: mpsc::Receiver<()>,
    /// Signals that are meant for all of us are dealt with here, and not by QEMU.
    pub takes_signals: bool,
}

/// Runs the machine to its end.
///
/// # Errors
/// If the machine could not be started at all. A machine that ends badly is no error here.
pub fn boot(machine: &Machine, conditions: Conditions) -> Result<Ending> {
    let (_sender, end) = mpsc::channel();
    let ready = Box::new(|_: &str| {});
    let takes_signals = false;
    let guide = Guide {
        ready,
        end,
        takes_signals,
    };
    boot_with(machine, conditions, guide)
}

/// Runs the machine to its end, with somebody who takes part.
///
/// # Errors
/// As for [`boot`].
pub fn boot_with(machine: &Machine, conditions: Conditions, guide: Guide) -> Result<Ending> {
    if !machine.has_own_network() {
        return boot_here(machine, conditions, guide);
    }
    // A thread that is in a network of its own does not get out of it again.
    thread::scope(|scope| {
        let there = scope.spawn(|| {
            network::enter(machine)?;
            boot_here(machine, conditions, guide)
        });
        let ended = there.join();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn boot_here(machine: &Machine, conditions: Conditions, guide: Guide) -> Result<Ending> {
    let folder = tempfile::Builder::new().prefix("phyros-vm-").tempdir()?;
    let relays = Relay::start_all(machine)?;
    let wires = Wires::new(folder.path())?;
    let mut command = Tool::Qemu.dependent_command()?;
    let mut arguments = machine.arguments();
    let line = machine::shell_line(Tool::Qemu.required()?.as_os_str(), &arguments);
    wires.add_arguments(&mut arguments, conditions.console);
    command.args(&arguments).stderr(Stdio::piped());
    if conditions.console != Console::Interactive {
        command.stdin(Stdio::null());
    }
    if conditions.console == Console::Captured {
        command.stdout(Stdio::null());
    }
    if guide.takes_signals && !std::io::stdin().is_terminal() {
        // A signal for all of us would end it before the guest knows. Who has a terminal types.
        command.process_group(0);
    }

    let start = Instant::now();
    let mut qemu = Qemu(command.spawn().context("QEMU could not be started")?);
    let complaints = listen_to_complaints(&mut qemu.0, conditions.console);
    let (sender, signs) = mpsc::channel();
    let connected = wires.connect(machine, &relays, &mut qemu.0, sender.clone(), guide.ready);

    let mut watch = Watch::default();
    match connected {
        Ok(remote) => {
            let button = remote.clone();
            thread::spawn(move || {
                for command in ["system_powerdown", "quit"] {
                    if guide.end.recv().is_err() {
                        return;
                    }
                    let _ = button.send(command); // it may be gone already
                }
            });
            watch.remote = Some(remote);
            watch.guest_start = Some(Instant::now());
            watch.wait(&signs, &mut qemu.0, start, conditions.limit);
        }
        Err(error) => watch.trouble.push(format!("{error:#}")),
    }
    let status = qemu.wait()?;
    let time = start.elapsed();
    let guest_time = watch
        .guest_start
        .map_or(Duration::ZERO, |start| start.elapsed());
    watch.drain(&signs);
    let captures = machine
        .cards
        .iter()
        .filter_map(|card| card.capture.as_ref());
    for path in captures.filter(|path| path.exists()) {
        if let Err(error) = capture::tidy(path) {
            let path = path.display();
            watch
                .trouble
                .push(format!("the capture `{path}`: {error:#}"));
        }
    }
    Ok(Ending {
        command: line,
        channel: watch.channel.unwrap_or_default(),
        serial: wires.serial_text(),
        complaints: complaints.join().unwrap_or_default(),
        status,
        shutdown: watch.shutdown,
        stopped: watch.stopped,
        remains: watch.remains,
        time,
        guest_time,
        trouble: watch.trouble,
    })
}

/// The QEMU process. It ends with the scope.
struct Qemu(Child);

impl Qemu {
    /// Waits for the end, which is near, and makes it if it does not come.
    fn wait(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + LAST_GRACE;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                self.0.kill()?;
                return Ok(self.0.wait()?);
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Collects QEMU's error stream, and passes it on if somebody looks at the terminal.
fn listen_to_complaints(qemu: &mut Child, console: Console) -> thread::JoinHandle<String> {
    let stream = qemu.stderr.take();
    thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut stream) = stream {
            let _ = stream.read_to_end(&mut text);
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        if console != Console::Captured && !text.is_empty() {
            eprint!("{text}");
        }
        text
    })
}
