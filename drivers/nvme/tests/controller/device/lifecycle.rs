//! Resets, page sizes, subsystem reset, sanitize, and going away.

use super::host::transfer;
use super::{Host, entry};
use crate::model::{Config, Machine, Regions};
use nvme::Registers;
use nvme::registers::{ACQ, AQA, ASQ, CC, CSTS, Configuration};
use nvme::wire::SanitizeLog;

/// What CSTS says after an attempt to enable with these.
fn status_after(config: Config, cc: Configuration) -> u32 {
    let machine = Machine::new(config);
    let base = machine.model().memory.map(64).expect("memory");
    let aligned = base.next_multiple_of(1 << 16);
    machine.write32(AQA, 7 << 16 | 7);
    machine.write64(ASQ, aligned);
    machine.write64(ACQ, aligned + (1 << 16));
    machine.write32(CC, cc.with_en(true).into());
    machine.model().pass(10_000);
    machine.read32(CSTS)
}

#[test]
fn only_what_cap_offers_can_be_enabled() {
    let cc = Configuration::new().with_iosqes(6).with_iocqes(4);
    let mut config = Config::default();
    config.cap.set_mpsmin(1);
    assert_eq!(status_after(config.clone(), cc), 2, "pages too small");
    assert_eq!(status_after(config.clone(), cc.with_mps(1)), 1);
    assert_eq!(status_after(config.clone(), cc.with_mps(4)), 1);
    assert_eq!(
        status_after(config.clone(), cc.with_mps(5)),
        2,
        "pages too large"
    );
    assert_eq!(
        status_after(config, cc.with_mps(1).with_css(6)),
        2,
        "no sets"
    );
    assert_eq!(status_after(Config::with_everything(), cc.with_css(6)), 1);
    assert_eq!(status_after(Config::default(), cc.with_iosqes(0)), 2);
}

#[test]
fn a_subsystem_reset_leaves_its_mark() {
    let host = Host::new(Config::with_everything());
    host.machine.write32(Regions::NSSR, 0x1234);
    assert_eq!(host.machine.read32(CSTS), 1, "the wrong word");
    host.offences();
    host.machine.write32(Regions::NSSR, 0x4e56_4d65);
    assert_eq!(host.machine.read32(CSTS), 1 << 4);
    host.machine.write32(CSTS, 1 << 4);
    assert_eq!(host.machine.read32(CSTS), 0);
}

#[test]
fn sanitize_goes_on_over_a_reset_and_refuses_io() {
    let mut host = Host::new(Config::with_everything());
    host.create(1, None);
    let bus = host.zeros(2);
    host.done(1, transfer(0x01, 1, 5, 1, bus));
    let mut sanitize = entry(0x84, 0);
    sanitize.cdw10_11 = 3;
    assert_eq!(host.fails(0, sanitize), (0, 0x02), "no overwrite");
    sanitize.cdw10_11 = 2;
    host.done(0, sanitize);
    assert_eq!(host.fails(1, transfer(0x02, 1, 5, 1, bus)), (0, 0x1d));
    host.machine.model().pass(1_000_000);
    host.disable();
    host.enable(0);
    host.create(1, None);
    let log = |host: &mut Host| {
        let log = host.log_page(0x81, 512, false).try_into().expect("a log");
        SanitizeLog::decode(&log)
    };
    let going = log(&mut host);
    assert_eq!(going.sstat.status(), 2);
    assert!(
        (0x8000..0x9000).contains(&going.sprog),
        "{:#x}",
        going.sprog
    );
    let cid = host.submit(0, entry(0x0c, 0));
    host.machine.model().pass(1_000_000);
    let event = host.wait(0).expect("an event");
    assert_eq!((event.cid, event.result), (cid, 0x81_01_06));
    assert_eq!(log(&mut host).sstat.status(), 1);
    assert!(host.machine.model().blocks.is_empty());
    host.done(1, transfer(0x02, 1, 5, 1, bus));
}

#[test]
fn the_device_can_go_at_any_register() {
    for left in 0..5 {
        let host = Host::new(Config::default());
        host.machine.model().gone_after = Some(left);
        let seen: Vec<bool> = (0..6)
            .map(|_| host.machine.read32(CSTS) == u32::MAX)
            .collect();
        assert_eq!(seen.iter().filter(|gone| !**gone).count(), left);
    }
}

#[test]
fn nothing_is_the_same_at_a_second_look() {
    let mut host = Host::new(Config::default());
    host.machine.model().fickle = true;
    let looks: Vec<Vec<u8>> = (0..8).map(|_| host.identify(1, 0, 0)).collect();
    assert!(looks.windows(2).any(|pair| pair[0] != pair[1]));
    host.machine.model().fickle = false;
    host.machine.model().config.patches.push((77, 0xee));
    assert_eq!(host.identify(1, 0, 0)[77], 0xee);
}
