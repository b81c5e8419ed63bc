//! Pictures on screens, from memory in any pieces, with a device that may lie.

use crate::model::world::{notify, run_alone};
use crate::model::{Data, Device, Machine, Mischief};
use std::pin::pin;
use std::task::{Context, Waker};
use virtio::gpu::{Area, Gpu, GpuError, Options, Picture, PictureError, Refusal, ReplyError, Size};
use virtio::{Access, ConfigError, Error, Failure, RequestError, Violation, Waiting};

const SIZE: Size = Size {
    width: 40,
    height: 30,
};
const BYTES: u64 = 40 * 30 * 4;

type Under = Gpu<Machine, Data>;

fn machine(change: impl FnOnce(&mut Device)) -> Machine {
    Machine::new(|ram| {
        let mut device = Device::graphics(ram);
        change(&mut device);
        device
    })
}

fn bring_up(machine: &Machine) -> Result<Under, Error> {
    let made = Gpu::new(machine.clone(), notify(), Options::default());
    run_alone(machine, made)
}

fn gpu(machine: &Machine) -> Under {
    bring_up(machine).expect("a good device")
}

fn pixels(seed: u64, len: u64) -> Vec<u8> {
    (0..len)
        .map(|at| (at / 256 * 7 + at % 251 + seed) as u8)
        .collect()
}

/// Memory in pieces, with content.
fn memory(machine: &Machine, pieces: &[u64], seed: u64) -> Data {
    let data = Data::new(&machine.ram, pieces, Access::ToDevice);
    data.fill(&pixels(seed, pieces.iter().sum()));
    data
}

fn create(machine: &Machine, gpu: &Under) -> Picture {
    run_alone(machine, gpu.create(SIZE)).expect("a picture")
}

/// A picture with memory behind it.
fn attached(machine: &Machine, gpu: &Under) -> Picture {
    let mut picture = create(machine, gpu);
    let memory = memory(machine, &[BYTES], 0);
    run_alone(machine, gpu.attach(&mut picture, memory, 0)).expect("it takes it");
    picture
}

/// From now on the device changes its answers to this kind of command.
fn lie(machine: &Machine, about: u32, change: impl Fn(&mut Vec<u8>) + 'static) {
    machine.device.borrow_mut().graphics.lie = Some(Box::new(move |kind, answer| {
        if kind == about {
            change(answer);
        }
    }));
}

fn be_honest(machine: &Machine) {
    machine.device.borrow_mut().graphics.lie = None;
}

/// The device is stopped, all memory is back, and nothing was touched that is nobody's.
fn end(machine: &Machine, gpu: Under) {
    drop(gpu);
    let device = machine.device.borrow();
    assert!(!device.can_dma && device.status == 0);
    assert_eq!((machine.ram.wild(), machine.ram.live()), (0, 0));
}

#[test]
fn a_picture_is_seen_from_memory_in_any_pieces() {
    let machine = machine(|_| {});
    let gpu = gpu(&machine);
    let screens = run_alone(&machine, gpu.screens()).unwrap();
    assert_eq!(screens.len(), 2);
    assert_eq!(screens[0].place, [0, 0, 640, 480]);
    assert_eq!(
        [screens[0].is_enabled, screens[1].is_enabled],
        [true, false]
    );
    let many: Vec<u64> = (1..=98).collect();
    // In one piece; in two, with more than is wanted; in many, at odd bytes.
    for (pieces, start) in [(&[BYTES][..], 0), (&[1000, 9000], 52), (&many, 3)] {
        let mut picture = create(&machine, &gpu);
        let data = memory(&machine, pieces, start);
        run_alone(&machine, gpu.attach(&mut picture, data, start)).unwrap();
        let entries: Vec<u64> = {
            let device = machine.device.borrow();
            let (_, resource) = device.graphics.resources.last_key_value().unwrap();
            let backing = resource.backing.as_ref().unwrap();
            backing.iter().map(|(_, len)| u64::from(*len)).collect()
        };
        assert_eq!(entries.iter().sum::<u64>(), start + BYTES);
        let (last, whole) = entries.split_last().unwrap();
        assert_eq!(*whole, pieces[..whole.len()], "an entry for each range");
        assert!(*last <= pieces[whole.len()]);
        run_alone(&machine, gpu.transfer(&picture, SIZE.area())).unwrap();
        run_alone(&machine, gpu.show(&picture, 0)).unwrap();
        run_alone(&machine, gpu.flush(&picture, SIZE.area())).unwrap();
        let (_, seen) = machine.device.borrow_mut().graphics.seen.take().unwrap();
        let all = pixels(start, pieces.iter().sum());
        assert!(seen == all[start as usize..][..BYTES as usize]);
        // The memory is back, and what was copied is shown still.
        let data = run_alone(&machine, gpu.detach(&mut picture)).unwrap();
        drop(data);
        run_alone(&machine, gpu.flush(&picture, SIZE.area())).unwrap();
        let (_, still) = machine.device.borrow_mut().graphics.seen.take().unwrap();
        assert!(still == seen);
        assert!(run_alone(&machine, gpu.remove(picture)).unwrap().is_none());
        assert_eq!(machine.device.borrow().graphics.shown, [0, 0]);
    }
    end(&machine, gpu);
}

#[test]
fn a_part_of_a_picture_is_copied_from_where_it_is() {
    let machine = machine(|_| {});
    let gpu = gpu(&machine);
    let mut picture = create(&machine, &gpu);
    let data = memory(&machine, &[777, 10_000], 5);
    run_alone(&machine, gpu.attach(&mut picture, data, 8)).unwrap();
    let area = Area {
        x: 7,
        y: 11,
        size: Size {
            width: 5,
            height: 3,
        },
    };
    run_alone(&machine, gpu.transfer(&picture, area)).unwrap();
    let all = pixels(5, 10_777);
    let mut expected = vec![0; BYTES as usize];
    for line in 11..14 {
        let place = (line * 40 + 7) * 4;
        expected[place..place + 20].copy_from_slice(&all[8 + place..][..20]);
    }
    assert!(machine.device.borrow().graphics.resources[&1].pixels == expected);
    let outside = Area { x: 36, ..area };
    let wrong = PictureError::Outside;
    assert_eq!(
        run_alone(&machine, gpu.transfer(&picture, outside)),
        Err(wrong.into())
    );
    assert_eq!(
        run_alone(&machine, gpu.flush(&picture, outside)),
        Err(wrong.into())
    );
    end(&machine, gpu);
}

#[test]
fn what_makes_no_sense_is_not_asked() {
    let machine = machine(|_| {});
    let gpu = gpu(&machine);
    let mut picture = create(&machine, &gpu);
    let heard = machine.device.borrow().graphics.heard.len();
    let mut refused = |data: Data, start: u64| {
        let attached = run_alone(&machine, gpu.attach(&mut picture, data, start));
        let (error, back) = attached.unwrap_err();
        assert!(back.is_some());
        error
    };
    let to_write = Data::new(&machine.ram, &[BYTES], Access::FromDevice);
    assert_eq!(refused(to_write, 0), RequestError::Access.into());
    let length = RequestError::Length.into();
    assert_eq!(refused(memory(&machine, &[BYTES], 0), 1), length);
    assert_eq!(refused(memory(&machine, &[BYTES], 0), u64::MAX), length);
    let pieces = RequestError::Pieces { offset: 0 };
    let many = memory(&machine, &vec![1; 16385], 0);
    assert_eq!(refused(many, 0), pieces.into());
    let detached = Err(PictureError::Detached.into());
    assert_eq!(
        run_alone(&machine, gpu.transfer(&picture, SIZE.area())),
        detached
    );
    let back = run_alone(&machine, gpu.detach(&mut picture)).map(drop);
    assert_eq!(back, detached);
    let no_screen = Err(PictureError::NoScreen.into());
    assert_eq!(run_alone(&machine, gpu.show(&picture, 2)), no_screen);
    assert_eq!(run_alone(&machine, gpu.hide(2)), no_screen);
    let nothing = Size {
        width: 9,
        height: 0,
    };
    let empty = run_alone(&machine, gpu.create(nothing)).map(drop);
    assert_eq!(empty, Err(PictureError::Empty.into()));
    assert_eq!(machine.device.borrow().graphics.heard.len(), heard);
    // Twice is once too often.
    let first = memory(&machine, &[BYTES], 0);
    run_alone(&machine, gpu.attach(&mut picture, first, 0)).unwrap();
    let second = memory(&machine, &[BYTES], 0);
    let (error, back) = run_alone(&machine, gpu.attach(&mut picture, second, 0)).unwrap_err();
    assert_eq!(
        (error, back.is_some()),
        (PictureError::Attached.into(), true)
    );
    drop(back);
    end(&machine, gpu);
}

/// Memory that nobody waits for any more stays where the device has it, until the device has forgotten it.
#[test]
fn what_nobody_holds_is_forgotten_with_the_next_picture() {
    let machine = machine(|_| {});
    let gpu = gpu(&machine);
    drop(attached(&machine, &gpu));
    let mut cx = Context::from_waker(Waker::noop());
    let mut picture = create(&machine, &gpu);
    assert_eq!(
        (
            gpu.pictures(),
            machine.device.borrow().graphics.resources.len()
        ),
        (1, 1)
    );
    {
        let data = memory(&machine, &[BYTES], 0);
        let mut dropped = Box::pin(gpu.attach(&mut picture, data, 0));
        assert!(dropped.as_mut().poll(&mut cx).is_pending());
    }
    // It is done meanwhile.
    run_alone(&machine, gpu.transfer(&picture, SIZE.area())).unwrap();
    {
        let mut dropped = Box::pin(gpu.remove(picture));
        assert!(dropped.as_mut().poll(&mut cx).is_pending());
    }
    let live = machine.ram.live();
    let next = create(&machine, &gpu);
    assert!(machine.ram.live() <= live - BYTES);
    assert_eq!(
        (
            gpu.pictures(),
            machine.device.borrow().graphics.resources.len()
        ),
        (1, 1)
    );
    drop(next);
    end(&machine, gpu);
}

#[test]
fn an_answer_that_is_none_costs_an_error_and_the_next_is_right() {
    type Change = fn(&mut Vec<u8>);
    let kind = |got| ReplyError::Kind {
        expected: 0x1100,
        got,
    };
    let fence = ReplyError::Fence;
    let changes: [(Change, GpuError); 9] = [
        (|r| r.truncate(23), ReplyError::Short(23).into()),
        (|r| r.clear(), ReplyError::Short(0).into()),
        (|r| r[1] = 0x12, GpuError::Refused(Refusal::Unspecified)),
        (
            |r| r[..2].copy_from_slice(&[2, 0x12]),
            GpuError::Refused(Refusal::Screen),
        ),
        (|r| r[..2].copy_from_slice(&[6, 0x12]), kind(0x1206).into()),
        (|r| r[0] = 1, kind(0x1101).into()),
        (|r| r[..4].fill(0xff), kind(u32::MAX).into()),
        // An answer to the command before, or to nothing.
        (|r| r[8] -= 1, fence(2).into()),
        (|r| r[4] = 0, fence(3).into()),
    ];
    for (change, error) in changes {
        let machine = machine(|_| {});
        let gpu = gpu(&machine);
        let picture = attached(&machine, &gpu);
        lie(&machine, 0x105, change);
        assert_eq!(
            run_alone(&machine, gpu.transfer(&picture, SIZE.area())),
            Err(error)
        );
        be_honest(&machine);
        assert_eq!(
            run_alone(&machine, gpu.transfer(&picture, SIZE.area())),
            Ok(())
        );
        assert_eq!(gpu.failure(), None);
        let back = run_alone(&machine, gpu.remove(picture)).unwrap();
        assert!(back.is_some());
        drop(back);
        end(&machine, gpu);
    }
    // A list of screens that is shorter than it has to be.
    let machine = machine(|_| {});
    let gpu = gpu(&machine);
    lie(&machine, 0x100, |r| r.truncate(400));
    let short = run_alone(&machine, gpu.screens());
    assert_eq!(short, Err(ReplyError::Short(400).into()));
    end(&machine, gpu);
}

/// Who is not told that the device has forgotten memory does not get it.
#[test]
fn memory_stays_with_a_device_that_does_not_say_that_it_has_forgotten_it() {
    let machine = machine(|_| {});
    let gpu = gpu(&machine);
    // It says that it has no memory, so it has none.
    let mut picture = create(&machine, &gpu);
    lie(&machine, 0x106, |r| r[1] = 0x12);
    machine.device.borrow_mut().graphics.resources.clear();
    let data = memory(&machine, &[BYTES], 0);
    let (error, back) = run_alone(&machine, gpu.attach(&mut picture, data, 0)).unwrap_err();
    assert!(matches!(error, GpuError::Refused(_)) && back.is_some());
    drop(back);
    let gone = run_alone(&machine, gpu.remove(picture)).unwrap();
    assert!(gone.is_none());
    // Nobody knows what it has done.
    let mut picture = create(&machine, &gpu);
    lie(&machine, 0x106, |r| r[0] = 0x77);
    let data = memory(&machine, &[BYTES], 0);
    let (error, back) = run_alone(&machine, gpu.attach(&mut picture, data, 0)).unwrap_err();
    assert!(matches!(error, GpuError::Reply(_)) && back.is_none());
    // It does not want to give it back.
    lie(&machine, 0x107, |r| r[1] = 0x12);
    let refused = run_alone(&machine, gpu.detach(&mut picture)).map(drop);
    assert_eq!(refused, Err(GpuError::Refused(Refusal::Unspecified)));
    lie(&machine, 0x102, |r| r[1] = 0x12);
    let (error, back) = run_alone(&machine, gpu.remove(picture)).unwrap_err();
    assert_eq!(error, GpuError::Refused(Refusal::Unspecified));
    assert!(back.is_none() && machine.ram.live() > BYTES);
    // Others are made all the same, and when the device is stopped, it is back.
    drop(create(&machine, &gpu));
    end(&machine, gpu);
}

#[test]
fn a_device_that_breaks_a_rule_is_silent_or_gone_is_out_of_use_and_nothing_is_lost() {
    type Change = fn(&mut Device);
    let violation = |violation| Failure::Violation(violation);
    let silent = Mischief::Silent;
    let changes: [(Mischief, Change, Failure); 4] = [
        (Mischief::UsedId(1), |_| {}, violation(Violation::UsedId(1))),
        (
            Mischief::Longer(1),
            |_| {},
            violation(Violation::UsedLength(25)),
        ),
        (silent, |_| {}, Failure::Timeout(Waiting::Request)),
        (silent, |device| device.is_present = false, Failure::Gone),
    ];
    for (what, change, failure) in changes {
        let machine = machine(|_| {});
        let gpu = gpu(&machine);
        let old = attached(&machine, &gpu);
        let mut picture = create(&machine, &gpu);
        machine.device.borrow_mut().mischief = Some((what, u32::MAX));
        {
            let data = memory(&machine, &[100, BYTES], 0);
            let mut waiting = pin!(gpu.attach(&mut picture, data, 0));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
            change(&mut machine.device.borrow_mut());
            let (error, back) = run_alone(&machine, waiting).unwrap_err();
            assert_eq!(error, GpuError::Device(Error::Failed(failure)));
            assert!(back.is_some(), "the device is stopped");
        }
        assert_eq!(gpu.failure(), Some(failure));
        // And so is what was behind another one.
        let (error, back) = run_alone(&machine, gpu.remove(old)).unwrap_err();
        assert_eq!(error, GpuError::Device(Error::Dead(failure)));
        assert!(back.is_some());
        drop((back, gpu));
        assert_eq!((machine.ram.wild(), machine.ram.live()), (0, 0));
    }
}

/// A device that cannot be kept from memory keeps what it knows of, for ever.
#[test]
fn what_a_device_knows_of_that_cannot_be_stopped_is_not_used_again() {
    let machine = machine(|_| {});
    let gpu = gpu(&machine);
    let picture = attached(&machine, &gpu);
    machine.device.borrow_mut().mischief = Some((Mischief::Silent, u32::MAX));
    {
        let mut device = machine.device.borrow_mut();
        (device.slow_reset, device.is_unstoppable) = (u32::MAX >> 12, true);
    }
    let before = machine.ram.live();
    let (_, back) = run_alone(&machine, gpu.remove(picture)).unwrap_err();
    assert!(back.is_none());
    drop(gpu);
    assert_eq!((machine.ram.live(), machine.ram.wild()), (before, 0));
}

#[test]
fn a_device_that_makes_no_sense_is_refused() {
    let config = |change: fn(&mut Device)| bring_up(&machine(change)).err();
    let failed = |error| Some(Error::Failed(Failure::Config(error)));
    let short = config(|device| device.config.truncate(8));
    assert_eq!(short, failed(ConfigError::Short { len: 8 }));
    for screens in [0, 17, u32::MAX] {
        let machine = machine(move |device| device.set32(8, screens));
        assert_eq!(
            bring_up(&machine).err(),
            failed(ConfigError::Screens(screens))
        );
        assert_eq!(machine.ram.live(), 0);
    }
    let small = config(|device| device.queues[0] = crate::model::queue(4));
    let size = 4;
    let too_small = Failure::QueueSize { queue: 0, size };
    assert_eq!(small, Some(Error::Failed(too_small)));
}
