//! The panic handler: say what, say where, end the machine.
//!
//! It takes no lock and allocates nothing, so it works in the allocator, in the console, and
//! before either is ready. A panic within a panic ends the machine without more words.

use crate::arch::backtrace;
use crate::console::emergency;
use crate::cores::{self, stop};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

static PANICKING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    stop::others();
    if PANICKING.swap(true, Ordering::Relaxed) {
        crate::exit::failure();
    }
    #[cfg(feature = "vm-tests")]
    vm_test::record::panicked(format_args!("{}", info.message()));
    emergency(format_args!("\nPANIC: {info}\n"));
    cores::say_which();
    backtrace::print_here();
    crate::exit::failure()
}
