//! Whatever may happen to a slot, in any order.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Deed {
    Plug(u16),
    Pull,
    Button,
    Vanish,
    Claim,
    Drop,
    Look,
    Wait,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        (1_u16..4).prop_map(|vendor| Deed::Plug(vendor << 8)),
        Just(Deed::Pull),
        Just(Deed::Button),
        Just(Deed::Vanish),
        Just(Deed::Claim),
        Just(Deed::Drop),
        Just(Deed::Look),
        Just(Deed::Wait),
    ];
    prop::collection::vec(deed, 0..40)
}

proptest! {
    /// Whatever happens in whatever order, the news make sense, and in the end the list is right.
    #[test]
    fn the_list_comes_to_what_is_there(deeds in deeds()) {
        let tree = machine(ALL, None);
        let mut events = tree.events();
        let (mut device, mut now, mut is_there) = (None, START, false);
        for deed in deeds.into_iter().chain([Deed::Drop, Deed::Pull, Deed::Look, Deed::Wait, Deed::Look]) {
            match deed {
                Deed::Plug(vendor) => port(&tree, |port| {
                    if port.behind.is_empty() {
                        port.plug(disk(vendor));
                    }
                }),
                Deed::Pull => port(&tree, Fake::pull),
                Deed::Button => port(&tree, Fake::press_button),
                Deed::Vanish => port(&tree, |port| port.behind.clear()),
                Deed::Claim => {
                    let found = tree.functions().into_iter().find(|function| function.address == at_slot());
                    if let (Some(function), None) = (found, &device) {
                        device = tree.owners.claim(&function).ok();
                    }
                }
                Deed::Drop => drop(device.take()),
                Deed::Look => drop(tree.look(now)),
                Deed::Wait => now += Duration::from_secs(6),
            }
            for event in news(&mut events) {
                match event {
                    Arrived(_) => {
                        prop_assert!(!is_there, "it was there already");
                        prop_assert!(device.is_none(), "the last one still has a driver");
                        is_there = true;
                    }
                    Removed => {
                        prop_assert!(is_there, "it was not there");
                        is_there = false;
                    }
                    Leaving => prop_assert!(is_there, "nobody leaves"),
                }
            }
            prop_assert_eq!(is_there, !seen(&tree).is_empty());
        }
        prop_assert!(!is_there);
        port(&tree, |port| port.plug(disk(0x7777)));
        tree.look(now);
        prop_assert_eq!(seen(&tree), [0x7777]);
    }
}
