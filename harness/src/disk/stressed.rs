//! Disks that `iostress` has written all over.
//!
//! Each block says what it is, and behind the blocks there is a table of what each must be. So an
//! image can be judged without the machine that wrote it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use iostress::table::{self, Sound};

/// Checks a raw image, all of which was under stress.
///
/// # Errors
/// If it cannot be read, or with the first block that is not right.
pub fn check(image: &Path, block_size: u32) -> Result<Sound> {
    let name = || format!("`{}`", image.display());
    let file = File::open(image).with_context(name)?;
    let blocks = file.metadata()?.len() / u64::from(block_size);
    let read = |block, bytes: &mut [u8]| file.read_exact_at(bytes, block * u64::from(block_size));
    match table::check(blocks, block_size, read) {
        Ok(sound) => Ok(sound),
        Err(damage) => bail!("{}: {damage}", name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iostress::stamp::{self, Stamp};
    use iostress::table::Layout;

    #[test]
    fn an_image_is_judged_by_its_own_table() {
        const SIZE: usize = 4096;
        let layout = Layout::of(20, SIZE as u32).expect("large enough");
        let mut bytes = vec![0; 20 * SIZE];
        let stamp = Stamp {
            seed: 1,
            block: 3,
            generation: 7,
        };
        stamp::write(&mut bytes[3 * SIZE..4 * SIZE], stamp);
        let mut generations = vec![0; layout.stamped as usize];
        generations[3] = 7;
        let table = table::write(1, SIZE as u32, &generations);
        bytes[layout.stamped as usize * SIZE..][..table.len()].copy_from_slice(&table);
        let image = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(image.path(), &bytes).expect("written");
        assert_eq!(check(image.path(), 4096).expect("sound").written, 1);
        bytes[3 * SIZE + 100] ^= 1;
        std::fs::write(image.path(), &bytes).expect("written");
        let error = check(image.path(), 4096).expect_err("damaged").to_string();
        assert!(error.contains("block 3 is torn"), "{error}");
    }
}
