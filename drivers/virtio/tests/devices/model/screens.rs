//! A graphics device (section 5.7), which objects to what a driver must not say, and answers what it is told to.
//!
//! It may look at the memory behind pictures at any time, so with each command that memory has to be somebody's.

use super::bits;
use super::device::{Device, Part};
use super::ram::Ram;
use super::rings::Piece;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a lie changes: the kind of the command, and the answer to it, all of its bytes.
type Lie = Box<dyn FnMut(u32, &mut Vec<u8>)>;

/// A picture that the device has.
#[derive(Default)]
pub(crate) struct Resource {
    pub(crate) size: [u32; 2],
    /// Start and length of the entries behind it.
    pub(crate) backing: Option<Vec<(u64, u32)>>,
    /// The bytes that were copied.
    pub(crate) pixels: Vec<u8>,
}

/// What a graphics device knows.
#[derive(Default)]
pub(crate) struct Graphics {
    pub(crate) resources: BTreeMap<u32, Resource>,
    /// The picture on each screen.
    pub(crate) shown: [u32; 2],
    /// What was brought to the screens: the picture, and the bytes that are seen.
    pub(crate) seen: Option<(u32, Vec<u8>)>,
    pub(crate) heard: Vec<u32>,
    pub(crate) lie: Option<Lie>,
    /// Who was lied to is not objected to.
    pub(crate) is_lenient: bool,
}

/// Words of 32 bits, one after the other.
struct Fields<'f>(&'f [u8]);

impl Fields<'_> {
    fn word(&mut self) -> u32 {
        let (now, later) = self.0.split_first_chunk().expect("more fields");
        self.0 = later;
        u32::from_le_bytes(*now)
    }
    fn long(&mut self) -> u64 {
        u64::from(self.word()) | u64::from(self.word()) << 32
    }
    fn area(&mut self) -> [usize; 4] {
        [(); 4].map(|()| self.word() as usize)
    }
}

/// Refusals.
const UNSPECIFIED: u32 = 0x1200;
const NO_PICTURE: u32 = 0x1203;

impl Graphics {
    /// A reset ends all pictures.
    pub(crate) fn forget(&mut self) {
        self.resources.clear();
        self.shown = [0; 2];
    }

    /// Objects, unless the driver was lied to: then it refuses.
    fn must(&self, is_right: bool, what: &str) -> Result<(), u32> {
        assert!(is_right || self.is_lenient, "{what}");
        is_right.then_some(()).ok_or(UNSPECIFIED)
    }

    fn resource(&mut self, number: u32) -> Result<&mut Resource, u32> {
        self.resources.get_mut(&number).ok_or(NO_PICTURE)
    }

    /// Carries a command out. Returns what comes behind the head of the answer.
    fn carry_out(&mut self, ram: &Ram, kind: u32, fields: &mut Fields<'_>) -> Result<Vec<u8>, u32> {
        match kind {
            0x100 => {
                let words = |screen: u32| match screen {
                    0 => [0, 0, 640, 480, 1, 0],
                    _ => [0; 6],
                };
                let words = (0..16).flat_map(words);
                return Ok(words.flat_map(u32::to_le_bytes).collect());
            }
            0x101 => {
                let (number, format) = (fields.word(), fields.word());
                let size = [fields.word(), fields.word()];
                assert!(format == 2 && number > 0 && size[0] * size[1] > 0);
                let pixels = vec![0; size[0] as usize * size[1] as usize * 4];
                let fresh = Resource {
                    size,
                    backing: None,
                    pixels,
                };
                self.must(!self.resources.contains_key(&number), "it is there")?;
                self.resources.insert(number, fresh);
            }
            0x102 => {
                let (number, _) = (fields.word(), fields.word());
                self.resources.remove(&number).ok_or(NO_PICTURE)?;
                self.shown
                    .iter_mut()
                    .for_each(|shown| *shown *= u32::from(*shown != number));
            }
            0x103 => {
                let area = fields.area();
                let (screen, number) = (fields.word(), fields.word());
                assert!(screen < 2, "there are two screens");
                if number > 0 {
                    let [width, height] = self.resource(number)?.size;
                    assert_eq!(area, [0, 0, width as usize, height as usize]);
                }
                self.shown[screen as usize] = number;
            }
            0x104 => {
                let ([x, y, width, height], number) = (fields.area(), fields.word());
                fields.word();
                let resource = self.resource(number)?;
                let [all_width, all_height] = resource.size.map(|len| len as usize);
                assert!(x + width <= all_width && y + height <= all_height);
                let pixels = resource.pixels.clone();
                if self.shown.contains(&number) {
                    self.seen = Some((number, pixels));
                }
            }
            0x105 => {
                let ([x, y, width, height], from) = (fields.area(), fields.long());
                let number = fields.word();
                fields.word();
                let resource = self.resource(number)?;
                let [all_width, all_height] = resource.size.map(|len| len as usize);
                assert!(width * height > 0 && x + width <= all_width && y + height <= all_height);
                let backing = resource.backing.as_ref().ok_or(UNSPECIFIED)?;
                let mut bytes = Vec::new();
                for (start, len) in backing {
                    let mut entry = vec![0; *len as usize];
                    ram.device_reads(*start, &mut entry);
                    bytes.extend(entry);
                }
                let end = from as usize + ((height - 1) * all_width + width) * 4;
                self.must(end <= bytes.len(), "more than there is")?;
                let resource = self.resource(number)?;
                for line in 0..height {
                    let source = from as usize + line * all_width * 4;
                    let place = ((y + line) * all_width + x) * 4;
                    let line = &bytes[source..source + width * 4];
                    resource.pixels[place..place + width * 4].copy_from_slice(line);
                }
            }
            0x106 => {
                let (number, count) = (fields.word(), fields.word());
                let entries = (0..count).map(|_| {
                    let entry = (fields.long(), fields.word());
                    assert_eq!(fields.word(), 0);
                    entry
                });
                let entries = entries.collect();
                let has_none = self.resource(number)?.backing.is_none();
                self.must(has_none, "it has memory")?;
                self.resource(number)?.backing = Some(entries);
            }
            0x107 => {
                let (number, _) = (fields.word(), fields.word());
                let resource = self.resource(number)?;
                resource.backing.take().ok_or(UNSPECIFIED)?;
            }
            other => panic!("a command {other:#x}"),
        }
        assert!(fields.0.is_empty(), "more than there should be");
        Ok(Vec::new())
    }
}

impl Device {
    /// A graphics device with two screens, of which one is there.
    pub(crate) fn graphics(ram: &Rc<Ram>) -> Self {
        let mut device = Self::new(ram, 0);
        device.part = Part::Graphics;
        // Three-dimensional drawing, descriptions of screens, blobs: more than anybody wants.
        device.offered = bits::VERSION_1 | bits::EVENT_IDX | bits::INDIRECT | 0b11111;
        device.config = vec![0; 16];
        device.set32(8, 2);
        device.queues = vec![super::queue(64), super::queue(16)];
        device
    }

    /// Carries a command out, and answers. Returns the bytes that were written.
    pub(crate) fn draw(&mut self, queue: usize, pieces: &[Piece]) -> u32 {
        assert_eq!((queue, self.accepted & 0b11111), (0, 0));
        let (command, room): (Vec<Piece>, Vec<Piece>) =
            pieces.iter().partition(|piece| !piece.is_writable);
        let mut bytes = Vec::new();
        for piece in command {
            let mut part = vec![0; piece.len as usize];
            self.ram.device_reads(piece.start, &mut part);
            bytes.extend(part);
        }
        let mut fields = Fields(&bytes);
        let (kind, flags, fence) = (fields.word(), fields.word(), fields.long());
        assert_eq!((flags, fields.long()), (1, 0), "everything is done at once");
        let graphics = &mut self.graphics;
        graphics.heard.push(kind);
        let (kind_of_answer, behind) = match graphics.carry_out(&self.ram, kind, &mut fields) {
            Ok(behind) if behind.is_empty() => (0x1100, behind),
            Ok(behind) => (0x1101, behind),
            Err(refusal) => (refusal, Vec::new()),
        };
        let backings = graphics.resources.values().flat_map(|known| &known.backing);
        for (start, len) in backings.flatten() {
            let is_owned = self.ram.is_owned(*start, u64::from(*len));
            assert!(
                is_owned || graphics.is_lenient,
                "memory behind a picture is nobody's"
            );
        }
        let mut answer: Vec<u8> = [kind_of_answer, 1]
            .iter()
            .copied()
            .flat_map(u32::to_le_bytes)
            .collect();
        answer.extend(fence.to_le_bytes());
        answer.extend([0; 8]);
        answer.extend(behind);
        if let Some(lie) = &mut graphics.lie {
            lie(kind, &mut answer);
        }
        let mut rest = answer.as_slice();
        for piece in room {
            let (now, later) = rest.split_at(rest.len().min(piece.len as usize));
            self.ram.device_writes(piece.start, now);
            rest = later;
        }
        (answer.len() - rest.len()) as u32
    }
}
