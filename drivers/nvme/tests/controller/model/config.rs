//! What kind of controller the model is.

use super::cmb::ControllerMemory;
use nvme::registers::Capabilities;
use nvme::wire::{
    ExtendedLbaFormat, IdentifyController, IdentifyNamespace, LbaFormat, NvmController,
    NvmNamespace, ZonedController, ZonedNamespace,
};
use nvme::{Device, Status};
use std::collections::BTreeMap;

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
    /// Granted I/O submission and completion queues, whatever is asked for.
    pub(crate) granted: (u16, u16),
    /// Interrupt vectors.
    pub(crate) vectors: u16,
    /// Entries are fetched in later turns, not with the doorbell.
    pub(crate) lazy: bool,
    /// Namespaces that exist and are not attached.
    pub(crate) detached: Vec<(u32, IdentifyNamespace)>,
    /// What new namespaces are made of.
    pub(crate) template: IdentifyNamespace,
    /// What some namespaces have beyond their identify data.
    pub(crate) extras: BTreeMap<u32, Extra>,
    /// Limits of commands.
    pub(crate) nvm: NvmController,
    pub(crate) zoned: ZonedController,
    pub(crate) controller_memory: Option<ControllerMemory>,
    /// Microseconds of a sanitize operation.
    pub(crate) sanitize_time: u64,
    /// Which device the machine says that it is.
    pub(crate) device: Option<Device>,
    /// Bytes of all identify data that are something else: offset and value.
    pub(crate) patches: Vec<(u16, u8)>,
}

/// What a namespace has beyond its identify data.
#[derive(Clone, Debug)]
pub(crate) struct Extra {
    pub(crate) nvm: NvmNamespace,
    pub(crate) zoned: Option<ZonedNamespace>,
    /// Blocks of a zone that can be written, if fewer than its size.
    pub(crate) zone_capacity: Option<u64>,
    pub(crate) uuid: [u8; 16],
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
            granted: (64, 64),
            vectors: 65,
            lazy: false,
            detached: Vec::new(),
            template: protected_disk(0, 0, 0, false).0,
            extras: BTreeMap::new(),
            nvm: NvmController::default(),
            zoned: ZonedController::default(),
            controller_memory: None,
            sanitize_time: 2_000_000,
            device: None,
            patches: Vec::new(),
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

    /// The default with everything that a controller can offer.
    pub(crate) fn with_everything() -> Self {
        let mut config = Self::default();
        config.cap.set_css_selectable(true);
        config.cap.set_nssrs(true);
        let identify = &mut config.identify;
        // Compare, deallocate, write zeroes, save, timestamp, verify, copy.
        identify.oncs = 0x1dd;
        // Format, firmware, namespaces, shadow doorbells.
        identify.oacs = 0x10e;
        identify.oaes = 0x300;
        identify.aerl = 3;
        identify.acl = 3;
        identify.elpe = 15;
        identify.lpa = 7;
        identify.frmw = 3 << 1;
        identify.ocfs = 1;
        identify.nwpc = 1;
        identify.sanicap = 3;
        identify.fna = 4;
        identify.unvmcap = 1 << 40;
        identify.cntlid = 7;
        identify.npss = 2;
        identify.apsta = 1;
        identify.kas = 1;
        identify.psd[1].exlat = 500;
        identify.psd[2].exlat = 5000;
        identify.psd[2].flags.set_nops(true);
        identify.hmpre = 16;
        identify.hmmin = 4;
        config
    }

    /// Puts a namespace in, with what it has beyond its identify data.
    pub(crate) fn put(mut self, nsid: u32, (namespace, extra): (IdentifyNamespace, Extra)) -> Self {
        self.namespaces.retain(|(id, _)| *id != nsid);
        self.namespaces.push((nsid, namespace));
        self.namespaces.sort_by_key(|(id, _)| *id);
        self.extras.insert(nsid, extra);
        self
    }

    /// What it takes of scatter gather lists (SGLS).
    pub(crate) fn sgls(mut self, sgls: u32) -> Self {
        self.identify.sgls = sgls;
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

/// A namespace with every LBA format: 512 and 4096 bytes with 0, 8, 16 and 64 bytes of
/// metadata, in this order, and those with 16 and 64 again with a guard of 64 bits.
///
/// It is formatted with the format `format`, with separate metadata or interleaved.
pub(crate) fn protected_disk(
    blocks: u64,
    format: u8,
    protection: u8,
    is_interleaved: bool,
) -> (IdentifyNamespace, Extra) {
    let mut identify = disk(blocks, 9);
    let mut nvm = NvmNamespace::default();
    let mut index = 0;
    for is_wide in [false, true] {
        for shift in [9, 12] {
            for metadata in [0, 8, 16, 64]
                .into_iter()
                .filter(|ms| !is_wide || *ms >= 16)
            {
                identify.lbaf[index] = LbaFormat::new().with_lbads(shift).with_ms(metadata);
                let guard = if is_wide { 2 } else { 0 };
                nvm.elbaf[index] = ExtendedLbaFormat::new().with_pif(guard);
                index += 1;
            }
        }
    }
    identify.nlbaf = index as u8 - 1;
    identify.flbas = format | u8::from(is_interleaved) << 4;
    identify.mc = 3;
    identify.dpc = 0x1f;
    identify.dps = protection;
    identify.dlfeat = 1;
    identify.mssrl = 8;
    identify.mcl = 16;
    identify.msrc = 3;
    let extra = Extra {
        nvm,
        zoned: None,
        zone_capacity: None,
        uuid: [0; 16],
    };
    (identify, extra)
}

/// A zoned namespace of 512-byte blocks with `zones` zones of `size` blocks, of which
/// `capacity` can be written.
pub(crate) fn zoned_disk(zones: u64, size: u64, capacity: u64) -> (IdentifyNamespace, Extra) {
    let (identify, mut extra) = protected_disk(zones * size, 0, 0, false);
    let mut zoned = ZonedNamespace::default();
    (zoned.mar, zoned.mor) = (u32::MAX, u32::MAX);
    for format in &mut zoned.lbafe {
        format.zsze = size;
    }
    extra.zoned = Some(zoned);
    extra.zone_capacity = Some(capacity);
    (identify, extra)
}

fn padded<const N: usize>(text: &[u8]) -> [u8; N] {
    let mut field = [b' '; N];
    field[..text.len()].copy_from_slice(text);
    field
}
