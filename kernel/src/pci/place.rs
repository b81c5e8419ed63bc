//! Writing places into BARs and bridge windows: the tree that was scanned, laid out.

use super::bar::{self, Need};
use super::resources::{self, Block, Part, Space};
use super::scan::{Holes, Node};
use super::{ConfigSpace, PciAddress, header};
use alloc::vec::Vec;
use phyr::{Phyr, PhysAddr};

/// How large the windows of ports are whose devices can come and go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Large enough for what may come.
    Spare,
    /// Large enough for what is there.
    Needed,
}

/// The parts of one space on one bus: of each node its BARs, then its window.
///
/// Where what lies behind a bridge overflows the address space, that bridge forwards nothing, and
/// the rest of the bus is laid out as if it were not there.
fn parts(nodes: &[Node], space: Space, room: Room) -> Vec<Part> {
    let mut parts = Vec::new();
    for node in nodes {
        parts.extend(needs_in(node, space).map(|need| Part {
            len: need.len,
            align: need.len,
        }));
        if let Some(behind) = &node.behind {
            let window = layout(behind, space, room).and_then(|block| resources::window(&block));
            let window = window.unwrap_or(Part::NOTHING);
            parts.push(match room {
                Room::Spare if node.slot.is_some() => resources::spare(window, space),
                _ => window,
            });
        }
    }
    parts
}

fn layout(nodes: &[Node], space: Space, room: Room) -> Option<Block> {
    resources::pack(&parts(nodes, space, room))
}

fn needs_in(node: &Node, space: Space) -> impl Iterator<Item = Need> + '_ {
    node.needs
        .iter()
        .copied()
        .filter(move |need| resources::space_of(need) == Some(space))
}

/// Places each part of the root bus on its own, the largest first, wherever there is room.
///
/// Ports whose devices can come and go get spare room, if all of them can have it.
pub(super) fn place_root(
    config: &impl ConfigSpace,
    nodes: &mut [Node],
    space: Space,
    holes: &mut Holes,
) {
    let bounds = if space == Space::Low {
        holes.low
    } else {
        holes.high
    };
    let before = holes.taken.len();
    for room in [Room::Spare, Room::Needed] {
        let parts = parts(nodes, space, room);
        let mut places: Vec<Option<PhysAddr>> = alloc::vec![None; parts.len()];
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by_key(|&index| core::cmp::Reverse(parts[index].align));
        for index in order {
            let place =
                bounds.and_then(|bounds| resources::find_place(bounds, &holes.taken, parts[index]));
            if let Some(place) = place {
                holes.taken.push(place);
                places[index] = Some(place.addr());
            }
        }
        let mut sized = places.iter().zip(&parts);
        let is_complete = sized.all(|(place, part)| place.is_some() || part.len == 0);
        if is_complete || room == Room::Needed {
            return assign(config, nodes, space, room, &places);
        }
        // What is there goes before what may come.
        holes.taken.truncate(before);
    }
}

/// Gives each part of a bus the place found for it, and what lies behind its bridges theirs.
fn assign(
    config: &impl ConfigSpace,
    nodes: &mut [Node],
    space: Space,
    room: Room,
    places: &[Option<PhysAddr>],
) {
    let mut places = places.iter().copied();
    for node in nodes {
        let needs: Vec<Need> = needs_in(node, space).collect();
        for need in needs {
            let phyr = places
                .next()
                .flatten()
                .and_then(|start| Phyr::new(start, need.len).ok());
            if let Some(phyr) = phyr {
                node.bars
                    .push(bar::place(config, node.address, &need, phyr));
            }
        }
        if let Some(behind) = &mut node.behind {
            let start = places.next().flatten();
            let block = layout(behind, space, room).unwrap_or_default();
            let mut part = resources::window(&block).unwrap_or(Part::NOTHING);
            if room == Room::Spare && node.slot.is_some() {
                part = resources::spare(part, space);
            }
            let window = start.and_then(|start| Phyr::new(start, part.len).ok());
            node.windows[space as usize] = window;
            forward(config, node.address, space, window);
            let inner: Vec<_> = block
                .offsets
                .iter()
                .map(|offset| window.and_then(|window| window.addr().checked_add(*offset)))
                .collect();
            assign(config, behind, space, room, &inner);
        }
    }
}

/// Sets what a bridge forwards. A base above the limit forwards nothing.
fn forward(config: &impl ConfigSpace, bridge: PciAddress, space: Space, window: Option<Phyr>) {
    const NOTHING: u32 = 0x0000_fff0;
    let (first, last) = window.map_or((0, 0), |window| (window.addr().get(), window.last().get()));
    let megabytes = match window {
        Some(_) => (first >> 16 & 0xfff0) as u32 | (last as u32 & 0xfff0_0000),
        None => NOTHING,
    };
    match space {
        Space::Low => config.write(bridge, header::MEMORY_WINDOW, megabytes),
        Space::High => {
            config.write(bridge, header::PREFETCHABLE_WINDOW, megabytes);
            config.write(
                bridge,
                header::PREFETCHABLE_BASE_UPPER,
                (first >> 32) as u32,
            );
            config.write(
                bridge,
                header::PREFETCHABLE_LIMIT_UPPER,
                (last >> 32) as u32,
            );
        }
    }
}
