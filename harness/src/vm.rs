//! Boots a machine and waits for its end.
//!
//! Three things are watched at once: the record channel, whose questions are answered; the monitor;
//! and the process. [`boot`] returns when the machine is gone, and only then, with everything
//! that it has left behind ([`Ending`]). What that means, [`verdict`](crate::verdict) says.
//!
//! - No machine outlives its time limit, and none outlives the caller's scope.
//! - Only the process that was started here is ever killed.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::calls::Host;
use crate::machine::{self, Machine, Memory, escape};
use crate::postmortem::Registers;
use crate::qmp::{Monitor, Notice, Remote, Shutdown};
use crate::ram::Ram;
use crate::records::{Channel, Event};
use crate::symbols;
use crate::tools::Tool;

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
        let printed = symbols::addresses(&self.serial);
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
}

/// What the watching threads tell the one that waits.
enum Sign {
    ChannelClosed(Channel, Vec<String>),
    Notice(Notice),
    MonitorClosed,
}

/// Time that QEMU gets to connect to us.
const GRACE: Duration = Duration::from_secs(20);

/// Time that QEMU gets to answer a question.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// Time that QEMU gets to go away when it has closed the channel or failed to start.
const LAST_GRACE: Duration = Duration::from_secs(5);

/// Runs the machine to its end.
///
/// # Errors
/// If the machine could not be started at all. A machine that ends badly is no error here.
pub fn boot(machine: &Machine, conditions: Conditions) -> Result<Ending> {
    let folder = tempfile::Builder::new().prefix("phyros-vm-").tempdir()?;
    let wires = Wires::new(folder.path())?;
    let mut command = Tool::Qemu.command()?;
    let mut arguments = machine.arguments();
    let line = machine::shell_line(command.get_program(), &arguments);
    wires.add_arguments(&mut arguments, conditions.console);
    command.args(&arguments).stderr(Stdio::piped());
    if conditions.console != Console::Interactive {
        command.stdin(Stdio::null());
    }
    if conditions.console == Console::Captured {
        command.stdout(Stdio::null());
    }

    let start = Instant::now();
    let mut qemu = Qemu(command.spawn().context("QEMU could not be started")?);
    let complaints = listen_to_complaints(&mut qemu.0, conditions.console);
    let (sender, signs) = mpsc::channel();
    let connected = wires.connect(machine, &mut qemu.0, sender);

    let mut watch = Watch::default();
    match connected {
        Ok(remote) => {
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

/// What is gathered while the machine runs.
#[derive(Default)]
struct Watch {
    remote: Option<Remote>,
    guest_start: Option<Instant>,
    channel: Option<Channel>,
    shutdown: Option<Shutdown>,
    stopped: Option<Stop>,
    answer: Option<String>,
    remains: Vec<u64>,
    monitor_closed: bool,
    trouble: Vec<String>,
}

impl Watch {
    /// Waits until QEMU has closed the record channel, or must be stopped.
    fn wait(
        &mut self,
        signs: &Receiver<Sign>,
        qemu: &mut Child,
        start: Instant,
        limit: Option<Duration>,
    ) {
        while self.channel.is_none() && self.stopped.is_none() && self.shutdown.is_none() {
            let left = match limit {
                Some(limit) => limit.saturating_sub(start.elapsed()),
                None => Duration::MAX,
            };
            match signs.recv_timeout(left) {
                Ok(sign) => self.take(sign),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    self.stopped = limit.map(Stop::TimeLimit);
                }
            }
        }
        // QEMU keeps the machine after its end, until we have seen enough.
        if self.channel.is_none() {
            self.look_at_the_remains(signs);
        }
        if self.stopped.is_some() {
            let _ = qemu.kill();
        } else if let Some(remote) = &mut self.remote {
            let _ = remote.send("quit"); // it may be gone already
        }
    }

    /// Finds out where the CPU is.
    fn look_at_the_remains(&mut self, signs: &Receiver<Sign>) {
        if self.stopped.is_some() {
            self.ask("stop", signs);
        }
        let registers = self.ask("info registers", signs);
        if let Some(registers) = registers.and_then(|answer| Registers::parse(&answer)) {
            self.remains = registers.backtrace(|question| self.ask(question, signs));
        }
    }

    /// Puts a question to the monitor for people.
    fn ask(&mut self, question: &str, signs: &Receiver<Sign>) -> Option<String> {
        self.remote.as_mut()?.ask(question).ok()?;
        let deadline = Instant::now() + ANSWER_TIME;
        while self.answer.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            self.take(signs.recv_timeout(left).ok()?);
        }
        self.answer.take()
    }

    /// Takes what the threads still have to say. QEMU is gone, so they come to their ends.
    fn drain(&mut self, signs: &Receiver<Sign>) {
        while self.channel.is_none() || !self.monitor_closed {
            match signs.recv_timeout(LAST_GRACE) {
                Ok(sign) => self.take(sign),
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, sign: Sign) {
        match sign {
            Sign::ChannelClosed(channel, trouble) => {
                self.channel = Some(channel);
                self.trouble.extend(trouble);
            }
            // The first cause counts; our own command to quit is another.
            Sign::Notice(Notice::Shutdown(shutdown)) => {
                self.shutdown.get_or_insert(shutdown);
            }
            Sign::Notice(Notice::Stopped) => {
                if self.shutdown.is_none() {
                    self.stopped.get_or_insert(Stop::StoodStill);
                }
            }
            Sign::Notice(Notice::Answer(answer)) => self.answer = Some(answer),
            Sign::MonitorClosed => self.monitor_closed = true,
        }
    }
}

/// The connections between QEMU and the harness.
struct Wires {
    records: (PathBuf, UnixListener),
    monitor: (PathBuf, UnixListener),
    serial: PathBuf,
}

impl Wires {
    fn new(folder: &Path) -> Result<Self> {
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
    fn add_arguments(&self, arguments: &mut Vec<OsString>, console: Console) {
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
    fn connect(&self, machine: &Machine, qemu: &mut Child, signs: Sender<Sign>) -> Result<Remote> {
        let records = accept(&self.records.1, qemu)?;
        let mut monitor = Monitor::greet(accept(&self.monitor.1, qemu)?)?;
        let disks = machine
            .disks
            .iter()
            .map(|disk| disk.image.clone())
            .collect();
        let host = match machine.memory {
            Memory::Private => None,
            Memory::Shared => Some(Host::new(Ram::of_process(qemu.id(), machine.ram)?, disks)),
        };
        let sender = signs.clone();
        thread::spawn(move || {
            let (channel, trouble) = read_records(records, host.as_ref());
            let _ = sender.send(Sign::ChannelClosed(channel, trouble));
        });
        let remote = monitor.remote()?;
        monitor.start_guest()?;
        thread::spawn(move || {
            while let Some(notice) = monitor.notice() {
                let _ = signs.send(Sign::Notice(notice));
            }
            let _ = signs.send(Sign::MonitorClosed);
        });
        Ok(remote)
    }

    fn serial_text(&self) -> String {
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
fn read_records(mut stream: UnixStream, host: Option<&Host>) -> (Channel, Vec<String>) {
    let (mut channel, mut trouble) = (Channel::default(), Vec::new());
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        for &byte in &buffer[..count] {
            let Some(record) = channel.push(byte) else {
                continue;
            };
            let Event::Call(call) = &record.event else {
                continue;
            };
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
