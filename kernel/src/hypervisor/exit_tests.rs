//! Exit codes and what they mean, against the manual.

use super::*;

fn event(code: u64, first: u64, second: u64) -> Event {
    let registers = [0x89ab_cdef, 0xc000_0080, 0x0123_4567];
    let report = Report {
        code,
        first,
        second,
        registers,
    };
    report.event()
}

#[test]
fn only_a_call_is_an_answer() {
    let answers = (0..=0xfff).chain([INVALID, u64::MAX, 1 << 32 | VMMCALL]);
    for code in answers {
        let is_answer = matches!(event(code, 0, 0), Event::Stopped(Reason::Answer(_)));
        assert_eq!(is_answer, code == VMMCALL, "{code:#x}");
    }
    let answer = Reason::Answer(0x0123_4567_89ab_cdef);
    assert_eq!(event(VMMCALL, 0, 0), Event::Stopped(answer));
}

#[test]
fn what_came_for_the_host_is_not_the_guests() {
    for code in 0x60..=0x63 {
        assert_eq!(event(code, 0, 0), Event::Interrupted);
    }
    assert_eq!(event(0x52, 0, 0), Event::MachineCheck);
}

#[test]
fn the_information_is_where_the_manual_has_it() {
    let read = Access::Read;
    let write = Access::Write;
    let fault = |address, access| Reason::NestedFault {
        address: GuestAddr(address),
        access,
    };
    let cases = [
        (
            event(0x400, 1 << 32 | 0b0_0100, 0x1234),
            fault(0x1234, read),
        ),
        (event(0x400, 1 << 32 | 0b0_0110, 9), fault(9, write)),
        (
            event(0x400, 1 << 32 | 0b1_0100, 8),
            fault(8, Access::Execute),
        ),
        (
            event(0x7b, 0x80 << 16 | 0b1_0000, 0),
            Reason::Port {
                port: 0x80,
                access: write,
            },
        ),
        (
            event(0x7b, 0x3fd << 16 | 0b1_0001, 0),
            Reason::Port {
                port: 0x3fd,
                access: read,
            },
        ),
        (
            event(0x7c, 1, 0),
            Reason::ModelSpecific {
                register: 0xc000_0080,
                access: write,
            },
        ),
        (
            event(0x03, 0, 0),
            Reason::Control {
                register: 3,
                access: read,
            },
        ),
        (
            event(0x10, 0, 0),
            Reason::Control {
                register: 0,
                access: write,
            },
        ),
        (
            event(0x27, 0, 0),
            Reason::Debug {
                register: 7,
                access: read,
            },
        ),
        (
            event(0x30, 0, 0),
            Reason::Debug {
                register: 0,
                access: write,
            },
        ),
        (
            event(0x4d, 0x18, 0),
            Reason::Exception {
                vector: 13,
                error: 0x18,
            },
        ),
        (event(0x78, 0, 0), Reason::Instruction("HLT")),
        (event(0x7f, 0, 0), Reason::Shutdown),
        (event(INVALID, 0, 0), Reason::Refused),
        (event(u64::MAX, 0, 0), Reason::Refused),
        (event(0x200, 0, 0), Reason::Unknown(0x200)),
    ];
    for (found, expected) in cases {
        assert_eq!(found, Event::Stopped(expected));
    }
}

#[test]
fn an_exit_reads_as_a_sentence() {
    let exit = Exit {
        at: GuestAddr(0x1003),
        reason: Reason::NestedFault {
            address: GuestAddr(1 << 21),
            access: Access::Write,
        },
    };
    assert_eq!(
        exit.to_string(),
        "the guest has stopped at 0x1003: write of 0x200000, which is not in its memory"
    );
}
