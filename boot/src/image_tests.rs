//! Kernels made by hand, right and wrong.

use super::*;
use std::vec::Vec;

const TEXT: u64 = 0xffff_ffff_8000_0000;

/// One program header: type, flags, virtual address, bytes in the file, bytes in memory.
type Header = (u32, u32, u64, u64, u64);

/// An ELF file with these program headers and a configuration section.
fn elf_file(entry: u64, headers: &[Header], config: Option<&[u8]>) -> Vec<u8> {
    let data_offset = 64 + 56 * headers.len() as u64;
    let mut file = Vec::new();
    file.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let halves = |file: &mut Vec<u8>, values: &[u16]| {
        values.iter().for_each(|v| file.extend(v.to_le_bytes()))
    };
    let words = |file: &mut Vec<u8>, values: &[u32]| {
        values.iter().for_each(|v| file.extend(v.to_le_bytes()))
    };
    let longs = |file: &mut Vec<u8>, values: &[u64]| {
        values.iter().for_each(|v| file.extend(v.to_le_bytes()))
    };
    let config_bytes = config.unwrap_or(&[]);
    let names = b"\0.bootloader-config\0.shstrtab\0";
    let names_offset = data_offset + 0x1000 + config_bytes.len() as u64;
    let sections_offset = names_offset + names.len() as u64;
    halves(&mut file, &[ET_EXEC, EM_X86_64]);
    words(&mut file, &[1]);
    longs(&mut file, &[entry, 64, sections_offset]);
    words(&mut file, &[0]);
    halves(&mut file, &[64, 56, headers.len() as u16, 64, 3, 2]);
    for &(kind, flags, virt, file_size, memory_size) in headers {
        words(&mut file, &[kind, flags]);
        longs(
            &mut file,
            &[data_offset, virt, virt, file_size, memory_size, PAGE],
        );
    }
    file.resize(data_offset as usize + 0x1000, 0x90);
    file.extend(config_bytes);
    file.extend(names);
    let section = |file: &mut Vec<u8>, name: u32, kind: u32, offset: u64, size: u64| {
        words(file, &[name, kind]);
        longs(file, &[0, 0, offset, size]);
        words(file, &[0, 0]);
        longs(file, &[1, 0]);
    };
    section(&mut file, 0, 0, 0, 0);
    let config_name = if config.is_some() { 1 } else { 0 };
    section(
        &mut file,
        config_name,
        1,
        data_offset + 0x1000,
        config_bytes.len() as u64,
    );
    section(&mut file, 20, 3, names_offset, names.len() as u64);
    file
}

fn valid_config() -> Vec<u8> {
    BootloaderConfig::new_default().serialize().to_vec()
}

fn parse_headers(headers: &[Header]) -> Result<usize, ImageError> {
    let file = elf_file(TEXT, headers, Some(&valid_config()));
    Image::parse(&file).map(|image| image.segments().count())
}

const GOOD: Header = (PT_LOAD, 5, TEXT, 0x1000, 0x1000);

#[test]
fn a_good_kernel_is_read_as_it_is() {
    let mut config = BootloaderConfig::new_default();
    config.kernel_stack_size = 0x123000;
    let file = elf_file(
        TEXT + 0x10,
        &[
            GOOD,
            (PT_LOAD, 6, TEXT + 0x1000, 0x10, 0x3000),
            (PT_TLS, 4, TEXT + 0x1000, 8, 16),
        ],
        Some(&config.serialize()),
    );
    let image = Image::parse(&file).unwrap();
    let segments: Vec<_> = image.segments().collect();
    assert_eq!(segments.len(), 2);
    assert_eq!(
        (segments[0].access, segments[0].len),
        (Access::ReadExecute, 0x1000)
    );
    assert_eq!(
        (segments[1].access, segments[1].data.len(), segments[1].len),
        (Access::ReadWrite, 0x10, 0x3000)
    );
    assert_eq!(image.entry, TEXT + 0x10);
    assert_eq!(image.config.kernel_stack_size, 0x123000);
    assert_eq!(image.tls.map(|tls| tls.mem_size), Some(16));
}

#[test]
fn noise_is_no_elf_file() {
    assert_eq!(Image::parse(&[]).err(), Some(ImageError::NotElf));
    assert_eq!(Image::parse(&[0x7f; 4096]).err(), Some(ImageError::NotElf));
}

#[test]
fn every_truncation_is_an_error_and_none_a_panic() {
    let file = elf_file(TEXT, &[GOOD], Some(&valid_config()));
    for len in 0..file.len() {
        assert!(
            Image::parse(&file[..len]).is_err(),
            "a kernel cut to {len} bytes was accepted"
        );
    }
}

#[test]
fn every_corrupted_header_byte_is_survived() {
    let file = elf_file(
        TEXT,
        &[GOOD, (PT_LOAD, 6, TEXT + 0x1000, 0x10, 0x3000)],
        Some(&valid_config()),
    );
    for place in 0..64 + 2 * 56 {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut broken = file.clone();
            broken[place] = value;
            let _ = Image::parse(&broken);
        }
    }
}

#[test]
fn another_machine_is_refused() {
    let mut file = elf_file(TEXT, &[GOOD], Some(&valid_config()));
    file[18] = 0xb7; // EM_AARCH64
    assert_eq!(
        Image::parse(&file).err(),
        Some(ImageError::NotX86Executable)
    );
}

#[test]
fn writable_code_is_refused() {
    assert_eq!(
        parse_headers(&[(PT_LOAD, 7, TEXT, 0x1000, 0x1000)]),
        Err(ImageError::WritableCode(TEXT))
    );
}

#[test]
fn misplaced_segments_are_refused() {
    let cases = [
        (PT_LOAD, 6, TEXT + 0x1800, 0x10, 0x10), // not page-aligned
        (PT_LOAD, 6, TEXT, 0x10, 0x10),          // overlaps the code
        (PT_LOAD, 6, TEXT + 0x1000, 0x20, 0x10), // larger in the file than in memory
        (PT_LOAD, 6, 0x0000_7fff_ffff_f000, 0x10, 0x2000), // runs into the canonical hole
        (PT_LOAD, 6, 0x0001_0000_0000_0000, 0x10, 0x1000), // in the hole
        (PT_LOAD, 6, 0xffff_ffff_ffff_f000, 0x10, 0x2000), // wraps around
        (PT_LOAD, 6, TEXT + 0x1000, u64::MAX, u64::MAX), // leads outside the file
    ];
    for case in cases {
        assert_eq!(
            parse_headers(&[GOOD, case]),
            Err(ImageError::BadSegment(case.2)),
            "{case:x?}"
        );
    }
}

#[test]
fn a_kernel_without_segments_or_with_too_many_is_refused() {
    assert_eq!(parse_headers(&[]), Err(ImageError::SegmentCount(0)));
    assert_eq!(
        parse_headers(&[(PT_TLS, 4, TEXT, 8, 8)]),
        Err(ImageError::SegmentCount(0))
    );
    let many: Vec<Header> = (0..17)
        .map(|n| (PT_LOAD, 4, TEXT + 0x1000 * n, 0x10, 0x10))
        .collect();
    assert_eq!(parse_headers(&many), Err(ImageError::SegmentCount(17)));
}

#[test]
fn an_entry_outside_the_code_is_refused() {
    for entry in [0, TEXT - 1, TEXT + 0x1000] {
        let file = elf_file(
            entry,
            &[GOOD, (PT_LOAD, 6, TEXT + 0x1000, 0x10, 0x10)],
            Some(&valid_config()),
        );
        assert_eq!(Image::parse(&file).err(), Some(ImageError::BadEntry(entry)));
    }
}

#[test]
fn a_kernel_without_configuration_is_refused() {
    let file = elf_file(TEXT, &[GOOD], None);
    assert_eq!(Image::parse(&file).err(), Some(ImageError::NoConfig));
}

#[test]
fn a_configuration_of_another_version_is_refused() {
    let mut config = valid_config();
    config[16] ^= 1;
    let file = elf_file(TEXT, &[GOOD], Some(&config));
    assert!(matches!(Image::parse(&file), Err(ImageError::BadConfig(_))));
    let file = elf_file(TEXT, &[GOOD], Some(&config[1..]));
    assert!(matches!(Image::parse(&file), Err(ImageError::BadConfig(_))));
}
