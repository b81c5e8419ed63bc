//! Keys: what comes in by the UART.

use super::{Console, PORT};
use crate::cores::{self, CoreId, PerCore};
use crate::executor;
use crate::interrupts::{self, Interrupt};
use embassy_time::{Duration, Timer};

/// The interrupt of COM1 on every PC.
const IRQ: u8 = 4;

impl embedded_io::Read for Console {
    /// Waits for at least one byte, and runs this core's tasks meanwhile.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        Ok(executor::block_on(read(buffer)))
    }
}

/// Waits for bytes, and takes as many as there are and as the buffer has room for. One reader at a time.
///
/// On the boot core it waits for the UART's interrupt. On other cores, and where the machine has no
/// such interrupt, it looks every few milliseconds.
pub async fn read(buffer: &mut [u8]) -> usize {
    /// 16 bytes take as long at 115 200 baud.
    const INTERVAL: Duration = Duration::from_micros(1400);
    if buffer.is_empty() {
        return 0;
    }
    let interrupt = interrupt();
    loop {
        // First, because the line that interrupts may already be up, and only rising counts.
        let received = receive(buffer);
        if received > 0 {
            return received;
        }
        match interrupt {
            Some(interrupt) => interrupt.raised().await,
            None => Timer::after(INTERVAL).await,
        }
    }
}

/// Takes the bytes that wait.
fn receive(buffer: &mut [u8]) -> usize {
    PORT.lock()
        .as_mut()
        .map_or(0, |port| port.uart.receive_bytes(buffer))
}

/// The interrupt of COM1, on the core that has it. The first who asks lets the UART raise it.
fn interrupt() -> Option<&'static Interrupt> {
    static INTERRUPT: PerCore<Option<Interrupt>> = PerCore::new(|| {
        if cores::current() != CoreId::BOOT {
            return None;
        }
        let interrupt = interrupts::legacy(IRQ).ok()?;
        PORT.lock().as_mut()?.enable_interrupt();
        Some(interrupt)
    });
    INTERRUPT.here().as_ref()
}
