//! The tests of an image, read from its ELF file. Nothing is booted for it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection};
use vm_test::{SECTION, Test};

/// Time limit of a test that does not name one.
///
/// A test takes a tenth of a second when the machine is idle; a loaded one is slower, not hung.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(60);

/// One in-VM test, as the host knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The path of the function.
    pub name: String,
    /// Source file and line.
    pub place: String,
    /// The words that describe the machine.
    pub machine: String,
    /// The test is meant to panic with a message that contains this.
    pub should_panic: Option<String>,
    /// The test has failed if it is not over after this time.
    pub limit: Duration,
    /// Why the test runs only on request.
    pub ignored: Option<String>,
}

/// Reads the tests of a kernel, sorted by name.
///
/// # Errors
/// If the file is no ELF file, has no tests, or has been built with another version of the record.
pub fn read(kernel: &Path) -> Result<Vec<Listed>> {
    let bytes = fs::read(kernel).with_context(|| format!("cannot read `{}`", kernel.display()))?;
    read_bytes(&bytes).with_context(|| format!("cannot list the tests of `{}`", kernel.display()))
}

fn read_bytes(elf: &[u8]) -> Result<Vec<Listed>> {
    let file = object::File::parse(elf)?;
    let section = file
        .section_by_name(SECTION)
        .with_context(|| format!("it has no section `{SECTION}`: was it linked with its tests?"))?;
    let section = section.data()?;
    let record = size_of::<Test>();
    ensure!(
        section.len().is_multiple_of(record),
        "its section `{SECTION}` has half a record"
    );

    let mut tests = Vec::new();
    for bytes in section.chunks_exact(record) {
        let test = Test::describe(bytes).context("its records have another layout")?;
        tests.push(Listed {
            name: test.name.to_owned(),
            place: format!("{}:{}", test.file, test.line),
            machine: test.machine.to_owned(),
            should_panic: test.should_panic.map(str::to_owned),
            limit: test
                .timeout_seconds
                .map_or(DEFAULT_LIMIT, |seconds| Duration::from_secs(seconds.into())),
            ignored: test.ignored.map(str::to_owned),
        });
    }
    tests.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(twins) = tests.windows(2).find(|pair| pair[0].name == pair[1].name) {
        bail!(
            "two tests have the name `{}`: {} and {}",
            twins[0].name,
            twins[0].place,
            twins[1].place
        );
    }
    Ok(tests)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_test::vm_test;

    // This very program is an ELF file with tests in it. They are never run.
    #[vm_test]
    fn plain() {}

    #[vm_test(
        machine = "nvme,lba=4096",
        should_panic = "oh",
        timeout = 7,
        ignore = "slow"
    )]
    fn decorated() -> Result<(), String> {
        Ok(())
    }

    #[test]
    fn marked_functions_are_found_in_the_file() {
        let tests = read(Path::new("/proc/self/exe")).unwrap();
        let [decorated, plain] = tests.as_slice() else {
            panic!("{tests:?}")
        };
        assert_eq!(plain.name, "harness::list::tests::plain");
        assert_eq!((plain.machine.as_str(), plain.limit), ("", DEFAULT_LIMIT));
        assert_eq!((&plain.should_panic, &plain.ignored), (&None, &None));
        assert!(plain.place.contains("src/list.rs:"), "{}", plain.place);
        assert_eq!(decorated.machine, "nvme,lba=4096");
        assert_eq!(decorated.limit, Duration::from_secs(7));
        assert_eq!(decorated.should_panic.as_deref(), Some("oh"));
        assert_eq!(decorated.ignored.as_deref(), Some("slow"));
    }

    #[test]
    fn a_file_without_tests_is_an_error_with_a_hint() {
        assert!(read_bytes(b"no ELF").is_err());
        let error = read(Path::new("/bin/true")).unwrap_err();
        assert!(
            format!("{error:#}").contains("linked with its tests"),
            "{error:#}"
        );
    }
}
