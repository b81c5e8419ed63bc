//! Which inputs of the I/O APICs the lines of PCI may lead to.
//!
//! Where each of them leads is said by a method in ACPI's description of the machine (`_PRT`). What is known without running it is
//! where they cannot lead: inputs with numbers of the ISA bus have its devices, which ask once and share with nobody. But where
//! firmware says that such an input asks for as long as it is raised, it is one of PCI's, or ACPI's own interrupt. And
//! a device that has its input to itself, by the machine's word, shares it with nobody either.

use crate::acpi::Override;
use alloc::vec::Vec;

/// The numbers of the ISA bus.
const ISA: u32 = 16;

/// Of the inputs that there are, those that PCI's lines may lead to, and what the lines look like.
pub(super) fn of_pci(
    inputs: impl Iterator<Item = u32>,
    overrides: &[Override],
    taken: &[u32],
) -> Vec<Override> {
    let free = inputs.filter(|input| !taken.contains(input));
    free.filter_map(|input| {
        let said = overrides.iter().find(|said| said.interrupt == input);
        match said {
            Some(said) => said.level.then_some(*said),
            None => (input >= ISA).then_some(Override {
                irq: 0,
                interrupt: input,
                // As QEMU's and others' tables have it, whose models do not look at it.
                active_low: false,
                level: true,
            }),
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(irq: u8, interrupt: u32, level: bool) -> Override {
        Override {
            irq,
            interrupt,
            active_low: irq == 11,
            level,
        }
    }

    fn found(inputs: u32, overrides: &[Override], taken: &[u32]) -> Vec<u32> {
        let found = of_pci(0..inputs, overrides, taken);
        assert!(found.iter().all(|input| input.level));
        found.iter().map(|input| input.interrupt).collect()
    }

    /// What QEMU says of a q35 board.
    #[test]
    fn lines_lead_behind_the_isa_bus_and_where_firmware_says_that_they_are_raised_for_long() {
        let overrides = [
            said(0, 2, false),
            said(5, 5, true),
            said(9, 9, true),
            said(10, 10, true),
            said(11, 11, true),
        ];
        let expected = [5, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23];
        assert_eq!(found(24, &overrides, &[]), expected);
        let as_said = of_pci(0..24, &overrides, &[]);
        let low = as_said.iter().filter(|input| input.active_low);
        assert_eq!(low.map(|input| input.interrupt).collect::<Vec<_>>(), [11]);
    }

    #[test]
    fn an_input_that_is_a_devices_own_is_left_to_it() {
        assert_eq!(found(20, &[], &[17, 18, 90]), [16, 19]);
    }

    #[test]
    fn an_interrupt_of_the_isa_bus_that_arrives_behind_it_is_not_shared() {
        assert_eq!(found(18, &[said(4, 17, false)], &[]), [16]);
    }

    #[test]
    fn without_an_io_apic_there_is_none() {
        assert!(found(0, &[said(9, 9, true)], &[]).is_empty());
    }
}
