//! A device, its pictures, and the memory behind them.

use super::asking::{ANSWER, BYTES, Desk, Kept, PIECES};
use super::command::{Area, Command, Size};
use super::error::{GpuError, PictureError, Refusal};
use super::pictures::{Picture, Pictures};
use super::reply::{self, Screen};
use super::{PIXEL, config, entries};
use crate::error::{Error, Failure, RequestError};
use crate::lock::Mutex;
use crate::memory::{Access, Memory};
use crate::options::Options;
use crate::plain::{LanePlan, Plain, Plan};
use crate::platform::Platform;
use crate::transport::Notify;
use alloc::vec;
use alloc::vec::Vec;

/// The queue of commands. There is another one, for pointers of mice.
const QUEUE: u16 = 0;

/// Why memory is not behind a picture; and the memory, unless the device may know of it. Then it comes back when the
/// picture is [removed](Gpu::remove).
pub type Unattached<D> = (GpuError, Option<D>);

/// A graphics device. The memory behind pictures is of the type `D`, and the device only reads it. Dropping it stops
/// the device.
pub struct Gpu<P: Platform, D> {
    pub(super) plain: Plain<P, Kept<P::Shared>>,
    pub(super) desk: Mutex<Desk<P::Shared>>,
    pictures: Pictures<D>,
    pub(super) timeout: u64,
    screens: u32,
}

impl<P: Platform, D: Memory> Gpu<P, D> {
    /// Resets a device, agrees with it on features, and lets it go. `notify` is the block of
    /// [`Platform::notify`].
    ///
    /// # Errors
    /// [`Error::Failed`], with what is wrong, or [`Error::OutOfMemory`]. The device is left reset, and
    /// without a way to memory.
    pub async fn new(platform: P, notify: Notify, options: Options) -> Result<Self, Error> {
        let plan = |platform: &P, _: &_| {
            let lane = LanePlan {
                queue: QUEUE,
                entries: options.entries,
                pieces: PIECES,
            };
            Ok(Plan {
                lanes: vec![lane],
                known: config::screens(platform)?,
            })
        };
        let timeout = options.timeout;
        let made = Plain::new(platform, &notify, timeout, &config::wishes(), plan).await;
        let (plain, screens) = made?;
        if plain.most_pieces(0) < PIECES {
            let size = 2 * plain.most_pieces(0);
            let too_small = Failure::QueueSize { queue: QUEUE, size };
            return Err(Error::Failed(too_small));
        }
        let page = plain.platform().allocate(BYTES)?;
        Ok(Self {
            plain,
            timeout,
            screens,
            desk: Mutex::new(Desk::new(page)),
            pictures: Pictures::new(),
        })
    }

    /// The screens that there can be, and whether somebody looks at them.
    ///
    /// # Errors
    /// What became of the device, or what is wrong with its answer.
    pub async fn screens(&self) -> Result<Vec<Screen>, GpuError> {
        let count = self.screens;
        let screens = |page: &P::Shared| {
            let screen = |number| reply::screen(page, ANSWER, number);
            (0..count).map(screen).collect()
        };
        self.ask(Command::Screens, None, screens).await
    }

    /// Makes a picture. It is black, and no memory is behind it.
    ///
    /// Before, the device forgets the pictures that nobody holds any more.
    ///
    /// # Errors
    /// Why not.
    pub async fn create(&self, size: Size) -> Result<Picture, GpuError> {
        self.tidy().await;
        if size.bytes() == 0 {
            return Err(PictureError::Empty.into());
        }
        let picture = self.pictures.enter(size)?;
        let number = picture.number;
        let command = Command::Create {
            picture: number,
            size,
        };
        let made = self.tell(command).await;
        if let Err(GpuError::Refused(_)) = made {
            self.pictures.forget(number);
        }
        made.map(|()| picture)
    }

    /// Tells the device which memory is behind a picture: its pixels are there from the byte `start` on, line after line
    /// without a gap. The memory is the device's from here on. Nothing is copied yet.
    ///
    /// Dropping that leaves the memory with the picture, as if it had gone well.
    ///
    /// # Errors
    /// [`RequestError::Access`], [`RequestError::Length`] and [`RequestError::Pieces`], if the memory does not suit;
    /// [`PictureError::Attached`]; or what the device says.
    pub async fn attach(
        &self,
        picture: &mut Picture,
        memory: D,
        start: u64,
    ) -> Result<(), Unattached<D>> {
        let (list, count) = match self.entries(picture.size, &memory, start) {
            Ok(made) => made,
            Err(error) => return Err((error, Some(memory))),
        };
        // Before the device is told of it, so it is there whatever becomes of this.
        if let Err(memory) = self.pictures.put(picture.number, memory) {
            return Err((PictureError::Attached.into(), Some(memory)));
        }
        picture.start = start;
        let command = Command::Attach {
            picture: picture.number,
            entries: count,
        };
        let told = self.ask(command, Some((list, count)), |_| ()).await;
        told.map_err(|error| {
            let is_free = matches!(error, GpuError::Refused(_)) || self.is_stopped();
            let memory = is_free
                .then(|| self.pictures.take(picture.number))
                .flatten();
            (error, memory)
        })
    }

    /// Copies a part of a picture from the memory behind it to the device.
    ///
    /// # Errors
    /// [`PictureError::Detached`], [`PictureError::Outside`], or what the device says.
    pub async fn transfer(&self, picture: &Picture, area: Area) -> Result<(), GpuError> {
        let from = area.offset(picture.size.width);
        self.transfer_from(picture, area, from).await
    }

    /// Copies a part of a picture from another place of the memory behind it than its own: its first pixel is `from`
    /// bytes behind that of the picture, and its lines are as far apart as the picture's.
    ///
    /// # Errors
    /// As of [`transfer`](Self::transfer); [`PictureError::Outside`], if one of the pixels is not behind the picture.
    pub async fn transfer_from(
        &self,
        picture: &Picture,
        area: Area,
        from: u64,
    ) -> Result<(), GpuError> {
        let number = picture.number;
        if !self.pictures.has_memory(number) {
            return Err(PictureError::Detached.into());
        }
        let area = inside(area, picture)?;
        let lines = u64::from(picture.size.width) * u64::from(area.size.height - 1);
        let bytes = (lines + u64::from(area.size.width)) * PIXEL;
        let end = from.checked_add(bytes);
        if end.is_none_or(|end| end > picture.size.bytes()) {
            return Err(PictureError::Outside.into());
        }
        let command = Command::Transfer {
            picture: number,
            area,
            from: picture.start + from,
        };
        self.tell(command).await
    }

    /// Shows all of a picture on a screen, which becomes as large. What is seen is what was copied. QEMU wants that
    /// memory is behind it meanwhile.
    ///
    /// # Errors
    /// [`PictureError::NoScreen`], or what the device says.
    pub async fn show(&self, picture: &Picture, screen: u32) -> Result<(), GpuError> {
        if screen >= self.screens {
            return Err(PictureError::NoScreen.into());
        }
        let command = Command::Show {
            picture: picture.number,
            screen,
            area: picture.size.area(),
        };
        self.tell(command).await
    }

    /// Shows nothing on a screen.
    ///
    /// # Errors
    /// As of [`show`](Self::show).
    pub async fn hide(&self, screen: u32) -> Result<(), GpuError> {
        match screen < self.screens {
            true => self.tell(Command::Hide { screen }).await,
            false => Err(PictureError::NoScreen.into()),
        }
    }

    /// Brings what was copied of a part to the screens that show the picture.
    ///
    /// # Errors
    /// [`PictureError::Outside`], or what the device says.
    pub async fn flush(&self, picture: &Picture, area: Area) -> Result<(), GpuError> {
        let area = inside(area, picture)?;
        let picture = picture.number;
        self.tell(Command::Flush { picture, area }).await
    }

    /// Takes the memory behind a picture back. The picture stays as it was copied.
    ///
    /// # Errors
    /// [`PictureError::Detached`], or what the device says. Then the memory stays with the picture.
    pub async fn detach(&self, picture: &mut Picture) -> Result<D, GpuError> {
        let number = picture.number;
        if !self.pictures.has_memory(number) {
            return Err(PictureError::Detached.into());
        }
        self.tell(Command::Detach { picture: number }).await?;
        self.pictures
            .take(number)
            .ok_or(PictureError::Detached.into())
    }

    /// Lets the device forget a picture, and the memory behind it, which comes back. Where it was shown, nothing is.
    ///
    /// # Errors
    /// What the device says; and the memory, if the device is stopped. Otherwise it stays the device's.
    pub async fn remove(&self, picture: Picture) -> Result<Option<D>, Unattached<D>> {
        self.expel(picture.number).await
    }

    /// Ends the use of the device: it is left reset, and without a way to memory. What is behind pictures stays there,
    /// so [remove](Self::remove) them, before or after.
    pub fn shutdown(&self) {
        self.plain.shutdown();
    }

    /// Why the device is out of use, if it is.
    pub fn failure(&self) -> Option<Failure> {
        self.plain.failure()
    }

    /// Queues that are kept for ever, since the device may still use them.
    pub fn lost(&self) -> u64 {
        self.plain.lost()
    }

    /// Pictures that the device has.
    pub fn pictures(&self) -> usize {
        self.pictures.count()
    }

    /// The device is out of use, and does not use memory any more.
    fn is_stopped(&self) -> bool {
        self.plain.failure().is_some() && self.plain.lost() == 0
    }

    async fn expel(&self, picture: u32) -> Result<Option<D>, Unattached<D>> {
        if self.pictures.has_memory(picture) {
            // What refuses that, for whatever reason, has to forget the whole picture.
            let _ = self.tell(Command::Detach { picture }).await;
        }
        let removed = self.tell(Command::Remove { picture }).await;
        match removed {
            // It has no such picture: somebody did not wait for the answer.
            Ok(()) | Err(GpuError::Refused(Refusal::Picture)) => Ok(self.pictures.forget(picture)),
            Err(error) if self.is_stopped() => Err((error, self.pictures.forget(picture))),
            Err(error) => Err((error, None)),
        }
    }

    /// Lets the device forget what nobody holds.
    async fn tidy(&self) {
        while let Some(number) = self.pictures.loose() {
            if self.expel(number).await.is_err() {
                self.pictures.give_up(number);
            }
        }
    }

    /// The entries of the memory of a picture, and how many they are.
    fn entries(&self, size: Size, memory: &D, start: u64) -> Result<(P::Shared, u32), GpuError> {
        if memory.access() != Access::ToDevice {
            return Err(RequestError::Access.into());
        }
        let end = start.checked_add(size.bytes());
        let end = end.ok_or(RequestError::Length)?;
        let ranges = memory.ranges();
        let room = entries::room(ranges, end)?;
        let list = self.plain.platform().allocate(room);
        let list = list.map_err(Error::from)?;
        let count = entries::write(ranges, end, &list);
        Ok((list, count))
    }
}

impl<P: Platform, D> Drop for Gpu<P, D> {
    fn drop(&mut self) {
        self.plain.shutdown();
        if self.plain.lost() > 0 {
            // The device may still read there.
            self.desk.lock().keep();
            self.pictures.keep();
        }
    }
}

/// A part of a picture, if it is one.
fn inside(area: Area, picture: &Picture) -> Result<Area, PictureError> {
    match area.is_in(picture.size) {
        true => Ok(area),
        false => Err(PictureError::Outside),
    }
}
