//! The rows: what physical ranges should be able to do.
//!
//! Which tests show it is not written here. They are found by their names: a test of row A5 begins
//! with `a5_`, and one of several rows with all of them, `b1_b2_`.

/// One capability.
pub(super) struct Row {
    /// A letter for the part, and a number.
    pub(super) id: &'static str,
    /// What can be done.
    pub(super) what: &'static str,
    pub(super) here: Here,
}

/// How much of it is shown. What is missing is said by a text that begins with `not yet` or with
/// `cannot run here`, and goes on with the reason.
pub(super) enum Here {
    /// All of it: there is a test.
    All,
    /// A part: there is a test, and this is missing.
    Part(&'static str),
    /// Nothing. A row that gets a test loses its reason.
    Nothing(&'static str),
}

/// The parts, by their letters.
pub(super) const PARTS: [(char, &str); 5] = [
    ('a', "What a range is"),
    ('b', "Memory of every kind"),
    ('c', "Pins, and lists in place of pages"),
    ('d', "The way to the bus"),
    ('e', "What came later"),
];

const fn row(id: &'static str, what: &'static str) -> Row {
    let here = Here::All;
    Row { id, what, here }
}

const fn part(id: &'static str, what: &'static str, missing: &'static str) -> Row {
    let here = Here::Part(missing);
    Row { id, what, here }
}

const fn nothing(id: &'static str, what: &'static str, why: &'static str) -> Row {
    let here = Here::Nothing(why);
    Row { id, what, here }
}

const NO_32_BITS: &str = "cannot run here: a machine of 32 bits, for Phyros is for 64 bits only";
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    row("a1", "a range takes 16 bytes on a 64-bit machine, and so does one that may be missing"),
    part("a2", "12 bytes, where addresses have 64 bits and lengths 32", NO_32_BITS),
    part("a3", "8 bytes, where both have 32 bits", NO_32_BITS),
    row("a4", "in none of the three it is larger than a `bio_vec` there"),
    row("a5", "one range may be longer than 4 GiB"),
    row("a6", "it may start and end at any byte"),
    row("a7", "1 GiB is one range, one leaf of the page tables, and one descriptor of a device"),
    row("a8", "what touches is joined once, when a list is made, and by no driver"),
    row("a9", "memory without page structures is contiguous like any other"),
    row("a10", "an array of ranges has a known layout, without holes"),

    row("b1", "a disk reads into the memory of a PCI device"),
    row("b2", "a disk writes from the memory of a PCI device, and a packet leaves from there"),
    row("b3", "the buffer inside of an NVMe controller is source and target, its own and another one's"),
    row("b4", "so is the persistent region of an NVMe controller, and its content outlasts the machine"),
    row("b5", "so is persistent memory, and what was made to last outlasts the machine"),
    row("b6", "a disk reads straight into the RAM of a guest"),
    row("b7", "the CPU sees the same bytes there as the device"),
    row("b8", "what is no linear memory cannot become a range that a device is told of"),
    row("b9", "memory that is not really there is found out, although the disk reports success"),

    row("c1", "a range of virtual memory is pinned, and described by as few physical ranges as there can be"),
    row("c2", "unpinning gives everything back"),
    row("c3", "what is pinned is not unmapped, freed or used for something else"),
    row("c4", "pins for reading and pins for writing differ, and one for writing breaks copy on write first"),
    row("c5", "a part can be unpinned before the rest"),
    row("c6", "an output that is full is resumed, and no range is torn by it"),
    row("c7", "requests carry lists of ranges, and no interface of a device takes pages or pointers"),
    row("c8", "page tables take ranges, and map them with the largest leaves that fit"),
    row("c9", "the allocator gives out ranges, without overlap, and joins what comes back"),

    row("d1", "one call maps a list for a device"),
    row("d2", "what comes out is address and length on the bus, of another type than what went in"),
    row("d3", "a list of 100 000 entries needs no allocation of more than 4 KiB"),
    row("d4", "where the numbers are the same, the list is used again: no copy and no allocation"),
    row("d5", "where they differ, the device gets the bus address"),
    row("d6", "an IOMMU makes one range of scattered pages"),
    row("d7", "unmapping is complete: an old address faults, and changes nothing"),
    row("d8", "the same driver, in the same binary, works with an IOMMU of either kind and without"),
    row("d9", "a device that does not reach all addresses is refused, or helped by a copy"),
    row("d10", "ranges are cut to the longest segment and at the boundaries of a device"),
    row("d11", "the IOMMU's granule decides what can be joined on the bus"),
    row("d12", "the best page size of a device for a list is found"),
    row("d13", "a list is walked in blocks of a device's size"),
    row("d14", "memory with gaps that pages cannot describe is described by other means"),
    row("d15", "pieces may be shorter than a page, and as many as a device takes"),
    row("d16", "what kind of memory it is stands beside the range, and not in its 16 bytes"),
    row("d17", "one request mixes RAM and the memory of devices"),
    row("d18", "there is no way from a bus range back to a physical one"),
    row("d19", "what can be copied by the CPU has a method for it, and what cannot has none"),
    row("d20", "each piece of a mixed list knows its provider, and their order is kept"),
    row("d21", "a list costs 16 bytes for each piece that is apart, and nothing for what touches"),
    row("d22", "drivers have no loops over ranges, except where these are written down for a device"),

    row("e1", "places on the bus are taken and filled step by step, and a failure half-way leaves nothing"),
    row("e2", "the kind of memory decides how it is mapped: what is no RAM is not copied behind anybody's back"),
    row("e3", "each piece of a device's memory has a provider, which is not removed while it is in use"),
    row("e4", "memory that is taken back is reached by no device any more"),
    row("e5", "PRP lists are chained where a page is full, and not before"),
    row("e6", "SGLs have blocks, segments and a last segment, and are chosen where they say more"),
    row("e7", "what fits into a command needs no list"),
    row("e8", "metadata may lie in another kind of memory than its data"),
    row("e9", "what is unmapped is what was mapped, and is not worked out from what the device was told"),
    row("e10", "a transfer is cut where a device has had enough"),
    row("e11", "virtio devices take ranges of every kind"),
    row("e12", "memory that a virtio device cannot reach is copied for it"),
    row("e13", "a packet is received into and sent from ranges of several kinds"),
    row("e14", "free memory is reported to the hypervisor by ranges"),
    row("e15", "two drivers share memory that the CPU does not map"),
    row("e16", "who has memory and who uses it agree on a list, and what does not suit is named"),
    nothing("e17", "remote memory is read and written by ranges (RDMA)",
        "cannot run here: QEMU's RDMA adapter wants one in the host. Not yet: a substitute over Ethernet"),
    nothing("e18", "memory that is shared with an untrusted host is a kind of its own",
        "cannot run here: QEMU does not emulate a machine with encrypted memory"),
    row("e19", "unmapping costs nothing where there is nothing to undo"),
    row("e20", "copying is asked for, and goes the way that the data goes"),
];
