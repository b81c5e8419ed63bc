//! Ports of a console: the host says what the machine must hear, hears what the machine says, comes and goes.

use crate::block::blocking::wait;
use crate::dma::{Memory, Mixed, Owner};
use crate::drivers::helpers;
use crate::drivers::virtio::console::{Console, Port, StreamError};
use crate::memory::address_space::AddressSpace;
use crate::memory::frames::Frames;
use crate::memory::paging::Rights;
use crate::memory::pins::Access;
use crate::memory::regions;
use crate::vm_tests::{apart, scattered};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use virtio::console::PortError;
use vm_test::{host, outlet, pattern, seed, vm_test};

const PAGE: u64 = 4096;
const CANARY: u8 = 0xc5;

/// What the port is called, as the machine's description says.
const NAME: &str = "org.phyros.test";

fn console() -> Arc<Console> {
    let mut consoles = helpers::consoles();
    assert_eq!(consoles.len(), 1, "the machine has one");
    consoles.remove(0)
}

/// The port, when both ends are there.
fn open(console: &Console) -> Port {
    let port = wait(console.wait_for(NAME)).unwrap();
    wait(port.open()).unwrap();
    assert_eq!(port.is_connected(), Ok(false));
    outlet::connect();
    wait(port.connection(true)).unwrap();
    port
}

/// Frames of which all is canary.
fn frames(pages: u64) -> Frames {
    let mut frames = Frames::allocate(pages * PAGE).unwrap();
    frames.bytes_mut().fill(CANARY);
    frames
}

fn assert_canary(bytes: &[u8]) {
    assert!(bytes.iter().all(|byte| *byte == CANARY));
}

/// Lets the host say something, looks whether it came to the front of the memory, says the same, and lets the host
/// compare. QEMU hands on at most 4 KiB at once.
fn echo(port: &Port, memory: impl Owner, at: &mut u64) -> Memory {
    let memory = memory.into_memory();
    let len = memory.len().min(PAGE as usize);
    port.lend(memory).unwrap();
    outlet::say(len as u64, seed(), *at);
    let (memory, came) = wait(port.receive()).unwrap().unwrap();
    assert_eq!(came, len);
    let mut bytes = vec![0; len];
    memory.copy_to(0, &mut bytes).unwrap();
    assert_eq!(pattern::first_difference(seed(), *at, &bytes), None);
    let part = memory.part(0..len).expect("a part of it");
    let memory = wait(port.send(part)).unwrap();
    assert_eq!(outlet::heard(len as u64, seed(), *at), len as u64);
    *at += len as u64;
    memory
}

#[vm_test(machine = "console,ivshmem=1M", timeout = 60)]
fn e11_ports_carry_bytes_into_and_out_of_memory_of_every_kind() {
    let console = console();
    let port = open(&console);
    assert_eq!(port.name(), Ok(Some(NAME.into())));
    let mut at = 0;
    // RAM, at any byte, with canaries on both sides.
    for (start, len) in [(0, 4096), (1, 1), (4095, 2), (77, 4000)] {
        let first = at;
        let part = frames(3).into_memory().part(start..start + len).unwrap();
        let memory = echo(&port, part, &mut at).whole();
        assert_canary(&memory.bytes()[..start]);
        assert_canary(&memory.bytes()[start + len..]);
        let frames = Frames::from_memory(memory).unwrap();
        let part = frames.phyr().sub(start as u64, len as u64).unwrap();
        host::assert_pattern(part, seed(), first);
    }
    // RAM in pieces that do not touch, and a board's memory, as the host sees it.
    let board = regions::find("ivshmem0").expect("the machine has such memory");
    host::fill_file("ivshmem0", 0, 1 << 20, !seed(), 0);
    let first = at;
    let mut mixed = Mixed::new();
    mixed.push(frames(1).into_memory().part(100..300).unwrap());
    let pieces = Box::new(scattered(2)).into_memory();
    mixed.push(pieces.part(3000..5000).unwrap());
    mixed.push(board.claim(2 * PAGE, PAGE).unwrap());
    drop(echo(&port, mixed, &mut at));
    let on_board = PAGE - 2200;
    host::assert_file_pattern("ivshmem0", 2 * PAGE, on_board, seed(), first + 2200);
    let behind = 2 * PAGE + on_board;
    host::assert_file_pattern("ivshmem0", 0, 2 * PAGE, !seed(), 0);
    host::assert_file_pattern("ivshmem0", behind, (1 << 20) - behind, !seed(), behind);
    // A program's, which is pinned.
    let space = AddressSpace::new().unwrap();
    let mapped = space.map(apart(3), Rights::ReadWrite).unwrap();
    let pinned = space.pin(mapped, Access::Write).unwrap();
    drop(echo(&port, Box::new(pinned), &mut at));
    assert_eq!(space.usage().pins, 0);
    assert_eq!(console.handle().failure(), None);
}

#[vm_test(machine = "console,iommu", timeout = 60)]
fn the_host_comes_to_a_port_and_goes() {
    let console = console();
    let port = open(&console);
    let mut at = 0;
    for _ in 0..3 {
        drop(echo(&port, frames(1), &mut at));
        port.lend(frames(1)).unwrap();
        outlet::disconnect();
        wait(port.connection(false)).unwrap();
        assert!(wait(port.receive()).unwrap().is_none());
        let (error, back) = wait(port.send(frames(1))).unwrap_err();
        assert_eq!(error, StreamError::Port(PortError::Closed));
        assert!(back.is_some());
        outlet::connect();
        wait(port.connection(true)).unwrap();
        // What was lent is there for the next.
        outlet::say(10, seed(), at);
        let (memory, came) = wait(port.receive()).unwrap().unwrap();
        let mut bytes = vec![0; came];
        memory.copy_to(0, &mut bytes).unwrap();
        let different = pattern::first_difference(seed(), at, &bytes);
        assert_eq!((came, different), (10, None));
        at += 10;
    }
    wait(port.close()).unwrap();
    assert_eq!(console.handle().failure(), None);
}
