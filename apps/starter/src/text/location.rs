//! Places in file systems: `/etc/motd`, or `nvme1n1p2:/etc/motd`.
//!
//! There is no current folder: a path without a leading slash starts at the root, too.
//! A name before a colon says which volume is meant; without one it is the first that has a file
//! system. A slash before the colon makes the colon a part of the path.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use core::fmt;

/// A path, and the volume that it is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The volume, if one is named.
    pub volume: Option<String>,
    /// The path from the root, with a leading slash.
    pub path: String,
}

impl Location {
    /// A location from a word; an empty one is none.
    pub fn parse(word: &str) -> Option<Self> {
        let (volume, path) = match word.split_once(':') {
            Some((volume, path)) if !volume.contains('/') => (Some(volume), path),
            _ => (None, word),
        };
        if volume == Some("") || volume.is_none() && path.is_empty() {
            return None;
        }
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        Some(Self {
            volume: volume.map(ToOwned::to_owned),
            path,
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(volume) = &self.volume {
            write!(f, "{volume}:")?;
        }
        f.write_str(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(word: &str) -> Option<(Option<String>, String)> {
        Location::parse(word).map(|location| (location.volume, location.path))
    }

    fn on(volume: &str, path: &str) -> Option<(Option<String>, String)> {
        Some((Some(volume.into()), path.into()))
    }

    #[test]
    fn a_path_without_a_volume_is_on_the_first_one() {
        assert_eq!(parts("/etc"), Some((None, "/etc".into())));
        assert_eq!(parts("etc/motd"), Some((None, "/etc/motd".into())));
        assert_eq!(parts("/"), Some((None, "/".into())));
    }

    #[test]
    fn a_name_before_a_colon_is_a_volume() {
        assert_eq!(parts("nvme1n1p2:/etc"), on("nvme1n1p2", "/etc"));
        assert_eq!(parts("nvme0n1:etc"), on("nvme0n1", "/etc"));
        assert_eq!(parts("nvme0n1:"), on("nvme0n1", "/"));
        assert_eq!(parts("a:b:c"), on("a", "/b:c"));
    }

    #[test]
    fn a_colon_behind_a_slash_belongs_to_the_path() {
        assert_eq!(parts("/a:b"), Some((None, "/a:b".into())));
        assert_eq!(parts("a/b:c"), Some((None, "/a/b:c".into())));
    }

    #[test]
    fn nothing_is_no_place() {
        assert_eq!(parts(""), None);
        assert_eq!(parts(":"), None);
        assert_eq!(parts(":/etc"), None);
    }

    #[test]
    fn a_location_is_shown_as_it_can_be_typed() {
        for word in ["/etc/motd", "nvme0n1:/a:b"] {
            assert_eq!(Location::parse(word).unwrap().to_string(), word);
        }
    }
}
