//! Firmware made by hand: sound, damaged and hostile.

use super::*;
use std::collections::BTreeMap;

/// Firmware memory: some tables at some addresses.
#[derive(Default)]
struct Memory(BTreeMap<u64, Vec<u8>>);

impl Firmware for Memory {
    fn read(&self, range: Phyr) -> Option<Vec<u8>> {
        let (start, bytes) = self.0.range(..=range.addr().get()).next_back()?;
        let offset = (range.addr().get() - start) as usize;
        bytes
            .get(offset..offset.checked_add(range.len() as usize)?)
            .map(<[u8]>::to_vec)
    }
}

fn with_sum(mut bytes: Vec<u8>, place: usize) -> Vec<u8> {
    bytes[place] = 0;
    bytes[place] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    bytes
}

fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend(((HEADER + body.len()) as u32).to_le_bytes());
    bytes.resize(HEADER, 0);
    bytes.extend(body);
    with_sum(bytes, 9)
}

fn rsdp(revision: u8, rsdt: u32, xsdt: u64) -> Vec<u8> {
    let mut bytes = b"RSD PTR \0PHYROS".to_vec();
    bytes.push(revision);
    bytes.extend(rsdt.to_le_bytes());
    let mut bytes = with_sum(bytes, 8);
    bytes.extend(36u32.to_le_bytes());
    bytes.extend(xsdt.to_le_bytes());
    bytes.extend([0; 4]);
    with_sum(bytes, 32)
}

fn mcfg_body() -> Vec<u8> {
    let mut body = vec![0; 8];
    body.extend(0xb000_0000u64.to_le_bytes());
    body.extend([0, 0, 0, 255, 0, 0, 0, 0]);
    body
}

fn madt_body() -> Vec<u8> {
    let mut body = 0xfee0_0000u32.to_le_bytes().to_vec();
    body.extend([0; 4]);
    body.extend([0, 8, 0, 0, 1, 0, 0, 0]); // CPU 0, enabled
    body.extend([0, 8, 1, 1, 0, 0, 0, 0]); // CPU 1, disabled
    body.extend([1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]); // I/O APIC
    body.extend([2, 10, 0, 0, 2, 0, 0, 0, 0, 0]); // IRQ 0 is input 2, as the bus has it
    body.extend([2, 10, 0, 9, 9, 0, 0, 0, 15, 0]); // IRQ 9 is active low, level
    body.extend([9, 16, 0, 0, 0x2c, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]); // CPU with x2APIC id 300
    body
}

fn fadt_body() -> Vec<u8> {
    let mut body = vec![0; 220 - HEADER];
    body[76 - HEADER..80 - HEADER].copy_from_slice(&0x608u32.to_le_bytes());
    body[91 - HEADER] = 4;
    body[113 - HEADER] = 1;
    body
}

fn hpet_body() -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend([0, 64, 0, 0]);
    body.extend(0xfed0_0000u64.to_le_bytes());
    body.extend([0; 8]);
    body
}

fn machine(revision: u8) -> Memory {
    let mut memory = Memory::default();
    let tables: [(u64, Vec<u8>); 4] = [
        (0x2000, table(b"MCFG", &mcfg_body())),
        (0x3000, table(b"APIC", &madt_body())),
        (0x4000, table(b"FACP", &fadt_body())),
        (0x5000, table(b"HPET", &hpet_body())),
    ];
    let narrow: Vec<u8> = tables
        .iter()
        .flat_map(|(at, _)| (*at as u32).to_le_bytes())
        .collect();
    let wide: Vec<u8> = tables.iter().flat_map(|(at, _)| at.to_le_bytes()).collect();
    memory.0.extend(tables);
    memory.0.insert(0x1000, table(b"RSDT", &narrow));
    memory.0.insert(0x1800, table(b"XSDT", &wide));
    memory.0.insert(0xf_0000, rsdp(revision, 0x1000, 0x1800));
    memory
}

fn discover(memory: &Memory) -> Platform {
    Platform::discover(Some(PhysAddr::new(0xf_0000)), memory)
}

#[test]
fn all_tables_are_found_by_either_root() {
    for revision in [0, 2] {
        let mut memory = machine(revision);
        // Only the root that the revision calls for may be used.
        memory
            .0
            .remove(if revision == 0 { &0x1800 } else { &0x1000 });
        let platform = discover(&memory);
        assert_eq!(platform.flaws, []);
        let window = Phyr::new(PhysAddr::new(0xb000_0000), 256 << 20).unwrap();
        assert_eq!(
            platform.ecam,
            [EcamRegion {
                window,
                segment: 0,
                first_bus: 0,
                last_bus: 255
            }]
        );
        assert_eq!(platform.cpus, [Cpu { apic_id: 0 }, Cpu { apic_id: 300 }]);
        assert_eq!(
            platform.io_apics,
            [IoApic {
                address: PhysAddr::new(0xfec0_0000),
                first_interrupt: 0
            }]
        );
        let said = |irq, interrupt, active_low, level| Override {
            irq,
            interrupt,
            active_low,
            level,
        };
        assert_eq!(
            platform.overrides,
            [said(0, 2, false, false), said(9, 9, true, true)]
        );
        assert_eq!(platform.local_apic, Some(PhysAddr::new(0xfee0_0000)));
        let registers = Phyr::new(PhysAddr::new(0xfed0_0000), 1024).unwrap();
        assert_eq!(platform.hpet.map(|hpet| hpet.registers()), Some(registers));
        assert_eq!(
            platform.pm_timer,
            Some(PmTimer {
                port: 0x608,
                is_32_bit: true
            })
        );
    }
}

#[test]
fn without_an_rsdp_the_platform_is_empty() {
    assert!(Platform::discover(None, &machine(2)).ecam.is_empty());
}

#[test]
fn every_damaged_byte_of_a_table_is_noticed() {
    let sound = machine(2).0[&0x2000].clone();
    for place in 4..sound.len() {
        let mut memory = machine(2);
        memory.0.get_mut(&0x2000).unwrap()[place] ^= 0x40;
        let platform = discover(&memory);
        assert_eq!(platform.flaws.len(), 1, "byte {place}");
        assert!(platform.ecam.is_empty());
        assert_eq!(platform.cpus.len(), 2, "the other tables are still read");
    }
}

#[test]
fn a_damaged_rsdp_ends_the_search() {
    for place in 0..36 {
        let mut memory = machine(2);
        memory.0.get_mut(&0xf_0000).unwrap()[place] ^= 0x40;
        let platform = discover(&memory);
        assert_eq!(platform.flaws.len(), 1, "byte {place}");
        assert!(platform.ecam.is_empty());
    }
}

#[test]
fn truncated_and_hostile_tables_are_flaws_and_no_panics() {
    for (signature, body) in [
        (b"MCFG", mcfg_body()),
        (b"APIC", madt_body()),
        (b"FACP", fadt_body()),
        (b"HPET", hpet_body()),
    ] {
        for len in 0..body.len() {
            let mut memory = machine(2);
            memory.0.insert(0x2000, table(signature, &body[..len]));
            discover(&memory);
        }
        for place in 0..body.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut hostile = body.clone();
                hostile[place] = value;
                let mut memory = machine(2);
                memory.0.insert(0x2000, table(signature, &hostile));
                discover(&memory);
            }
        }
    }
}

#[test]
fn an_entry_of_length_zero_does_not_hang_the_madt() {
    let mut body = madt_body();
    body.extend([7, 0]);
    let mut memory = machine(2);
    memory.0.insert(0x3000, table(b"APIC", &body));
    assert_eq!(discover(&memory).flaws, [(*b"APIC", Flaw::Truncated)]);
}

#[test]
fn a_run_of_buses_that_starts_late_has_its_window_there() {
    let mut body = vec![0; 8];
    body.extend(0xb000_0000u64.to_le_bytes());
    body.extend([1, 0, 0x10, 0x1f, 0, 0, 0, 0]);
    let mut memory = machine(2);
    memory.0.insert(0x2000, table(b"MCFG", &body));
    let window = Phyr::new(PhysAddr::new(0xb100_0000), 16 << 20).unwrap();
    assert_eq!(
        discover(&memory).ecam,
        [EcamRegion {
            window,
            segment: 1,
            first_bus: 0x10,
            last_bus: 0x1f
        }]
    );
}

#[test]
fn buses_that_are_reported_twice_count_once() {
    let mut body = mcfg_body();
    body.extend(0xe000_0000u64.to_le_bytes());
    body.extend([0, 0, 0x10, 0x1f, 0, 0, 0, 0]);
    body.extend(0xe000_0000u64.to_le_bytes());
    body.extend([1, 0, 0x10, 0x1f, 0, 0, 0, 0]);
    let mut memory = machine(2);
    memory.0.insert(0x2000, table(b"MCFG", &body));
    let segments: Vec<u16> = discover(&memory)
        .ecam
        .iter()
        .map(|region| region.segment)
        .collect();
    assert_eq!(segments, [0, 1]);
}

#[test]
fn a_table_that_cannot_be_read_is_a_flaw() {
    let mut memory = machine(2);
    memory.0.remove(&0x5000);
    assert_eq!(discover(&memory).flaws, [(*b"????", Flaw::Unreadable)]);
}

#[test]
fn a_power_button_is_where_the_table_says_if_it_is_one_of_registers() {
    // The port, the length of the block, the byte of flags.
    for (port, len, flags, found) in [
        (0x600u32, 4, 0, Some(PowerButton { events: 0x600 })),
        (0x600, 4, 1 << 4, None),
        (0x600, 0, 0, None),
        (0, 4, 0, None),
        (0x1_0600, 4, 0, None),
    ] {
        let mut body = fadt_body();
        body[56 - HEADER..60 - HEADER].copy_from_slice(&port.to_le_bytes());
        body[88 - HEADER] = len;
        body[112 - HEADER] = flags;
        let mut memory = machine(2);
        memory.0.insert(0x4000, table(b"FACP", &body));
        let platform = discover(&memory);
        assert_eq!((platform.power_button, platform.flaws.len()), (found, 0));
    }
}

#[test]
fn a_machine_without_a_pm_timer_has_none() {
    let mut body = fadt_body();
    body[91 - HEADER] = 0;
    let mut memory = machine(2);
    memory.0.insert(0x4000, table(b"FACP", &body));
    let platform = discover(&memory);
    assert_eq!((platform.pm_timer, platform.flaws.len()), (None, 0));
}
