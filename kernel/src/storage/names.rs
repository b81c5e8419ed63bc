//! Names that nobody else has.
//!
//! Disks come and go, and what holds one may outlast it: an open file, a shell that was told a
//! name. If a new disk got the old one's name at once, a command that was meant for the one would
//! reach the other. So a name is a thing that is owned, by the device itself, and it is free again
//! only when the last holder of the device has let go.

use crate::lock::Mutex;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::ops::Deref;

static TAKEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A name that is taken for as long as this lives.
#[derive(Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// The first free name of `nvme0`, `nvme1`, `nvme2` and so on, with the given letters.
    pub fn numbered(letters: &str) -> Self {
        Self::first_free((0_u32..).map(|number| format!("{letters}{number}")))
    }

    /// The first free name of `vda`, `vdb`, …, `vdz`, `vdaa` and so on, with the given letters.
    pub fn lettered(letters: &str) -> Self {
        Self::first_free((0_u32..).map(|number| format!("{letters}{}", letters_of(number))))
    }

    /// This very name; if it is still taken, the first free one of `name_2`, `name_3` and so on.
    pub fn or_next(name: &str) -> Self {
        let others = (2_u32..).map(|number| format!("{name}_{number}"));
        Self::first_free(core::iter::once(name.into()).chain(others))
    }

    fn first_free(mut names: impl Iterator<Item = String>) -> Self {
        let mut taken = TAKEN.lock();
        let name = names.find(|name| !taken.contains(name));
        let name = name.expect("there are more numbers than devices");
        taken.insert(name.clone());
        Self(name)
    }
}

/// `a` to `z`, `aa` to `zz`, and so on.
fn letters_of(number: u32) -> String {
    let mut letters = String::new();
    let mut left = number + 1;
    while left > 0 {
        left -= 1;
        letters.insert(0, char::from(b'a' + (left % 26) as u8));
        left /= 26;
    }
    letters
}

impl Drop for Name {
    fn drop(&mut self) {
        TAKEN.lock().remove(&self.0);
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_free_again_when_its_name_is_dropped() {
        let first = Name::numbered("drum");
        let second = Name::numbered("drum");
        assert_eq!((&*first, &*second), ("drum0", "drum1"));
        drop(first);
        let again = Name::numbered("drum");
        let third = Name::numbered("drum");
        assert_eq!((&*again, &*third), ("drum0", "drum2"));
    }

    #[test]
    fn letters_go_on_behind_z() {
        let names = [0, 25, 26, 27, 51, 52, 701, 702].map(letters_of);
        assert_eq!(names, ["a", "z", "aa", "ab", "az", "ba", "zz", "aaa"]);
        assert_eq!(&*Name::lettered("drawer"), "drawera");
    }

    #[test]
    fn a_name_that_is_still_held_is_not_given_twice() {
        let old = Name::or_next("tape0n1");
        let new = Name::or_next("tape0n1");
        assert_eq!((&*old, &*new), ("tape0n1", "tape0n1_2"));
        drop(old);
        assert_eq!(&*Name::or_next("tape0n1"), "tape0n1");
    }
}
