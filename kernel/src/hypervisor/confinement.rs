//! A guest whose only purpose is to show that it cannot get out.
//!
//! Nested paging is one bit in the control block. There have been emulators that heed it only while the
//! guest has paging of its own turned on. On those a guest would be loose in the machine's memory, and
//! everything else would look right. So the first guest has no memory at all, and starts at the physical
//! address of a page that says "answer". If it does answer, the CPU is not to be trusted with another.

use super::enter::Context;
use super::exit::{Access, Event, GuestAddr, Reason};
use super::support::{Ready, Unsupported};
use super::vmcb::Vmcb;
use crate::memory::extents::Request;
use crate::memory::frames::{BELOW_4_GIB, Frames, window};
use crate::memory::mapping::TableFrames;
use crate::memory::paging::{Features, NestedTables};
use crate::memory::window::PAGE;
use core::sync::atomic::{AtomicBool, Ordering};

const VMMCALL: [u8; 3] = [0x0f, 0x01, 0xd9];

/// Tries, the first time, whether a guest stays where it belongs.
pub(super) fn check(ready: &Ready) -> Result<(), Unsupported> {
    static CONFINED: AtomicBool = AtomicBool::new(false);
    if CONFINED.load(Ordering::Relaxed) {
        return Ok(());
    }
    let request = Request {
        len: PAGE,
        align: PAGE,
        below: Some(BELOW_4_GIB),
    };
    let mut outside = Frames::request(request).map_err(|_| Unsupported::OutOfMemory)?;
    for call in outside.bytes_mut().chunks_exact_mut(VMMCALL.len()) {
        call.copy_from_slice(&VMMCALL);
    }
    let nothing = NestedTables::new(window(), TableFrames, Features::detect());
    let nothing = nothing.map_err(|_| Unsupported::OutOfMemory)?;
    let start = outside.phyr().addr().get();
    let mut context = Context::new(Vmcb::new(nothing.root(), ready.all, start));
    let event = loop {
        // SAFETY: the core is ready, and the tables map nothing. If they are ignored, the guest answers
        // at once.
        unsafe { context.enter() };
        match context.report().event() {
            Event::Interrupted => {}
            event => break event,
        }
    };
    let expected = Reason::NestedFault {
        address: GuestAddr::new(start),
        access: Access::Execute,
    };
    if event != Event::Stopped(expected) {
        return Err(Unsupported::NotConfined);
    }
    CONFINED.store(true, Ordering::Relaxed);
    Ok(())
}
