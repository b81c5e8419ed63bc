//! What the end of a machine means to whoever has run it.
//!
//! QEMU's status tells failure from success, and the monitor knows a reset. Whether a failure is
//! one of the kernel or of a command, only the console tells. The commands write there too, and a
//! file may hold what looks like the end of a kernel: so only the kernel's last words count,
//! which nothing follows. A command that fails says why, behind whatever it has printed.

use harness::image::Image;
use harness::machine::exit;
use harness::symbols;
use harness::vm::{Ending, Stop};

/// Says what the end of the machine means, unless it is plain success. `true` is success.
pub(crate) fn explain(ending: &Ending, image: &Image, exec: bool) -> bool {
    let Some(failure) = failure(ending, exec) else {
        return true;
    };
    eprintln!();
    match symbols::backtrace(&image.kernel, &ending.backtrace()) {
        Ok(Some(backtrace)) => eprintln!("backtrace, the innermost call first:\n{backtrace}"),
        Ok(None) => {}
        Err(error) => eprintln!("no backtrace: {error}"),
    }
    for trouble in &ending.trouble {
        eprintln!("{trouble}");
    }
    eprintln!("error: {failure}");
    false
}

/// What has failed, if anything has.
fn failure(ending: &Ending, exec: bool) -> Option<String> {
    let reason = ending
        .shutdown
        .as_ref()
        .map(|shutdown| shutdown.reason.as_str());
    let by_user = matches!(reason, Some("host-qmp-quit" | "host-signal" | "host-ui"));
    let panicked = symbols::last_words(&ending.serial).is_some();
    let failure = match (ending.code(), ending.stopped) {
        (_, Some(Stop::TimeLimit(limit))) => {
            format!(
                "the machine was stopped: it still ran after {} s",
                limit.as_secs()
            )
        }
        (_, Some(Stop::Asked)) => "QEMU was killed, as the machine had asked".to_owned(),
        (_, Some(Stop::StoodStill)) => "QEMU stopped executing the machine".to_owned(),
        (Some(exit::SUCCESS), None) => return None,
        (Some(exit::SILENT), None) if by_user && !exec => return None,
        // Somebody was faster than the guest.
        (Some(exit::SILENT), None) if ending.guest_time.is_zero() && !exec => return None,
        (Some(exit::FAILURE), None) if panicked => "the kernel panicked".to_owned(),
        (Some(exit::FAILURE), None) if exec => "not every command succeeded".to_owned(),
        (Some(exit::FAILURE), None) => "the machine ended with a failure".to_owned(),
        (Some(exit::QEMU_FAILED), None) => {
            "QEMU could not run the machine; it says why above".to_owned()
        }
        (_, None) if reason == Some("guest-reset") => {
            "triple fault: the CPU could not handle an exception, and the machine was reset"
                .to_owned()
        }
        (Some(code), None) => {
            let reason = reason
                .map(|reason| format!(", reason `{reason}`"))
                .unwrap_or_default();
            format!("the machine vanished (QEMU's exit status {code}{reason})")
        }
        (None, None) => format!("QEMU was killed: {}", ending.status),
    };
    Some(failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness::records::Channel;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;
    use std::time::Duration;

    const PANIC: &str = "\r\nPANIC: panicked at apps/starter/src/commands/panic.rs:17:5:\r\n\
        someone typed `panic`\r\nbacktrace:\r\n  at 0xffffffff8005608c\r\n  at 0xffffffff80012345\r\n";

    const EXCEPTION: &str = "\r\nEXCEPTION 14: page fault (#PF), error code 0x2\r\n  \
        write to an unmapped page, at 0x0000000000001000\r\n  \
        rip 0xffffffff80056000  rsp 0xffffffff80100000\r\n\
        backtrace:\r\n  at 0xffffffff80056000\r\n";

    fn ending(code: i32, serial: &str) -> Ending {
        Ending {
            command: String::new(),
            channel: Channel::default(),
            serial: serial.to_owned(),
            complaints: String::new(),
            status: ExitStatus::from_raw(code << 8),
            shutdown: None,
            stopped: None,
            remains: Vec::new(),
            time: Duration::from_secs(1),
            guest_time: Duration::from_secs(1),
            trouble: Vec::new(),
        }
    }

    fn said(code: i32, serial: &str) -> Option<String> {
        failure(&ending(code, serial), true)
    }

    #[test]
    fn a_panic_and_an_exception_are_the_kernel_s_failure() {
        for report in [PANIC, EXCEPTION] {
            let serial = format!("hello\r\n{report}");
            let said = said(exit::FAILURE, &serial);
            assert_eq!(said.as_deref(), Some("the kernel panicked"), "{serial}");
        }
    }

    /// `cat` of a recorded console, and then a command that fails.
    #[test]
    fn what_a_command_prints_is_no_panic() {
        let error = "cat: /nope: no such file or directory\r\n";
        for printed in [PANIC, EXCEPTION, "  at 0xffffffff8005608c\r\n"] {
            let serial = format!("{printed}{error}");
            let ending = ending(exit::FAILURE, &serial);
            let said = failure(&ending, true);
            assert_eq!(said.as_deref(), Some("not every command succeeded"));
            assert_eq!(
                ending.backtrace(),
                [0; 0],
                "no names for what is no address"
            );
        }
        let frames = "  at 0xffffffff8005608c\r\n";
        let said_of_frames = said(exit::FAILURE, frames);
        assert_eq!(
            said_of_frames.as_deref(),
            Some("not every command succeeded")
        );
    }

    #[test]
    fn success_is_success_whatever_was_printed() {
        assert_eq!(said(exit::SUCCESS, PANIC), None);
    }
}
