//! The index against a model, after crashes, and over files that are none of its.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use redb::ReadableDatabase as _;
use tlog::{GlobalIndex, Hash, leaf_hash};

use super::*;

const LOG: &str = "log.example.org";
const CACHE: usize = 4 << 20;

fn open(path: &Path) -> Result<Index, Error> {
    Index::open(path, LOG, CACHE)
}

fn at(index: u64) -> GlobalIndex {
    GlobalIndex::new(index)
}

fn entry(leaf: &str, keys: &[&str]) -> Entry {
    Entry {
        leaf: leaf_hash(leaf.as_bytes()),
        keys: keys.iter().map(|key| (*key).to_owned()).collect(),
    }
}

fn indexes(found: &Found) -> Vec<u64> {
    found.entries.iter().map(|one| one.index.get()).collect()
}

#[test]
fn entries_are_found_by_their_keys_and_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(&folder.path().join("a.redb")).unwrap();
    assert_eq!(index.position().unwrap(), at(0));
    assert_eq!(index.last().unwrap(), None);
    let entries = [
        entry("one", &["a", "b"]),
        entry("two", &["a"]),
        entry("one", &["b"]),
    ];
    assert_eq!(index.extend(at(0), entries).unwrap(), at(3));
    assert_eq!(indexes(&index.find_any(&["a"], 9).unwrap()), [0, 1]);
    assert_eq!(indexes(&index.find_any(&["a", "b"], 9).unwrap()), [0, 1, 2]);
    assert_eq!(indexes(&index.find_all(&["a", "b"], 9).unwrap()), [0]);
    assert_eq!(index.find_all::<&str>(&[], 9).unwrap(), Found::default());
    assert_eq!(
        index.by_leaf(&leaf_hash(b"one"), 9).unwrap(),
        [at(0), at(2)]
    );
    // A leaf is no key.
    let leaf = tlog::hex(&leaf_hash(b"one").0);
    assert_eq!(index.find_any(&[leaf], 9).unwrap(), Found::default());
    assert_eq!(index.last().unwrap().unwrap().leaf, leaf_hash(b"one"));
}

#[test]
fn the_newest_entries_are_kept_where_there_are_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(&folder.path().join("a.redb")).unwrap();
    let entries = (0..500).map(|n| entry(&n.to_string(), &["all", ["even", "odd"][n % 2]]));
    index.extend(at(0), entries).unwrap();
    let found = index.find_any(&["all"], 3).unwrap();
    assert_eq!((indexes(&found), found.cut), (vec![497, 498, 499], true));
    assert_eq!(found.entries[2].leaf, leaf_hash(b"499"));
    let found = index.find_all(&["all", "even"], 2).unwrap();
    assert_eq!((indexes(&found), found.cut), (vec![496, 498], true));
    let found = index.find_all(&["all", "even"], 250).unwrap();
    assert_eq!((found.entries.len(), found.cut), (250, false));
    assert_eq!(index.by_leaf(&leaf_hash(b"7"), 1).unwrap(), [at(7)]);
}

#[test]
fn a_search_that_looks_at_too_much_says_that_it_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(&folder.path().join("a.redb")).unwrap();
    let entries = (0..30_000).map(|n| entry("", &[["even", "odd"][n % 2]]));
    index.extend(at(0), entries).unwrap();
    let found = index.find_all(&["even", "odd"], 9).unwrap();
    assert_eq!((found.entries.len(), found.cut), (0, true));
}

#[test]
fn an_entry_has_a_bounded_number_of_keys() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(&folder.path().join("a.redb")).unwrap();
    let keys = (0..=MAX_KEYS).map(|n| n.to_string()).collect();
    let leaf = leaf_hash(b"");
    index.extend(at(0), [Entry { leaf, keys }]).unwrap();
    let last = (MAX_KEYS - 1).to_string();
    assert_eq!(indexes(&index.find_any(&[last], 9).unwrap()), [0]);
    let more = MAX_KEYS.to_string();
    assert_eq!(index.find_any(&[more], 9).unwrap(), Found::default());
}

#[test]
fn keys_of_an_entry_that_is_not_indexed_yet_are_found_once_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(&folder.path().join("a.redb")).unwrap();
    index.add([(at(0), "subject")]).unwrap();
    assert_eq!(index.find_any(&["subject"], 9).unwrap(), Found::default());
    assert_eq!(index.find_all(&["subject"], 9).unwrap(), Found::default());
    index.extend(at(0), [entry("one", &["a"])]).unwrap();
    assert_eq!(indexes(&index.find_all(&["subject", "a"], 9).unwrap()), [0]);
    index.add([(at(0), "later"), (at(0), "a")]).unwrap();
    assert_eq!(indexes(&index.find_any(&["later"], 9).unwrap()), [0]);
}

#[test]
fn entries_after_a_gap_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(&folder.path().join("a.redb")).unwrap();
    let refused = index.extend(at(1), [entry("one", &["a"])]).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the search index continues at entry 0, not at 1"
    );
    assert_eq!(index.find_any(&["a"], 9).unwrap(), Found::default());
    index.extend(at(0), [entry("one", &["a"])]).unwrap();
    // The same again, as after a lost answer.
    assert!(index.extend(at(0), [entry("one", &["a"])]).is_err());
}

#[test]
fn what_many_transactions_wrote_is_found_while_it_is_merged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let index = open(&path).unwrap();
    let key = |n: u64| format!("key {}", n % 97);
    let mut size = 0;
    for round in 0..700_u64 {
        let entries = (size..size + round % 40).map(|n| entry(&n.to_string(), &[&key(n)]));
        index.extend(at(size), entries).unwrap();
        size += round % 40;
        if round % 50 == 0 {
            index.sync().unwrap();
        }
        if round % 23 == 0 {
            let name = key(round);
            let expected: Vec<u64> = (0..size).filter(|n| key(*n) == name).collect();
            assert_eq!(indexes(&index.find_any(&[name], 5000).unwrap()), expected);
        }
    }
    for n in 0..size {
        let found = index
            .by_leaf(&leaf_hash(n.to_string().as_bytes()), 9)
            .unwrap();
        assert_eq!(found, [at(n)]);
    }
    // Every transaction was a run, and few are left.
    drop(index);
    let db = redb::Database::open(&path).unwrap();
    let runs = db
        .begin_read()
        .unwrap()
        .open_table(crate::rows::RUNS)
        .unwrap();
    let runs = redb::ReadableTableMetadata::len(&runs).unwrap();
    assert!((8..80).contains(&runs), "{runs}");
}

/// The state of the file at a moment, as a process that is killed leaves it: a copy, since the lock is this process's.
#[test]
fn a_crash_loses_no_key_of_an_entry_before_the_position() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let copy = folder.path().join("copy.redb");
    let index = open(&path).unwrap();
    let mut synced = at(0);
    let mut lost = 0;
    for round in 0..30 {
        let start = index.position().unwrap();
        let entries = (0..50).map(|n| {
            let number = start.get() + n;
            entry(&number.to_string(), &[&format!("key {number}"), "all"])
        });
        index.extend(start, entries).unwrap();
        if round % 7 == 3 {
            index.sync().unwrap();
            synced = index.position().unwrap();
        }
        fs::copy(&path, &copy).unwrap();
        let after = open(&copy).unwrap();
        let position = after.position().unwrap();
        assert!(position >= synced && position <= index.position().unwrap());
        lost += index.position().unwrap() - position;
        assert_eq!(
            after.find_any(&["all"], 5000).unwrap().entries.len() as u64,
            position.get()
        );
        for number in 0..position.get() + 50 {
            let found = after.find_any(&[format!("key {number}")], 9).unwrap();
            let expected = (number < position.get()).then_some(number);
            assert_eq!(indexes(&found), Vec::from_iter(expected));
        }
        // It continues from there.
        after.extend(position, [entry("next", &["next"])]).unwrap();
        assert_eq!(
            indexes(&after.find_any(&["next"], 9).unwrap()),
            [position.get()]
        );
        drop(after);
        fs::remove_file(&copy).unwrap();
    }
    assert!(lost > 0, "no copy was of a moment between two syncs");
    drop(index);
    assert_eq!(open(&path).unwrap().position().unwrap(), at(1500));
}

#[test]
fn a_file_in_use_or_of_another_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let index = open(&path).unwrap();
    let held = open(&path).err().unwrap();
    assert!(held.to_string().starts_with("another process uses"));
    assert!(matches!(held, Error::Held { .. }));
    assert!(matches!(Index::remove(&path), Err(Error::Held { .. })));
    drop(index);
    let foreign = Index::open(&path, "other.example.org", CACHE)
        .err()
        .unwrap();
    let text = foreign.to_string();
    assert!(text.contains("is of the log log.example.org, not of other.example.org"));
    assert!(text.contains("`logd index rebuild`"));
    assert!(foreign.is_beyond_use());
    Index::remove(&path).unwrap();
    Index::remove(&path).unwrap();
    assert!(Index::open(&path, "other.example.org", CACHE).is_ok());
}

#[test]
fn a_file_of_another_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    drop(open(&path).unwrap());
    let db = redb::Database::open(&path).unwrap();
    let tx = db.begin_write().unwrap();
    let mut about = tx.open_table(crate::rows::ABOUT).unwrap();
    about.insert("format", b"2".as_slice()).unwrap();
    drop(about);
    tx.commit().unwrap();
    drop(db);
    let error = open(&path).err().unwrap();
    assert!(matches!(error, Error::Format { .. }), "{error}");
    assert!(error.to_string().contains("`logd index rebuild`"));
}

/// Opens a file and uses all of it.
fn use_all(path: &Path) -> Result<(), Error> {
    let index = open(path)?;
    let position = index.position()?;
    index.last()?;
    index.find_any(&["all"], 5000)?;
    for number in 0..100 {
        index.find_all(&["all", &format!("key {number}")], 9)?;
        index.by_leaf(&leaf_hash(number.to_string().as_bytes()), 9)?;
    }
    let more = (0..100).map(|n| entry(&n.to_string(), &[&format!("more {n}"), "all"]));
    index.extend(position, more)?;
    index.sync()
}

#[test]
fn a_damaged_file_is_an_error_that_names_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.redb");
    let index = open(&path).unwrap();
    let entries = (0..3000_u64).map(|n| entry(&n.to_string(), &[&format!("key {n}"), "all"]));
    index.extend(at(0), entries).unwrap();
    drop(index);
    let good = fs::read(&path).unwrap();
    let other = folder.path().join("b.redb");
    let mut noticed = 0;
    let mut look = |bytes: &[u8], what: &str| {
        fs::write(&other, bytes).unwrap();
        match use_all(&other) {
            Ok(()) => {}
            Err(error) => {
                noticed += 1;
                let text = error.to_string();
                assert!(text.contains("`logd index rebuild`"), "{what}: {text}");
                assert!(error.is_beyond_use(), "{what}");
            }
        }
        Index::remove(&other).unwrap();
    };
    look(b"", "empty");
    look(b"no index at all", "text");
    look(&vec![7; 100_000], "noise");
    for part in 1..16 {
        look(&good[..good.len() * part / 16], "cut off");
    }
    for page in (0..good.len()).step_by(16 * 4096) {
        for byte in [0, 1, 100, 2000] {
            let mut bytes = good.clone();
            let end = (page + byte + 64).min(bytes.len());
            bytes[page + byte..end].fill(0xa5);
            look(&bytes, &format!("page {page}, byte {byte}"));
        }
    }
    assert!(noticed > 15, "{noticed}");
}

/// What a test does, on the index and on the model.
#[derive(Clone, Debug)]
enum Step {
    Extend(Vec<(u8, Vec<u8>)>),
    Add(u64, Vec<u8>),
    Sync,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let keys = || prop::collection::vec(0..6_u8, 0..4);
    prop_oneof![
        6 => prop::collection::vec((0..5_u8, keys()), 0..60).prop_map(Step::Extend),
        2 => (0..400_u64, keys()).prop_map(|(at, keys)| Step::Add(at, keys)),
        1 => Just(Step::Sync),
        1 => Just(Step::Reopen),
    ]
}

fn text(key: u8) -> String {
    format!("key {key}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn as_the_model(steps in prop::collection::vec(step(), 1..40), limit in 1..12_usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.redb");
        let mut index = open(&path).unwrap();
        let mut leaves: Vec<Hash> = Vec::new();
        let mut model: BTreeMap<u8, BTreeSet<u64>> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Extend(entries) => {
                    let start = leaves.len() as u64;
                    let rows = entries.iter().zip(start..).map(|((leaf, keys), number)| {
                        let leaf = leaf_hash(&[*leaf]);
                        leaves.push(leaf);
                        for key in keys {
                            model.entry(*key).or_default().insert(number);
                        }
                        Entry { leaf, keys: keys.iter().map(|key| text(*key)).collect() }
                    });
                    index.extend(at(start), rows).unwrap();
                }
                Step::Add(number, keys) => {
                    let texts: Vec<_> = keys.iter().map(|key| text(*key)).collect();
                    index.add(texts.iter().map(|key| (at(number), key.as_str()))).unwrap();
                    for key in keys {
                        model.entry(key).or_default().insert(number);
                    }
                }
                Step::Sync => index.sync().unwrap(),
                Step::Reopen => {
                    drop(index);
                    index = open(&path).unwrap();
                }
            }
            let size = leaves.len() as u64;
            prop_assert_eq!(index.position().unwrap(), at(size));
            let of = |key: u8| -> BTreeSet<u64> {
                let all = model.get(&key).cloned().unwrap_or_default();
                all.range(..size).copied().collect()
            };
            let check = |found: Found, expected: BTreeSet<u64>| {
                let older = expected.len().saturating_sub(limit);
                let newest: Vec<u64> = expected.into_iter().skip(older).collect();
                for one in &found.entries {
                    assert_eq!(one.leaf, leaves[one.index.get() as usize]);
                }
                assert_eq!((indexes(&found), found.cut), (newest, older > 0));
            };
            for key in 0..6 {
                check(index.find_any(&[text(key)], limit).unwrap(), of(key));
                let pair = [key, (key + 1) % 6];
                let keys = pair.map(text);
                let all = &of(pair[0]) & &of(pair[1]);
                check(index.find_all(&keys, limit).unwrap(), all);
                let any = &of(pair[0]) | &of(pair[1]);
                check(index.find_any(&keys, limit).unwrap(), any);
            }
            for leaf in 0..5 {
                let leaf = leaf_hash(&[leaf]);
                let all: Vec<_> = (0..size).filter(|n| leaves[*n as usize] == leaf).map(at).collect();
                let older = all.len().saturating_sub(limit);
                prop_assert_eq!(&index.by_leaf(&leaf, limit).unwrap()[..], &all[older..]);
            }
        }
    }
}

/// `cargo test --release -p rekor-index -- --ignored --nocapture`, with `INDEX_BENCH_DIR` where there is room for 3 GB.
#[test]
#[ignore = "a measurement: builds an index of 10 million entries"]
#[expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "it measures, and says what"
)]
fn search_in_ten_million_entries() {
    const ENTRIES: u64 = 10_000_000;
    const BATCH: u64 = 2_000;
    let folder = match std::env::var_os("INDEX_BENCH_DIR") {
        Some(folder) => tempfile::tempdir_in(folder).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let path = folder.path().join("a.redb");
    let index = Index::open(&path, LOG, 64 << 20).unwrap();
    let keys = |n: u64| {
        vec![
            format!("sha256:{}", leaf_hash(&n.to_be_bytes())),
            leaf_hash(&(n / 3).to_le_bytes()).to_string(),
            format!("dev{}@example.org", n % 10_000),
        ]
    };
    let began = Instant::now();
    let mut last = began;
    for start in (0..ENTRIES).step_by(BATCH as usize) {
        let entries = (start..start + BATCH).map(|n| Entry {
            leaf: leaf_hash(&n.to_be_bytes()),
            keys: keys(n),
        });
        index.extend(at(start), entries).unwrap();
        if start % (BATCH * 50) == 0 {
            index.sync().unwrap();
        }
        if start % 1_000_000 == 0 {
            eprintln!("{start} entries, {:?}", last.elapsed());
            last = Instant::now();
        }
    }
    index.sync().unwrap();
    let built = began.elapsed();
    let size = fs::metadata(&path).unwrap().len();
    eprintln!("built in {built:?}, {} MB", size / 1_000_000);
    let search = |what: &str, key: &dyn Fn(u64) -> Vec<String>| {
        let mut times: Vec<Duration> = (0..20_000_u64)
            .map(|n| {
                let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % ENTRIES;
                let key = key(n);
                let began = Instant::now();
                let found = index.find_any(&key, 1000).unwrap();
                let took = began.elapsed();
                assert!(!found.entries.is_empty());
                took
            })
            .collect();
        times.sort_unstable();
        let [p50, p99] = [50, 99].map(|p| times[times.len() * p / 100]);
        eprintln!(
            "{what}: p50 {p50:?}, p99 {p99:?}, most {:?}",
            times[times.len() - 1]
        );
        p99
    };
    let p99 = search("by hash", &|n| keys(n)[..1].to_vec());
    search("by key", &|n| keys(n)[1..2].to_vec());
    search("by email, 1,000 entries each", &|n| keys(n)[2..].to_vec());
    assert!(p99 <= Duration::from_millis(5), "{p99:?}");
    drop(index);
    let began = Instant::now();
    drop(Index::open(&path, LOG, 64 << 20).unwrap());
    eprintln!("opened in {:?}", began.elapsed());
}
