//! Devices that are not brought up to the end: by mistakes of their own, or because nobody waits for it.

use super::platform::{Told, VirtioPlatform};
use super::{is_disk, places, probe};
use crate::block::blocking::wait;
use crate::cores;
use crate::interrupts::Interrupt;
use crate::machine::machine;
use crate::memory::frames::with_allocator;
use crate::memory::heap;
use crate::pci::device::{Device, DeviceError, Owners};
use crate::pci::ecam::Ecam;
use crate::pci::{ConfigRead, Function, header};
use crate::storage;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::future::poll_fn;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};
use embassy_futures::yield_now;
use phyr::{Phyr, PhysAddr};
use vm_test::vm_test;

/// Memory that is free, or that the heap has taken to give it out.
fn free_or_heap_bytes() -> u64 {
    with_allocator(|allocator| allocator.free_bytes()) + heap::taken()
}

async fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        yield_now().await;
    }
}

fn owners() -> &'static Arc<Owners<Ecam>> {
    machine().pci.as_ref().expect("a PC").owners()
}

/// A disk that nobody has asked for yet.
fn unused_disk() -> Function {
    let tree = machine().pci.as_ref().expect("a PC");
    tree.functions().into_iter().find(is_disk).expect("a disk")
}

/// Waits until a device is nobody's.
async fn free_again(disk: &Function) -> Device<Ecam> {
    loop {
        match owners().claim(disk) {
            Ok(device) => return device,
            Err(DeviceError::Taken) => yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Sees how a device is when its interrupt goes.
struct Witness(Function, Arc<AtomicU32>);

impl Wake for Witness {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Witness {
    fn drop(&mut self) {
        let command = owners().config().read(self.0.address, header::COMMAND);
        self.1.store(command, Ordering::Relaxed);
    }
}

#[vm_test(machine = "virtio,size=16M", timeout = 60)]
fn a_device_that_is_not_used_is_silent_before_its_interrupt_goes() {
    let disk = unused_disk();
    let device = owners().claim(&disk).unwrap();
    let mut blocks = places(&device, &disk).0.unwrap();
    // As if it said that its configuration is somewhere else.
    blocks.device = Phyr::new(PhysAddr::new(0x1000), 64).unwrap();
    device.use_line();
    let interrupt = Interrupt::allocate(cores::current());
    let seen = Arc::new(AtomicU32::new(0));
    let witness = Waker::from(Arc::new(Witness(disk.clone(), seen.clone())));
    assert!(
        interrupt
            .poll_raised(&mut Context::from_waker(&witness))
            .is_pending()
    );
    drop(witness);
    let command = owners().config().read(disk.address, header::COMMAND);
    assert_eq!(command & header::COMMAND_INTX_DISABLE, 0, "it may ask");
    let told = Told::Message(interrupt);
    let refused = VirtioPlatform::new(device, &blocks, told).err();
    assert_eq!(refused, Some(DeviceError::Outside(blocks.device)));
    let seen = seen.load(Ordering::Relaxed);
    assert_ne!(seen & header::COMMAND_INTX_DISABLE, 0, "{seen:#x}");
    drop(wait(free_again(&disk)));
}

/// Whether somebody was woken, and wakes somebody else.
struct Flag(AtomicBool, Waker);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
        self.1.wake_by_ref();
    }
}

/// Polls something so many times, each time that it wants it, and drops it. Returns the result if there is one by then.
async fn poll_times<T>(times: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    for _ in 0..times {
        let ours = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        let flag = Arc::new(Flag(false.into(), ours));
        let waker = Waker::from(flag.clone());
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        if let Poll::Ready(result) = polled {
            return Some(result);
        }
        until(|| flag.0.load(Ordering::Acquire)).await;
    }
    None
}

/// At whatever moment: the device is nobody's then, and all memory is there.
#[vm_test(machine = "virtio,size=16M,smp=2", timeout = 120)]
fn a_disk_whose_bring_up_is_dropped_is_let_go() {
    let disk = unused_disk();
    let mut steps = 0;
    let mut before = 0;
    let drive = loop {
        steps += 1;
        if let Some(result) = wait(poll_times(steps, probe(owners(), &disk))) {
            break result.expect("it is a good disk");
        }
        drop(wait(free_again(&disk)));
        match steps {
            1 => before = free_or_heap_bytes(),
            _ => assert_eq!(free_or_heap_bytes(), before, "after {steps} steps"),
        }
    };
    assert!(steps > 4, "{steps} steps");
    assert_eq!(storage::volumes().len(), 1);
    wait(drive.leave());
    drop(drive);
    drop(wait(free_again(&disk)));
}

/// The first request of a disk: what it is called.
#[vm_test(machine = "virtio,size=16M", timeout = 60)]
fn a_question_for_a_name_that_is_given_up_leaves_no_place_taken() {
    storage::volumes();
    let drive = storage::virtio_disks()[0].clone();
    let requests = || drive.with_queue(|local| local.unwrap().with(|queue| queue.requests()));
    let name = wait(drive.model());
    let before = free_or_heap_bytes();
    for polls in 1..4 {
        assert_eq!(wait(poll_times(polls, drive.model())).is_some(), polls > 1);
        // It comes behind the other, and is done when that is.
        assert_eq!(wait(drive.model()), name);
        assert_eq!((requests(), free_or_heap_bytes()), (0, before));
    }
    wait(drive.leave());
}
