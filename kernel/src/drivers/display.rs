//! A screen (QEMU's `bochs-display`; "QEMU Standard VGA" in QEMU's specifications, and the Bochs VBE
//! extensions of 2003).
//!
//! The card's memory is base address register 0, and each pixel is four bytes of it: blue, green, red, and
//! one that is not seen. Which part of the memory is shown is up to a few registers. So a picture that
//! is somewhere in the memory is shown where it is; nothing is copied to show it.
//!
//! What is shown belongs to the screen until something else is.

use crate::lock::Mutex;
use crate::memory::regions::{Kind, Provider, Region};
use crate::mmio::RegisterWindow;
use crate::pci::Function;
use crate::pci::device::{BarPart, Device, DeviceError};
use crate::pci::ecam::Ecam;
use crate::storage::Name;
use alloc::sync::Arc;
use core::fmt;

/// The base address registers.
const MEMORY: u8 = 0;
const REGISTERS: u8 = 2;

/// Where the Bochs registers, of 16 bits each, begin in their base address register.
const DISPI: usize = 0x500;

/// The Bochs registers, by number.
const ID: usize = 0;
const WIDTH: usize = 1;
const HEIGHT: usize = 2;
const BITS: usize = 3;
const ENABLE: usize = 4;
const LINE: usize = 6;
const X_OFFSET: usize = 8;
const Y_OFFSET: usize = 9;

/// The identifier without its version.
const BOCHS: u16 = 0xb0c0;
const ENABLED: u16 = 1 << 0;
const LINEAR: u16 = 1 << 6;

/// The bytes of a pixel.
pub const PIXEL: u64 = 4;

/// A picture in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Pixels of a line.
    pub width: u16,
    /// Lines.
    pub height: u16,
    /// Bytes before the first pixel, a multiple of 4.
    pub start: u64,
}

impl Frame {
    /// The bytes from the start of the memory to the end of the last pixel.
    pub fn end(&self) -> u64 {
        let pixels = u64::from(self.width) * u64::from(self.height);
        self.start.saturating_add(pixels * PIXEL)
    }
}

/// Why something is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisplayError {
    /// The memory is not this card's.
    NotItsMemory,
    /// The memory ends before the picture, or the picture does not begin with a whole pixel.
    NotInside,
    /// It is smaller than 64 pixels in one direction, which the card does not show.
    TooSmall,
    /// It begins too far behind the start of the card's memory.
    TooFar,
}

impl fmt::Display for DisplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotItsMemory => "that is not the screen's memory",
            Self::NotInside => "the picture does not lie in that memory as it should",
            Self::TooSmall => "the screen shows no less than 64 x 64 pixels",
            Self::TooFar => "the picture is too far back in the screen's memory",
        })
    }
}

impl core::error::Error for DisplayError {}

/// A screen and its card.
pub struct Display {
    registers: RegisterWindow,
    memory: Arc<Provider>,
    shown: Mutex<Option<Region>>,
}

/// Whether a function is such a card.
pub(super) fn is_it(function: &Function) -> bool {
    let is_display = function.class[..2] == [0x03, 0x80];
    (function.vendor, function.device) == (0x1234, 0x1111) && is_display
}

impl Display {
    pub(super) fn open(device: &Device<Ecam>) -> Result<Self, DeviceError> {
        let registers = device.registers(REGISTERS)?;
        let name = Name::numbered("vram");
        // SAFETY: the register is the frame buffer, which is linear memory; nobody uses it yet.
        let memory = unsafe {
            device
                .bars()
                .memory(MEMORY, BarPart::All, name, Kind::Video)
        }?;
        Ok(Self {
            registers,
            memory,
            shown: Mutex::new(None),
        })
    }

    /// The card's memory.
    pub fn memory(&self) -> &Arc<Provider> {
        &self.memory
    }

    /// Whether the card says that it is one.
    pub fn is_known(&self) -> bool {
        self.registers.read16(DISPI + 2 * ID) & 0xfff0 == BOCHS
    }

    fn set(&self, register: usize, value: u16) {
        self.registers.write16(DISPI + 2 * register, value);
    }

    /// Shows a picture that lies in a region of the card's memory. Returns what was shown before.
    ///
    /// # Errors
    /// Why not, and the region. What was shown is shown still.
    pub fn show(
        &self,
        region: Region,
        frame: Frame,
    ) -> Result<Option<Region>, (DisplayError, Region)> {
        let place = match self.place(&region, frame) {
            Ok(place) => place,
            Err(error) => return Err((error, region)),
        };
        let mut shown = self.shown.lock();
        self.set(ENABLE, 0);
        self.set(WIDTH, frame.width);
        self.set(HEIGHT, frame.height);
        self.set(BITS, 32);
        self.set(LINE, frame.width);
        self.set(X_OFFSET, place.x);
        self.set(Y_OFFSET, place.y);
        self.set(ENABLE, ENABLED | LINEAR);
        Ok(shown.replace(region))
    }

    /// Where the card finds the first pixel.
    fn place(&self, region: &Region, frame: Frame) -> Result<Place, DisplayError> {
        if !Arc::ptr_eq(region.provider(), &self.memory) {
            return Err(DisplayError::NotItsMemory);
        }
        if frame.width < 64 || frame.height < 64 {
            return Err(DisplayError::TooSmall);
        }
        let before = region.phyr().addr().offset_from(self.memory.phyr().addr());
        let start = before.and_then(|before| before.checked_add(frame.start));
        let start = start.filter(|start| start.is_multiple_of(PIXEL));
        let start = start.filter(|_| frame.end() <= region.phyr().len());
        let pixels = start.ok_or(DisplayError::NotInside)? / PIXEL;
        // Lines that are shown follow one another without a gap.
        let line = u64::from(frame.width);
        let x = (pixels % line) as u16;
        match u16::try_from(pixels / line) {
            Ok(y) => Ok(Place { x, y }),
            Err(_) => Err(DisplayError::TooFar),
        }
    }

    /// Shows nothing. Returns what was shown.
    pub fn blank(&self) -> Option<Region> {
        let mut shown = self.shown.lock();
        self.set(ENABLE, 0);
        shown.take()
    }
}

/// A pixel of the card's memory, in lines.
struct Place {
    x: u16,
    y: u16,
}
