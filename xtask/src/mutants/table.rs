//! The mutants: what is changed, and which tests are to see it.

/// Arguments of cargo that run tests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tests(pub(super) &'static [&'static str]);

/// A mistake that could be made.
pub(super) struct Mutant {
    pub(super) name: &'static str,
    /// What is wrong with it.
    pub(super) mistake: &'static str,
    pub(super) file: &'static str,
    /// The text that is replaced. It is in the file once.
    pub(super) find: &'static str,
    pub(super) replace: &'static str,
    /// Run one after the other, until one goes red.
    pub(super) tests: &'static [Tests],
}

/// Tests in virtual machines whose names contain this.
macro_rules! vm {
    ($name:literal) => {
        Tests(&["xtask", "test", "--only", "vm", $name])
    };
}

/// Tests of a crate on the host whose names contain this.
macro_rules! host {
    ($package:literal, $name:literal) => {
        Tests(&["test", "--quiet", "--package", $package, $name])
    };
}

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "list-entries-swapped",
        mistake: "two entries of a PRP list change places",
        file: "drivers/nvme/src/prp.rs",
        find: "        store(self.slot * 8, page);\n",
        replace: "        store((self.slot ^ 1) * 8, page);\n",
        tests: &[
            host!("phyros-nvme", "scattered_pages_are_one_command"),
            vm!("transfers"),
        ],
    },
    Mutant {
        name: "cid-generation-ignored",
        mistake: "a completion of an old command is taken for a new one's",
        file: "drivers/nvme/src/slots.rs",
        find: "if u16::from(slot.generation) != cid >> SLOT_BITS || !slot.is_outstanding {",
        replace: "if !slot.is_outstanding {",
        tests: &[host!("phyros-nvme", "slots")],
    },
];
