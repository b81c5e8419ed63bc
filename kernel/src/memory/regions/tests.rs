//! Owning memory that is not there: nothing here reads or writes it.

use super::*;
use crate::block::blocking::wait;
use crate::dma::{
    Buffer, BufferError, DmaError, DmaLimits, Domain, Memory, Mixed, Owner, Phyrs, map,
    map_or_bounce,
};
use crate::memory::frames::{Frames, host};
use crate::memory::paging::Cache;
use crate::storage::Name;
use alloc::vec;
use alloc::vec::Vec;
use core::future::Future;
use core::task::Waker;
use phyr::{DmaAddr, PhysAddr};

const LIMITS: DmaLimits = DmaLimits {
    alignment: 4,
    ..DmaLimits::NONE
};

/// Memory high above all that there is.
fn provider_at(addr: u64, len: u64) -> Arc<Provider> {
    let phyr = Phyr::new(PhysAddr::new(addr), len).unwrap();
    let (name, keeper) = (Name::numbered("mock"), Arc::new(()));
    // SAFETY: nothing reads or writes it.
    unsafe { Provider::new(name, Kind::Device, phyr, Cache::Uncached, keeper) }
}

fn provider(len: u64) -> Arc<Provider> {
    provider_at(0x7000_0000_0000, len)
}

/// A device whose addresses end with this one.
fn reaching(last: PhysAddr) -> DmaLimits {
    DmaLimits {
        last: DmaAddr::new(last.get()),
        ..LIMITS
    }
}

#[test]
fn what_is_given_out_is_given_out_once() {
    let provider = provider(0x10_0000);
    let first = provider.claim(0x1000, 0x2000).unwrap();
    assert_eq!(provider.claim(0x2fff, 2).unwrap_err(), ClaimError::Taken);
    assert_eq!(provider.claim(0, 0).unwrap_err(), ClaimError::OutOfRange);
    assert_eq!(
        provider.claim(0xf_ffff, 2).unwrap_err(),
        ClaimError::OutOfRange
    );
    assert_eq!(
        provider.claim(u64::MAX, 2).unwrap_err(),
        ClaimError::OutOfRange
    );
    let second = provider.claim(0x3000, 1).unwrap();
    drop(first);
    assert!(provider.claim(0x1000, 0x2000).is_ok());
    drop(second);
    assert_eq!(provider.free(), [provider.phyr()]);
}

#[test]
fn regions_are_divided_and_joined_and_nothing_is_lost() {
    let provider = provider(1000);
    let all = provider.claim_all().unwrap();
    let all = all.split_at(0).unwrap_err().split_at(1000).unwrap_err();
    let (front, back) = all.split_at(333).unwrap();
    assert_eq!((front.phyr().len(), back.phyr().len()), (333, 667));
    // In the other order they do not touch, and both come back.
    let (back, front) = back.join(front).unwrap_err();
    assert!(provider.free().is_empty());
    let all = front.join(back).unwrap();
    assert_eq!(all.phyr(), provider.phyr());
    let (front, back) = all.split_at(1).unwrap();
    drop(front);
    assert_eq!(
        provider.free().iter().map(|free| free.len()).sum::<u64>(),
        1
    );
    drop(back);
    assert_eq!(provider.free(), [provider.phyr()]);
}

#[test]
fn d16_memory_of_two_devices_touches_and_stays_apart() {
    let left = provider_at(0x7000_0000_0000, 0x1000);
    let right = provider_at(0x7000_0000_1000, 0x1000);
    let (left, right) = (left.claim_all().unwrap(), right.claim_all().unwrap());
    let (left, right) = left.join(right).unwrap_err();
    let mut mixed = Mixed::new();
    mixed.push(left);
    mixed.push(right);
    let memory = mixed.into_memory();
    let Ok(Phyrs::List(list)) = memory.phyrs() else {
        panic!("two devices' memory is no one phyr");
    };
    assert_eq!(list.phyrs().len(), 2);
    assert_eq!(list.phyrs().bytes(), 0x2000);
}

#[test]
fn memory_of_one_device_is_joined_where_it_touches() {
    let provider = provider(0x3000);
    let (left, right) = provider.claim_all().unwrap().split_at(0x1000).unwrap();
    let mut mixed = Mixed::new();
    mixed.push(left);
    mixed.push(right);
    let Ok(Phyrs::One(phyr)) = mixed.into_memory().phyrs() else {
        panic!("one device's memory in one piece is one phyr");
    };
    assert_eq!(phyr, provider.phyr());
}

#[test]
fn a_mixed_buffer_keeps_its_order_and_gives_back_its_pieces() {
    let _arena = host::arena();
    let (far, near) = (
        provider_at(0x7000_0000_0000, 0x4000),
        provider_at(0x6000_0000_0000, 0x4000),
    );
    let (frames, ram) = {
        let frames = Frames::allocate(0x2000).unwrap();
        let ram = frames.phyr();
        (frames, ram)
    };
    let mut mixed = Mixed::new();
    mixed.push(far.claim(0x1000, 0x1000).unwrap());
    mixed.push(frames);
    mixed.push(near.claim(0, 0x800).unwrap().into_memory());
    let memory = mixed.into_memory();
    assert_eq!(memory.len(), 0x3800);
    let places = |memory: &Memory| match memory.phyrs().unwrap() {
        Phyrs::One(phyr) => vec![phyr],
        Phyrs::List(list) => list.phyrs().iter().collect::<Vec<_>>(),
    };
    let phyr = |addr, len| Phyr::new(PhysAddr::new(addr), len).unwrap();
    assert_eq!(
        places(&memory),
        [
            phyr(0x7000_0000_1000, 0x1000),
            ram,
            phyr(0x6000_0000_0000, 0x800)
        ]
    );
    // A part of it: the end of the first, all of the second, the start of the third.
    let memory = memory.part(0xc00..0x3400).unwrap();
    assert_eq!(
        places(&memory),
        [
            phyr(0x7000_0000_1c00, 0x400),
            ram,
            phyr(0x6000_0000_0000, 0x400)
        ]
    );
    let memory = memory.part(0x500..0x600).unwrap();
    assert_eq!(places(&memory), [ram.sub(0x100, 0x100).unwrap()]);
    let mixed = alloc::boxed::Box::<Mixed>::from_memory(memory).unwrap();
    let mut pieces = mixed.into_pieces().into_iter();
    let mut next = || pieces.next().unwrap();
    assert_eq!(Region::from_memory(next()).unwrap().phyr().len(), 0x1000);
    assert_eq!(Frames::from_memory(next()).unwrap().phyr(), ram);
    assert_eq!(Region::from_memory(next()).unwrap().phyr().len(), 0x800);
    assert_eq!(far.free(), [far.phyr()]);
}

#[test]
fn nothing_is_put_on_the_bus_that_was_taken_back() {
    let provider = provider(0x2000);
    let region = provider.claim(0, 0x1000).unwrap();
    assert_eq!(provider.try_revoke(), Ok(()));
    assert_eq!(provider.claim(0x1000, 1).unwrap_err(), ClaimError::Revoked);
    let memory = region.into_memory();
    let (error, buffer) = map(Buffer::from_device(memory), &Domain::DIRECT, &LIMITS).unwrap_err();
    assert_eq!(
        error,
        DmaError::Buffer(BufferError::Region(RegionError::Revoked))
    );
    let region = Region::from_memory(buffer.into_memory()).unwrap();
    assert_eq!(region.read(0, &mut [0]), Err(RegionError::Revoked));
    drop(region);
    assert_eq!(provider.uses(), 0);
}

#[test]
fn what_a_device_knows_of_is_not_taken_back() {
    let provider = provider(0x2000);
    let (first, second) = provider.claim_all().unwrap().split_at(0x1000).unwrap();
    let mut mixed = Mixed::new();
    mixed.push(first);
    let mapping = map(
        Buffer::from_device(mixed.into_memory()),
        &Domain::DIRECT,
        &LIMITS,
    )
    .unwrap();
    assert_eq!(provider.try_revoke(), Err(InUse(1)));
    assert!(!provider.is_revoked(), "a refusal changes nothing");
    let other = map(
        Buffer::to_device(second.into_memory()),
        &Domain::DIRECT,
        &LIMITS,
    )
    .unwrap();
    assert_eq!(provider.try_revoke(), Err(InUse(2)));
    // A request that nobody asked for any more: its memory is dropped when the device is done.
    drop(other);
    assert_eq!(provider.try_revoke(), Err(InUse(1)));
    let memory = mapping.unmap().into_memory();
    let mixed = alloc::boxed::Box::<Mixed>::from_memory(memory).unwrap();
    assert_eq!(provider.try_revoke(), Ok(()), "its holder has it again");
    drop(mixed);
    assert_eq!(provider.free(), [provider.phyr()]);
}

#[test]
fn taking_back_waits_for_the_device_and_lets_nothing_new_in() {
    let provider = provider(0x2000);
    let (first, second) = provider.claim_all().unwrap().split_at(0x1000).unwrap();
    let mapping = map(
        Buffer::from_device(first.into_memory()),
        &Domain::DIRECT,
        &LIMITS,
    )
    .unwrap();
    let mut waiting = core::pin::pin!(provider.revoke());
    let mut cx = core::task::Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    let refused = map(
        Buffer::from_device(second.into_memory()),
        &Domain::DIRECT,
        &LIMITS,
    );
    assert!(refused.is_err(), "the door is closed while the last leaves");
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    drop(mapping);
    wait(waiting);
    assert!(provider.is_revoked());
}

/// RAM that a device does not reach is copied for it; the memory of another device never is.
#[test]
fn e2_only_ram_is_copied_for_a_device() {
    let arena = host::arena();
    let low = Frames::allocate(0x4000).unwrap();
    let high = Frames::allocate(0x1000).unwrap();
    let limits = reaching(low.phyr().last());
    drop(low);
    let free = arena.free_bytes();
    let ram = Buffer::to_device(high.into_memory());
    let mapping = map_or_bounce(ram, &Domain::DIRECT, &limits).unwrap();
    assert_eq!(mapping.ranges().bounced(), 0x1000);
    drop(mapping);

    let free = free + 0x1000;
    assert_eq!(arena.free_bytes(), free);
    let region = provider(0x1000).claim_all().unwrap();
    let device = Buffer::to_device(region.into_memory());
    let (error, buffer) = map_or_bounce(device, &Domain::DIRECT, &limits).unwrap_err();
    assert_eq!(error, DmaError::Unreachable { index: 0 });
    assert_eq!(arena.free_bytes(), free, "no RAM was taken for it");
    assert!(Region::from_memory(buffer.into_memory()).is_ok());
}

/// Whoever has memory offers a list, and a device says what it can use. What does not suit it is
/// named, and the memory comes back for another one.
#[test]
fn e16_what_is_offered_is_taken_as_it_is_or_refused_by_name() {
    let (near, far) = (provider_at(0x6000_0000_0000, 0x1800), provider(0x1000));
    let mut offer = Mixed::new();
    offer.push(near.claim_all().unwrap());
    offer.push(far.claim_all().unwrap());
    let mut memory = offer.into_memory();
    let rules = [
        (
            reaching(near.phyr().last()),
            DmaError::Unreachable { index: 1 },
        ),
        (
            DmaLimits {
                granule: 4096,
                ..LIMITS
            },
            DmaError::Gap { index: 1 },
        ),
        (
            DmaLimits {
                entries: 1,
                ..LIMITS
            },
            DmaError::TooManyPieces { pieces: 2 },
        ),
    ];
    for (limits, expected) in rules {
        let offered = Buffer::from_device(memory);
        let (error, refused) = map(offered, &Domain::DIRECT, &limits).unwrap_err();
        assert_eq!(error, expected);
        memory = refused.into_memory();
    }
    let nothing = Buffer::from_device(Mixed::new().into_memory());
    let (error, _) = map(nothing, &Domain::DIRECT, &LIMITS).unwrap_err();
    assert_eq!(error, DmaError::Buffer(BufferError::Empty));

    let mapping = map(Buffer::from_device(memory), &Domain::DIRECT, &LIMITS).unwrap();
    let mut cursor = mapping.ranges().cursor();
    for provider in [&near, &far] {
        let range = cursor.next(u64::MAX).unwrap();
        let phyr = provider.phyr();
        assert_eq!(
            (range.addr().get(), range.len()),
            (phyr.addr().get(), phyr.len())
        );
    }
    assert_eq!(cursor.remaining(), 0);
}
