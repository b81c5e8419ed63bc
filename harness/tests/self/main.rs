//! The harness tests itself: guests that end badly must be reported as what they are.
//!
//! Half of the guests are micro guests without a kernel, which can lie at will.
//! The other half are in-VM tests of the module `selftest` of the image of in-VM tests. They are
//! broken on purpose, and so left out of the normal run.

mod control;
mod kernel;
mod lies;
mod words;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = lies::trials();
    trials.extend(words::trials());
    trials.extend(control::trials());
    trials.extend(kernel::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}
