//! Games that were kept, and games that nobody has played before.

use crate::play::play;
use proptest::prelude::*;
use std::path::Path;

/// Every row of the fuzzer's corpus, and every one that once broke the driver.
#[test]
fn kept_games_end_well() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let mut played = 0;
    for folder in ["corpus/hostile", "regressions"] {
        let mut paths: Vec<_> = std::fs::read_dir(root.join(folder))
            .expect("the corpus is part of the repository")
            .map(|entry| entry.expect("a file").path())
            .collect();
        paths.sort();
        for path in paths {
            let bytes = std::fs::read(&path).expect("a file");
            // Says which game it was, if it ends badly.
            println!("{}", path.display());
            play(&bytes);
            played += 1;
        }
    }
    assert!(played > 10, "there is no corpus");
}

#[test]
fn a_game_of_no_bytes_is_one_too() {
    play(&[]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_game_is_lost(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        play(&bytes);
    }

    /// A device that comes up without a hitch, so that the moves are played.
    #[test]
    fn no_later_move_is_lost(
        device in proptest::collection::vec(any::<u8>(), 11),
        moves in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut bytes = device;
        bytes[2] = bytes[2].max(1);
        // No patches, the true list, nothing early.
        bytes.extend([1, 0, 1, 0, 0, 0, 0]);
        bytes.extend(moves);
        play(&bytes);
    }
}
