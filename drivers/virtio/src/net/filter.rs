//! Which frames are to arrive, and the commands that say so (section 5.1.6.5).

use alloc::vec;
use alloc::vec::Vec;
use virtio_spec::net::{Ctrl, ctrl};

/// Which frames are to arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The card's address from now on; `None` if it is to keep its own.
    pub mac: Option<[u8; 6]>,
    /// All frames, whoever they are for.
    pub everything: bool,
    /// All that are for several.
    pub all_multicast: bool,
    /// Those for these groups.
    pub multicast: Vec<[u8; 6]>,
    /// Those with a tag of these VLANs. Those without a tag arrive in any case.
    pub vlans: Vec<u16>,
}

impl Default for Filter {
    /// What is for the card, and all that is for several.
    fn default() -> Self {
        Self {
            mac: None,
            everything: false,
            all_multicast: true,
            multicast: Vec::new(),
            vlans: Vec::new(),
        }
    }
}

/// Most bytes of a command's data.
pub(super) const DATA: usize = 4032;

/// Most groups in a table.
const GROUPS: usize = (DATA - 8) / 6;

const _: () = assert!(8 + 6 * GROUPS <= DATA);

/// A command for the card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) class: u8,
    pub(super) command: u8,
    pub(super) data: Vec<u8>,
}

impl Command {
    pub(super) fn new(class: Ctrl, command: impl Into<u8>, data: impl Into<Vec<u8>>) -> Self {
        Self {
            class: class.into(),
            command: command.into(),
            data: data.into(),
        }
    }

    /// Frames are spread over so many pairs of queues.
    pub(super) fn pairs(pairs: u16) -> Self {
        let command = ctrl::Mq::VqPairsSet;
        Self::new(Ctrl::Mq, command, pairs.to_le_bytes())
    }

    /// The guest's addresses have been told to its neighbours.
    pub(super) fn announced() -> Self {
        Self::new(Ctrl::Announce, ctrl::Announce::Ack, [])
    }
}

/// The commands for cards that can choose by address.
pub(super) fn by_address(filter: &Filter) -> [Command; 3] {
    let fits = filter.multicast.len() <= GROUPS;
    let groups = if fits { &filter.multicast[..] } else { &[] };
    let mut table = vec![0; 4];
    table.extend((groups.len() as u32).to_le_bytes());
    groups.iter().for_each(|group| table.extend(group));
    let all_multicast = filter.all_multicast || !fits;
    let switch = |command, on: bool| Command::new(Ctrl::Rx, command, [u8::from(on)]);
    [
        Command::new(Ctrl::Mac, ctrl::Mac::TableSet, table),
        switch(ctrl::Rx::Allmulti, all_multicast),
        switch(ctrl::Rx::Promisc, filter.everything),
    ]
}

/// The command for cards whose address can be changed, if it is to be.
pub(super) fn new_mac(filter: &Filter) -> Option<Command> {
    let mac = filter.mac?;
    Some(Command::new(Ctrl::Mac, ctrl::Mac::AddrSet, mac))
}

/// The commands for cards that can choose by VLAN and let through those of `before`.
pub(super) fn by_vlan(filter: &Filter, before: &[u16]) -> Vec<Command> {
    let change =
        |command: ctrl::Vlan, vlan: &u16| Command::new(Ctrl::Vlan, command, vlan.to_le_bytes());
    let gone = before.iter().filter(|vlan| !filter.vlans.contains(vlan));
    let new = filter.vlans.iter().filter(|vlan| !before.contains(vlan));
    let gone = gone.map(|vlan| change(ctrl::Vlan::Del, vlan));
    gone.chain(new.map(|vlan| change(ctrl::Vlan::Add, vlan)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_both_lists_and_one_that_is_too_long_is_none() {
        let group = [0x33, 0x33, 0, 0, 0, 1];
        let mut filter = Filter {
            all_multicast: false,
            multicast: vec![group, [1, 2, 3, 4, 5, 6]],
            ..Filter::default()
        };
        let [table, all_multicast, everything] = by_address(&filter);
        assert_eq!((table.class, table.command), (1, 0));
        let expected = [
            0, 0, 0, 0, 2, 0, 0, 0, 0x33, 0x33, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6,
        ];
        assert_eq!(table.data, expected);
        assert_eq!(
            all_multicast,
            Command {
                class: 0,
                command: 1,
                data: vec![0]
            }
        );
        assert_eq!(
            everything,
            Command {
                class: 0,
                command: 0,
                data: vec![0]
            }
        );
        filter.multicast = vec![group; GROUPS];
        assert_eq!(by_address(&filter)[0].data.len(), 8 + 6 * GROUPS);
        filter.multicast.push(group);
        let [table, all_multicast, _] = by_address(&filter);
        assert_eq!((table.data, all_multicast.data), (vec![0; 8], vec![1]));
    }

    #[test]
    fn only_vlans_that_change_are_told() {
        let filter = Filter {
            vlans: vec![5, 7, 0x123],
            ..Filter::default()
        };
        let told: Vec<(u8, Vec<u8>)> = by_vlan(&filter, &[7, 9])
            .into_iter()
            .map(|command| (command.command, command.data))
            .collect();
        assert_eq!(told, [(1, vec![9, 0]), (0, vec![5, 0]), (0, vec![0x23, 1])]);
        assert!(by_vlan(&filter, &[5, 7, 0x123]).is_empty());
    }
}
