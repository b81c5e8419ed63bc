//! The serial console: COM1, text out and keys in.
//!
//! [`print!`](crate::print!) and [`println!`](crate::println!) go through one lock.
//! The panic path does not: [`emergency`] writes to the port directly, so that a panic while the
//! lock is held, even by the code that panics, still gets out.
//!
//! Keys may be waiting before the kernel runs: somebody typed ahead, or piped a script in.
//! Preparing the UART would drop them, so it is only prepared while nothing waits.
//!
//! Sending waits for the UART, which is as fast as its other end. Receiving waits for a person: [`read`]
//! is for tasks, and lets the CPU halt until the UART interrupts.

#[cfg(phyros)]
mod keys;

#[cfg(phyros)]
pub use keys::read;

use crate::lock::Mutex;
use core::fmt::{self, Write};
use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::{IER, MCR};
use uart_16550::{Config, Uart16550};

/// The I/O port of COM1 on every PC.
const COM1: u16 = 0x3f8;

/// Bytes that a UART with its FIFOs enabled takes at once.
const FIFO: usize = 16;

/// A UART, and how many bytes it takes at once.
struct Port {
    uart: Uart16550<PioBackend>,
    burst: usize,
}

static PORT: Mutex<Option<Port>> = Mutex::new(None);

/// Prepares COM1. Without a serial port all output is dropped and no key ever comes.
pub fn init() {
    // SAFETY: COM1 belongs to the kernel from here on; the loader no longer runs.
    let Ok(mut uart) = (unsafe { Uart16550::new_port(COM1) }) else {
        return;
    };
    if !uart.check_present() {
        return;
    }
    let burst = if uart.ready_to_receive().is_ok() {
        // Whoever let these bytes arrive has prepared the UART.
        1
    } else if uart.init(Config::default()).is_ok() {
        FIFO
    } else {
        return;
    };
    *PORT.lock() = Some(Port { uart, burst });
}

impl Port {
    /// Lets the UART interrupt when bytes have come.
    fn enable_interrupt(&mut self) {
        self.uart.enable_interrupts(IER::DATA_READY);
        // If somebody else has prepared the UART, its line may be cut off from the interrupt
        // controller.
        let outputs = MCR::DTR | MCR::RTS | MCR::OUT_2_INT_ENABLE;
        // SAFETY: the modem control register of COM1, which belongs to the kernel; these outputs
        // are those that preparing the UART sets.
        unsafe { x86_64::instructions::port::Port::new(COM1 + 4).write(outputs.bits()) };
    }

    fn send(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(self.burst) {
            self.uart.send_bytes_exact(part);
        }
    }

    /// Terminals want a carriage return before each line feed.
    fn send_text(&mut self, text: &str) {
        for (index, line) in text.split('\n').enumerate() {
            if index > 0 {
                self.send(b"\r\n");
            }
            self.send(line.as_bytes());
        }
    }
}

/// The console as a text sink and a byte source.
#[derive(Debug, Clone, Copy, Default)]
pub struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(port) = PORT.lock().as_mut() {
            port.send_text(text);
        }
        Ok(())
    }
}

impl embedded_io::ErrorType for Console {
    type Error = core::convert::Infallible;
}

impl embedded_io::Write for Console {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        if let Some(port) = PORT.lock().as_mut() {
            port.send(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Writes past the lock. For panics and exceptions only: it may tear other output apart.
pub fn emergency(text: fmt::Arguments<'_>) {
    struct Raw(Port);
    impl Write for Raw {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.send_text(text);
            Ok(())
        }
    }
    // SAFETY: sending bytes one by one needs no preparation and disturbs nobody but the text of
    // whoever was interrupted.
    if let Ok(uart) = unsafe { Uart16550::new_port(COM1) } {
        // Sending cannot fail, and there would be nowhere to say so.
        let _ = Raw(Port { uart, burst: 1 }).write_fmt(text);
    }
}

/// Prints formatted text on the console.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => {{
        // The console cannot fail.
        let _ = ::core::fmt::Write::write_fmt(&mut $crate::console::Console, ::core::format_args!($($argument)*));
    }};
}

/// Prints formatted text and a line feed on the console.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => { $crate::print!("{}\n", ::core::format_args!($($argument)*)) };
}
