//! Namespaces by the driver's own handles: those that are no block devices, and requests that no
//! block device knows.
//!
//! Memory for a read lies between canaries, and starts where no page does.

use crate::block::blocking::wait;
use crate::dma::{self, Buffer, Memory, Owner, Transfer};
use crate::drivers::nvme::hub::Hub;
use crate::drivers::nvme::namespace::LIMITS;
use crate::memory::frames::Frames;
use crate::storage;
use alloc::sync::Arc;
use alloc::vec::Vec;
use nvme::{Error, Namespace, Operation, Request};

const PAGE: u64 = 4096;
const CANARY: u8 = 0xa5;
/// Where the part that counts begins.
const START: usize = 64;

/// A namespace, and the way to it.
pub(super) struct Bare {
    pub(super) hub: Arc<Hub>,
    pub(super) namespace: Namespace,
}

/// A namespace of a controller, both counted as QEMU does.
pub(super) fn bare(controller: usize, nsid: u32) -> Bare {
    storage::volumes();
    let hub = storage::controllers()[controller].clone();
    let handle = hub.controller().expect("nobody takes it");
    let namespace = handle.namespace(nsid).expect("the machine has it");
    assert_eq!(namespace.unusable, None);
    Bare { hub, namespace }
}

/// Memory of so many bytes with canaries around it; none for no bytes.
fn memory(bytes: u64) -> Option<Memory> {
    if bytes == 0 {
        return None;
    }
    let len = (bytes + 2 * START as u64).next_multiple_of(PAGE);
    let mut frames = Frames::allocate(len).expect("there is memory");
    frames.bytes_mut().fill(CANARY);
    let part = START..START + bytes as usize;
    Some(frames.into_memory().part(part).expect("it is inside"))
}

fn to_device(hub: &Hub, bytes: &[u8]) -> Option<Transfer> {
    let mut memory = memory(bytes.len() as u64)?;
    memory.bytes_mut().copy_from_slice(bytes);
    let mapped = dma::map(Buffer::to_device(memory), hub.domain(), &LIMITS);
    Some(mapped.expect("it can be reached").into())
}

fn from_device(hub: &Hub, bytes: u64) -> Option<Transfer> {
    let mapped = dma::map(Buffer::from_device(memory(bytes)?), hub.domain(), &LIMITS);
    Some(mapped.expect("it can be reached").into())
}

/// What arrived, if nothing arrived beside it.
fn contents(transfer: Option<Transfer>) -> Vec<u8> {
    let Some(transfer) = transfer else {
        return Vec::new();
    };
    let memory = transfer.into_memory();
    let bytes = memory.bytes().to_vec();
    let whole = memory.whole();
    let (before, rest) = whole.bytes().split_at(START);
    let mut around = before.iter().chain(&rest[bytes.len()..]);
    assert!(
        around.all(|byte| *byte == CANARY),
        "bytes beside it changed"
    );
    bytes
}

impl Bare {
    /// Carries out an operation that moves no data.
    pub(super) fn perform(&self, operation: Operation) -> Result<u64, Error> {
        wait(self.hub.execute(Request::new(operation))).result
    }

    /// Carries out an operation that brings data, and metadata if it has any of its own.
    pub(super) fn bring(&self, operation: Operation) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let done = wait(self.hub.execute(Request {
            data: from_device(&self.hub, operation.bytes()),
            metadata: from_device(&self.hub, operation.metadata_bytes()),
            operation,
        }));
        let both = (contents(done.data), contents(done.metadata));
        done.result.map(|_| both)
    }

    /// Carries out an operation that takes data, and metadata if it has any of its own.
    pub(super) fn send(
        &self,
        operation: Operation,
        data: &[u8],
        metadata: &[u8],
    ) -> Result<u64, Error> {
        let request = Request {
            data: to_device(&self.hub, data),
            metadata: to_device(&self.hub, metadata),
            operation,
        };
        wait(self.hub.execute(request)).result
    }
}

/// The status, type and code, with which the controller refused.
pub(super) fn status<T>(result: Result<T, Error>) -> (u8, u8) {
    match result {
        Err(Error::Command(error)) => (error.status.sct(), error.status.sc()),
        Err(other) => panic!("no word of the controller: {other}"),
        Ok(_) => (0, 0),
    }
}

/// Bytes of a disk's image, by way of the host.
pub(super) fn on_disk(disk: u64, at: u64, len: usize) -> Vec<u8> {
    let frames = Frames::zeroed((len as u64).next_multiple_of(PAGE)).expect("there is memory");
    let part = frames.phyr().sub(0, len as u64).expect("it is inside");
    vm_test::host::read_disk(disk, at, part);
    frames.bytes()[..len].to_vec()
}
