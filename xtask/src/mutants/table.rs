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
        name: "length-plus-one",
        mistake: "an SGL descriptor is one byte longer than its memory",
        file: "drivers/nvme/src/sgl.rs",
        find: "Kind::DataBlock.with_length(piece.len())",
        replace: "Kind::DataBlock.with_length(piece.len() + 1)",
        tests: &[host!("phyros-nvme", "e7_a_piece_is_a_data_block")],
    },
    Mutant {
        name: "last-entry-dropped",
        mistake: "a list that is cut for a device loses its last piece",
        file: "kernel/src/dma/limits.rs",
        find: "            let pushed = pieces.push_apart(piece);\n",
        replace: "            if cursor.remaining() == 0 {\n                break;\n            }\n            let pushed = pieces.push_apart(piece);\n",
        tests: &[host!("phyros-kernel", "d10_pieces_are_the_whole")],
    },
    Mutant {
        name: "list-entries-swapped",
        mistake: "two entries of a PRP list change places",
        file: "drivers/nvme/src/prp.rs",
        find: "        store(self.slot * 8, page);\n",
        replace: "        store((self.slot ^ 1) * 8, page);\n",
        tests: &[host!("phyros-nvme", "scattered_pages_are_one_command")],
    },
    Mutant {
        name: "physical-for-bus",
        mistake: "a device behind an IOMMU is told of physical addresses",
        file: "kernel/src/dma/ranges.rs",
        find: "        if domain.is_direct() && limits.admit(range) {\n",
        replace: "        if limits.admit(range) {\n",
        tests: &[host!("phyros-kernel", "d5_where_the_numbers_differ")],
    },
    Mutant {
        name: "unpin-skipped",
        mistake: "memory stays pinned when its pin is dropped",
        file: "kernel/src/memory/address_space/pinned.rs",
        find: "        self.space.unpin(self.range, self.access);\n",
        replace: "",
        tests: &[vm!("c2_unpin_gives_everything_back")],
    },
    Mutant {
        name: "pin-ignored",
        mistake: "memory is unmapped, and freed, although it is pinned",
        file: "kernel/src/memory/address_space/state.rs",
        find: "        if let Some(pinned) = self.pins.first_in(range) {\n            return Err(SpaceError::Pinned(pinned.range));\n        }\n        self.forget(range, gone)\n",
        replace: "        self.forget(range, gone)\n",
        tests: &[vm!("c3_a_pin_blocks_unmap_free_and_reuse")],
    },
    Mutant {
        name: "kinds-merged",
        mistake: "the memory of two devices is joined where it touches",
        file: "kernel/src/dma/mixed.rs",
        find: "        (Some(one), Some(other)) => Arc::ptr_eq(one, other),\n",
        replace: "        (Some(_), Some(_)) => true,\n",
        tests: &[host!("phyros-kernel", "d16_memory_of_two_devices")],
    },
    Mutant {
        name: "mask-ignored",
        mistake: "a device is given addresses that it does not reach",
        file: "kernel/src/dma/limits.rs",
        find: "range.last().get() <= self.last.get() && range.addr()",
        replace: "range.addr()",
        tests: &[host!("phyros-kernel", "d9_the_last_byte_must_be_reachable")],
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
