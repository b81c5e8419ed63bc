//! The QEMU monitor: starts the guest, changes the machine, tells why it ended, shows its remains.
//!
//! The machine is started paused and set going from here, so that no event is missed.
//! `isa-debug-exit` ends older QEMUs (before 8.2) without any event, and newer ones with the reason
//! `guest-shutdown`. So on an older QEMU, silence is no proof of a good end; it only contradicts
//! nothing. A triple fault always says `guest-reset`, while the exit status is 0:
//! that is why somebody listens here.
//!
//! The connection has two ends. One thread reads ([`Monitor`]); anybody may write ([`Remote`]).
//! Every command carries a number, and the reading thread hands its answer to whoever waits for
//! that number. Nobody waits for longer than [`ANSWER_TIME`].

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// Time that QEMU gets to answer a command, on a host that does several other things.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// Why QEMU says that the machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// The guest caused it.
    pub guest: bool,
    /// QEMU's word for the cause, for example `guest-reset`.
    pub reason: String,
}

/// Something that the monitor says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The machine ends.
    Shutdown(Shutdown),
    /// The machine stands still.
    Stopped,
}

/// The reading end of a connection to the monitor.
pub struct Monitor {
    stream: BufReader<UnixStream>,
    shared: Arc<Shared>,
}

/// The writing end, for any number of users.
#[derive(Clone)]
pub struct Remote(Arc<Shared>);

/// What both ends know.
struct Shared {
    stream: Mutex<UnixStream>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The number of the next command.
    next: u64,
    /// Who waits for which answer.
    waiting: HashMap<u64, Sender<Value>>,
    /// The devices that are gone, by their names.
    deleted: BTreeSet<String>,
    /// Nobody reads any more.
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Monitor {
    /// Greets the monitor. When it has answered, the machine is complete and waits.
    pub fn greet(stream: UnixStream) -> Result<Self> {
        let shared = Arc::new(Shared {
            stream: Mutex::new(stream.try_clone()?),
            state: Mutex::default(),
        });
        let stream = BufReader::new(stream);
        let mut monitor = Self { stream, shared };
        monitor.next().context("the monitor does not greet")?;
        monitor.execute("qmp_capabilities")?;
        Ok(monitor)
    }

    /// Sets the guest going.
    pub fn start_guest(&mut self) -> Result<()> {
        self.execute("cont")
    }

    /// The writing end of the connection. It gets answers only while [`Monitor::notice`] reads.
    pub fn remote(&self) -> Remote {
        Remote(Arc::clone(&self.shared))
    }

    /// Gives a command and waits until it is done. Nobody else reads yet.
    fn execute(&mut self, command: &str) -> Result<()> {
        self.remote().write(&json!({ "execute": command }))?;
        loop {
            let message = self
                .next()
                .with_context(|| format!("no answer to `{command}`"))?;
            if let Some(error) = message.get("error") {
                bail!("the monitor refuses `{command}`: {error}");
            }
            if message.get("return").is_some() {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(1..) => serde_json::from_str(&line).ok(),
            _ => None,
        }
    }

    /// The next notice, or `None` when QEMU has ended. Answers are handed out on the way.
    pub fn notice(&mut self) -> Option<Notice> {
        loop {
            let Some(message) = self.next() else {
                let mut state = self.shared.state();
                state.closed = true;
                state.waiting.clear();
                return None;
            };
            if let Some(number) = message.get("id").and_then(Value::as_u64) {
                let waiting = self.shared.state().waiting.remove(&number);
                if let Some(sender) = waiting {
                    let _ = sender.send(message); // it may have lost its patience
                }
            } else if let Some(device) = deleted_in(&message) {
                self.shared.state().deleted.insert(device.to_owned());
            } else if let Some(notice) = notice_in(&message) {
                return Some(notice);
            }
        }
    }
}

impl Remote {
    /// Gives a command and waits for its answer.
    ///
    /// # Errors
    /// If QEMU refuses, has ended, or does not answer in time.
    pub fn execute(&self, command: &str, arguments: Value) -> Result<Value> {
        let (sender, receiver) = channel();
        let number = {
            let mut state = self.0.state();
            if state.closed {
                bail!("QEMU has ended");
            }
            let number = state.next;
            state.next += 1;
            state.waiting.insert(number, sender);
            number
        };
        self.write(&json!({ "execute": command, "arguments": arguments, "id": number }))?;
        let mut message = match receiver.recv_timeout(ANSWER_TIME) {
            Ok(message) => message,
            Err(RecvTimeoutError::Disconnected) => bail!("QEMU has ended"),
            Err(RecvTimeoutError::Timeout) => {
                self.0.state().waiting.remove(&number);
                bail!("QEMU does not answer `{command}`");
            }
        };
        if let Some(error) = message.get("error") {
            let why = error.get("desc").and_then(Value::as_str);
            bail!("QEMU refuses `{command}`: {}", why.unwrap_or("no reason"));
        }
        Ok(message["return"].take())
    }

    /// Gives a command of the monitor for people, and returns what it prints.
    ///
    /// # Errors
    /// As [`Remote::execute`]. That the command has failed shows only in what it prints.
    pub fn ask(&self, line: &str) -> Result<String> {
        let arguments = json!({ "command-line": line });
        let answer = self.execute("human-monitor-command", arguments)?;
        Ok(answer.as_str().unwrap_or_default().replace('\r', ""))
    }

    /// Gives a command without waiting for anything.
    pub fn send(&self, command: &str) -> Result<()> {
        self.write(&json!({ "execute": command }))
    }

    /// Whether QEMU has told that the device of this name is gone.
    pub fn is_deleted(&self, device: &str) -> bool {
        self.0.state().deleted.contains(device)
    }

    fn write(&self, message: &Value) -> Result<()> {
        let stream = &self.0.stream;
        let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(stream.write_all(format!("{message}\n").as_bytes())?)
    }
}

/// The notice in a message of the monitor, if it is one that counts.
fn notice_in(message: &Value) -> Option<Notice> {
    match message.get("event")?.as_str()? {
        "STOP" => Some(Notice::Stopped),
        "SHUTDOWN" => {
            let data = message.get("data")?;
            let guest = data.get("guest")?.as_bool()?;
            let reason = data.get("reason")?.as_str()?.to_owned();
            Some(Notice::Shutdown(Shutdown { guest, reason }))
        }
        _ => None,
    }
}

/// The name of the device that a message says is gone.
fn deleted_in(message: &Value) -> Option<&str> {
    if message.get("event")? != "DEVICE_DELETED" {
        return None;
    }
    message.get("data")?.get("device")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn the_reason_of_an_end_is_read() {
        let text = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN",
            "data": {"guest": true, "reason": "guest-reset"}}"#;
        let message = serde_json::from_str(text).unwrap();
        let shutdown = Shutdown {
            guest: true,
            reason: "guest-reset".into(),
        };
        assert_eq!(notice_in(&message), Some(Notice::Shutdown(shutdown)));
    }

    #[test]
    fn other_messages_are_passed_over() {
        for text in [
            r#"{"return": {}}"#,
            r#"{"event": "RESUME"}"#,
            "[]",
            r#"{"event": "SHUTDOWN"}"#,
            r#"{"event": "DEVICE_DELETED", "data": {"path": "/a"}}"#,
        ] {
            let message = serde_json::from_str(text).unwrap();
            assert_eq!(notice_in(&message), None);
            assert_eq!(deleted_in(&message), None);
        }
    }

    #[test]
    fn a_monitor_that_hangs_up_is_no_panic() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(Monitor::greet(ours).is_err());
    }

    /// A monitor that has greeted, and QEMU's end of the connection.
    fn connected() -> (Monitor, BufReader<UnixStream>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut theirs = BufReader::new(theirs);
        theirs
            .get_mut()
            .write_all(b"{\"QMP\": {}}\n{\"return\": {}}\n")
            .unwrap();
        let monitor = Monitor::greet(ours).unwrap();
        theirs.read_line(&mut String::new()).unwrap();
        (monitor, theirs)
    }

    #[test]
    fn answers_in_another_order_reach_who_asked() {
        let (mut monitor, mut qemu) = connected();
        let remote = monitor.remote();
        let ask = |line: &'static str| {
            let remote = remote.clone();
            thread::spawn(move || remote.ask(line))
        };
        let askers = [ask("one"), ask("two")];
        thread::spawn(move || while monitor.notice().is_some() {});
        let mut questions = Vec::new();
        for _ in 0..2 {
            let mut line = String::new();
            qemu.read_line(&mut line).unwrap();
            questions.push(serde_json::from_str::<Value>(&line).unwrap());
        }
        for question in questions.iter().rev() {
            let text = question["arguments"]["command-line"].as_str().unwrap();
            let answer = json!({ "return": format!("to {text}"), "id": question["id"] });
            let event = r#"{"event": "DEVICE_DELETED", "data": {"device": "nvme0"}}"#;
            let stream = qemu.get_mut();
            stream
                .write_all(format!("{event}\n{answer}\n").as_bytes())
                .unwrap();
        }
        let answers = askers.map(|asker| asker.join().unwrap().unwrap());
        assert_eq!(answers, ["to one", "to two"]);
        assert!(remote.is_deleted("nvme0") && !remote.is_deleted("nvme1"));
    }

    #[test]
    fn a_refusal_and_an_end_are_errors_of_who_asked() {
        let (mut monitor, mut qemu) = connected();
        let remote = monitor.remote();
        thread::spawn(move || while monitor.notice().is_some() {});
        let asker = thread::spawn(move || {
            let refused = remote.execute("a", json!({})).unwrap_err();
            let ended = remote.execute("b", json!({})).unwrap_err();
            let closed = remote.execute("c", json!({})).unwrap_err();
            [refused, ended, closed].map(|error| error.to_string())
        });
        qemu.read_line(&mut String::new()).unwrap();
        let refusal = r#"{"id": 0, "error": {"class": "GenericError", "desc": "no"}}"#;
        qemu.get_mut()
            .write_all(format!("{refusal}\n").as_bytes())
            .unwrap();
        qemu.read_line(&mut String::new()).unwrap();
        drop(qemu);
        let [refused, ended, closed] = asker.join().unwrap();
        assert_eq!(refused, "QEMU refuses `a`: no");
        assert_eq!(
            (ended.as_str(), closed.as_str()),
            ("QEMU has ended", "QEMU has ended")
        );
    }
}
