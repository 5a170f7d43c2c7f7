//! Names of tiles (C2SP tlog-tiles): `tile/<level>/<index>[.p/<width>]` and `tile/entries/<index>[.p/<width>]`.
//!
//! A tile has one name only: caches and directories key on it, so a second spelling must never parse. An empty tile
//! has no name at all.

use std::fmt;
use std::str::FromStr;

/// The number of hashes in a full hash tile, and of entries in a full entry bundle.
pub const TILE_WIDTH: u64 = 256;

const FULL: u16 = TILE_WIDTH as u16;
const MAX_LEVEL: u8 = 63;

/// The kind of content of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TileKind {
    /// Hashes of complete subtrees of `256^level` leaves; at level 0 the leaf hashes. Levels go from 0 to 63.
    Hashes(u8),
    /// The entries themselves: see [`bundle`](crate::bundle).
    Entries,
}

impl TileKind {
    fn level(self) -> u8 {
        match self {
            TileKind::Hashes(level) => level,
            TileKind::Entries => 0,
        }
    }
}

/// The name of one tile, full or partial. `Display` and `FromStr` are its path below a shard's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TilePath {
    /// The content of the tile.
    pub kind: TileKind,
    /// Number among the tiles of its kind and level, from 0.
    pub index: u64,
    /// How many hashes or entries it holds: 1 to 256, 256 being a full tile.
    pub width: u16,
}

/// Why text or bytes are not a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not the canonical path of a tile.
    #[error("not the path of a tile")]
    Path,
    /// The number of bytes does not fit the width.
    #[error("a hash tile of width {width} has {expected} bytes, not {found}", expected = usize::from(*.width) * 32)]
    Length {
        /// The width in the tile's name.
        width: u16,
        /// The number of bytes found.
        found: usize,
    },
    /// An entry bundle where a hash tile is needed.
    #[error("an entry bundle is not a hash tile")]
    Kind,
}

/// How many hashes the level holds in a tree of `size` leaves.
fn count(level: u8, size: u64) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

impl TilePath {
    /// A hash tile. `level` is at most 63, `width` from 1 to 256.
    pub fn hashes(level: u8, index: u64, width: u16) -> Self {
        Self {
            kind: TileKind::Hashes(level),
            index,
            width,
        }
    }

    /// An entry bundle. `width` is from 1 to 256.
    pub fn entries(index: u64, width: u16) -> Self {
        Self {
            kind: TileKind::Entries,
            index,
            width,
        }
    }

    /// The tile as it is in a tree of `size` leaves; `None` if it is empty there.
    pub fn at(kind: TileKind, index: u64, size: u64) -> Option<Self> {
        let rest = count(kind.level(), size).checked_sub(index.checked_mul(TILE_WIDTH)?)?;
        match rest.min(TILE_WIDTH) as u16 {
            0 => None,
            width => Some(Self { kind, index, width }),
        }
    }

    /// Whether it holds fewer than 256 hashes or entries.
    pub fn is_partial(&self) -> bool {
        self.width < FULL
    }

    /// The full tile that this one becomes.
    pub fn full(&self) -> Self {
        Self {
            width: FULL,
            ..*self
        }
    }

    /// The names to try for it, in this order: a partial tile may have been replaced by the full one, which begins with it.
    pub fn names(&self) -> impl Iterator<Item = Self> + use<> {
        [*self, self.full()]
            .into_iter()
            .take(1 + usize::from(self.is_partial()))
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            TileKind::Hashes(level) => write!(f, "tile/{level}/")?,
            TileKind::Entries => f.write_str("tile/entries/")?,
        }
        let mut unit = 1;
        while self.index / unit >= 1000 {
            unit *= 1000;
        }
        while unit > 1 {
            write!(f, "x{:03}/", self.index / unit % 1000)?;
            unit /= 1000;
        }
        write!(f, "{:03}", self.index % 1000)?;
        if self.is_partial() {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

impl FromStr for TilePath {
    type Err = TileError;

    fn from_str(text: &str) -> Result<Self, TileError> {
        parse(text).ok_or(TileError::Path)
    }
}

fn parse(text: &str) -> Option<TilePath> {
    let (kind, rest) = text.strip_prefix("tile/")?.split_once('/')?;
    let kind = match kind {
        "entries" => TileKind::Entries,
        level => {
            TileKind::Hashes(decimal(level).filter(|level| *level <= u16::from(MAX_LEVEL))? as u8)
        }
    };
    let (groups, width) = match rest.split_once(".p/") {
        Some((groups, width)) => (
            groups,
            decimal(width).filter(|width| (1..FULL).contains(width))?,
        ),
        None => (rest, FULL),
    };
    let (leading, last) = match groups.rsplit_once('/') {
        Some((leading, last)) => (Some(leading), last),
        None => (None, groups),
    };
    let mut index = 0u64;
    for group in leading.into_iter().flat_map(|leading| leading.split('/')) {
        index = index
            .checked_mul(1000)?
            .checked_add(thousand(group.strip_prefix('x')?)?)?;
        // A leading group of zeros would be a second spelling.
        if index == 0 {
            return None;
        }
    }
    index = index.checked_mul(1000)?.checked_add(thousand(last)?)?;
    Some(TilePath { kind, index, width })
}

fn thousand(text: &str) -> Option<u64> {
    let digits: &[u8; 3] = text.as_bytes().try_into().ok()?;
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u64::from(digit - b'0'))
    })
}

/// A short decimal number without leading zeros.
fn decimal(text: &str) -> Option<u16> {
    let canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    canonical.then(|| text.parse().ok())?
}

/// The tiles that are partial in a tree of `size` leaves: the hash tile of each level and the entry bundle.
pub fn partial_tiles(size: u64) -> Vec<TilePath> {
    let mut tiles = Vec::new();
    let mut count = size;
    for level in 0..=MAX_LEVEL {
        if count == 0 {
            break;
        }
        let (index, width) = (count / TILE_WIDTH, (count % TILE_WIDTH) as u16);
        if width > 0 {
            tiles.push(TilePath::hashes(level, index, width));
            if level == 0 {
                tiles.push(TilePath::entries(index, width));
            }
        }
        count = index;
    }
    tiles
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = TileKind> {
        prop_oneof![
            (0..=MAX_LEVEL).prop_map(TileKind::Hashes),
            Just(TileKind::Entries)
        ]
    }

    fn tiles() -> impl Strategy<Value = TilePath> {
        // Small and large numbers in equal parts: the number of groups depends on the logarithm.
        let index = (0u32..64, any::<u64>()).prop_map(|(shift, number)| number >> shift);
        (kinds(), index, 1..=FULL).prop_map(|(kind, index, width)| TilePath { kind, index, width })
    }

    /// The same name in the older scheme of Go's sumdb, which has the height in front.
    fn sumdb(tile: &TilePath) -> tlog_tiles::Tile {
        let data = tile.kind == TileKind::Entries;
        tlog_tiles::Tile::new(
            8,
            tile.kind.level(),
            tile.index,
            u32::from(tile.width),
            data,
        )
    }

    #[test]
    fn examples_of_the_specification() {
        assert_eq!(
            TilePath::hashes(0, 1_234_067, 256).to_string(),
            "tile/0/x001/x234/067"
        );
        assert_eq!(
            TilePath::hashes(0, 273, 112).to_string(),
            "tile/0/273.p/112"
        );
        assert_eq!(TilePath::entries(0, 256).to_string(), "tile/entries/000");
        assert_eq!(
            partial_tiles(70_000),
            [
                TilePath::hashes(0, 273, 112),
                TilePath::entries(273, 112),
                TilePath::hashes(1, 1, 17),
                TilePath::hashes(2, 0, 1)
            ]
        );
        assert_eq!(partial_tiles(256), [TilePath::hashes(1, 0, 1)]);
        assert_eq!(partial_tiles(0), []);
        assert_eq!(
            TilePath::at(TileKind::Hashes(1), 0, 70_000),
            Some(TilePath::hashes(1, 0, 256))
        );
        assert_eq!(TilePath::at(TileKind::Hashes(1), 2, 70_000), None);
        assert_eq!(
            TilePath::at(TileKind::Hashes(0), 1, 256),
            None,
            "an empty tile has no name"
        );
        assert_eq!(TilePath::at(TileKind::Entries, u64::MAX, 70_000), None);
        assert_eq!(
            TilePath::hashes(3, 5, 7).full(),
            TilePath::hashes(3, 5, 256)
        );
    }

    #[test]
    fn second_spellings_are_refused() {
        for bad in [
            "",
            "tile",
            "tile/",
            "tile/0",
            "tile/0/",
            "/tile/0/000",
            "tile/0/000/",
            "tile//000",
            "tile/00/000",
            "tile/64/000",
            "tile/256/000",
            "tile/-1/000",
            "tile/+1/000",
            "tile/data/000",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/+00",
            "tile/0/x000/000",
            "tile/0/x000/001",
            "tile/0/x000/x001/000",
            "tile/0/x001",
            "tile/0/001/000",
            "tile/0/X001/000",
            "tile/0/x001//000",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/x001/x018/x446/x744/x073/x709/x551/615",
            "tile/0/000.p",
            "tile/0/000.p/",
            "tile/0/000.p/0",
            "tile/0/000.p/05",
            "tile/0/000.p/256",
            "tile/0/000.p/1/",
            "tile/0/000.p/1.p/1",
            "tile/0/x001.p/5/000",
            "tile/0/../checkpoint",
            "tile/0/000 ",
            "tile/0/٠٠٠",
        ] {
            assert_eq!(bad.parse::<TilePath>(), Err(TileError::Path), "{bad}");
        }
        let largest = "tile/0/x018/x446/x744/x073/x709/x551/615";
        assert_eq!(largest.parse(), Ok(TilePath::hashes(0, u64::MAX, 256)));
        assert_eq!(TilePath::hashes(0, u64::MAX, 256).to_string(), largest);
    }

    proptest! {
        #[test]
        fn names_are_those_of_another_implementation(tile in tiles()) {
            let theirs = sumdb(&tile).path().replacen("tile/8/", "tile/", 1).replacen("/data/", "/entries/", 1);
            prop_assert_eq!(tile.to_string(), theirs);
        }

        #[test]
        fn names_round_trip(tile in tiles()) {
            prop_assert_eq!(tile.to_string().parse(), Ok(tile));
        }

        #[test]
        fn what_parses_is_canonical(text in "tile/([0-9]{1,2}|entries)/(x[0-9]{2,3}/){0,3}[0-9]{3}(\\.p/[0-9]{1,3})?") {
            if let Ok(tile) = text.parse::<TilePath>() {
                prop_assert_eq!(tile.to_string(), text);
            }
        }

        #[test]
        fn a_mutated_name_is_refused_or_another_tile(tile in tiles(), at: prop::sample::Index, byte in 0x20u8..0x7f) {
            let mut text = tile.to_string().into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            let text = String::from_utf8(text).unwrap();
            if let Ok(other) = text.parse::<TilePath>() {
                prop_assert_eq!(other.to_string(), text);
            }
        }

        #[test]
        fn partial_tiles_are_the_partial_ones(size: u64, shift in 0u32..64) {
            let size = size >> shift;
            let partial = partial_tiles(size);
            for tile in &partial {
                prop_assert!(tile.is_partial());
                prop_assert_eq!(TilePath::at(tile.kind, tile.index, size), Some(*tile));
            }
            for kind in (0..=MAX_LEVEL).map(TileKind::Hashes).chain([TileKind::Entries]) {
                let last = count(kind.level(), size).checked_sub(1).map(|last| last / TILE_WIDTH);
                let last = last.and_then(|last| TilePath::at(kind, last, size));
                let expected = last.filter(TilePath::is_partial);
                prop_assert_eq!(partial.iter().find(|tile| tile.kind == kind).copied(), expected);
            }
        }
    }
}
