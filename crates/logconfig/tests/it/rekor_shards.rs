//! Rekor's list of shards, in and out.

use logconfig::{LogConfig, ShardConfig, ShardState, read_rekor, write_rekor};
use proptest::prelude::*;

use crate::{render, running};

/// As documented, with what goes wrong in the field: an outdated key, a typo.
const REAL: &str = "- treeID: 3904496407287907110
  treeLength: 4163431
  encodedPublicKey: LS0tLS1C
- treeID: 2605736670972794746
  treeLength: 21428036
  signingConfig:
    signingSchemeOrKeyPath: gcpkms://projects/p/locations/global/keyRings/r/cryptoKeys/k
  grpcEndpoint:
    Address: trillian
    Port: 8090
- treeID: \"1193050959916656506\"
  treeLenght: 42
";

#[test]
fn a_list_from_the_field() {
    let read = read_rekor(REAL).unwrap();
    let shards: Vec<_> = read
        .shards
        .iter()
        .map(|shard| {
            (
                shard.name.as_str(),
                shard.state,
                shard.start_index,
                shard.length,
            )
        })
        .collect();
    assert_eq!(
        shards,
        [
            (
                "3904496407287907110",
                ShardState::Frozen,
                Some(0),
                Some(4_163_431)
            ),
            (
                "2605736670972794746",
                ShardState::Frozen,
                Some(4_163_431),
                Some(21_428_036)
            ),
            (
                "1193050959916656506",
                ShardState::Frozen,
                Some(25_591_467),
                None
            ),
        ]
    );
    insta::assert_snapshot!("rekor_dropped", render(&read.dropped));
}

#[test]
fn the_answer_of_a_running_one() {
    let root = "ab".repeat(32);
    let text = r#"{"rootHash":"ROOT","treeSize":3,"signedTreeHead":"x","treeID":"185","inactiveShards":[
        {"rootHash":"ROOT","treeSize":17,"signedTreeHead":"x","treeID":"1"},{"rootHash":"ROOT","treeSize":0,"treeID":"3"},
        {"rootHash":"ROOT","treeSize":1,"signedTreeHead":"x","treeID":"2"}]}"#;
    let read = read_rekor(&text.replace("ROOT", &root)).unwrap();
    // What is kept or asked for again is no key that is lost; an import brings no shard without entries.
    let dropped: Vec<_> = read.dropped.iter().map(|found| &*found.message).collect();
    assert_eq!(dropped, ["the tree 3 is left out: it has no entries"]);
    assert!(
        read.shards
            .iter()
            .all(|shard| shard.root_hash.as_ref() == Some(&root))
    );
    let refused = read_rekor(text).unwrap_err();
    assert_eq!((refused.len(), refused[0].code), (3, "not-a-root"));
    let shards: Vec<_> = read
        .shards
        .iter()
        .map(|shard| (shard.name.as_str(), shard.start_index, shard.length))
        .collect();
    assert_eq!(shards, [("1", Some(0), Some(17)), ("2", Some(17), Some(1))]);
    assert!(read_rekor("").unwrap().shards.is_empty());
    assert!(read_rekor("[]").unwrap().shards.is_empty());
}

#[test]
fn what_is_no_list() {
    let mut shown = String::new();
    for text in [
        "treeID: 1\n",
        "- 1\n- [2]\n",
        "- treeLength: 3\n",
        "- treeID: 0\n- treeID: -1\n- treeID: 9223372036854775808\n- treeID: 1.5\n- treeID: one\n- treeID: {}\n",
        "- treeID: 1\n  treeLength: -1\n",
        "- treeID: 1\n- treeID: 1\n",
        "- treeID: 1\n  treeID: 2\n",
        "- treeID: [1\n",
        "inactiveShards: 3\n",
    ] {
        shown.push_str(&render(&read_rekor(text).unwrap_err()));
    }
    insta::assert_snapshot!("rekor_refused", shown);
}

#[test]
fn a_list_for_rekor() {
    insta::assert_snapshot!("rekor_export", write_rekor(&running()));
    let mut first = running();
    first
        .shards
        .retain(|shard| shard.state == ShardState::Active);
    assert!(write_rekor(&first).ends_with("[]\n"));
}

proptest! {
    /// A written list is read as the same trees, with the same place of each in the global index.
    #[test]
    fn there_and_back(trees in prop::collection::btree_map(1u64..=i64::MAX as u64, 1u64..1 << 40, 0..8)) {
        let mut config = LogConfig::new("dev".parse().unwrap(), String::new(), "active".parse().unwrap());
        config.shards[0].tree_id = Some("7".into());
        let mut start = 0;
        for (at, (id, length)) in trees.iter().enumerate() {
            let mut shard = ShardConfig::new(format!("s{at}").parse().unwrap(), ShardState::Frozen);
            (shard.tree_id, shard.start_index, shard.length) = (Some(id.to_string()), Some(start), Some(*length));
            start += length;
            config.shards.insert(at, shard);
        }
        let read = read_rekor(&write_rekor(&config)).unwrap();
        prop_assert!(read.dropped.is_empty());
        let places = |shards: &[ShardConfig]| shards.iter().filter(|shard| shard.state == ShardState::Frozen)
            .map(|shard| (shard.tree_id.clone(), shard.start_index, shard.length)).collect::<Vec<_>>();
        prop_assert_eq!(places(&read.shards), places(&config.shards));
        // And a log made from it writes the same list again.
        let mut again = config.clone();
        again.shards.retain(|shard| shard.state == ShardState::Active);
        again.shards.splice(0..0, read.shards.clone());
        prop_assert_eq!(read_rekor(&write_rekor(&again)).unwrap(), read);
    }

    #[test]
    fn nothing_makes_it_panic(text in "(- |treeID|treeLength|: |[0-9]{1,20}|\n|  |\\{|\\}|\\[|\"|&a|\\*a){0,40}") {
        let _ = read_rekor(&text);
    }
}
