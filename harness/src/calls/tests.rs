use super::*;

const MAILBOX: u64 = 0x3000;

fn host(disks: Vec<PathBuf>) -> Host {
    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 20).unwrap();
    Host::new(Ram::from_file(file, 1 << 20), disks)
}

/// The mailbox after a call: ticket, status, value, text.
fn ask(host: &Host, text: &str) -> (u64, u64, u64, Vec<u8>) {
    host.answer(8, text).unwrap();
    let word = |at: usize| {
        let mut bytes = [0; 8];
        host.ram.read(MAILBOX + 8 * at as u64, &mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    };
    let mut text = vec![0; word(TEXT_LEN) as usize];
    host.ram.read(MAILBOX + 8 * TEXT as u64, &mut text).unwrap();
    (word(TICKET), word(STATUS), word(VALUE), text)
}

#[test]
fn what_is_filled_is_found_and_one_wrong_byte_is_named() {
    let host = host(Vec::new());
    assert_eq!(ask(&host, "memory.fill 3000 10001 12345 7 9").0, 9);
    let check = "memory.check 3000 10001 12345 7 9";
    assert_eq!(ask(&host, check).2, 0x12345);
    let mut byte = [0];
    host.ram.read(0x10001 + 0x12000, &mut byte).unwrap();
    host.ram.write(0x10001 + 0x12000, &[byte[0] ^ 1]).unwrap();
    assert_eq!(ask(&host, check), (9, ANSWERED, 0x12000, Vec::new()));
}

#[test]
fn memory_and_disk_give_the_same_digest_for_the_same_bytes() {
    let disk = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(disk.path(), b"..abc..").unwrap();
    let host = host(vec![disk.path().to_owned()]);
    ask(&host, "disk.read 3000 0 2 8000 3");
    let memory = ask(&host, "memory.sha256 3000 8000 3").3;
    assert_eq!(memory, ask(&host, "disk.sha256 3000 0 2 3").3);
    // FIPS 180-2, appendix B.1.
    assert_eq!(memory[..4], [0xba, 0x78, 0x16, 0xbf]);
    assert_eq!(ask(&host, "memory.sum 3000 8000 3").2, (97 + 98 + 99));
}

#[test]
fn a_disk_is_filled_in_its_place() {
    let disk = tempfile::NamedTempFile::new().unwrap();
    disk.as_file().set_len(0x3000).unwrap();
    let host = host(vec![disk.path().to_owned()]);
    ask(&host, "disk.fill 3000 0 1000 1000 7 20");
    assert_eq!(ask(&host, "disk.check 3000 0 1000 1000 7 20").2, 0x1000);
    assert_eq!(ask(&host, "disk.check 3000 0 fff 1001 7 1f").2, 0);
    assert_eq!(disk.as_file().metadata().unwrap().len(), 0x3000);
}

#[test]
fn memory_behind_a_file_is_filled_and_checked_by_its_name() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(0x3000).unwrap();
    let host = host(Vec::new()).with_files(vec![("pmr0".into(), file.path().to_owned())]);
    ask(&host, "file.fill 3000 1000 1000 7 20 : pmr0");
    let check = "file.check 3000 1000 1000 7 20 : pmr0";
    assert_eq!(ask(&host, check).2, 0x1000);
    assert_eq!(
        ask(&host, "file.check 3000 1000 1001 7 20 : pmr0").2,
        0x1000
    );
    assert_eq!(ask(&host, "file.check 3000 0 1 7 20 : pmr1").1, REFUSED);
    assert_eq!(ask(&host, "file.sha256 3000 0 3 : pmr0").3.len(), 32);
}

#[test]
fn what_cannot_be_done_is_refused_with_a_reason() {
    let host = host(Vec::new());
    for (call, reason) in [
        ("memory.flip 3000 1", "no function `memory.flip`"),
        (
            "memory.sum 3000 1",
            "no function `memory.sum` of 1 arguments",
        ),
        ("memory.sum 3000 fffff 2", "not all of"),
        ("memory.fill 3000 ffff0 20 0 0", "not all of"),
        (
            "memory.sum 3000 ffffffffffffffff 2",
            "behind the address space",
        ),
        ("disk.sha256 3000 0 0 1", "no disk 0"),
    ] {
        let (ticket, status, _, text) = ask(&host, call);
        let text = String::from_utf8(text).unwrap();
        assert_eq!((ticket, status), (9, REFUSED), "{call}");
        assert!(text.contains(reason), "{call}: {text}");
    }
}

#[test]
fn a_torn_call_is_an_error_of_the_host() {
    let host = host(Vec::new());
    assert!(host.answer(0, "memory.sum").is_err());
    assert!(host.answer(0, "memory.sum xyz").is_err());
    assert!(
        host.answer(0, "memory.sum ffffffff 1 1").is_err(),
        "the mailbox is no RAM"
    );
}
