//! Enumeration: number the buses, find the functions, give everything its place.

use super::bar::{self, Bar, BarKind, Need};
use super::function::Function;
use super::hotplug::{self, Port};
use super::place::place_root;
use super::resources::Space;
use super::{ConfigSpace, PciAddress, header};
use alloc::vec::Vec;
use phyr::Phyr;

/// Bridges behind bridges deeper than this are not followed; real machines have fewer than ten.
const DEEPEST: u32 = 32;

/// The address space in which devices are placed.
#[derive(Debug, Clone)]
pub struct Holes {
    /// Bounds for what must lie below 4 GiB.
    pub low: Option<Phyr>,
    /// Bounds for what may lie anywhere.
    pub high: Option<Phyr>,
    /// What is in use within the bounds: reserved regions, configuration space, earlier placements.
    pub taken: Vec<Phyr>,
}

/// The functions of a segment, all placed.
#[derive(Debug, Default)]
pub struct Bus {
    /// Every function, bridges included, in the order of their addresses.
    pub functions: Vec<Function>,
    /// BARs that are not used: I/O ports, and all the memory of functions of which some memory
    /// found no place.
    pub unplaced: Vec<(PciAddress, Need)>,
    /// The ports whose devices can come and go.
    pub ports: Vec<Port>,
}

/// A function while it is being placed.
pub(super) struct Node {
    pub(super) address: PciAddress,
    pub(super) needs: Vec<Need>,
    pub(super) bars: Vec<Bar>,
    /// For a bridge, what lies behind it.
    pub(super) behind: Option<Vec<Node>>,
    /// For a port whose device can come and go, where its PCI Express capability is.
    pub(super) slot: Option<u16>,
    /// For a bridge, what it forwards: below 4 GiB, and of prefetchable memory.
    pub(super) windows: [Option<Phyr>; 2],
}

/// Numbers, sizes and places everything from `first_bus` on.
///
/// Afterwards memory decoding is on for the functions that have BARs in the result, and for the
/// bridges in front of them. One bit turns it on for all BARs of a function, so a function of
/// which one memory BAR has no place gets none: that BAR would answer at the address that happens
/// to be in it. Bus mastering is on for bridges that decode, which only pass on what others send.
/// Host and ISA bridges keep what the firmware set. Everything else has bus mastering off.
pub fn scan(
    config: &impl ConfigSpace,
    segment: u16,
    first_bus: u8,
    last_bus: u8,
    holes: &mut Holes,
) -> Bus {
    let mut scanner = Scanner {
        config,
        segment,
        next_bus: first_bus,
        last_bus,
    };
    let nodes = scanner.scan_bus(first_bus, 0);
    place(config, nodes, holes)
}

/// Finds and places what has arrived behind a port, in what the port forwards.
///
/// What is gone again before all of this is done is not in the result.
pub(super) fn scan_behind(config: &impl ConfigSpace, port: &Port) -> Bus {
    let mut scanner = Scanner {
        config,
        segment: port.address.segment(),
        next_bus: port.bus,
        last_bus: port.last_bus,
    };
    let nodes = scanner.scan_bus(port.bus, 0);
    let mut holes = Holes {
        low: port.low,
        high: port.high,
        taken: Vec::new(),
    };
    let mut bus = place(config, nodes, &mut holes);
    let is_there = |address| exists(config, address);
    bus.functions.retain(|function| is_there(function.address));
    bus.unplaced.retain(|(address, _)| is_there(*address));
    bus
}

/// Gives everything its place, and turns decoding on.
fn place(config: &impl ConfigSpace, mut nodes: Vec<Node>, holes: &mut Holes) -> Bus {
    let mut bus = Bus::default();
    for space in [Space::Low, Space::High] {
        place_root(config, &mut nodes, space, holes);
    }
    finish(config, nodes, true, &mut bus);
    bus.functions.sort_by_key(|function| function.address);
    bus
}

/// A vendor of all ones, or (some host bridges) of zero, is nobody.
fn exists(config: &impl ConfigSpace, address: PciAddress) -> bool {
    !matches!(config.read(address, header::ID) & 0xffff, 0 | 0xffff)
}

struct Scanner<'a, C> {
    config: &'a C,
    segment: u16,
    next_bus: u8,
    last_bus: u8,
}

impl<C: ConfigSpace> Scanner<'_, C> {
    fn scan_bus(&mut self, bus: u8, depth: u32) -> Vec<Node> {
        let mut found = Vec::new();
        for device in 0..32 {
            let at = |function| PciAddress::new(self.segment, bus, device, function);
            if !exists(self.config, at(0)) {
                continue;
            }
            let several = self.config.read(at(0), header::TYPE) >> 16 & 0x80 != 0;
            let functions = if several { 8 } else { 1 };
            found.extend(
                (0..functions)
                    .map(at)
                    .filter(|address| exists(self.config, *address)),
            );
        }
        // Firmware may have numbered the buses in another order. A bridge that still claims a number
        // would answer for the bus that is given it now.
        for bridge in found.iter().filter(|address| self.is_bridge(**address)) {
            self.number(*bridge, 0, 0);
        }
        found
            .into_iter()
            .map(|address| self.scan_function(address, depth))
            .collect()
    }

    fn is_bridge(&self, address: PciAddress) -> bool {
        self.header_type(address) == header::TYPE_BRIDGE
    }

    fn header_type(&self, address: PciAddress) -> u32 {
        self.config.read(address, header::TYPE) >> 16 & 0x7f
    }

    fn scan_function(&mut self, address: PciAddress, depth: u32) -> Node {
        let mut node = Node {
            address,
            needs: Vec::new(),
            bars: Vec::new(),
            behind: None,
            slot: None,
            windows: [None; 2],
        };
        let kind = self.header_type(address);
        let class = (self.config.read(address, header::CLASS) >> 16) as u16;
        // Host and ISA bridges decode what the firmware and the console need.
        if class >> 8 == 0x06 && kind == header::TYPE_ENDPOINT {
            return node;
        }
        command(self.config, address, DECODING, 0);
        // Headers of other types (CardBus) have other registers in the place of BARs.
        let registers = match kind {
            header::TYPE_ENDPOINT => 6,
            header::TYPE_BRIDGE => 2,
            _ => 0,
        };
        node.needs = bar::size(self.config, address, registers).collect();
        if kind == header::TYPE_BRIDGE {
            node.behind = Some(self.scan_behind(address, depth));
            node.slot = hotplug::find(self.config, address);
        }
        node
    }

    fn scan_behind(&mut self, bridge: PciAddress, depth: u32) -> Vec<Node> {
        if self.next_bus >= self.last_bus || depth >= DEEPEST {
            return Vec::new();
        }
        self.next_bus += 1;
        let secondary = self.next_bus;
        // While its bus is scanned, the bridge passes on every number not yet given.
        self.number(bridge, secondary, self.last_bus);
        let nodes = self.scan_bus(secondary, depth + 1);
        self.number(bridge, secondary, self.next_bus);
        nodes
    }

    fn number(&self, bridge: PciAddress, secondary: u8, subordinate: u8) {
        let timer = self.config.read(bridge, header::BUS_NUMBERS) & 0xff00_0000;
        let numbers =
            u32::from(bridge.bus()) | u32::from(secondary) << 8 | u32::from(subordinate) << 16;
        self.config
            .write(bridge, header::BUS_NUMBERS, timer | numbers);
    }
}

/// Turns decoding on, and flattens the tree into the result.
///
/// Nothing is `reachable` behind a bridge that does not decode.
fn finish(config: &impl ConfigSpace, nodes: Vec<Node>, reachable: bool, bus: &mut Bus) {
    for mut node in nodes {
        let is_placed = |need: &Need| node.bars.iter().any(|bar| bar.index == need.index);
        let mut memory = node.needs.iter().filter(|need| need.kind != BarKind::Io);
        let decodes = reachable && memory.all(is_placed);
        if !decodes {
            node.bars.clear();
        }
        node.bars.sort_by_key(|bar| bar.index);
        let is_placed = |need: &Need| node.bars.iter().any(|bar| bar.index == need.index);
        bus.unplaced.extend(
            node.needs
                .iter()
                .filter(|need| !is_placed(need))
                .map(|need| (node.address, *need)),
        );
        if node.behind.is_some() {
            config.write(node.address, header::IO_WINDOW, 0x0000_00f0);
            if decodes {
                let bits = header::COMMAND_MEMORY | header::COMMAND_BUS_MASTER | LINE;
                command(config, node.address, DECODING, bits);
            }
        } else if !node.bars.is_empty() {
            command(
                config,
                node.address,
                DECODING,
                header::COMMAND_MEMORY | LINE,
            );
        }
        // Of those that are left as firmware has them, too: their line may be somebody else's.
        command(config, node.address, LINE, LINE);
        if let Some(capability) = node.slot
            && decodes
        {
            let numbers = config.read(node.address, header::BUS_NUMBERS);
            let [low, high] = node.windows;
            bus.ports.push(Port {
                address: node.address,
                bus: (numbers >> 8) as u8,
                last_bus: (numbers >> 16) as u8,
                low,
                high,
                message: hotplug::message(config, node.address, capability),
                capability,
            });
        }
        bus.functions
            .push(Function::read(config, node.address, node.bars));
        if let Some(behind) = node.behind {
            finish(config, behind, decodes, bus);
        }
    }
}

/// The function's own line is off. What those behind a bridge raise passes through it all the same.
const LINE: u32 = header::COMMAND_INTX_DISABLE;

/// What enumeration decides about a function.
const DECODING: u32 = header::COMMAND_IO
    | header::COMMAND_MEMORY
    | header::COMMAND_BUS_MASTER
    | header::COMMAND_INTX_DISABLE;

/// Of the command register, sets the bits in `which` to `bits`, and keeps the others.
pub(super) fn command(config: &impl ConfigSpace, address: PciAddress, which: u32, bits: u32) {
    let others = config.read(address, header::COMMAND) & header::COMMAND_MASK & !which;
    config.write(address, header::COMMAND, others | bits);
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
