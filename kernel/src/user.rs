//! Programs in ring 3.
//!
//! A [`Program`] is an address space, registers, and an amount of time. It has no power but over its own
//! memory: what else it wants it asks for by a call, and who runs it decides what calls there are. (The
//! convention: `int 0xf8`; the number in `rax`, arguments in `rdi`, `rsi`, `rdx`, `rcx`, `r8`, `r9`; the
//! answer in `rax`; nothing else is changed.)
//!
//! [`run`](Program::run) is a future like any other, and a program that computes does not keep the core
//! from its tasks: each interrupt ends its turn, and then the executor has one. The timer sees to it that
//! one comes. A program that never calls ends when it has used up its time. Nothing else is
//! preempted: the kernel's own tasks are trusted to await.

use crate::arch::ring3::{self, Context, Event, Fault, General};
use crate::executor;
use crate::memory::address_space::{AddressSpace, PinError};
use crate::memory::virt::VirtAddr;
use crate::time;
use alloc::boxed::Box;
use core::fmt;
use embassy_futures::yield_now;

/// The longest turn of a program, in microseconds.
const TURN: u64 = 1000;

/// A program, and what it has.
#[derive(Debug)]
pub struct Program {
    space: AddressSpace,
    context: Box<Context>,
    /// Microseconds that it has left.
    time: u64,
}

/// Why a program does not run any more, for now or for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It asks for something, and goes on when it has [been answered](Program::answer).
    Call {
        /// What it wants.
        number: u64,
        /// Whatever that means.
        arguments: [u64; 6],
    },
    /// It did what it must not, or cannot.
    Fault(Fault),
    /// It has used up its time.
    OutOfTime,
    /// It writes to what it shares with others, and there is no memory for a copy. It goes on with the same write.
    NoMemory,
    /// Without a timer nobody could stop it, so it does not run.
    NoTimer,
}

impl Program {
    /// A program that will begin at `entry`, with its stack below `stack` and these arguments, and may
    /// use so many microseconds.
    pub fn new(
        space: AddressSpace,
        entry: VirtAddr,
        stack: VirtAddr,
        arguments: [u64; 6],
        time: u64,
    ) -> Self {
        let [rdi, rsi, rdx, rcx, r8, r9] = arguments;
        let general = General {
            rdi,
            rsi,
            rdx,
            rcx,
            r8,
            r9,
            ..General::default()
        };
        Self {
            space,
            context: Box::new(Context::new(entry.get(), stack.get(), general)),
            time,
        }
    }

    /// Its memory.
    pub fn space(&self) -> &AddressSpace {
        &self.space
    }

    /// Its memory, of which the program is no more.
    pub fn into_space(self) -> AddressSpace {
        self.space
    }

    /// Lets it run until it wants something or must not go on.
    pub async fn run(&mut self) -> Stop {
        loop {
            if self.time == 0 {
                return Stop::OutOfTime;
            }
            if !executor::interrupt_within(self.time.min(TURN)) {
                return Stop::NoTimer;
            }
            let start = time::microseconds();
            let event = ring3::enter(&mut self.context, &mut self.space);
            let used = time::microseconds().saturating_sub(start);
            self.time = self.time.saturating_sub(used);
            match event {
                Event::Interrupt => yield_now().await,
                Event::Fault(fault) => match self.breaks_sharing(fault) {
                    // It tries that write again.
                    Ok(true) => {}
                    Ok(false) => return Stop::Fault(fault),
                    Err(_) => return Stop::NoMemory,
                },
                Event::Call => {
                    let General {
                        rax: number,
                        rdi,
                        rsi,
                        rdx,
                        rcx,
                        r8,
                        r9,
                        ..
                    } = *self.context.general();
                    let arguments = [rdi, rsi, rdx, rcx, r8, r9];
                    return Stop::Call { number, arguments };
                }
            }
        }
    }

    /// Whether it was only refused a write because others still show the memory, and now it has a copy.
    fn breaks_sharing(&self, fault: Fault) -> Result<bool, PinError> {
        let refused = fault.refused_write().map(VirtAddr::new);
        match refused {
            Some(Ok(addr)) => self.space.written_at(addr),
            _ => Ok(false),
        }
    }

    /// Answers its call.
    pub fn answer(&mut self, value: u64) {
        self.context.general().rax = value;
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Context")
    }
}
