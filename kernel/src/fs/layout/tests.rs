//! Tests of the way from a path to bytes, on an image made by hand.

use super::image::{
    BLOCK, BLOCKS, EXTENTS, FILE, FILE_LEN, Image, LEAF_BLOCK, NAMES_BLOCK, ROOT_BLOCK,
};
use super::{Layout, MappedFile, ReadError, Source};
use crate::fs::Piece;
use proptest::prelude::*;
use std::boxed::Box;
use std::cell::RefCell;
use std::vec::Vec;

fn find(image: &Image, path: &str) -> Result<Option<MappedFile>, ReadError> {
    let layout = Layout::read(image)?.expect("the image has no unusual features");
    layout.find(image, path.as_bytes())
}

fn read(image: &Image, path: &str) -> Result<Vec<u8>, ReadError> {
    let file = find(image, path)?.expect("the file is not unusual");
    // A damaged length must not make a large buffer.
    let mut bytes = vec![0xcc; file.len().min(1 << 16) as usize];
    let filled = file
        .read_at(image, 0, &mut bytes)
        .map_err(ReadError::Device)?;
    assert_eq!(filled, bytes.len());
    Ok(bytes)
}

/// What is wrong, in words.
fn complaint(image: &Image) -> String {
    match read(image, "/file") {
        Err(ReadError::Corrupt(what)) => what.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_are_found_and_have_their_content() {
    for has_checksums in [false, true] {
        let image = Image::new(has_checksums);
        assert_eq!(read(&image, "/file").unwrap(), image.file_content());
        assert_eq!(
            read(&image, "/folder/leaf").unwrap(),
            image.bytes[60 * BLOCK..][..5]
        );
        assert_eq!(find(&image, "/plain").unwrap(), None);
        assert_eq!(find(&image, "/").unwrap(), None);
        for path in ["/nope", "/file/leaf", "/folder/file", "/fil", "/file0"] {
            assert!(
                matches!(find(&image, path), Err(ReadError::NotFound)),
                "{path}"
            );
        }
    }
}

/// Notes what is read of an image.
struct Watched(Image, RefCell<Vec<(u64, usize)>>);

impl Source for Watched {
    fn read(
        &self,
        start: u64,
        into: &mut [u8],
    ) -> Result<(), Box<dyn core::error::Error + Send + Sync>> {
        self.1.borrow_mut().push((start, into.len()));
        self.0.read(start, into)
    }
}

#[test]
fn each_contiguous_piece_is_one_read_and_holes_are_none() {
    let image = Image::new(true);
    let file = find(&image, "/file").unwrap().unwrap();
    let watched = Watched(image, RefCell::default());
    file.read_at(&watched, 0, &mut [0; FILE_LEN]).unwrap();
    let block = BLOCK as u64;
    let expected = [
        (20 * block, 3 * BLOCK),
        (30 * block, 2 * BLOCK),
        (45 * block, BLOCK),
        (50 * block, BLOCK + 100),
    ];
    assert_eq!(*watched.1.borrow(), expected);
}

proptest! {
    #[test]
    fn any_part_of_a_file_can_be_read(position in 0..FILE_LEN + 10, len in 0..FILE_LEN + 10) {
        let image = Image::new(true);
        let file = find(&image, "/file").unwrap().unwrap();
        let mut bytes = vec![0xcc; len];
        let filled = file.read_at(&image, position as u64, &mut bytes).unwrap();
        let content = image.file_content();
        let expected = &content[position.min(FILE_LEN)..(position + len).min(FILE_LEN)];
        prop_assert_eq!(&bytes[..filled], expected);
        prop_assert!(bytes[filled..].iter().all(|byte| *byte == 0xcc));
    }
}

#[test]
fn pieces_are_all_of_a_file_in_its_order() {
    let image = Image::new(true);
    let file = find(&image, "/file").unwrap().unwrap();
    let content = image.file_content();
    for begin in [0, 1, BLOCK, BLOCK + 7, FILE_LEN - 1] {
        let mut bytes = vec![];
        while let Some(Piece { start, len }) = file.piece_at((begin + bytes.len()) as u64) {
            let start = start.map(|start| start as usize);
            let old = bytes.len();
            bytes.resize(old + len as usize, 0);
            if let Some(start) = start {
                bytes[old..].copy_from_slice(&image.bytes[start..start + len as usize]);
            }
        }
        assert!(bytes == content[begin..], "from {begin} on");
    }
    for beyond in [FILE_LEN as u64, u64::MAX] {
        assert_eq!(file.piece_at(beyond), None);
    }
}

#[test]
fn positions_far_beyond_the_end_read_nothing() {
    let image = Image::new(false);
    let file = find(&image, "/file").unwrap().unwrap();
    for position in [FILE_LEN as u64, u64::MAX] {
        assert_eq!(file.read_at(&image, position, &mut [0; 9]).unwrap(), 0);
    }
}

/// Places of everything that is not data, as far as reading `file` needs it.
fn metadata() -> Vec<usize> {
    let image = Image::new(true);
    let inodes = [2, FILE].map(|number| image.inode_at(number));
    let mut places: Vec<usize> = (1024..2048).chain(2 * BLOCK..2 * BLOCK + 32).collect();
    places.extend(inodes.into_iter().flat_map(|at| at..at + 256));
    places.extend(
        [ROOT_BLOCK, LEAF_BLOCK]
            .into_iter()
            .flat_map(|block| block * BLOCK..(block + 1) * BLOCK),
    );
    places
}

#[test]
fn every_changed_byte_of_metadata_is_noticed_by_a_checksum() {
    let original = Image::new(true);
    for at in metadata() {
        for change in [0x01, 0xff] {
            let mut image = original.clone();
            image.bytes[at] ^= change;
            match Layout::read(&image) {
                // A feature that is not understood, or the one that says that there are checksums.
                Ok(None) | Ok(Some(_)) if (1024 + 0x60..1024 + 0x68).contains(&at) => {}
                Err(ReadError::Corrupt(_)) => {}
                Ok(Some(layout)) => match layout.find(&image, b"/file") {
                    Err(ReadError::Corrupt(what)) => {
                        assert!(what.to_string().starts_with("corrupt filesystem: "));
                    }
                    other => panic!("{at:#x} ^ {change:#x}: {other:?}"),
                },
                other => panic!("{at:#x} ^ {change:#x}: {other:?}"),
            }
        }
    }
}

#[test]
fn no_bytes_on_the_disk_panic_or_hang_the_reader() {
    let original = Image::new(false);
    let attempt = |image: &Image| {
        if let Ok(Some(layout)) = Layout::read(image)
            && let Ok(Some(file)) = layout.find(image, b"/file")
        {
            for position in [0, file.len() / 2, file.len().saturating_sub(9)] {
                let _ = file.read_at(image, position, &mut [0; 5000]);
            }
        }
    };
    for at in metadata() {
        for value in [0, 1, 2, 0x7f, 0x80, 0xff] {
            let mut image = original.clone();
            image.bytes[at] = value;
            attempt(&image);
            // A whole field.
            let end = (at + 4).min(image.bytes.len());
            image.bytes[at..end].fill(value);
            attempt(&image);
        }
    }
    for len in (0..BLOCK * BLOCKS).step_by(100) {
        let mut image = original.clone();
        image.bytes.truncate(len);
        attempt(&image);
    }
}

#[test]
fn what_is_wrong_with_an_extent_tree_is_named() {
    let leaf = LEAF_BLOCK * BLOCK;
    let wrong = |change: &dyn Fn(&mut Image)| {
        let mut image = Image::new(true);
        change(&mut image);
        image.seal();
        complaint(&image)
    };
    let in_leaf = |what: &str| format!("corrupt filesystem: extent block 8 has {what}");
    assert_eq!(
        wrong(&|image| image.put16(leaf, 1)),
        in_leaf("no magic number")
    );
    assert_eq!(
        wrong(&|image| image.put16(leaf + 2, 85)),
        in_leaf("too many entries")
    );
    assert_eq!(
        wrong(&|image| image.put16(leaf + 2, 0)),
        in_leaf("no entries")
    );
    assert_eq!(
        wrong(&|image| image.put16(leaf + 6, 1)),
        in_leaf("a wrong depth")
    );
    assert_eq!(
        wrong(&|image| image.put32(leaf + 24, 1)),
        in_leaf("entries out of order")
    );
    assert_eq!(
        wrong(&|image| image.put16(leaf + 16, 0)),
        in_leaf("an extent of a wrong length")
    );
    assert_eq!(
        wrong(&|image| image.put32(leaf + 20, 63)),
        in_leaf("an extent beyond the end")
    );
    assert_eq!(
        wrong(&|image| image.put32(leaf + 20, 1)),
        in_leaf("an extent beyond the end")
    );
    assert_eq!(
        wrong(&|image| image.put16(leaf + 18, 9)),
        in_leaf("an extent beyond the end")
    );

    let root = Image::new(true).inode_at(FILE) + 0x28;
    let in_root =
        |what: &str| format!("corrupt filesystem: the extent tree of inode 12 has {what}");
    assert_eq!(
        wrong(&|image| image.put16(root + 6, 6)),
        in_root("too many levels")
    );
    assert_eq!(
        wrong(&|image| image.put32(root + 16, 64)),
        in_root("a child beyond the end")
    );

    let mut image = Image::new(true);
    image.bytes[leaf + 40] ^= 1;
    assert_eq!(complaint(&image), in_leaf("a wrong checksum"));
    let mut image = Image::new(true);
    image.bytes[root - 0x28 + 200] ^= 1;
    assert_eq!(
        complaint(&image),
        "corrupt filesystem: inode 12 has a wrong checksum"
    );
}

#[test]
fn a_tree_that_contains_itself_ends() {
    let mut image = Image::new(false);
    let at = image.inode_at(FILE) + 0x28;
    image.put16(at + 6, 5);
    // An inner node, all of whose children are the node itself.
    image.node(LEAF_BLOCK * BLOCK, 84, 4, &[]);
    image.put16(LEAF_BLOCK * BLOCK + 2, 84);
    for index in 0..84 {
        let entry = LEAF_BLOCK * BLOCK + 12 + index * 12;
        image.put32(entry, index as u32);
        image.put32(entry + 4, LEAF_BLOCK as u32);
        image.put32(entry + 8, 0);
    }
    assert_eq!(
        complaint(&image),
        "corrupt filesystem: extent block 8 has a wrong depth"
    );
}

#[test]
fn deeper_trees_are_followed_as_far_as_their_parts_agree() {
    // Of the extents, a second leaf has the last one, and an inner node is above both.
    let (inner, second) = (11, 12);
    let mut image = Image::new(false);
    let root = image.inode_at(FILE) + 0x28;
    image.put16(root + 6, 2);
    image.put32(root + 16, inner as u32);
    image.node(inner * BLOCK, 84, 1, &[(0, 0, 0), (9, 0, 0)]);
    for (index, child) in [LEAF_BLOCK, second].into_iter().enumerate() {
        image.put32(inner * BLOCK + 12 + index * 12 + 4, child as u32);
    }
    image.put16(LEAF_BLOCK * BLOCK + 2, 5);
    image.node(second * BLOCK, 84, 0, &EXTENTS[5..]);
    assert_eq!(read(&image, "/file").unwrap(), image.file_content());

    let key = inner * BLOCK + 24;
    image.put32(key, 8);
    let expected = "corrupt filesystem: extent block 8 has an extent of a wrong length";
    assert_eq!(complaint(&image), expected);
    image.put32(key, 10);
    let expected = "corrupt filesystem: extent block 12 has entries out of order";
    assert_eq!(complaint(&image), expected);
    image.put32(key, 0);
    let expected = "corrupt filesystem: extent block 11 has entries out of order";
    assert_eq!(complaint(&image), expected);
}

#[test]
fn damaged_directories_are_errors() {
    let mut image = Image::new(true);
    image.bytes[ROOT_BLOCK * BLOCK + 100] ^= 1;
    let expected = "corrupt filesystem: block 7 of directory inode 2 has a wrong checksum";
    assert_eq!(complaint(&image), expected);
    // The leaf of a hash tree is checked as well.
    let mut image = Image::new(true);
    image.bytes[NAMES_BLOCK * BLOCK] ^= 1;
    assert!(matches!(
        read(&image, "/folder/leaf"),
        Err(ReadError::Corrupt(_))
    ));

    let mut image = Image::new(false);
    image.put16(ROOT_BLOCK * BLOCK + 4, 0);
    let expected =
        "corrupt filesystem: block 7 of directory inode 2 has an entry of a wrong length";
    assert_eq!(complaint(&image), expected);
}

#[test]
fn unusual_features_and_files_are_left_to_others() {
    // To be replayed from the journal, data in inodes, blocks in clusters; no extents at all.
    for (at, value) in [(0x60, 0x46), (0x60, 0x8042), (0x64, 0x200), (0x60, 0x2)] {
        let mut image = Image::new(false);
        image.put32(1024 + at, value);
        assert!(
            Layout::read(&image).unwrap().is_none(),
            "{at:#x} = {value:#x}"
        );
    }
    // Encrypted, verity, inline.
    for flag in [0x800, 0x10_0000, 0x1000_0000] {
        let mut image = Image::new(true);
        let at = image.inode_at(FILE);
        image.put32(at + 0x20, 0x8_0000 | flag);
        image.seal();
        assert_eq!(find(&image, "/file").unwrap(), None, "{flag:#x}");
    }
}

#[test]
fn the_image_has_what_the_tests_are_about() {
    assert!(EXTENTS[0].0 + 2 == EXTENTS[1].0 && EXTENTS[0].1 + 2 == EXTENTS[1].1);
    let content = Image::new(true).file_content();
    assert!(content[3 * BLOCK..4 * BLOCK].iter().all(|byte| *byte == 0));
    assert!(content[..3 * BLOCK].iter().all(|byte| *byte != 0));
}
