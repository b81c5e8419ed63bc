//! The commands on blocks beside reading and writing.

use crate::model::{Bench, Config, Data, list, protected_disk, status};
use nvme::{Access, Error, Meaning, Operation, Request, RequestError, Status};

/// A controller with every command, and 4096 blocks of 512 bytes.
fn bench() -> Bench {
    Bench::new(Config::with_everything().put(1, protected_disk(4096, 0, 0, false)))
}

/// Carries out what sends memory to the device.
fn send(bench: &Bench, operation: Operation, bus: u64) -> Result<u64, Error> {
    let memory = list(&[(bus, operation.bytes())]);
    let data = Data::lent(&memory, Access::TO_DEVICE);
    bench.execute(Request::with_data(operation, data)).result
}

fn status_of(result: Result<u64, Error>) -> Status {
    match result {
        Err(Error::Command(error)) => error.status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_difference_is_no_success() {
    let bench = bench();
    let disk = bench.namespace(1).expect("a namespace");
    let bus = bench.pages(2);
    let memory = list(&[(bus, 4096)]);
    bench.set_contents(&memory, &bench.disk(1, 7, 8));
    let compare = disk.compare(7, 8).expect("a compare");
    assert_eq!(send(&bench, compare, bus), Ok(0));
    assert_eq!(bench.commands(), [(5, 1, 7, 8)]);
    let mut other = bench.disk(1, 7, 8);
    other[4095] ^= 1;
    bench.set_contents(&memory, &other);
    let status = status_of(send(&bench, compare, bus));
    assert_eq!((status.sct(), status.sc()), (2, 0x85));
    assert_eq!(status.meaning(), Meaning::Mismatch);
    assert_eq!(status.retry_after([0; 3]), None);
}

#[test]
fn zeroes_are_written_without_sending_them() {
    let bench = bench();
    let disk = bench.namespace(1).expect("a namespace");
    let around = [bench.disk(1, 9, 1), bench.disk(1, 110, 1)];
    let zeroes = disk.write_zeroes(10, 100).expect("zeroes");
    assert_eq!(zeroes.bytes(), 0);
    assert_eq!(bench.perform(zeroes.with_deallocation()), Ok(0));
    assert_eq!(bench.disk(1, 10, 100), [0; 51200]);
    assert_eq!([bench.disk(1, 9, 1), bench.disk(1, 110, 1)], around);
    const DEALLOCATE: u64 = 1 << 25;
    let entry = bench.machine.model().log[0];
    assert_eq!((entry.cdw0.opcode(), entry.cdw12_13), (8, DEALLOCATE | 99));
}

#[test]
fn deallocated_blocks_are_named_once() {
    let mut config = Config::with_everything().put(1, protected_disk(4096, 0, 0, false));
    (config.nvm.dmrl, config.nvm.dmrsl) = (3, 100);
    let bench = Bench::new(config);
    let disk = bench.namespace(1).expect("a namespace");
    let all = disk.deallocate(5, 1000).expect("a request");
    assert_eq!(bench.perform(all), Ok(0));
    assert_eq!(
        bench.commands().len(),
        4,
        "three ranges of 100 in a command"
    );
    let model = bench.machine.model();
    let gone: Vec<u64> = model.deallocated.iter().map(|(_, block)| *block).collect();
    assert_eq!(gone, (5..1005).collect::<Vec<_>>());
}

#[test]
fn verify_finds_a_bad_block() {
    let bench = bench();
    let disk = bench.namespace(1).expect("a namespace");
    let bad = status(2, 0x81).with_dnr(true);
    bench.machine.model().bad_blocks.insert(55, bad);
    assert_eq!(bench.perform(disk.verify(0, 55).expect("a verify")), Ok(0));
    let result = bench.perform(disk.verify(0, 56).expect("a verify"));
    let status = status_of(result);
    assert_eq!(status.meaning(), Meaning::Media);
    assert_eq!(bench.commands(), [(0x0c, 1, 0, 55), (0x0c, 1, 0, 56)]);
}

#[test]
fn blocks_are_copied_by_the_controller() {
    let bench = bench();
    let disk = bench.namespace(1).expect("a namespace");
    let before = bench.disk(1, 0, 50);
    let behind = bench.disk(1, 1050, 1);
    let copy = disk.copy(0, 1000, 50).expect("a copy");
    assert_eq!(copy.bytes(), 0);
    assert_eq!(bench.perform(copy), Ok(0));
    assert_eq!(bench.disk(1, 1000, 50), before);
    assert_eq!(bench.disk(1, 1050, 1), behind);
    // Sixteen blocks at a time, in ranges of eight.
    assert_eq!(bench.commands().len(), 4);
    assert_eq!(disk.copy(0, 49, 50), Err(RequestError::Overlap));
    assert_eq!(disk.copy(49, 0, 50), Err(RequestError::Overlap));
    assert!(disk.copy(50, 0, 50).is_ok());
}

#[test]
fn a_write_with_fua_is_durable() {
    let bench = bench();
    let disk = bench.namespace(1).expect("a namespace");
    let bus = bench.pages(1);
    let write = disk.write(3, 8).expect("a write");
    assert_eq!(send(&bench, write.with_fua(), bus), Ok(0));
    assert_eq!(bench.machine.model().cache.dirty(), 0);
    assert_eq!(send(&bench, write, bus), Ok(0));
    assert_eq!(bench.machine.model().cache.dirty(), 8);
    assert_eq!(bench.flush(1), Ok(()));
    assert_eq!(bench.machine.model().cache.dirty(), 0);
}

#[test]
fn options_reach_the_controller() {
    let bench = bench();
    let disk = bench.namespace(1).expect("a namespace");
    let bus = bench.pages(1);
    let write = disk.write(3, 8).expect("a write");
    send(&bench, write.with_fua().with_limited_retry(), bus).expect("it writes");
    let entry = bench.machine.model().log[0];
    assert_eq!(entry.cdw12_13, 1 << 31 | 1 << 30 | 7);
    // Deallocation is for zeroes only.
    assert_eq!(write.with_deallocation(), write);
}

#[test]
fn what_the_controller_has_not_is_not_sent() {
    let bench = Bench::new(Config::default());
    let disk = bench.namespace(1).expect("a namespace");
    let refused = Err(RequestError::Unsupported);
    assert_eq!(disk.compare(0, 1), refused);
    assert_eq!(disk.verify(0, 1), refused);
    assert_eq!(disk.write_zeroes(0, 1), refused);
    assert_eq!(disk.deallocate(0, 1), refused);
    assert_eq!(disk.copy(0, 8, 1), refused);
    assert_eq!(disk.append(0, 1), refused);
    assert_eq!(bench.commands(), []);
}
