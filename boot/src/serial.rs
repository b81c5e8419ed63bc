//! The loader's only voice: COM1.

use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use uart_16550::backend::PioBackend;
use uart_16550::{Config, Uart16550Tty};

struct Console(UnsafeCell<Option<Uart16550Tty<PioBackend>>>);

// SAFETY: the loader runs on one CPU with interrupts off; `write` is the only access and is not re-entered.
unsafe impl Sync for Console {}

static CONSOLE: Console = Console(UnsafeCell::new(None));

/// Prepares COM1. Without a serial port the loader stays silent and goes on.
pub fn init() {
    // SAFETY: port 0x3f8 is COM1 on every PC, and nobody else drives it now.
    let uart = unsafe { Uart16550Tty::new_port(0x3f8, Config::default()) };
    // SAFETY: no reference to the console exists.
    unsafe { CONSOLE.0.get().write(uart.ok()) };
}

/// Writes formatted text. Called by [`print`].
pub fn write(text: fmt::Arguments<'_>) {
    // SAFETY: the only reference, by the reasoning at `Console`.
    let console = unsafe { &mut *CONSOLE.0.get() };
    if let Some(uart) = console {
        // A UART does not fail to send; there is nowhere to report it if it did.
        let _ = uart.write_fmt(text);
    }
}

macro_rules! print {
    ($($argument:tt)*) => { $crate::serial::write(format_args!($($argument)*)) };
}
pub(crate) use print;
