//! Address spaces: what is mapped where, who owns it, and what of it must stay.
//!
//! # The problem
//!
//! A program says "read the file to this address". What a device needs is phyrs, and that these stay
//! what they are until the device is done: the program may unmap the range meanwhile, or end. Other
//! kernels count users in a record of each page. Here there are no such records.
//!
//! # The idea
//!
//! A mapping *owns* what is behind it ([`Backing`]): memory can only be freed by being unmapped.
//! So it is enough that what is pinned cannot be unmapped, and the pins can live with the mappings,
//! in extents of virtual addresses ([`Pins`](super::pins::Pins)). [`AddressSpace::pin`] answers with
//! [`Pinned`]: the phyrs, and the promise.
//!
//! - `pin` takes one lock, walks the page tables once, and joins what touches, across the bounds of pages,
//!   leaves and mappings. A gigabyte in one piece is one phyr.
//! - What is pinned is not unmapped, replaced, or protected against its [`Access`]: whoever tries gets
//!   [`SpaceError::Pinned`]. Nobody waits under a lock for a device.
//! - An address space that ends while something is pinned keeps that, and gives back all else.
//!
//! A program's address space is the lower half of the virtual addresses, and the kernel's upper half is
//! visible to no program in it. The kernel's own is a part of the upper half: what Rust owns there
//! in other ways (frames in the direct map, the heap, a [`Mapping`](super::Mapping)) is given to a request
//! by value, and needs no pin.
//!
//! Address spaces can [share](AddressSpace::share) what they show, until one of them writes: copy on write. A pin
//! for writing needs a mapping that may be written, and breaks the sharing before it answers.

mod areas;
mod backing;
mod error;
mod pinned;
mod sharing;
mod state;

pub use backing::Backing;
pub use error::{PinError, SpaceError};
pub use pinned::{NoCopy, Pinned};

use super::extents::Request;
use super::frames::{Frames, window};
use super::mapping::{self, TableFrames};
use super::paging::{Features, LeafCount, PageTables, Rights};
use super::pins::{Access, NoRoom};
use super::virt::{VirtAddr, VirtRange};
use super::window::{PAGE, Window};
use crate::cores::shootdown::AllTlbs;
use crate::lock::Mutex;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroUsize;
use core::sync::atomic::{AtomicU64, Ordering};
use phyr::PhysAddr;
use spin::Once;
use state::{State, Tree};

/// What a program may map. The first pages stay free, so that a null pointer is one. So does the last
/// page before the hole: an instruction that ends there would be followed by an address that is none,
/// and the return to it would fault in the kernel.
const USER_FIRST: u64 = 0x1_0000;
const USER_END: u64 = 0x7fff_ffff_f000;

/// Where the kernel's half of a root table begins.
const KERNEL_ENTRIES: usize = 256;

/// How many addresses the kernel's mappings with owners have.
const KERNEL_BYTES: u64 = 1 << 40;

/// The addresses of a program.
pub const USER: VirtRange = match VirtAddr::new(USER_FIRST) {
    Ok(first) => match VirtRange::new(first, USER_END - USER_FIRST) {
        Ok(range) => range,
        Err(_) => unreachable!(),
    },
    Err(_) => unreachable!(),
};

/// An address space, and the right to change it.
pub struct AddressSpace {
    space: Arc<Space>,
}

/// What an address space and the pins in it share.
pub(crate) struct Space {
    /// The addresses that it may map.
    bounds: VirtRange,
    // Dropped before the root, which lies above the tables.
    state: Mutex<State>,
    /// Of a program's: the root of its tables.
    root: Option<Frames>,
}

/// How much there is of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that are mapped.
    pub mapped: u64,
    /// Bytes that are mapped, and copied before they are written, if somebody else still shows them.
    pub shared: u64,
    /// Bytes that are pinned.
    pub pinned: u64,
    /// Pins.
    pub pins: usize,
}

impl AddressSpace {
    /// An address space for a program, with nothing in it.
    ///
    /// # Errors
    /// [`SpaceError::OutOfMemory`].
    pub fn new() -> Result<Self, SpaceError> {
        let request = Request {
            len: PAGE,
            align: PAGE,
            below: None,
        };
        let mut root = Frames::request(request).map_err(|_| SpaceError::OutOfMemory)?;
        root.bytes_mut().fill(0);
        // SAFETY: an empty table in the direct map, which belongs to this address space. Below it
        // only these tables map, and only in the lower half.
        let tables = unsafe {
            PageTables::adopt(
                root.phyr().addr(),
                window(),
                TableFrames,
                AllTlbs::new(),
                Features::detect(),
            )
        };
        let tree = Tree::Own(Box::new(tables.for_user()));
        Ok(Self::of(USER, Some(root), tree))
    }

    /// The kernel's own.
    ///
    /// # Panics
    /// If it has no addresses left when it is first asked for.
    pub fn kernel() -> &'static Self {
        static KERNEL: Once<AddressSpace> = Once::new();
        KERNEL.call_once(|| {
            let bounds = mapping::take_addresses(KERNEL_BYTES);
            Self::of(
                bounds.expect("nobody else takes so many"),
                None,
                Tree::Kernel,
            )
        })
    }

    fn of(bounds: VirtRange, root: Option<Frames>, tree: Tree) -> Self {
        let space = Arc::new(Space {
            bounds,
            root,
            state: Mutex::new(State::new(tree)),
        });
        Self { space }
    }

    /// The addresses that it may map.
    pub fn bounds(&self) -> VirtRange {
        self.space.bounds
    }

    /// Maps what `owner` has at free addresses, with the largest leaves that fit, and keeps the owner
    /// for as long as any of it is mapped.
    ///
    /// What the memory contains, the program sees.
    ///
    /// # Errors
    /// Why not, and the owner.
    pub fn map<B: Backing>(&self, owner: B, rights: Rights) -> Result<VirtRange, (SpaceError, B)> {
        self.map_where(None, owner, rights)
    }

    /// As [`map`](Self::map), from this address on.
    ///
    /// # Errors
    /// Why not, and the owner.
    pub fn map_at<B: Backing>(
        &self,
        start: VirtAddr,
        owner: B,
        rights: Rights,
    ) -> Result<VirtRange, (SpaceError, B)> {
        self.map_where(Some(start), owner, rights)
    }

    fn map_where<B: Backing>(
        &self,
        start: Option<VirtAddr>,
        owner: B,
        rights: Rights,
    ) -> Result<VirtRange, (SpaceError, B)> {
        let list = match owner.phyrs() {
            Ok(list) => list,
            Err(error) => return Err((SpaceError::List(error), owner)),
        };
        if let Err(error) = owner.hold() {
            return Err((SpaceError::Region(error), owner));
        }
        let bounds = self.space.bounds;
        let mapped = self
            .space
            .state
            .lock()
            .map(bounds, start, &list, owner, rights);
        mapped.map_err(|(error, owner)| {
            owner.let_go();
            (error, owner)
        })
    }

    /// Unmaps all of `range`, which may be a part of a mapping or several. Owners of which nothing is
    /// mapped any more are dropped.
    ///
    /// # Errors
    /// [`Pinned`](SpaceError::Pinned), [`NotPages`](SpaceError::NotPages),
    /// [`NotMapped`](SpaceError::NotMapped), [`OutOfMemory`](SpaceError::OutOfMemory) and
    /// [`Tables`](SpaceError::Tables), if a mapping is cut. Nothing has changed then.
    pub fn unmap(&self, range: VirtRange) -> Result<(), SpaceError> {
        let mut gone = Vec::new();
        // Owners may have things to do when they are dropped: after the lock.
        self.space.state.lock().unmap(range, &mut gone)
    }

    /// Gives all of `range` the rights `rights`.
    ///
    /// # Errors
    /// [`Pinned`](SpaceError::Pinned), if something is pinned there for writing and the rights do not
    /// allow that; otherwise as for [`unmap`](Self::unmap). Nothing has changed then.
    pub fn protect(&self, range: VirtRange, rights: Rights) -> Result<(), SpaceError> {
        self.space.state.lock().protect(range, rights)
    }

    /// Pins all of `range`, which need not be made of pages.
    ///
    /// # Errors
    /// See [`PinError`]. Nothing is pinned then.
    pub fn pin(&self, range: VirtRange, access: Access) -> Result<Pinned, PinError> {
        self.pin_up_to(range, access, NonZeroUsize::MAX)
            .map(|pinned| pinned.0)
    }

    /// Pins as much of the front of `range` as `entries` phyrs can say; and what is left of it, to go on
    /// with.
    ///
    /// The last entry takes in all that touches it. So memory in one piece comes back in one
    /// piece, however small `entries` is and however many mappings it has come from.
    ///
    /// # Errors
    /// See [`PinError`]. Nothing is pinned then. Of what is left nothing is said.
    pub fn pin_up_to(
        &self,
        range: VirtRange,
        access: Access,
        entries: NonZeroUsize,
    ) -> Result<(Pinned, Option<VirtRange>), PinError> {
        if !self.space.bounds.contains(range) {
            return Err(PinError::Outside(range));
        }
        let mut gone = Vec::new();
        let pinned = self
            .space
            .state
            .lock()
            .pin(range, access, entries.get(), &mut gone);
        let (phyrs, front) = pinned?;
        let pinned = Pinned::new(Arc::clone(&self.space), front, access, phyrs);
        Ok((pinned, range.without_prefix(front.len())))
    }

    /// How many leaves of each size map `range`.
    pub fn leaves(&self, range: VirtRange) -> LeafCount {
        self.space.state.lock().leaves(range)
    }

    /// How much is mapped and pinned.
    pub fn usage(&self) -> Usage {
        self.space.state.lock().usage()
    }

    /// The root of a program's tables, for CR3. What the kernel's half in it says may be out of date.
    pub fn root(&self) -> Option<PhysAddr> {
        self.space.root.as_ref().map(|root| root.phyr().addr())
    }

    /// Brings the kernel's half up to date, and returns the root of a program's tables.
    ///
    /// Takes no lock. With interrupts disabled until the program runs, the half is right for as long as it
    /// does: whoever removes something from the kernel's tables interrupts all cores before memory is used
    /// again, and that ends the program's turn.
    pub(crate) fn enter(&mut self) -> Option<PhysAddr> {
        let root = self.root()?;
        let entries = |table: PhysAddr| {
            let entries = window().pointer(table).cast::<[AtomicU64; 512]>();
            // SAFETY: both are tables in the direct map, which stay for at least as long as this; they
            // are shared with those who use them as atomics.
            unsafe { entries.as_ref() }
        };
        let (from, to) = (entries(mapping::root()), entries(root));
        for (from, to) in from.iter().zip(to).skip(KERNEL_ENTRIES) {
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        Some(root)
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        let mut gone = Vec::new();
        self.space.state.lock().end(&mut gone);
    }
}

impl fmt::Debug for AddressSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.space, f)
    }
}

impl fmt::Debug for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Space({})", self.bounds)
    }
}

impl Space {
    pub(super) fn unpin(&self, range: VirtRange, access: Access) {
        let mut gone = Vec::new();
        self.state.lock().unpin(range, access, &mut gone);
        loop {
            // The lock is free again when the owner is dropped.
            let aside = self.state.lock().take_unpinned();
            if aside.is_none() {
                break;
            }
        }
    }

    pub(super) fn divide_pin(&self) -> Result<(), NoRoom> {
        self.state.lock().divide_pin()
    }

    pub(super) fn is_one_provider_at(&self, addr: VirtAddr) -> bool {
        self.state.lock().is_one_provider_at(addr)
    }

    pub(super) fn unite_pins(&self) {
        self.state.lock().unite_pins();
    }
}
