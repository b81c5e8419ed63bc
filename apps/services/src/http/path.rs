//! From the target of a request to names (RFC 3986).
//!
//! Holding a [`Path`] tells you: it is absolute, and none of its names is empty, `.` or `..`, or has a
//! `/` or a zero in it. So it leads nowhere but down, whoever follows it.

use super::status::Status;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    names: Vec<Vec<u8>>,
    /// Whether it ends with a `/`.
    pub is_folder: bool,
}

impl Path {
    /// Understands a target.
    ///
    /// # Errors
    /// The status that refuses it.
    pub fn parse(target: &str) -> Result<Self, Status> {
        let target = match target.starts_with('/') {
            true => target,
            false => after_authority(target).ok_or(Status::BAD_REQUEST)?,
        };
        let end = target.find(['?', '#']).unwrap_or(target.len());
        let path = &target[..end];
        let mut names = Vec::new();
        for part in path.split('/') {
            let name = decoded(part)?;
            match name.as_slice() {
                b"" => {}
                b"." | b".." => return Err(Status::BAD_REQUEST),
                // A name with these cannot be.
                name if name.contains(&b'/') || name.contains(&0) => {
                    return Err(Status::NOT_FOUND);
                }
                _ => names.push(name),
            }
        }
        Ok(Self {
            is_folder: path.ends_with('/') || path.is_empty(),
            names,
        })
    }

    /// The names, from the root on.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(Vec::as_slice)
    }

    /// The first name, and the path from there on.
    pub fn split_first(&self) -> Option<(&[u8], Self)> {
        let (first, rest) = self.names.split_first()?;
        let rest = Self {
            names: rest.to_vec(),
            is_folder: self.is_folder,
        };
        Some((first, rest))
    }

    /// The last name.
    pub fn last(&self) -> Option<&[u8]> {
        self.names.last().map(Vec::as_slice)
    }

    /// As a file system takes it: `/`, and the names with `/` between them.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for name in &self.names {
            bytes.push(b'/');
            bytes.extend_from_slice(name);
        }
        if bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes
    }

    /// As a target, ending with a `/`.
    pub fn to_folder_target(&self) -> String {
        let mut target = String::from("/");
        for name in &self.names {
            encode(name, &mut target);
            target.push('/');
        }
        target
    }
}

/// The path of a target with a scheme and an authority (RFC 9112, section 3.2.2).
fn after_authority(target: &str) -> Option<&str> {
    let scheme = target
        .get(..7)
        .filter(|s| s.eq_ignore_ascii_case("http://"))?;
    let rest = &target[scheme.len()..];
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    (end > 0).then(|| &rest[end..])
}

/// Replaces `%` and two digits by the byte that they stand for.
fn decoded(part: &str) -> Result<Vec<u8>, Status> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |at: usize| {
            let digit = char::from(*rest.get(at)?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        let value = digit(0).zip(digit(1)).ok_or(Status::BAD_REQUEST)?;
        bytes.push(value.0 << 4 | value.1);
        rest = &rest[2..];
    }
    Ok(bytes)
}

/// Writes a name as a part of a target: what is not unreserved goes by its number.
pub fn encode(name: &[u8], into: &mut String) {
    for &byte in name {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte));
            }
            // Writing to a string cannot fail.
            _ => drop(write!(into, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(target: &str) -> Result<String, u16> {
        Path::parse(target)
            .map(|path| String::from_utf8_lossy(&path.to_bytes()).into_owned())
            .map_err(|status| status.0)
    }

    #[test]
    fn targets_become_names() {
        for (target, path) in [
            ("/", "/"),
            ("//", "/"),
            ("/a/b", "/a/b"),
            ("/a//b/", "/a/b"),
            ("/a%20b?c/../d", "/a b"),
            ("/%41#x", "/A"),
            ("/...", "/..."),
            ("/a+b", "/a+b"),
            ("/gr%C3%B6%C3%9Fe", "/größe"),
            ("http://host:80/a", "/a"),
            ("HTTP://host", "/"),
            ("http://host?a/b", "/"),
        ] {
            assert_eq!(bytes(target), Ok(path.into()), "{target}");
        }
        assert!(Path::parse("/a/").unwrap().is_folder);
        assert!(!Path::parse("/a").unwrap().is_folder);
    }

    #[test]
    fn nothing_leads_upwards() {
        for (target, status) in [
            ("/..", 400),
            ("/../etc/passwd", 400),
            ("/a/../b", 400),
            ("/%2e%2e/x", 400),
            ("/%2E./x", 400),
            ("/.", 400),
            ("/a/./b", 400),
            ("/..%2fx", 404),
            ("/a%2Fb", 404),
            ("/a%00b", 404),
            ("/%", 400),
            ("/%4", 400),
            ("/%zz", 400),
            ("/%+1", 400),
            ("*", 400),
            ("a/b", 400),
            ("http://", 400),
            ("ftp://x/", 400),
        ] {
            assert_eq!(bytes(target), Err(status), "{target}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_the_same_when_it_comes_back(
            names in prop::collection::vec(prop::collection::vec(1..=255u8, 1..8), 0..4),
        ) {
            let path = Path { names: names.clone(), is_folder: true };
            let back = Path::parse(&path.to_folder_target());
            let can_be = |name: &Vec<u8>| {
                name != b"." && name != b".." && !name.contains(&b'/')
            };
            match names.iter().all(can_be) {
                true => prop_assert_eq!(back, Ok(path)),
                false => prop_assert!(back.is_err()),
            }
        }

        #[test]
        fn whatever_is_asked_for_leads_down(target in "[/.%a-f0-9?]{0,40}") {
            if let Ok(path) = Path::parse(&target) {
                for name in path.names() {
                    prop_assert!(!name.is_empty() && name != b"." && name != b"..");
                    prop_assert!(!name.contains(&b'/') && !name.contains(&0));
                }
            }
        }
    }
}
