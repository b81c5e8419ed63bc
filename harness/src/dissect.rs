//! What an independent dissector thinks of what was on a wire.
//!
//! `tshark` shares no line of code with the stack, nor with QEMU. If it is not installed, nobody judges:
//! `apt-get install tshark`.
//!
//! What a card has been asked to do, it has not done yet where QEMU writes it down. So sums are looked at only on
//! wires whose cards fill in nothing ([`Wires`]).

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::machine::{Card, Wire};
use crate::tools;

/// What a wire is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wires {
    /// All sums are filled in.
    pub has_sums: bool,
    /// Nothing gets lost.
    pub is_whole: bool,
}

impl Wires {
    /// That of a card; `None` if it carries frames that are no packets.
    pub fn of(card: &Card) -> Option<Self> {
        let lacks = |name: &str| card.properties.iter().any(|property| property == name);
        match &card.wire {
            Wire::Harness => None,
            Wire::User(network) => Some(Self {
                has_sums: true,
                is_whole: network.loses.is_none(),
            }),
            Wire::Tap(_) => Some(Self {
                has_sums: lacks("csum=off") && lacks("guest_csum=off"),
                is_whole: true,
            }),
        }
    }
}

/// What programs say to each other is their own affair.
const NO_DEEPER: [&str; 2] = ["tcp.port==1-65535,data", "udp.port==1-65535,data"];

/// Whether there is a dissector.
pub fn is_here() -> bool {
    tools::in_path("tshark").is_some()
}

/// What is wrong with a capture: a line for each frame. `None`: there is no dissector.
///
/// # Errors
/// If the dissector cannot read it.
pub fn complaints(capture: &Path, wires: Wires) -> Result<Option<Vec<String>>> {
    let Some(tshark) = tools::in_path("tshark") else {
        return Ok(None);
    };
    let mut wrong = vec!["_ws.malformed"];
    if wires.is_whole {
        wrong.extend(["tcp.analysis.lost_segment", "tcp.analysis.ack_lost_segment"]);
    }
    let mut command = Command::new(tshark);
    command.arg("-n").arg("-r").arg(capture);
    for rule in NO_DEEPER {
        command.args(["-d", rule]);
    }
    if wires.has_sums {
        for protocol in ["ip", "tcp", "udp"] {
            command.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
        }
        wrong.extend([
            "ip.checksum.status == 0",
            "tcp.checksum.status == 0",
            "udp.checksum.status == 0",
            "icmp.checksum.status == 0",
            "icmpv6.checksum.status == 0",
        ]);
    }
    command.args(["-Y", &wrong.join(" || ")]);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "tshark cannot read it: {said}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Some(
        text.lines().map(|line| line.trim().to_owned()).collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A datagram of UDP from 10.0.2.15 to 10.0.2.2, with these sums.
    fn frame(ip: u16, udp: u16) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        frame.extend([0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17]);
        frame.extend(ip.to_be_bytes());
        frame.extend([10, 0, 2, 15, 10, 0, 2, 2]);
        frame.extend([0x10, 0, 0x10, 1, 0, 12]);
        frame.extend(udp.to_be_bytes());
        frame.extend([1, 2, 3, 4]);
        frame.resize(60, 0);
        frame
    }

    fn capture(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
        bytes.extend([0; 8]);
        bytes.extend(65_535_u32.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        for frame in frames {
            bytes.extend([0; 8]);
            bytes.extend((frame.len() as u32).to_le_bytes());
            bytes.extend((frame.len() as u32).to_le_bytes());
            bytes.extend(frame);
        }
        bytes
    }

    #[test]
    fn a_dissector_finds_the_frame_whose_sum_is_wrong() {
        const STRICT: Wires = Wires {
            has_sums: true,
            is_whole: true,
        };
        if !is_here() {
            println!("nobody judges captures: tshark is missing (apt-get install tshark)");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.pcap");
        let (ip, udp) = (0x62bc, 0xc3be);
        let all = [frame(ip, udp), frame(ip, udp + 1), frame(ip + 1, udp)];
        std::fs::write(&file, capture(&all)).unwrap();
        let found = complaints(&file, STRICT).unwrap().unwrap();
        let numbers: Vec<&str> = found
            .iter()
            .map(|line| line.split(' ').next().unwrap())
            .collect();
        assert_eq!(numbers, ["2", "3"], "{found:?}");
        let lenient = Wires {
            has_sums: false,
            ..STRICT
        };
        assert_eq!(complaints(&file, lenient).unwrap().unwrap(), [""; 0]);
        let half = capture(&all);
        std::fs::write(&file, &half[..half.len() - 3]).unwrap();
        assert!(complaints(&file, STRICT).is_err());
    }
}
