//! What kind of controller the model is.

use nvme::Status;
use nvme::registers::Capabilities;
use nvme::wire::{IdentifyController, IdentifyNamespace, LbaFormat};

/// Everything about a controller that a test may want different.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) cap: Capabilities,
    pub(crate) version: u32,
    /// Controller Ready With Media Timeout, in units of 500 ms.
    pub(crate) crwmt: u16,
    pub(crate) identify: IdentifyController,
    pub(crate) namespaces: Vec<(u32, IdentifyNamespace)>,
    /// Whether there is an active namespace list (CNS 02h).
    pub(crate) active_list: bool,
    /// Active namespace list to show instead of the true one.
    pub(crate) false_list: Option<Vec<u32>>,
    /// Bytes of identify data to show instead of the true ones, for any CNS.
    pub(crate) false_identify: Option<Box<[u8; 4096]>>,
    /// A namespace that cannot be identified, with the status.
    pub(crate) bad_namespace: Option<(u32, Status)>,
    /// Bytes of registers; `None` is enough for the doorbells.
    pub(crate) window: Option<usize>,
    /// Microseconds of each turn of a waiting loop.
    pub(crate) tick: u64,
    /// Microseconds until CSTS.RDY follows CC.EN.
    pub(crate) ready_delay: u64,
    /// Turns until a command is looked at.
    pub(crate) latency: u32,
    /// Most commands completed in a turn.
    pub(crate) per_tick: usize,
    /// Complete commands in any order.
    pub(crate) out_of_order: bool,
    /// Pages of memory in the machine.
    pub(crate) pages: usize,
    /// Which allocation of the driver fails, counted from 0.
    pub(crate) failing_allocation: Option<usize>,
    /// The SQ Head Pointer of the admin queue never moves.
    pub(crate) stuck_admin_head: bool,
    /// Enabled already, as if by firmware.
    pub(crate) enabled: bool,
    pub(crate) seed: u64,
}

impl Default for Config {
    /// A controller much like QEMU's, with one namespace of 512-byte blocks.
    fn default() -> Self {
        let mut identify = IdentifyController::decode(&[0; 4096]);
        identify.vid = 0x1b36;
        identify.sn = padded(b"phyr-0001");
        identify.mn = padded(b"Model Controller");
        identify.fr = padded(b"1.0");
        identify.mdts = 7;
        identify.ver = 0x0001_0400;
        identify.sqes = 0x66;
        identify.cqes = 0x44;
        identify.nn = 256;
        identify.vwc = 7;
        Self {
            cap: Capabilities::new()
                .with_mqes(2047)
                .with_cqr(true)
                .with_to(15)
                .with_css_nvm(true)
                .with_mpsmax(4),
            version: 0x0001_0400,
            crwmt: 0,
            identify,
            namespaces: vec![(1, disk(4096, 9))],
            active_list: true,
            false_list: None,
            false_identify: None,
            bad_namespace: None,
            window: None,
            tick: 100,
            ready_delay: 300,
            latency: 0,
            per_tick: usize::MAX,
            out_of_order: false,
            pages: 2048,
            failing_allocation: None,
            stuck_admin_head: false,
            enabled: false,
            seed: 1,
        }
    }
}

impl Config {
    /// The default with one namespace of `blocks` blocks of `1 << shift` bytes.
    pub(crate) fn with_disk(blocks: u64, shift: u8) -> Self {
        Self {
            namespaces: vec![(1, disk(blocks, shift))],
            ..Self::default()
        }
    }

    pub(crate) fn mdts(mut self, mdts: u8) -> Self {
        self.identify.mdts = mdts;
        self
    }

    /// MQES, zero-based.
    pub(crate) fn mqes(mut self, mqes: u16) -> Self {
        self.cap.set_mqes(mqes);
        self
    }
}

/// A namespace of `blocks` blocks of `1 << shift` bytes.
pub(crate) fn disk(blocks: u64, shift: u8) -> IdentifyNamespace {
    let mut identify = IdentifyNamespace::decode(&[0; 4096]);
    identify.nsze = blocks;
    identify.ncap = blocks;
    // The format in use is not the first one, so that nobody gets by with that.
    identify.nlbaf = 2;
    identify.flbas = 1;
    identify.lbaf[0] = LbaFormat::new().with_lbads(11).with_ms(8);
    identify.lbaf[1] = LbaFormat::new().with_lbads(shift);
    identify.lbaf[2] = LbaFormat::new().with_lbads(12).with_ms(64);
    identify
}

fn padded<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut field = [b' '; N];
    field[..text.len()].copy_from_slice(text);
    field
}
