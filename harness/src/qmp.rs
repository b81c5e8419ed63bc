//! The QEMU monitor: starts the guest, tells why the machine ended, and shows its remains.
//!
//! The machine is started paused and set going from here, so that no event is missed.
//! `isa-debug-exit` ends older QEMUs (before 8.2) without any event, and newer ones with the reason
//! `guest-shutdown`. So on an older QEMU, silence is no proof of a good end; it only contradicts
//! nothing. A triple fault always says `guest-reset`, while the exit status is 0:
//! that is why somebody listens here.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

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
    /// The answer to a question for people.
    Answer(String),
}

/// A connection to the monitor.
pub struct Monitor {
    stream: BufReader<UnixStream>,
}

/// The end of the connection on which commands are given.
pub struct Remote(UnixStream);

impl Monitor {
    /// Greets the monitor. When it has answered, the machine is complete and waits.
    pub fn greet(stream: UnixStream) -> Result<Self> {
        let stream = BufReader::new(stream);
        let mut monitor = Self { stream };
        monitor.next().context("the monitor does not greet")?;
        monitor.execute("qmp_capabilities")?;
        Ok(monitor)
    }

    /// Sets the guest going.
    pub fn start_guest(&mut self) -> Result<()> {
        self.execute("cont")
    }

    /// Another end of the same connection, for commands whose answers come as notices.
    pub fn remote(&self) -> Result<Remote> {
        Ok(Remote(self.stream.get_ref().try_clone()?))
    }

    /// Gives a command and waits until it is done.
    fn execute(&mut self, command: &str) -> Result<()> {
        let line = json!({ "execute": command });
        self.stream
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())?;
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

    /// The next notice, or `None` when QEMU has ended.
    pub fn notice(&mut self) -> Option<Notice> {
        loop {
            let message = self.next()?;
            if let Some(notice) = notice_in(&message) {
                return Some(notice);
            }
        }
    }
}

impl Remote {
    /// Gives a command. What becomes of it shows in the notices, or not at all.
    pub fn send(&mut self, command: &str) -> Result<()> {
        self.write(&json!({ "execute": command }))
    }

    /// Gives a command of the monitor for people. The answer comes as a notice.
    pub fn ask(&mut self, line: &str) -> Result<()> {
        let arguments = json!({ "command-line": line });
        self.write(&json!({ "execute": "human-monitor-command", "arguments": arguments }))
    }

    fn write(&mut self, message: &Value) -> Result<()> {
        Ok(self.0.write_all(format!("{message}\n").as_bytes())?)
    }
}

/// The notice in a message of the monitor, if it is one that counts.
fn notice_in(message: &Value) -> Option<Notice> {
    if let Some(Value::String(answer)) = message.get("return") {
        return Some(Notice::Answer(answer.clone()));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            assert_eq!(notice_in(&serde_json::from_str(text).unwrap()), None);
        }
    }

    #[test]
    fn a_monitor_that_hangs_up_is_no_panic() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(Monitor::greet(ours).is_err());
    }
}
