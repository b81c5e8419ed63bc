//! What a machine's end means.
//!
//! Success needs three witnesses who agree:
//!
//! 1. the guest's own last records: the test began, came to `ok`, and said `bye`;
//! 2. QEMU's exit status: the one that only the guest's own write can make;
//! 3. the monitor: no reset, and no end that the guest did not ask for.
//!
//! QEMU before 8.2 does not report the guest's own exit to the monitor. There, silence is all that
//! the third witness has to give, and means "no contradiction", not "yes". A reset it reports
//! in every version.
//!
//! Each alone lies. A triple fault ends QEMU with status 0. A guest that jumps into the exit
//! code has the right status and no record. A guest that resets after `bye` has all records.
//!
//! Everything else is a [`Failure`], named after what happened, the most telling witness first.

use std::fmt;
use std::time::Duration;

use crate::machine::exit;
use crate::records::{Event, Flaw};
use crate::vm::{Ending, Stop};

/// What a test is meant to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation<'a> {
    /// The test's name, which the guest has to repeat.
    pub name: &'a str,
    /// It is meant to panic with a message that contains this.
    pub should_panic: Option<&'a str>,
}

/// Why a test has not passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// QEMU could not run the machine. The text is its own.
    Qemu(String),
    /// The harness could not play its part.
    Harness(String),
    /// The test was not over in time.
    Hang {
        /// Its time limit.
        limit: Duration,
        /// The last it said.
        last: Option<String>,
    },
    /// QEMU stopped executing the guest because of an error of its own.
    StoodStill,
    /// The machine was reset: a triple fault, or a deliberate reset.
    TripleFault,
    /// The test panicked.
    Panicked(String),
    /// The test met an exception.
    Fault(u8),
    /// The machine ended by itself, before the test had come to an end.
    EarlyExit {
        /// What the guest made of QEMU's exit status.
        code: i32,
        /// The last it said.
        last: Option<String>,
    },
    /// The machine ended, and the guest did not end it.
    Vanished(String),
    /// The test was meant to panic and returned.
    DidNotPanic,
    /// The test was meant to panic and panicked with another message.
    OtherPanic {
        /// What the message was to contain.
        expected: String,
        /// What it was.
        message: String,
    },
    /// The witnesses do not agree.
    Contradiction(String),
    /// Records were lost or broken off.
    Channel(Flaw),
    /// What was to outlast the machine did not.
    Lost(String),
    /// A dissector has found fault with frames.
    Wire(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = |last: &Option<String>| match last {
            Some(last) => format!("the last it said was `{last}`"),
            None => "it never said anything".to_owned(),
        };
        match self {
            Self::Qemu(text) => write!(f, "QEMU could not run the machine: {text}"),
            Self::Harness(text) => write!(f, "the harness could not do its part: {text}"),
            Self::Hang { limit, last } => {
                write!(
                    f,
                    "it hung: not over after {} s; {}",
                    limit.as_secs_f32(),
                    after(last)
                )
            }
            Self::StoodStill => f.write_str("QEMU stopped executing the guest: internal error"),
            Self::TripleFault => f.write_str("triple fault: the machine was reset"),
            Self::Panicked(message) => write!(f, "it panicked: {message}"),
            Self::Fault(vector) => write!(f, "it met exception {vector} ({})", exception(*vector)),
            Self::EarlyExit { code, last } => {
                write!(
                    f,
                    "it exited early, with QEMU status {code}; {}",
                    after(last)
                )
            }
            Self::Vanished(how) => write!(f, "the guest vanished: {how}"),
            Self::DidNotPanic => f.write_str("it was meant to panic and did not"),
            Self::OtherPanic { expected, message } => {
                write!(
                    f,
                    "it was meant to panic with `{expected}` and panicked with: {message}"
                )
            }
            Self::Contradiction(text) => write!(f, "the witnesses do not agree: {text}"),
            Self::Channel(flaw) => write!(f, "the record channel is broken: {flaw}"),
            Self::Wire(text) => write!(f, "frames that are not right:\n{text}"),
            Self::Lost(text) => write!(f, "it did not last: {text}"),
        }
    }
}

/// Judges the end of a machine that ran one test.
///
/// # Errors
/// If the test has not passed.
pub fn judge(ending: &Ending, expected: Expectation<'_>) -> Result<(), Failure> {
    judge_machine(ending)?;
    let last = || ending.channel.records.last().map(ToString::to_string);
    let code = match ending.code() {
        Some(code) => code,
        None => return Err(vanished(ending)),
    };

    // What the guest says of a bad end is the best that can be known.
    let fault = ending.channel.events().find_map(|event| match event {
        Event::Fault(vector) => Some(*vector),
        _ => None,
    });
    if let Some(vector) = fault {
        return Err(Failure::Fault(vector));
    }
    let panic = ending.channel.events().find_map(|event| match event {
        Event::Panic(message) => Some(message.clone()),
        _ => None,
    });
    let shape = Shape::of(ending, expected.name);
    match (panic, expected.should_panic) {
        (Some(message), None) => return Err(Failure::Panicked(message)),
        (Some(message), Some(text)) if !message.contains(text) => {
            return Err(Failure::OtherPanic {
                expected: text.to_owned(),
                message,
            });
        }
        (Some(_), Some(_)) if shape != Shape::Panicked => {
            return Err(Failure::EarlyExit { code, last: last() });
        }
        (Some(_), Some(_)) => return agree(ending, exit::FAILURE, "a panic"),
        (None, _) => {}
    }
    if code == exit::SILENT {
        return Err(vanished(ending));
    }
    if shape != Shape::Returned {
        return Err(Failure::EarlyExit { code, last: last() });
    }
    agree(ending, exit::SUCCESS, "success")?;
    match expected.should_panic {
        Some(_) => Err(Failure::DidNotPanic),
        None => Ok(()),
    }
}

/// Ends that are bad whatever the guest was to do.
fn judge_machine(ending: &Ending) -> Result<(), Failure> {
    match ending.stopped {
        Some(Stop::TimeLimit(limit)) => {
            // An unanswered question hangs the guest, and is the harness's fault.
            if let Some(trouble) = ending.trouble.first() {
                return Err(Failure::Harness(trouble.clone()));
            }
            let last = ending.channel.records.last().map(ToString::to_string);
            return Err(Failure::Hang { limit, last });
        }
        Some(Stop::StoodStill) => return Err(Failure::StoodStill),
        Some(Stop::Asked) => return Err(vanished(ending)),
        None => {}
    }
    if ending.code() == Some(exit::QEMU_FAILED) {
        return Err(Failure::Qemu(ending.complaints.trim().to_owned()));
    }
    if ending
        .shutdown
        .as_ref()
        .is_some_and(|shutdown| shutdown.reason == "guest-reset")
    {
        return Err(Failure::TripleFault);
    }
    match ending.trouble.first() {
        Some(trouble) => Err(Failure::Harness(trouble.clone())),
        None => Ok(()),
    }
}

/// The other two witnesses, and the state of the channel.
// ANCHOR: agree
fn agree(ending: &Ending, code: i32, what: &str) -> Result<(), Failure> {
    if let Some(flaw) = ending.channel.flaws.first() {
        return Err(Failure::Channel(flaw.clone()));
    }
    if ending.code() != Some(code) {
        return Err(Failure::Contradiction(format!(
            "the records tell of {what}, QEMU's status is {:?} and not {code}",
            ending.code()
        )));
    }
    match &ending.shutdown {
        Some(shutdown) if shutdown.reason != "guest-shutdown" => {
            let reason = &shutdown.reason;
            Err(Failure::Contradiction(format!(
                "the records tell of {what}, QEMU of {reason}"
            )))
        }
        _ => Ok(()),
    }
}
// ANCHOR_END: agree

fn vanished(ending: &Ending) -> Failure {
    Failure::Vanished(match (ending.signal(), &ending.shutdown) {
        (Some(signal), _) => format!("QEMU was killed by signal {signal}"),
        (None, Some(shutdown)) => format!("QEMU tells of `{}`", shutdown.reason),
        (None, None) => "QEMU ended without a reason".to_owned(),
    })
}

/// The form of a whole sequence of records.
#[derive(PartialEq, Eq)]
enum Shape {
    Returned,
    Panicked,
    Broken,
}

impl Shape {
    fn of(ending: &Ending, name: &str) -> Self {
        let telling = |event: &&Event| !matches!(event, Event::Note(_) | Event::Call(_));
        let events: Vec<_> = ending.channel.events().filter(telling).collect();
        match events.as_slice() {
            [Event::Hello(version), Event::Begin(begun), end, Event::Bye]
                if *version == vm_test::sequence::VERSION.to_string() && begun == name =>
            {
                match end {
                    Event::Outcome(outcome) if outcome == "ok" => Self::Returned,
                    Event::Panic(_) => Self::Panicked,
                    _ => Self::Broken,
                }
            }
            _ => Self::Broken,
        }
    }
}

/// The name of a CPU exception (Intel SDM, volume 3, table 6-1).
pub fn exception(vector: u8) -> &'static str {
    const NAMES: [&str; 22] = [
        "divide error",
        "debug",
        "non-maskable interrupt",
        "breakpoint",
        "overflow",
        "bound range exceeded",
        "invalid opcode",
        "device not available",
        "double fault",
        "coprocessor segment overrun",
        "invalid TSS",
        "segment not present",
        "stack-segment fault",
        "general protection",
        "page fault",
        "reserved",
        "x87 floating-point",
        "alignment check",
        "machine check",
        "SIMD floating-point",
        "virtualization",
        "control protection",
    ];
    NAMES
        .get(usize::from(vector))
        .copied()
        .unwrap_or("no exception of the CPU's")
}

#[cfg(test)]
mod tests;
