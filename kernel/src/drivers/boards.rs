//! Boards that are nothing but memory: they come, are given out, are taken back, and go.
//!
//! What is there at boot is there before any task runs. One task follows what comes and goes later.
//! A board that is to leave is taken back first: whatever still uses it holds the slot up for as long as
//! a slot waits, and nothing new is placed at its addresses before the last region of it is gone.

use super::display::{self, Display};
use super::ivshmem;
use crate::lock::Mutex;
use crate::memory::regions::{self, Provider};
use crate::pci::Function;
use crate::pci::PciAddress;
use crate::pci::device::{Device, DeviceError};
use crate::pci::ecam::Ecam;
use crate::pci::hotplug::{Event, Events, Tree};
use crate::{executor, println};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The boards in use.
static BOARDS: Mutex<Vec<Board>> = Mutex::new(Vec::new());

struct Board {
    address: PciAddress,
    provider: Arc<Provider>,
    /// What shows the memory, if something does.
    display: Option<Arc<Display>>,
}

/// The screens that there are at this moment.
pub fn displays() -> Vec<Arc<Display>> {
    let boards = BOARDS.lock();
    boards
        .iter()
        .filter_map(|board| board.display.clone())
        .collect()
}

/// Opens the boards that are there, and begins to follow the others.
pub(crate) fn start(tree: &'static Tree<Ecam>) {
    let mut events = tree.events();
    while let Some(event) = events.try_next() {
        follow(tree, event);
    }
    // Without slots nothing comes or goes.
    if !tree.ports().is_empty() {
        executor::spawn(follow_all(tree, events)).detach();
    }
}

async fn follow_all(tree: &'static Tree<Ecam>, mut events: Events) {
    loop {
        follow(tree, events.next().await);
    }
}

fn follow(tree: &Tree<Ecam>, event: Event) {
    match event {
        Event::Arrived(function) => match open(tree, &function) {
            Some(Ok(board)) => {
                regions::add(board.provider.clone());
                BOARDS.lock().push(board);
            }
            Some(Err(error)) => {
                println!("the memory of {} is not used: {error}", function.address);
            }
            None => {}
        },
        Event::Leaving(address) | Event::Removed(address) => leave(address),
    }
}

/// `None` if it is no board of this kind.
fn open(tree: &Tree<Ecam>, function: &Function) -> Option<Result<Board, DeviceError>> {
    let open = match function {
        it if ivshmem::is_it(it) => open_shared,
        it if display::is_it(it) => open_display,
        _ => return None,
    };
    Some(
        tree.owners()
            .claim(function)
            .and_then(|device| open(&device)),
    )
}

fn open_shared(device: &Device<Ecam>) -> Result<Board, DeviceError> {
    Ok(Board {
        address: device.function().address,
        provider: ivshmem::open(device)?,
        display: None,
    })
}

fn open_display(device: &Device<Ecam>) -> Result<Board, DeviceError> {
    let display = Arc::new(Display::open(device)?);
    Ok(Board {
        address: device.function().address,
        provider: display.memory().clone(),
        display: display.is_known().then_some(display),
    })
}

fn leave(address: PciAddress) {
    let board = {
        let mut boards = BOARDS.lock();
        let at = boards.iter().position(|board| board.address == address);
        at.map(|at| boards.remove(at))
    };
    if let Some(Board {
        provider, display, ..
    }) = board
    {
        regions::remove(&provider);
        drop(display.and_then(|display| display.blank()));
        executor::spawn(async move { provider.revoke().await }).detach();
    }
}
