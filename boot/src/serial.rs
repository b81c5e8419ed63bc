//! The loader's only voice: COM1.

use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use uart_16550::backend::PioBackend;
use uart_16550::{Config, Uart16550Tty};

struct Console(UnsafeCell<Option<Uart16550Tty<PioBackend>>>);

// SAFETY: the loader runs on one CPU with interrupts off; `write` is the only access and is not re-entered.
unsafe impl Sync for Console {}

static CONSOLE: Console = Console(UnsafeCell::new(None));

/// Writes formatted text. Called by [`print`].
///
/// The UART is prepared at the first word, which is one of an error. A loader that succeeds leaves
/// it alone: keys that wait in it are for the kernel.
pub fn write(text: fmt::Arguments<'_>) {
    // SAFETY: the only reference, by the reasoning at `Console`.
    let console = unsafe { &mut *CONSOLE.0.get() };
    if console.is_none() {
        // SAFETY: port 0x3f8 is COM1 on every PC, and nobody else drives it now.
        *console = unsafe { Uart16550Tty::new_port(0x3f8, Config::default()) }.ok();
    }
    if let Some(uart) = console {
        // A UART does not fail to send; there is nowhere to report it if it did.
        let _ = uart.write_fmt(text);
    }
}

macro_rules! print {
    ($($argument:tt)*) => { $crate::serial::write(format_args!($($argument)*)) };
}
pub(crate) use print;
