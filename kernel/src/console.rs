//! The serial console: COM1, text out and keys in.
//!
//! [`print!`](crate::print!) and [`println!`](crate::println!) go through one lock.
//! The panic path does not: [`emergency`] writes to the port directly, so that a panic while the
//! lock is held, even by the code that panics, still gets out.

use core::fmt::{self, Write};
use spin::Mutex;
use uart_16550::backend::PioBackend;
use uart_16550::{Config, Uart16550};

/// The I/O port of COM1 on every PC.
const COM1: u16 = 0x3f8;

static UART: Mutex<Option<Uart16550<PioBackend>>> = Mutex::new(None);

/// Prepares COM1. Without a serial port all output is dropped and no key ever comes.
pub fn init() {
    // SAFETY: COM1 belongs to the kernel from here on; the loader no longer runs.
    let uart = unsafe { Uart16550::new_port(COM1) };
    *UART.lock() = uart
        .ok()
        .and_then(|mut uart| uart.init(Config::default()).ok().map(|()| uart));
}

/// The console as a text sink and a byte source.
#[derive(Debug, Clone, Copy, Default)]
pub struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if let Some(uart) = UART.lock().as_mut() {
            send(uart, text);
        }
        Ok(())
    }
}

impl embedded_io::ErrorType for Console {
    type Error = core::convert::Infallible;
}

impl embedded_io::Read for Console {
    /// Waits for at least one byte.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let received = UART
                .lock()
                .as_mut()
                .map_or(0, |uart| uart.receive_bytes(buffer));
            if received > 0 {
                return Ok(received);
            }
            core::hint::spin_loop();
        }
    }
}

impl embedded_io::Write for Console {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        if let Some(uart) = UART.lock().as_mut() {
            uart.send_bytes_exact(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Takes a waiting byte, if there is one.
pub fn try_read() -> Option<u8> {
    UART.lock()
        .as_mut()
        .and_then(|uart| uart.try_receive_byte().ok())
}

/// Writes past the lock. For panics and exceptions only: it may tear other output apart.
pub fn emergency(text: fmt::Arguments<'_>) {
    struct Raw(Uart16550<PioBackend>);
    impl Write for Raw {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            send(&mut self.0, text);
            Ok(())
        }
    }
    // SAFETY: the UART was configured by `init` or by the loader; sending bytes disturbs nobody
    // but the text of whoever was interrupted.
    if let Ok(uart) = unsafe { Uart16550::new_port(COM1) } {
        // Sending cannot fail, and there would be nowhere to say so.
        let _ = Raw(uart).write_fmt(text);
    }
}

/// Terminals want a carriage return before each line feed.
fn send(uart: &mut Uart16550<PioBackend>, text: &str) {
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            uart.send_bytes_exact(b"\r\n");
        }
        uart.send_bytes_exact(line.as_bytes());
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
