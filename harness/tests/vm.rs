//! The in-VM tests, as cargo, nextest and editors see them.
//!
//! Builds the image, reads the list of tests from it, and boots a machine for each. The flags are
//! libtest's, except that commas separate several filters. With `--nocapture`, the serial output of every test is printed, not only a failed one's.

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use harness::grammar::Needs;
use harness::image::{self, Image};
use harness::list::{self, Listed};
use harness::machine::{Accel, Wire};
use harness::tools::Tool;
use harness::vm::network;
use harness::{accel, trial};
use libtest_mimic::{Arguments, Failed, Trial};

/// The application that contains the tests.
const APP: &str = "vm-tests";

/// Tests that are broken on purpose: they test the harness, in another program.
const BROKEN: &str = "vm_tests::selftest::";

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // libtest takes several filters, and libtest-mimic one.
    let filters = arguments.filter.take().unwrap_or_default();
    let wanted = |name: &str| {
        filters.split(',').any(|filter| match arguments.exact {
            true if !filters.is_empty() => name == filter,
            _ => name.contains(filter),
        })
    };
    match trials(arguments.nocapture, wanted) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn trials(show_output: bool, wanted: impl Fn(&str) -> bool) -> Result<Vec<Trial>> {
    Tool::Qemu.command()?;
    let suite = Arc::new(Suite {
        image: image::build(APP)?,
        accel: OnceLock::new(),
        show_output,
    });
    let tests = list::read(&suite.image.kernel).context("no in-VM tests can be run")?;
    let tests = tests
        .into_iter()
        .filter(|test| !test.name.starts_with(BROKEN) && wanted(&test.name));
    Ok(tests
        .map(|test| {
            let suite = Arc::clone(&suite);
            let (name, kind) = (test.name.clone(), test.machine.clone());
            let is_possible = network::obstacle().is_none() || !needs_network(&test);
            let ignored = test.ignored.is_some() || !is_possible;
            Trial::test(name, move || suite.run(&test))
                .with_kind(kind)
                .with_ignored_flag(ignored)
        })
        .collect())
}

/// Whether the test needs a network of its machine's own.
fn needs_network(test: &Listed) -> bool {
    let needs = Needs::parse(&test.machine);
    needs.is_ok_and(|needs| matches!(needs.card.wire, Wire::Tap(_)))
}

struct Suite {
    image: Image,
    accel: OnceLock<Accel>,
    show_output: bool,
}

impl Suite {
    fn run(&self, test: &Listed) -> Result<(), Failed> {
        let accel = *self
            .accel
            .get_or_init(|| accel::choose_for_tests(&self.image));
        let trial = trial::run(&self.image, test, accel).map_err(|error| format!("{error:#}"))?;
        if trial.failure.is_some() {
            return Err(trial.report(&self.image, test).into());
        }
        if self.show_output {
            println!("--- {}\n{}", test.name, trial.ending.serial.trim_end());
        }
        Ok(())
    }
}
