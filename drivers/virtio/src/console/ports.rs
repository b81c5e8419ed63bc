//! What the device has said of its ports. Pure logic: a message in, perhaps an answer out.

use super::message::{Message, Said, encode, event};
use crate::error::Violation;
use alloc::string::String;
use alloc::vec::Vec;

/// Characters of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Of a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// A port that is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) name: Option<String>,
    pub(super) is_console: bool,
    /// Somebody is at the other end.
    pub(super) is_open: bool,
    pub(super) size: Option<Size>,
}

/// A number that a port can have.
#[derive(Debug, Default)]
struct Place {
    /// How often a port of this number has come: so an old handle is not one of another port.
    life: u64,
    port: Option<Known>,
}

/// All ports.
#[derive(Debug)]
pub(super) struct Ports {
    /// By number; those that have queues.
    places: Vec<Place>,
    /// Numbers that the device may use.
    most: u32,
}

impl Ports {
    /// No port yet: so many have queues, and the device may have so many.
    pub(super) fn new(places: u16, most: u32) -> Self {
        Self {
            places: (0..places).map(|_| Place::default()).collect(),
            most,
        }
    }

    /// A device without messages has one port, which is always there.
    pub(super) fn single() -> Self {
        let port = Known {
            is_console: true,
            is_open: true,
            ..Known::default()
        };
        Self {
            places: Vec::from([Place {
                life: 1,
                port: Some(port),
            }]),
            most: 1,
        }
    }

    /// Hears a message. Returns what is to be answered.
    ///
    /// # Errors
    /// If it is about a port that the device cannot have.
    pub(super) fn hear(&mut self, message: Message<'_>) -> Result<Option<u64>, Violation> {
        let Message { port, event, said } = message;
        if port >= self.most && said != Said::Other {
            return Err(Violation::Message { port, event });
        }
        let Some(place) = self.places.get_mut(port as usize) else {
            // What has no queues here is refused.
            let refusal = encode(port, event::PORT_READY, 0);
            return Ok((said == Said::Added).then_some(refusal));
        };
        match (said, &mut place.port) {
            (Said::Added, known) => {
                if known.is_none() {
                    place.life += 1;
                    *known = Some(Known::default());
                }
                return Ok(Some(encode(port, event::PORT_READY, 1)));
            }
            (Said::Removed, known) => *known = None,
            (Said::IsConsole, Some(known)) => known.is_console = true,
            (Said::Resized(columns, rows), Some(known)) => {
                known.size = Some(Size { columns, rows });
            }
            (Said::Open(is_open), Some(known)) => known.is_open = is_open,
            (Said::Name(name), Some(known)) => known.name = Some(name.into()),
            (_, None) | (Said::Other, _) => {}
        }
        Ok(None)
    }

    /// Numbers and lives of the ports that are there.
    pub(super) fn all(&self) -> impl Iterator<Item = (u16, u64, &Known)> {
        let places = (0..).zip(&self.places);
        places.filter_map(|(number, place)| Some((number, place.life, place.port.as_ref()?)))
    }

    /// What is known of a port, if it is still there.
    pub(super) fn get(&self, number: u16, life: u64) -> Option<&Known> {
        let place = &self.places[usize::from(number)];
        place.port.as_ref().filter(|_| place.life == life)
    }
}
