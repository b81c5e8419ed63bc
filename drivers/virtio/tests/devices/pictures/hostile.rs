//! A device that lies, is silent, or breaks a rule.

use super::*;

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
