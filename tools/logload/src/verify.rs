//! After a run: does every acknowledged index hold the entry that was sent? Each bundle is read once.

use std::collections::BTreeMap;

use logctl::kit::{Source, SourceError};
use serde::{Deserialize, Serialize};
use tlog::{TILE_WIDTH, TilePath, bundle};

use crate::arrivals::Entries;
use crate::drive::Kept;
use crate::scenario::Scenario;

/// The result of reading acknowledged entries back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verified {
    /// Entries that were acknowledged and looked at.
    pub(crate) checked: u64,
    /// Another entry stands at the index.
    pub(crate) wrong: u64,
    /// Nothing is published at the index.
    pub(crate) missing: u64,
    /// The first index that is not right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_bad: Option<u64>,
}

/// A shard as listed, what of it is needed here.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shard {
    name: String,
    #[serde(default)]
    start_index: Option<u64>,
}

struct Tree {
    name: String,
    start: u64,
    size: u64,
}

impl Verified {
    /// Whether all is as acknowledged.
    pub(crate) fn good(&self) -> bool {
        self.wrong + self.missing == 0
    }

    fn bad(&mut self, index: u64, missing: bool) {
        if missing {
            self.missing += 1;
        } else {
            self.wrong += 1;
        }
        self.first_bad = Some(self.first_bad.map_or(index, |first| first.min(index)));
    }
}

/// Checks every acknowledgement of a run. `progress` is told how many are done.
///
/// # Errors
/// [`SourceError`] if a file could not be fetched.
pub(crate) async fn verify<S: Source>(
    source: &S,
    scenario: &Scenario,
    run: u64,
    mut kept: Vec<Kept>,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<Verified, SourceError> {
    kept.sort_unstable_by_key(|kept| kept.index);
    let trees = trees(source).await?;
    let makers: Vec<Entries> = scenario
        .streams
        .iter()
        .enumerate()
        .map(|(at, stream)| Entries::new(run, at as u16, stream.size))
        .collect();
    let mut verified = Verified::default();
    let mut expected = Vec::new();
    let mut open: Option<(u64, Vec<Vec<u8>>)> = None;
    for range in kept {
        for nth in 0..range.entries {
            let index = range.index + nth;
            verified.checked += 1;
            if verified.checked.is_multiple_of(100_000) {
                progress(verified.checked);
            }
            let tree = trees
                .iter()
                .find(|tree| (tree.start..tree.start + tree.size).contains(&index));
            let (Some(tree), Some(maker)) = (tree, makers.get(usize::from(range.stream))) else {
                verified.bad(index, true);
                continue;
            };
            let leaf = index - tree.start;
            let begin = index - leaf % TILE_WIDTH;
            if open.as_ref().is_none_or(|(at, _)| *at != begin) {
                let bytes = fetch(source, tree, leaf / TILE_WIDTH).await?;
                // Bytes that are no bundle hold no entries.
                let entries = bundle::entries(&bytes).unwrap_or_default();
                open = Some((begin, entries.into_iter().map(<[u8]>::to_vec).collect()));
            }
            let entries = open.as_ref().map_or(&[][..], |(_, entries)| entries);
            expected.clear();
            maker.write(range.sequence + nth, &mut expected);
            let there = entries.get((leaf % TILE_WIDTH) as usize);
            if there != Some(&expected) {
                verified.bad(index, there.is_none());
            }
        }
    }
    Ok(verified)
}

/// The bundle with this number, as wide as the tree makes it; empty when it is not there.
async fn fetch<S: Source>(source: &S, tree: &Tree, number: u64) -> Result<Vec<u8>, SourceError> {
    let width = (tree.size - number * TILE_WIDTH).min(TILE_WIDTH) as u16;
    let path = TilePath::entries(number, width);
    if let Some(bytes) = source.get(&format!("{}/{path}", tree.name)).await? {
        return Ok(bytes);
    }
    // A partial bundle goes when the full one is there.
    let full = path.full();
    let bytes = source.get(&format!("{}/{full}", tree.name)).await?;
    Ok(bytes.unwrap_or_default())
}

/// The shards, and how much of each is published.
async fn trees<S: Source>(source: &S) -> Result<Vec<Tree>, SourceError> {
    const LIST: &str = "shards";
    let list = source.get(LIST).await?.unwrap_or_default();
    let shards: Vec<Shard> =
        serde_json::from_slice(&list).map_err(|error| SourceError::new(LIST, error))?;
    let mut trees = BTreeMap::new();
    for shard in shards {
        let Some(start) = shard.start_index else {
            continue;
        };
        let path = format!("{}/checkpoint", shard.name);
        let note = source.get(&path).await?.unwrap_or_default();
        // The auditor checks signatures (`shard verify`); here only the size counts, the second line.
        let size = std::str::from_utf8(&note)
            .ok()
            .and_then(|text| text.lines().nth(1)?.parse().ok())
            .ok_or_else(|| SourceError::new(&path, "not a checkpoint"))?;
        trees.insert(
            start,
            Tree {
                name: shard.name,
                start,
                size,
            },
        );
    }
    Ok(trees.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[derive(Default)]
    struct Files(HashMap<String, Vec<u8>>);

    impl Source for Files {
        async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
            Ok(self.0.get(path).cloned())
        }
    }

    /// Two shards: 300 entries, then 10; all of stream 0 in order.
    fn log() -> Files {
        let mut files = Files::default();
        let maker = Entries::new(9, 0, 60);
        let mut put = |path: &str, bytes: &[u8]| files.0.insert(path.into(), bytes.to_vec());
        put(
            "shards",
            br#"[{"name":"a","startIndex":0},{"name":"b","startIndex":300},{"name":"c"}]"#,
        );
        put("a/checkpoint", b"x/a\n300\nroot\n");
        put("b/checkpoint", b"x/b\n10\nroot\n");
        for (path, range) in [
            ("a/tile/entries/000", 0..256),
            ("a/tile/entries/001.p/44", 256..300),
            ("b/tile/entries/000.p/10", 300..310),
        ] {
            let mut bytes = Vec::new();
            maker.bundle(range, &mut bytes);
            put(path, &bytes);
        }
        files
    }

    fn scenario() -> Scenario {
        Scenario::from_flags(&["rate=1/s,size=60".into()]).unwrap()
    }

    async fn check(kept: Vec<Kept>) -> Verified {
        verify(&log(), &scenario(), 9, kept, &mut |_| {})
            .await
            .unwrap()
    }

    fn kept(index: u64, entries: u64, sequence: u64) -> Kept {
        Kept {
            index,
            entries,
            sequence,
            stream: 0,
        }
    }

    #[tokio::test]
    async fn what_is_there_is_found() {
        let verified = check(vec![
            kept(300, 10, 300),
            kept(0, 256, 0),
            kept(256, 44, 256),
        ])
        .await;
        assert_eq!(
            verified,
            Verified {
                checked: 310,
                ..Verified::default()
            }
        );
        assert!(verified.good());
    }

    #[tokio::test]
    async fn what_is_not_there_is_found_too() {
        // Another entry at the index, and an index after the end.
        let verified = check(vec![kept(17, 2, 18), kept(309, 3, 309)]).await;
        assert_eq!(
            verified,
            Verified {
                checked: 5,
                wrong: 2,
                missing: 2,
                first_bad: Some(17)
            }
        );
        assert!(!verified.good());
    }
}
