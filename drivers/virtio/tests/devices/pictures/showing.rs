//! What is shown, and from where.

use super::*;

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

/// The lines of a picture that lies upside down in memory.
#[test]
fn lines_are_copied_from_where_they_are_told_to_be() {
    let machine = machine(|_| {});
    let gpu = gpu(&machine);
    let mut picture = create(&machine, &gpu);
    let data = memory(&machine, &[BYTES / 3 + 1, BYTES], 9);
    run_alone(&machine, gpu.attach(&mut picture, data, 5)).unwrap();
    let line = |y| Area {
        x: 0,
        y,
        size: Size { height: 1, ..SIZE },
    };
    const LINE: u64 = 40 * 4;
    for y in 0..30 {
        let from = (29 - u64::from(y)) * LINE;
        run_alone(&machine, gpu.transfer_from(&picture, line(y), from)).unwrap();
    }
    let all = pixels(9, BYTES / 3 + 1 + BYTES);
    let lines = all[5..][..BYTES as usize].chunks(LINE as usize).rev();
    let expected: Vec<u8> = lines.flatten().copied().collect();
    assert!(machine.device.borrow().graphics.resources[&1].pixels == expected);
    // A part of lines is as far apart as lines are, and ends with its last pixel.
    let part = Area {
        x: 1,
        y: 0,
        size: Size {
            width: 39,
            height: 2,
        },
    };
    let last = BYTES - LINE - 39 * 4;
    run_alone(&machine, gpu.transfer_from(&picture, part, last)).unwrap();
    let heard = machine.device.borrow().graphics.heard.len();
    let outside = [
        (part, last + 1),
        (line(0), BYTES - LINE + 4),
        (line(0), u64::MAX),
    ];
    for (area, from) in outside {
        let refused = run_alone(&machine, gpu.transfer_from(&picture, area, from));
        assert_eq!(refused, Err(PictureError::Outside.into()));
    }
    assert_eq!(machine.device.borrow().graphics.heard.len(), heard);
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
