//! Why a guest has stopped, from what the CPU says (AMD APM vol. 2, appendix C).

use core::fmt;

/// An address as a guest sees it. To the kernel it is no address at all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestAddr(u64);

impl GuestAddr {
    /// The address with this number.
    #[must_use]
    pub const fn new(addr: u64) -> Self {
        Self(addr)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for GuestAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for GuestAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A guest has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The instruction that it came to, and that it has not carried out.
    pub at: GuestAddr,
    /// What it was.
    pub reason: Reason,
}

/// Why a guest has stopped. After an answer it can go on; all else is its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It has called, with this number in EDX and EAX.
    Answer(u64),
    /// It has used up its time.
    OutOfTime,
    /// It wanted something that is not in its memory.
    NestedFault {
        /// Where.
        address: GuestAddr,
        /// What for.
        access: Access,
    },
    /// It has raised an exception.
    Exception {
        /// The vector.
        vector: u8,
        /// The error code, of those that have one.
        error: u32,
    },
    /// It wanted to use an I/O port.
    Port {
        /// Its number.
        port: u16,
        /// Read is IN, write is OUT.
        access: Access,
    },
    /// It wanted to use a model-specific register.
    ModelSpecific {
        /// Its number.
        register: u32,
        /// RDMSR or WRMSR.
        access: Access,
    },
    /// It wanted to use a control register.
    Control {
        /// Its number.
        register: u8,
        /// Which way.
        access: Access,
    },
    /// It wanted to use a debug register.
    Debug {
        /// Its number.
        register: u8,
        /// Which way.
        access: Access,
    },
    /// It came to an instruction that it may not use, of this name in the manual.
    Instruction(&'static str),
    /// It failed to handle an exception, and then that failure.
    Shutdown,
    /// The CPU does not accept the control block. That is this kernel's fault and not the guest's.
    Refused,
    /// Nobody asked the CPU to stop the guest for this.
    Unknown(u64),
}

/// What a guest wanted to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    Read,
    /// Write it.
    Write,
    /// Run it as code.
    Execute,
}

/// What the CPU says when a guest has stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    /// EXITCODE.
    pub(super) code: u64,
    /// EXITINFO1.
    pub(super) first: u64,
    /// EXITINFO2.
    pub(super) second: u64,
    /// The guest's EAX, ECX and EDX.
    pub(super) registers: [u32; 3],
}

/// What it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Something came for this core, and waits for it. The guest can go on.
    Interrupted,
    /// The hardware has failed, and waits to say so. The guest has nothing to do with it.
    MachineCheck,
    /// The guest has stopped.
    Stopped(Reason),
}

const READ_CR: u64 = 0x00;
const WRITE_CR: u64 = 0x10;
const READ_DR: u64 = 0x20;
const WRITE_DR: u64 = 0x30;
const EXCEPTION: u64 = 0x40;
const MACHINE_CHECK: u64 = EXCEPTION + 18;
const INTR: u64 = 0x60;
const INIT: u64 = 0x63;
const IOIO: u64 = 0x7b;
const MSR: u64 = 0x7c;
const SHUTDOWN: u64 = 0x7f;
const VMMCALL: u64 = 0x81;
const NPF: u64 = 0x400;
/// -1, of which not all CPUs write all 64 bits.
const INVALID: u64 = 0xffff_ffff;

/// The instructions that have an exit code of their own, or share one.
const INSTRUCTIONS: [(u64, &str); 46] = [
    (0x65, "MOV CR0"),
    (0x66, "SIDT"),
    (0x67, "SGDT"),
    (0x68, "SLDT"),
    (0x69, "STR"),
    (0x6a, "LIDT"),
    (0x6b, "LGDT"),
    (0x6c, "LLDT"),
    (0x6d, "LTR"),
    (0x6e, "RDTSC"),
    (0x6f, "RDPMC"),
    (0x70, "PUSHF"),
    (0x71, "POPF"),
    (0x72, "CPUID"),
    (0x73, "RSM"),
    (0x74, "IRET"),
    (0x75, "INT"),
    (0x76, "INVD"),
    (0x77, "PAUSE"),
    (0x78, "HLT"),
    (0x79, "INVLPG"),
    (0x7a, "INVLPGA"),
    (0x7d, "task switch"),
    (0x7e, "FERR"),
    (0x80, "VMRUN"),
    (0x82, "VMLOAD"),
    (0x83, "VMSAVE"),
    (0x84, "STGI"),
    (0x85, "CLGI"),
    (0x86, "SKINIT"),
    (0x87, "RDTSCP"),
    (0x88, "ICEBP"),
    (0x89, "WBINVD"),
    (0x8a, "MONITOR"),
    (0x8b, "MWAIT"),
    (0x8c, "MWAIT"),
    (0x8d, "XSETBV"),
    (0x8e, "RDPRU"),
    (0xa0, "INVLPGB"),
    (0xa1, "INVLPGB"),
    (0xa2, "INVPCID"),
    (0xa3, "MCOMMIT"),
    (0xa4, "TLBSYNC"),
    (0xa5, "bus lock"),
    (0xa6, "HLT"),
    (0x64, "virtual interrupt"),
];

impl Report {
    /// What it means.
    pub(super) fn event(self) -> Event {
        let [eax, ecx, edx] = self.registers;
        let direction = |write: bool| if write { Access::Write } else { Access::Read };
        Event::Stopped(match self.code {
            INTR..=INIT => return Event::Interrupted,
            MACHINE_CHECK => return Event::MachineCheck,
            VMMCALL => Reason::Answer(u64::from(edx) << 32 | u64::from(eax)),
            NPF => Reason::NestedFault {
                address: GuestAddr(self.second),
                access: nested_access(self.first),
            },
            // The type bit is 1 for IN (§15.10.2).
            IOIO => Reason::Port {
                port: (self.first >> 16) as u16,
                access: direction(self.first & 1 == 0),
            },
            MSR => Reason::ModelSpecific {
                register: ecx,
                access: direction(self.first & 1 != 0),
            },
            READ_CR..READ_DR => Reason::Control {
                register: (self.code & 0xf) as u8,
                access: direction(self.code >= WRITE_CR),
            },
            READ_DR..EXCEPTION => Reason::Debug {
                register: (self.code & 0xf) as u8,
                access: direction(self.code >= WRITE_DR),
            },
            EXCEPTION..INTR => Reason::Exception {
                vector: (self.code - EXCEPTION) as u8,
                error: self.first as u32,
            },
            SHUTDOWN => Reason::Shutdown,
            INVALID | u64::MAX => Reason::Refused,
            code => INSTRUCTIONS
                .iter()
                .find(|(known, _)| *known == code)
                .map_or(Reason::Unknown(code), |(_, name)| Reason::Instruction(name)),
        })
    }
}

/// What an access was, from the error code of its nested fault (§15.25.6).
const fn nested_access(error: u64) -> Access {
    const WRITE: u64 = 1 << 1;
    const FETCH: u64 = 1 << 4;
    match error {
        error if error & FETCH != 0 => Access::Execute,
        error if error & WRITE != 0 => Access::Write,
        _ => Access::Read,
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guest has stopped at {}: {}", self.at, self.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(value) => write!(f, "it answers {value:#x}"),
            Self::OutOfTime => f.write_str("its time is up"),
            Self::NestedFault { address, access } => {
                write!(f, "{access} of {address}, which is not in its memory")
            }
            Self::Exception { vector, error } => {
                write!(f, "exception {vector}, error code {error:#x}")
            }
            Self::Port { port, access } => write!(f, "{access} of port {port:#x}"),
            Self::ModelSpecific { register, access } => {
                write!(f, "{access} of model-specific register {register:#x}")
            }
            Self::Control { register, access } => write!(f, "{access} of CR{register}"),
            Self::Debug { register, access } => write!(f, "{access} of DR{register}"),
            Self::Instruction(name) => f.write_str(name),
            Self::Shutdown => f.write_str("it could not handle its own exceptions"),
            Self::Refused => f.write_str("the CPU refuses the control block"),
            Self::Unknown(code) => write!(f, "exit code {code:#x}, for which nobody asked"),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Execute => "execution",
        })
    }
}

#[cfg(test)]
#[path = "exit_tests.rs"]
mod tests;
