//! Scatter gather lists: when commands have them, and what they can do that PRPs cannot.

use crate::allocation;
use crate::model::{
    Bench, CANARY, Config, Data, Fate, Ours, PAGE, Then, list, protected_disk, status,
};
use nvme::{Access, Error, Options, Request, RequestError, Unmappable};

const BYTES: u32 = 1;
const DWORDS: u32 = 2;

/// A controller without a limit of its own, and blocks of 512 bytes.
fn config(sgls: u32) -> Config {
    Config::with_disk(1 << 16, 9).mdts(0).sgls(sgls)
}

/// PSDT of each command since the last call.
fn kinds(bench: &Bench) -> Vec<u8> {
    let log = std::mem::take(&mut bench.machine.model().log);
    log.iter().map(|entry| entry.cdw0.psdt()).collect()
}

/// Reads to memory in pages of canaries, and writes from it: the bytes are right, and no other one
/// of the pages is touched.
fn there_and_back(bench: &Bench, pages: (u64, u64), memory: &Ours) {
    let block_size = u64::from(bench.namespace(1).expect("a namespace").block_size);
    let blocks = memory.bytes() / block_size;
    let whole = list(&[(pages.0, pages.1 * PAGE)]);
    bench.set_contents(&whole, &vec![CANARY; (pages.1 * PAGE) as usize]);
    bench.read(1, 5, memory).expect("it reads");
    assert!(bench.contents(memory) == bench.disk(1, 5, blocks));
    bench.set_contents(memory, &vec![CANARY; memory.bytes() as usize]);
    assert!(bench.contents(&whole).iter().all(|byte| *byte == CANARY));
    let data: Vec<u8> = (0..memory.bytes())
        .map(|at| ((at * at) >> 7) as u8)
        .collect();
    bench.set_contents(memory, &data);
    bench.write(1, 99, memory).expect("it writes");
    assert!(bench.disk(1, 99, blocks) == data);
}

/// Memory that PRPs cannot describe, or only in many commands, goes as it is, in one.
#[test]
fn rough_edges_and_odd_addresses_are_one_command() {
    let bench = Bench::new(config(BYTES));
    let bus = bench.pages(16);
    for pieces in [
        // Rough edges between blocks.
        vec![
            (bus + 0x100, 0x400),
            (bus + 0x1ffc, 0x200),
            (bus + 0x4000, 0x1000),
        ],
        // And inside of them, at odd addresses.
        vec![
            (bus + 3, 0x1fd),
            (bus + 0x1001, 0x103),
            (bus + 0x3fff, 0x300),
        ],
        vec![(bus + 1, 512)],
        vec![(bus + 0x1fff, 1), (bus + 0x5000, 511)],
    ] {
        there_and_back(&bench, (bus, 16), &list(&pieces));
        assert_eq!(kinds(&bench), [1, 1], "{pieces:x?}");
    }
}

/// Pages have PRPs, and long pieces have lists.
#[test]
fn what_suits_pages_has_prps() {
    let bench = Bench::new(config(BYTES));
    let bus = bench.pages(64);
    let pages = |count: u64| (0..count).map(move |page| (bus + (count - 1 - page) * PAGE, PAGE));
    for (pieces, kind) in [
        (vec![(bus, 512)], 0),
        (vec![(bus + 0xffc, 8192)], 0),
        (vec![(bus, 28 << 10)], 0),
        (vec![(bus, 32 << 10)], 1),
        (vec![(bus + 0x100, 64 << 10), (bus + 0x2_0000, 512)], 1),
        (pages(60).collect(), 0),
    ] {
        there_and_back(&bench, (bus, 64), &list(&pieces));
        assert_eq!(kinds(&bench), [kind, kind], "{} pieces", pieces.len());
    }
}

/// As many pieces as there may be, in five segments; and one more.
#[test]
fn d15_a_command_has_up_to_1024_pieces() {
    for (count, commands) in [(256, 1), (257, 1), (1024, 1), (1025, 2), (1500, 2)] {
        let bench = Bench::new(config(BYTES));
        let bus = bench.pages(380);
        // From the last to the first, so that no two touch.
        let piece = |index: u64| (bus + 1 + (count - 1 - index) * 1000, 512);
        let memory = list(&(0..count).map(piece).collect::<Vec<_>>());
        there_and_back(&bench, (bus, 380), &memory);
        assert_eq!(kinds(&bench), vec![1; 2 * commands], "{count} pieces");
    }
}

/// A long piece is as long as the controller lets it be.
#[test]
fn only_mdts_and_the_number_of_blocks_cut_long_pieces() {
    let limit = |mdts, shift| {
        let bench = Bench::new(Config::with_disk(64, shift).mdts(mdts).sgls(BYTES));
        bench.limits(1).expect("limits").max_transfer_bytes
    };
    assert_eq!(limit(7, 9), 512 << 10);
    assert_eq!(limit(0, 9), 32 << 20);
    assert_eq!(limit(0, 14), 1 << 30);
    assert_eq!(limit(0, 20), (4 << 30) - (1 << 20), "a length has 32 bits");
    let bench = Bench::new(Config {
        pages: 3000,
        ..config(BYTES)
    });
    let bus = bench.pages(2000);
    let memory = list(&[(bus, 1990 * PAGE)]);
    bench.read(1, 3, &memory).expect("it reads");
    assert!(bench.contents(&memory) == bench.disk(1, 3, 1990 * 8));
    assert_eq!(bench.commands(), [(2, 1, 3, 1990 * 8)]);
}

#[test]
fn limits_say_what_goes_without_a_copy() {
    let limits = |sgls| {
        let bench = Bench::new(config(sgls));
        let namespace = bench.namespace(1).expect("a namespace");
        (namespace.limits(), namespace.command_limits())
    };
    let rough = list(&[(0x1001, 5), (0x3000, 507)]);
    let smooth = list(&[(0x1004, 512)]);
    for (sgls, alignment, edge_alignment) in [(BYTES, 1, 1), (DWORDS, 4, 4), (0, 4, 4096)] {
        let (limits, rules) = limits(sgls);
        assert_eq!(
            (limits.alignment, limits.edge_alignment),
            (alignment, edge_alignment)
        );
        assert_eq!(limits.max_pieces, 1024);
        assert_eq!(rules.check(rough.cursor()).is_ok(), sgls == BYTES);
        assert_eq!(rules.check(smooth.cursor()), Ok(()));
    }
}

/// A controller that wants multiples of four bytes gets them.
#[test]
fn a_granularity_of_four_bytes_is_kept() {
    let bench = Bench::new(config(DWORDS));
    let bus = bench.pages(16);
    let memory = list(&[(bus + 4, 0x1fc), (bus + 0x1ff8, 4), (bus + 0x4000, 0x200)]);
    there_and_back(&bench, (bus, 16), &memory);
    assert_eq!(kinds(&bench), [1, 1]);
    for (pieces, offset) in [
        (vec![(bus + 2, 512)], 0),
        (vec![(bus, 6), (bus + 0x1000, 506)], 6),
        (vec![(bus, 8), (bus + 0x1001, 504)], 8),
    ] {
        let refused = Unmappable::Misaligned { offset };
        let refused = Err(Error::Request(RequestError::Memory(refused)));
        assert_eq!(bench.read(1, 0, &list(&pieces)), refused);
    }
    assert_eq!(bench.commands(), []);
}

/// A block in more pieces than there are descriptors must be copied.
#[test]
fn a_block_in_crumbs_is_refused() {
    let bench = Bench::new(Config::with_disk(1000, 12).sgls(BYTES));
    let bus = bench.pages(4);
    let crumbs = |count: u64| {
        let last = (bus + 2 * count, PAGE - (count - 1));
        let crumbs = (0..count - 1).map(|index| (bus + 2 * index, 1));
        list(&crumbs.chain([last]).collect::<Vec<_>>())
    };
    bench.read(1, 0, &crumbs(1024)).expect("it reads");
    let refused = RequestError::Memory(Unmappable::Length { offset: 0 });
    assert_eq!(
        bench.read(1, 0, &crumbs(1025)),
        Err(Error::Request(refused))
    );
    assert_eq!(kinds(&bench), [1]);
}

/// Nobody but the driver would notice that memory is longer than the data: some controllers do not.
#[test]
fn memory_is_as_long_as_the_blocks() {
    let bench = Bench::new(config(BYTES));
    let disk = bench.namespace(1).expect("a namespace");
    let bus = bench.pages(8);
    for bytes in [511, 513, 1024, 4096] {
        let memory = list(&[(bus + 1, bytes)]);
        let data = Data::lent(&memory, Access::FROM_DEVICE);
        let read = disk.read(0, 1).expect("a read");
        let length = RequestError::Length {
            bytes,
            block_size: 512,
        };
        let done = bench.execute(Request::with_data(read, data));
        assert_eq!(done.result, Err(Error::Request(length)));
    }
    assert_eq!(bench.commands(), []);
}

/// Metadata has one address, whatever the data is described by.
#[test]
fn separate_metadata_goes_with_a_list() {
    let disk = protected_disk(1000, 1, 0, false);
    let bench = Bench::new(Config::with_everything().sgls(BYTES).put(1, disk));
    let disk = bench.namespace(1).expect("a namespace");
    let bus = bench.pages(8);
    let memory = list(&[(bus + 1, 700), (bus + 0x2003, 836)]);
    let metadata = list(&[(bus + 0x4104, 24)]);
    let bytes: Vec<u8> = (0..1536_u32).map(|at| ((at * 7) >> 3) as u8).collect();
    bench.set_contents(&memory, &bytes);
    bench.set_contents(&metadata, &bytes[..24]);
    let request = |operation, access| {
        let (data, metadata) = (Data::lent(&memory, access), Data::lent(&metadata, access));
        Request::with_metadata(operation, data, metadata)
    };
    let write = disk.write(40, 3).expect("a write");
    let written = bench.execute(request(write, Access::TO_DEVICE));
    assert_eq!(written.result, Ok(0));
    assert_eq!(bench.disk(1, 40, 3), bytes);
    bench.set_contents(&memory, &[0; 1536]);
    bench.set_contents(&metadata, &[0; 24]);
    let read = disk.read(40, 3).expect("a read");
    assert_eq!(
        bench.execute(request(read, Access::FROM_DEVICE)).result,
        Ok(0)
    );
    assert_eq!(bench.contents(&memory), bytes);
    assert_eq!(bench.contents(&metadata), bytes[..24]);
    assert_eq!(kinds(&bench), [1, 1]);
}

/// A command that is sent again has its list again.
#[test]
fn a_retry_has_the_same_list() {
    const READ: u8 = 2;
    let bench = Bench::with_options(config(BYTES), Options::default());
    let bus = bench.pages(8);
    let memory = list(&[(bus + 1, 700), (bus + 0x2003, 836)]);
    let fate = Fate::of_next(READ, Then::End(status(0, 0x06)));
    bench.machine.model().fates.push(fate);
    bench.read(1, 9, &memory).expect("it reads");
    assert_eq!(bench.contents(&memory), bench.disk(1, 9, 3));
    assert_eq!(kinds(&bench), [1, 1]);
}

#[test]
fn lists_allocate_nothing() {
    let bench = Bench::new(config(BYTES));
    let bus = bench.pages(380);
    let piece = |index: u64| (bus + 1 + (1499 - index) * 1000, 512);
    let memory = list(&(0..1500).map(piece).collect::<Vec<_>>());
    bench.sleep(1000);
    let disk = bench.namespace(1).expect("a namespace");
    let requests = [disk.read(3, 1500), disk.write(3, 1500)].map(|operation| {
        let data = Data::lent(&memory, Access::BOTH);
        Request::with_data(operation.expect("a transfer"), data)
    });
    let before = bench.machine.model().allocations;
    let heap = allocation::count(|| {
        for request in requests {
            assert_eq!(bench.execute(request).result, Ok(0));
        }
    });
    let allocations = bench.machine.model().allocations - before;
    assert_eq!((allocations, heap), (0, 0));
    assert_eq!(kinds(&bench), [1; 4]);
}
