//! Identify (NVMe base specification 2.0, section 5.17).

use crate::command::Command;
use crate::wire::SubmissionEntry;

/// A set of I/O commands (Command Set Identifier, CSI).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandSet {
    /// Blocks.
    Nvm,
    /// Keys and values.
    KeyValue,
    /// Blocks in zones.
    Zoned,
    /// One that this driver does not know.
    Unknown(u8),
}

impl CommandSet {
    /// The set with this identifier.
    pub const fn new(csi: u8) -> Self {
        match csi {
            0 => Self::Nvm,
            1 => Self::KeyValue,
            2 => Self::Zoned,
            csi => Self::Unknown(csi),
        }
    }

    /// Command Set Identifier (CSI).
    pub const fn csi(self) -> u8 {
        match self {
            Self::Nvm => 0,
            Self::KeyValue => 1,
            Self::Zoned => 2,
            Self::Unknown(csi) => csi,
        }
    }
}

/// What is to be identified: a Controller or Namespace Structure (CNS). All have 4096 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identify {
    /// A namespace, by the NVM command set (CNS 00h).
    Namespace(u32),
    /// The controller (CNS 01h).
    Controller,
    /// The active namespaces with identifiers above this one (CNS 02h).
    ActiveNamespaces(u32),
    /// What identifies a namespace (CNS 03h).
    Descriptors(u32),
    /// A namespace, by a command set (CNS 05h).
    NamespaceOf(u32, CommandSet),
    /// The controller, by a command set (CNS 06h).
    ControllerOf(CommandSet),
    /// The active namespaces of a command set with identifiers above this one (CNS 07h).
    ActiveNamespacesOf(u32, CommandSet),
    /// The namespaces that exist, attached or not, with identifiers above this one (CNS 10h).
    AllocatedNamespaces(u32),
    /// A namespace that exists, attached or not (CNS 11h).
    AllocatedNamespace(u32),
    /// The controllers, from this one on, that a namespace is attached to (CNS 12h).
    AttachedControllers(u32, u16),
    /// The controllers of the subsystem, from this one on (CNS 13h).
    Controllers(u16),
    /// Combinations of I/O command sets (CNS 1Ch).
    CommandSets,
}

impl Identify {
    /// The command, as errors name it.
    pub const fn command(self) -> Command {
        match self {
            Self::Namespace(_) => Command::IdentifyNamespace,
            Self::Controller => Command::IdentifyController,
            Self::ActiveNamespaces(_) | Self::ActiveNamespacesOf(..) => {
                Command::IdentifyActiveNamespaces
            }
            Self::Descriptors(_) => Command::IdentifyDescriptors,
            Self::NamespaceOf(..) => Command::IdentifyNamespaceOfSet,
            Self::ControllerOf(_) => Command::IdentifyControllerOfSet,
            Self::AllocatedNamespaces(_) => Command::IdentifyAllocatedNamespaces,
            Self::AllocatedNamespace(_) => Command::IdentifyAllocatedNamespace,
            Self::AttachedControllers(..) | Self::Controllers(_) => Command::IdentifyControllers,
            Self::CommandSets => Command::IdentifyCommandSets,
        }
    }

    /// The command itself, for 4096 bytes of memory.
    pub const fn entry(self) -> SubmissionEntry {
        // A controller other than the one asked does not matter to CNS 1Ch.
        const ANY_CONTROLLER: u16 = 0xffff;
        let (cns, nsid, controller, set) = match self {
            Self::Namespace(nsid) => (0x00, nsid, 0, None),
            Self::Controller => (0x01, 0, 0, None),
            Self::ActiveNamespaces(after) => (0x02, after, 0, None),
            Self::Descriptors(nsid) => (0x03, nsid, 0, None),
            Self::NamespaceOf(nsid, set) => (0x05, nsid, 0, Some(set)),
            Self::ControllerOf(set) => (0x06, 0, 0, Some(set)),
            Self::ActiveNamespacesOf(after, set) => (0x07, after, 0, Some(set)),
            Self::AllocatedNamespaces(after) => (0x10, after, 0, None),
            Self::AllocatedNamespace(nsid) => (0x11, nsid, 0, None),
            Self::AttachedControllers(nsid, from) => (0x12, nsid, from, None),
            Self::Controllers(from) => (0x13, 0, from, None),
            Self::CommandSets => (0x1c, 0, ANY_CONTROLLER, None),
        };
        let csi = match set {
            None => 0,
            Some(set) => set.csi(),
        };
        SubmissionEntry {
            nsid,
            cdw10_11: cns | (controller as u64) << 16 | (csi as u64) << 56,
            ..self.command().entry()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identify_is_laid_out_as_specified() {
        let entry = Identify::NamespaceOf(7, CommandSet::Zoned).entry();
        assert_eq!(entry.cdw0.opcode(), 0x06);
        assert_eq!((entry.nsid, entry.cdw10_11), (7, 0x0200_0000_0000_0005));
        let entry = Identify::AttachedControllers(7, 0x102).entry();
        assert_eq!((entry.nsid, entry.cdw10_11), (7, 0x0102_0012));
        assert_eq!(Identify::Controller.entry().cdw10_11, 1);
        assert_eq!(Identify::AllocatedNamespaces(9).entry().nsid, 9);
        assert_eq!(Identify::CommandSets.entry().cdw10_11, 0xffff_001c);
    }

    #[test]
    fn command_sets_have_their_numbers() {
        for csi in 0..=255 {
            assert_eq!(CommandSet::new(csi).csi(), csi);
        }
    }
}
