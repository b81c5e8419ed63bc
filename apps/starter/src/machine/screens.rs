//! The screens: graphics devices of the hypervisor's, and cards that show what is in their memory.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use kernel::dma::{Memory, Owner};
use kernel::drivers::display::{Display, Frame};
use kernel::drivers::virtio::gpu::{Gpu, Layout, Lines, Size};
use kernel::drivers::{boards, helpers};
use kernel::executor;
use kernel::memory::regions::Region;
use shell::system::{Screen, Shown};

/// All of them, graphics devices first.
pub(super) fn all() -> Vec<Screen> {
    let gpu = |gpu: Arc<Gpu>| Screen {
        name: gpu.name().into(),
        memory: None,
    };
    let card = |display: Arc<Display>| Screen {
        name: display.memory().name().to_string(),
        memory: Some(display.memory().clone()),
    };
    let gpus = helpers::gpus().into_iter().map(gpu);
    gpus.chain(boards::displays().into_iter().map(card))
        .collect()
}

/// Shows a picture on the one of this name.
pub(super) fn show(name: &str, memory: Memory, picture: &Shown) -> Result<(), String> {
    if let Some(gpu) = helpers::gpus().into_iter().find(|gpu| gpu.name() == name) {
        return on_gpu(&gpu, memory, picture);
    }
    let mut displays = boards::displays().into_iter();
    let display = displays.find(|display| *display.memory().name() == *name);
    on_card(&*display.ok_or("its screen is gone")?, memory, picture)
}

fn on_gpu(gpu: &Gpu, memory: Memory, picture: &Shown) -> Result<(), String> {
    let layout = Layout {
        size: Size {
            width: picture.width,
            height: picture.height,
        },
        start: picture.start,
        lines: match picture.is_upside_down {
            true => Lines::Upwards,
            false => Lines::Downwards,
        },
    };
    let shown = executor::block_on(gpu.show(memory, layout));
    shown.map(drop).map_err(|(error, _)| error.to_string())
}

fn on_card(card: &Display, memory: Memory, picture: &Shown) -> Result<(), String> {
    let region = Region::from_memory(memory);
    let region = region.map_err(|_| "that is not the screen's memory")?;
    let frame = Frame {
        width: picture.width,
        height: picture.height,
        start: picture.start,
    };
    let shown = card.show(region, frame);
    shown.map(drop).map_err(|(error, _)| error.to_string())
}
