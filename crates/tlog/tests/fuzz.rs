//! The fuzz targets of this crate on inputs that proptest makes up: good notes and paths with a few characters changed, and
//! anything else.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "a test that fails panics; the targets' functions are those of another crate"
)]

use proptest::prelude::*;
use tlog::{Note, Signer};

#[path = "../../../fuzz/src/note.rs"]
mod note;
#[path = "../../../fuzz/src/tile_path.rs"]
mod tile_path;

/// A checkpoint with two signatures.
fn signed() -> String {
    let signer = |name: &str, seed| Signer::from_seed(name, &[seed; 32]).unwrap();
    let text = "log.example.org/argon/2026a\n7\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let (log, witness) = (signer("log.example.org/argon/2026a", 1), signer("w", 2));
    tlog::sign(text, &[&log, &witness]).unwrap()
}

proptest! {
    #[test]
    fn notes(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4usize, "[\\n\\u{2014} a-z0-9+/=]{0,3}"), 0..4),
    ) {
        let mut text: Vec<char> = signed().chars().collect();
        for (at, cut, put) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.chars());
        }
        note::check(text.into_iter().collect::<String>().as_bytes());
    }

    #[test]
    fn other_texts(data in prop_oneof!["\\PC{0,80}", "(\\PC{0,9}\\n){0,5}(\u{2014} [a-z]{1,3} [A-Za-z0-9+/]{8}\\n){0,3}"]) {
        note::check(data.as_bytes());
        tile_path::check(data.as_bytes());
    }

    #[test]
    fn paths(data in "tile/(entries|[0-9]{1,3})/(x?[0-9]{2,4}/){0,7}[0-9]{2,4}(\\.p/[0-9]{0,4})?/?") {
        tile_path::check(data.as_bytes());
    }
}

#[test]
fn the_sample_is_good() {
    assert!(Note::parse(&signed()).is_ok());
}
