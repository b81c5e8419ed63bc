//! Cutting transfers into commands: at limits, at rough edges, and nowhere else.

use crate::model::{Bench, Config, PAGE, list};
use nvme::Limits;

fn limits(config: Config) -> Limits {
    Bench::new(config).limits(1).expect("limits")
}

#[test]
fn limits_are_the_smallest_of_all_bounds() {
    let limit = |mdts, shift| limits(Config::with_disk(64, shift).mdts(mdts)).max_transfer_bytes;
    assert_eq!(limit(1, 9), 8 << 10);
    assert_eq!(limit(5, 9), 128 << 10);
    assert_eq!(limit(7, 12), 512 << 10);
    assert_eq!(limit(0, 12), 4 << 20);
    assert_eq!(limit(10, 12), 4 << 20);
    assert_eq!(limit(20, 12), 4 << 20);
    assert_eq!(limit(255, 12), 4 << 20);
    // A list describes more than a command can count, in blocks of 512 bytes.
    let with_lists = |shift| limits(Config::with_disk(64, shift).mdts(0).sgls(1));
    assert_eq!(with_lists(9).max_transfer_bytes, 32 << 20);
    assert_eq!(with_lists(12).max_transfer_bytes, 256 << 20);
    let pages = |mdts| limits(Config::with_disk(64, 12).mdts(mdts)).max_pages;
    assert_eq!([0, 1, 9, 10].map(pages), [1024, 3, 513, 1024]);
    let limits = limits(Config::default());
    assert_eq!((limits.alignment, limits.edge_alignment), (4, 4096));
    assert_eq!(limits.commands, 63);
    assert_eq!(self::limits(Config::default().mqes(3)).commands, 3);
}

/// The commands of one long read.
fn commands(config: Config, offset: u64, pages: u64) -> Vec<u64> {
    let bench = Bench::new(config);
    let bus = bench.pages(pages as usize + 1);
    let target = list(&[(bus + offset, pages * PAGE)]);
    bench.read(1, 5, &target).expect("it reads");
    let commands = bench.commands();
    let blocks: u64 = commands.iter().map(|(_, _, _, blocks)| blocks).sum();
    assert_eq!(bench.contents(&target), bench.disk(1, 5, blocks));
    let mut next = 5;
    for (opcode, nsid, block, blocks) in &commands {
        assert_eq!((*opcode, *nsid, *block), (2, 1, next));
        next += blocks;
    }
    commands.iter().map(|(_, _, _, blocks)| *blocks).collect()
}

/// Each command is as large as MDTS allows, and not one block larger.
#[test]
fn commands_are_as_large_as_mdts_allows() {
    for mdts in 1..=9 {
        let pages = (1 << mdts) + 1;
        let config = Config::with_disk(8192, 12).mdts(mdts);
        assert_eq!(commands(config, 0, pages), [1 << mdts, 1]);
        let config = Config::with_disk(1 << 16, 9).mdts(mdts);
        assert_eq!(commands(config, 0, pages), [8 << mdts, 8]);
    }
}

/// An offset in the first page makes no command smaller, as long as there are list entries.
#[test]
fn an_offset_costs_no_command() {
    let config = Config::with_disk(8192, 12).mdts(3);
    assert_eq!(commands(config, 0xffc, 16), [8, 8]);
}

/// 1024 pages are the most, so 4 MiB with an offset take two commands.
#[test]
fn four_mebibytes_are_one_command_and_chained_lists() {
    let config = Config::with_disk(8192, 12).mdts(0);
    assert_eq!(commands(config.clone(), 0, 1024), [1024]);
    assert_eq!(commands(config.clone(), 4, 1024), [1023, 1]);
    assert_eq!(commands(config, 0, 1025), [1024, 1]);
}

/// Lists of exactly one page, and one entry more.
#[test]
fn lists_around_a_full_page_are_read_as_written() {
    for pages in 510..=516 {
        let config = Config::with_disk(8192, 12).mdts(0);
        assert_eq!(commands(config, 0, pages), [pages]);
        let config = Config::with_disk(8192, 12).mdts(0);
        assert_eq!(commands(config, 2048, pages), [pages]);
    }
}

#[test]
fn rough_edges_between_blocks_are_cuts() {
    let bench = Bench::new(Config::default());
    let bus = bench.pages(16);
    let target = list(&[
        (bus + 0x100, 0x400),
        (bus + 0x1ffc, 0x200),
        (bus + 0x4000, 0x1000),
        (bus + 0x8000, 0x200),
        (bus + 0x9000, 0x200),
    ]);
    bench.read(1, 0, &target).expect("it reads");
    assert_eq!(bench.contents(&target), bench.disk(1, 0, 13));
    assert_eq!(
        bench.commands(),
        [(2, 1, 0, 2), (2, 1, 2, 1), (2, 1, 3, 9), (2, 1, 12, 1)]
    );
}

/// A block may be cut at page boundaries, however small the pieces are.
#[test]
fn smooth_edges_inside_blocks_are_no_cuts() {
    let bench = Bench::new(Config::with_disk(64, 14));
    let bus = bench.pages(16);
    let target = list(&[
        (bus + 0xffc, 4),
        (bus + 0x3000, 0x1000),
        (bus + 0x9000, 0x2000),
        (bus + 0x5000, 0xffc),
    ]);
    bench.read(1, 7, &target).expect("it reads");
    assert_eq!(bench.contents(&target), bench.disk(1, 7, 1));
    assert_eq!(bench.commands(), [(2, 1, 7, 1)]);
}

#[test]
fn writes_are_cut_as_reads_are() {
    let bench = Bench::new(Config::with_disk(4096, 12).mdts(2));
    let bus = bench.pages(16);
    let source = list(&[(bus + 12, 10 * PAGE)]);
    let data: Vec<u8> = (0..10 * PAGE)
        .map(|byte| ((byte * byte) >> 7) as u8)
        .collect();
    bench.set_contents(&source, &data);
    bench.write(1, 11, &source).expect("it writes");
    assert_eq!(bench.disk(1, 11, 10), data);
    assert_eq!(
        bench.commands(),
        [(1, 1, 11, 4), (1, 1, 15, 4), (1, 1, 19, 2)]
    );
}
