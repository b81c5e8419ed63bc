//! What a device is told: commands as words (section 5.7.6.7 and following).

use super::PIXEL;

/// Bytes before the fields of a command, and of an answer.
pub(super) const HEAD: usize = 24;

/// Words of the longest command, without the entries of memory.
pub(super) const WORDS: usize = 7;

/// Everything is to be done before the answer (VIRTIO_GPU_FLAG_FENCE).
pub(super) const FENCE: u32 = 1 << 0;

/// Blue, green, red, and a byte that is not seen (VIRTIO_GPU_FORMAT_B8G8R8X8_UNORM).
const FORMAT: u32 = 2;

/// The picture that is none.
pub(super) const NONE: u32 = 0;

/// Numbers of commands.
pub(super) mod kind {
    pub(in super::super) const GET_DISPLAY_INFO: u32 = 0x100;
    pub(in super::super) const RESOURCE_CREATE_2D: u32 = 0x101;
    pub(in super::super) const RESOURCE_UNREF: u32 = 0x102;
    pub(in super::super) const SET_SCANOUT: u32 = 0x103;
    pub(in super::super) const RESOURCE_FLUSH: u32 = 0x104;
    pub(in super::super) const TRANSFER_TO_HOST_2D: u32 = 0x105;
    pub(in super::super) const RESOURCE_ATTACH_BACKING: u32 = 0x106;
    pub(in super::super) const RESOURCE_DETACH_BACKING: u32 = 0x107;
}

/// Pixels of a line, and lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Pixels of a line.
    pub width: u16,
    /// Lines.
    pub height: u16,
}

impl Size {
    /// Bytes of its pixels, line after line without a gap.
    pub const fn bytes(self) -> u64 {
        self.width as u64 * self.height as u64 * PIXEL
    }

    /// All of it.
    pub const fn area(self) -> Area {
        Area {
            x: 0,
            y: 0,
            size: self,
        }
    }
}

/// A part of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// The first pixel of each line.
    pub x: u16,
    /// The first line.
    pub y: u16,
    /// How large it is.
    pub size: Size,
}

impl Area {
    /// Whether it has pixels, and all of them are in a picture of this size.
    pub(super) fn is_in(self, size: Size) -> bool {
        let fits = |start: u16, len: u16, all: u16| {
            let end = start.checked_add(len);
            len > 0 && end.is_some_and(|end| end <= all)
        };
        fits(self.x, self.size.width, size.width) && fits(self.y, self.size.height, size.height)
    }

    /// Bytes before its first pixel, in lines of so many pixels.
    pub(super) fn offset(self, width: u16) -> u64 {
        (u64::from(self.y) * u64::from(width) + u64::from(self.x)) * PIXEL
    }

    fn words(self) -> [u64; 2] {
        [
            pair(self.x.into(), self.y.into()),
            pair(self.size.width.into(), self.size.height.into()),
        ]
    }
}

/// A command. Pictures have numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Screens,
    Create {
        picture: u32,
        size: Size,
    },
    Remove {
        picture: u32,
    },
    Show {
        picture: u32,
        screen: u32,
        area: Area,
    },
    Hide {
        screen: u32,
    },
    Flush {
        picture: u32,
        area: Area,
    },
    /// From the byte `from` of the memory on.
    Transfer {
        picture: u32,
        area: Area,
        from: u64,
    },
    /// The entries come behind it.
    Attach {
        picture: u32,
        entries: u32,
    },
    Detach {
        picture: u32,
    },
}

impl Command {
    /// Its number.
    pub(super) const fn kind(self) -> u32 {
        match self {
            Self::Screens => kind::GET_DISPLAY_INFO,
            Self::Create { .. } => kind::RESOURCE_CREATE_2D,
            Self::Remove { .. } => kind::RESOURCE_UNREF,
            Self::Show { .. } | Self::Hide { .. } => kind::SET_SCANOUT,
            Self::Flush { .. } => kind::RESOURCE_FLUSH,
            Self::Transfer { .. } => kind::TRANSFER_TO_HOST_2D,
            Self::Attach { .. } => kind::RESOURCE_ATTACH_BACKING,
            Self::Detach { .. } => kind::RESOURCE_DETACH_BACKING,
        }
    }

    /// The command with this number of its own, in little-endian words of 8 bytes, and how many of them it has.
    pub(super) fn words(self, fence: u64) -> ([u64; WORDS], usize) {
        let (fields, count) = self.fields();
        let mut words = [0; WORDS];
        words[0] = pair(self.kind(), FENCE);
        words[1] = fence;
        words[3..].copy_from_slice(&fields);
        (words, HEAD / 8 + count)
    }

    fn fields(self) -> ([u64; 4], usize) {
        let hidden = Area {
            x: 0,
            y: 0,
            size: Size {
                width: 0,
                height: 0,
            },
        };
        let with_area = |area: Area, third, fourth| {
            let [place, size] = area.words();
            [place, size, third, fourth]
        };
        match self {
            Self::Screens => ([0; 4], 0),
            Self::Create { picture, size } => {
                let [_, size] = size.area().words();
                ([pair(picture, FORMAT), size, 0, 0], 2)
            }
            Self::Remove { picture } | Self::Detach { picture } => ([picture.into(), 0, 0, 0], 1),
            Self::Show {
                picture,
                screen,
                area,
            } => (with_area(area, pair(screen, picture), 0), 3),
            Self::Hide { screen } => (with_area(hidden, pair(screen, NONE), 0), 3),
            Self::Flush { picture, area } => (with_area(area, picture.into(), 0), 3),
            Self::Transfer {
                picture,
                area,
                from,
            } => (with_area(area, from, picture.into()), 4),
            Self::Attach { picture, entries } => ([pair(picture, entries), 0, 0, 0], 1),
        }
    }
}

/// Two numbers of 32 bits, the first before the second.
pub(super) fn pair(first: u32, second: u32) -> u64 {
    u64::from(first) | u64::from(second) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size {
        width: 640,
        height: 480,
    };

    #[test]
    fn commands_are_as_the_specification_has_them() {
        let area = Area {
            x: 1,
            y: 2,
            size: Size {
                width: 3,
                height: 4,
            },
        };
        let (place, size) = (2 << 32 | 1, 4 << 32 | 3);
        let head = |kind: u64| vec![1 << 32 | kind, 99, 0];
        let with = |kind, fields: &[u64]| [head(kind), fields.to_vec()].concat();
        let picture = 7;
        let (screen, entries, from) = (5, 6, 1 << 33);
        let commands = [
            (Command::Screens, head(0x100)),
            (
                Command::Create {
                    picture,
                    size: SIZE,
                },
                with(0x101, &[2 << 32 | 7, 480 << 32 | 640]),
            ),
            (Command::Remove { picture }, with(0x102, &[7])),
            (
                Command::Show {
                    picture,
                    screen,
                    area,
                },
                with(0x103, &[place, size, 7 << 32 | 5]),
            ),
            (Command::Hide { screen }, with(0x103, &[0, 0, 5])),
            (
                Command::Flush { picture, area },
                with(0x104, &[place, size, 7]),
            ),
            (
                Command::Transfer {
                    picture,
                    area,
                    from,
                },
                with(0x105, &[place, size, 1 << 33, 7]),
            ),
            (
                Command::Attach { picture, entries },
                with(0x106, &[6 << 32 | 7]),
            ),
            (Command::Detach { picture }, with(0x107, &[7])),
        ];
        for (command, expected) in commands {
            let (words, count) = command.words(99);
            assert_eq!(words[..count], expected, "{command:?}");
        }
    }

    #[test]
    fn an_area_is_in_a_picture_or_not() {
        let area = |x, y, width, height| Area {
            x,
            y,
            size: Size { width, height },
        };
        assert!(SIZE.area().is_in(SIZE));
        assert!(area(639, 479, 1, 1).is_in(SIZE));
        for outside in [
            area(0, 0, 0, 1),
            area(0, 0, 1, 0),
            area(640, 0, 1, 1),
            area(1, 0, 640, 1),
            area(0, 479, 1, 2),
            area(u16::MAX, 0, u16::MAX, 1),
        ] {
            assert!(!outside.is_in(SIZE), "{outside:?}");
        }
        assert_eq!(area(3, 2, 1, 1).offset(640), (2 * 640 + 3) * 4);
    }
}
