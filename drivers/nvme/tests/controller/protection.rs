//! Blocks with metadata and protection information.

use crate::model::{Bench, Config, Data, Machine, Ours, list, protected_disk};
use nvme::protection::{Checks, Mismatch, Tags, View, generate, verify};
use nvme::{Access, Error, Meaning, Namespace, Operation, Request, RequestError};
use phyr::{DmaList, DmaRange};

/// A format with 512 bytes of data and 8 of metadata.
const EIGHT: u8 = 1;
/// The same with 64 bytes of metadata.
const SIXTY_FOUR: u8 = 3;
/// 512 and 16 bytes, with a guard of 64 bits.
const WIDE: u8 = 8;

fn bench(format: u8, protection: u8, is_interleaved: bool) -> (Bench, Namespace) {
    let disk = protected_disk(1000, format, protection, is_interleaved);
    let mut config = Config::with_everything().put(1, disk);
    config.identify.ctratt = 1 << 15;
    let bench = Bench::new(config);
    let namespace = bench.namespace(1).expect("a namespace");
    assert_eq!(namespace.unusable, None);
    (bench, namespace)
}

/// Memory for the data and the metadata of an operation.
struct Lists {
    data: Ours,
    metadata: Ours,
}

impl Lists {
    fn new(bench: &Bench, operation: &Operation) -> Self {
        let piece = |bytes: u64| match bytes {
            0 => list(&[]),
            bytes => list(&[(bench.pages(bytes.div_ceil(4096) as usize + 1) + 64, bytes)]),
        };
        Self {
            data: piece(operation.bytes()),
            metadata: piece(operation.metadata_bytes()),
        }
    }

    fn fill(&self, bench: &Bench, seed: u64) {
        for list in [&self.data, &self.metadata] {
            let bytes = (0..list.bytes()).map(|at| (at * 13 + seed) as u8);
            bench.set_contents(list, &bytes.collect::<Vec<_>>());
        }
    }

    fn contents(&self, bench: &Bench) -> [Vec<u8>; 2] {
        [&self.data, &self.metadata].map(|list| bench.contents(list))
    }
}

fn perform(bench: &Bench, operation: Operation, lists: &Lists) -> Result<u64, Error> {
    let access = Access::BOTH;
    let data = Data::lent(&lists.data, access);
    let request = match lists.metadata.bytes() {
        0 => Request::with_data(operation, data),
        _ => Request::with_metadata(operation, data, Data::lent(&lists.metadata, access)),
    };
    bench.execute(request).result
}

/// The processor's view of the model's memory.
struct Eyes(Machine);

impl View for Eyes {
    fn look(&mut self, range: DmaRange, see: &mut dyn FnMut(&[u8])) {
        let model = self.0.model();
        see(model.memory.bytes(range.addr().get(), range.len() as usize));
    }
    fn store(&mut self, range: DmaRange, bytes: &[u8]) {
        let mut model = self.0.model();
        let memory = model.memory.bytes_mut(range.addr().get(), bytes.len());
        memory.copy_from_slice(bytes);
    }
}

/// Writes blocks and reads them back, cut into several commands.
fn round_trip(bench: &Bench, namespace: &Namespace, blocks: u64) -> Operation {
    let write = namespace.write(90, blocks).expect("a write");
    let lists = Lists::new(bench, &write);
    lists.fill(bench, 5);
    let written = lists.contents(bench);
    perform(bench, write, &lists).expect("it writes");
    lists.fill(bench, 99);
    let read = namespace.read(90, blocks).expect("a read");
    perform(bench, read, &lists).expect("it reads");
    assert!(lists.contents(bench) == written, "it is what was written");
    write
}

#[test]
fn metadata_has_memory_of_its_own() {
    let (bench, namespace) = bench(EIGHT, 0, false);
    assert!(!namespace.is_plain());
    let write = round_trip(&bench, &namespace, 600);
    assert_eq!(
        (write.bytes(), write.metadata_bytes()),
        (600 * 512, 600 * 8)
    );
    // Without it, nothing is sent.
    let memory = list(&[(bench.pages(1), 512)]);
    bench.commands();
    assert_eq!(
        bench.read(1, 0, &memory),
        Err(Error::Request(RequestError::Access))
    );
    assert_eq!(bench.commands(), []);
}

#[test]
fn metadata_follows_its_block() {
    for format in [EIGHT, SIXTY_FOUR] {
        let (bench, namespace) = bench(format, 0, true);
        let write = round_trip(&bench, &namespace, 900);
        let block = 512 + u64::from(namespace.format.metadata);
        assert_eq!((write.bytes(), write.metadata_bytes()), (900 * block, 0));
        let commands = bench.commands();
        // MDTS counts metadata that comes with the data.
        assert!(
            commands
                .iter()
                .all(|(_, _, _, blocks)| blocks * block <= 512 << 10)
        );
    }
}

/// All of the metadata is protection information: the host sees plain blocks, and the
/// information is right all the same.
#[test]
fn the_controller_protects_what_the_host_does_not_see() {
    for kind in 1..=3 {
        for is_interleaved in [false, true] {
            let (bench, namespace) = bench(EIGHT, kind, is_interleaved);
            assert!(namespace.is_plain());
            let write = round_trip(&bench, &namespace, 600);
            assert_eq!((write.bytes(), write.metadata_bytes()), (600 * 512, 0));

            let read = namespace.read(90, 600).expect("a read");
            let tags = Tags::of_block(90, namespace.format.protection.expect("some").guard);
            let read = namespace.protected(read, Checks::new(), tags).expect("raw");
            let lists = Lists::new(&bench, &read);
            perform(&bench, read, &lists).expect("it reads");
            let checks = Checks::new().with_guard(true).with_reference(kind != 3);
            let (data, metadata): (&DmaList, &DmaList) = (&lists.data, &lists.metadata);
            let mut eyes = Eyes(bench.machine.clone());
            let verified = verify(&namespace.format, data, metadata, checks, tags, &mut eyes);
            assert_eq!(verified, Ok(()), "type {kind}");
        }
    }
}

/// The host makes the information, and the controller checks it on the way in and out.
#[test]
fn the_host_protects_what_the_controller_checks() {
    for format in [EIGHT, SIXTY_FOUR, WIDE] {
        for (kind, is_interleaved) in [(1, false), (2, true), (1 | 8, true), (3, false)] {
            let (bench, namespace) = bench(format, kind, is_interleaved);
            let protection = namespace.format.protection.expect("protected");
            let tags = Tags {
                application: 0x1234,
                application_mask: 0xffff,
                reference: Tags::of_block(90, protection.guard).reference,
            };
            let checks = Checks::all(protection.kind);
            let write = namespace.write(90, 600).expect("a write");
            let write = namespace.protected(write, checks, tags).expect("protected");
            let lists = Lists::new(&bench, &write);
            lists.fill(&bench, 5);
            let (data, metadata): (&DmaList, &DmaList) = (&lists.data, &lists.metadata);
            let mut eyes = Eyes(bench.machine.clone());
            generate(&namespace.format, data, metadata, tags, &mut eyes).expect("it fits");
            perform(&bench, write, &lists).expect("the information is right");
            let written = lists.contents(&bench);

            lists.fill(&bench, 77);
            let read = namespace.read(90, 600).expect("a read");
            let read = namespace.protected(read, checks, tags).expect("protected");
            perform(&bench, read, &lists).expect("the information is right");
            assert!(lists.contents(&bench) == written);
            let checked = verify(&namespace.format, data, metadata, checks, tags, &mut eyes);
            assert_eq!(checked, Ok(()));
        }
    }
}

#[test]
fn guards_may_have_64_bits() {
    let (bench, namespace) = bench(WIDE, 1, true);
    let protection = namespace.format.protection.expect("protected");
    assert_eq!(protection.guard.bits(), 64);
    assert!(namespace.is_plain());
    round_trip(&bench, &namespace, 600);
}

#[test]
fn each_kind_of_damage_has_its_status() {
    let (bench, namespace) = bench(EIGHT, 1, false);
    let protection = namespace.format.protection.expect("protected");
    let tags = Tags {
        application: 0x1234,
        application_mask: 0xffff,
        reference: 90,
    };
    let all = Checks::all(protection.kind);
    let write = namespace.write(90, 4).expect("a write");
    let raw = namespace
        .protected(write, Checks::new(), tags)
        .expect("raw");
    let read = namespace.read(90, 4).expect("a read");
    let read = namespace.protected(read, all, tags).expect("checked");
    let lists = Lists::new(&bench, &raw);
    let (data, metadata): (&DmaList, &DmaList) = (&lists.data, &lists.metadata);
    let mut eyes = Eyes(bench.machine.clone());
    // A byte of the guard, of the application tag, of the reference tag of the second block.
    for (offset, code) in [(8, 0x82), (10, 0x83), (15, 0x84)] {
        lists.fill(&bench, 5);
        generate(&namespace.format, data, metadata, tags, &mut eyes).expect("it fits");
        let mut bytes = bench.contents(metadata);
        bytes[offset] ^= 0x10;
        bench.set_contents(metadata, &bytes);
        perform(&bench, raw, &lists).expect("nobody checks");
        let Err(Error::Command(error)) = perform(&bench, read, &lists) else {
            panic!("nobody has seen the damage");
        };
        assert_eq!((error.status.sct(), error.status.sc()), (2, code));
        assert_eq!(error.status.meaning(), Meaning::Integrity);
        bench.set_contents(metadata, &bytes);
        let verified = verify(&namespace.format, data, metadata, all, tags, &mut eyes);
        assert!(matches!(verified, Err(Mismatch::Block { index: 1, .. })));
    }
}

#[test]
fn without_protection_there_is_nothing_to_check() {
    let (_bench, namespace) = bench(EIGHT, 0, false);
    let read = namespace.read(0, 1).expect("a read");
    let tags = Tags::of_block(0, nvme::protection::Guard::Crc16);
    assert_eq!(namespace.protected(read, Checks::new(), tags), Ok(read));
    let checks = Checks::new().with_guard(true);
    let refused = Err(RequestError::Unsupported);
    assert_eq!(namespace.protected(read, checks, tags), refused);
}
