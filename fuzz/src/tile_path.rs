//! The paths of tiles.

use tlog::{TILE_WIDTH, TileKind, TilePath};

/// A text is the one name of a tile, or none.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(tile) = text.parse::<TilePath>() {
        assert_eq!(tile.to_string(), text);
        assert!((1..=TILE_WIDTH).contains(&u64::from(tile.width)));
        assert!(!matches!(tile.kind, TileKind::Hashes(64..)));
        assert!(
            text.split('/')
                .all(|segment| !segment.is_empty() && segment != "..")
        );
    }
}
