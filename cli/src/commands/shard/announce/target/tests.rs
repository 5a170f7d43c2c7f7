//! How a target judges the files that were read, and which of them it adds its key to.

use super::*;
use serde_json::{Value, json};
use tlog::Signer;

const NOW: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn known(host: &str, seed: u8) -> KnownKey {
    let signer = Signer::from_p256(host, &[seed; 32]).unwrap();
    KnownKey {
        key: signer.verifier().clone(),
        since: 1_700_000_000_000,
        imported: false,
    }
}

/// A log with the shards a and b, whose key b is announced; it was seen at these places an hour ago.
pub(in super::super) fn target(recorded: &[&str]) -> Target {
    let keys = vec![known("a.example.org", 1), known("b.example.org", 2)];
    Target {
        name: "b".to_owned(),
        key: keys[1].key.clone(),
        keys,
        since: 1_700_000_000_000,
        settle: SETTLE,
        places: Vec::new(),
        unnamed: HashSet::new(),
        recorded: recorded.iter().map(|place| (*place).to_owned()).collect(),
        gone: HashMap::new(),
        seen_since: (!recorded.is_empty()).then(|| at(NOW - 3600)),
        others_were_seen: false,
    }
}

/// A trusted root with these authorities and the log's first keys.
pub(in super::super) fn file(authorities: &[&str], keys: usize) -> String {
    let keys = &target(&[]).keys[..keys];
    let shards: Vec<_> = keys
        .iter()
        .map(|known| Shard {
            key: &known.key,
            valid_from: known.since,
        })
        .collect();
    let root = TrustedRoot::new(&shards, None).unwrap().to_json();
    let mut root: Value = serde_json::from_str(&root).unwrap();
    root["certificateAuthorities"] = authorities
        .iter()
        .map(|uri| json!({ "uri": uri }))
        .collect();
    root.to_string()
}

fn look(target: &Target, read: &[Result<(&str, u64), bool>]) -> Look {
    look_after(target, read, 0)
}

/// The look of a run that began so many seconds ago.
fn look_after(target: &Target, read: &[Result<(&str, u64), bool>], lasted: u64) -> Look {
    let read = read.iter().enumerate().map(|(number, read)| {
        let read = read.map(|(text, age)| Found {
            text: text.to_owned(),
            age: Duration::from_secs(age),
        });
        let place = ["one", "two", "three"][number];
        let read = read.map_err(|absent| Miss {
            absent,
            why: "no".to_owned(),
        });
        (place, read)
    });
    target.judge(read, at(NOW), Duration::from_secs(lasted))
}

#[test]
fn where_a_key_was_seen_only_a_current_file_shows_that_it_is_gone() {
    let (old, new) = (file(&["ca"], 1), file(&["ca"], 2));
    let seen = target(&["one"]);
    // Neither a failure, nor another file, nor what a cache kept since before is a reason to publish again.
    for read in [Err(false), Err(true), Ok(("<html>", 0)), Ok((&*old, 7200))] {
        let look = look(&seen, &[read]);
        assert!(look.lacking.len() == 1 && look.gone.is_empty(), "{look:?}");
        assert!(!seen.lacks(&look), "{read:?}");
        assert!(matches!(look.base, Base::Unreadable | Base::Nothing));
    }
    for (age, base) in [
        (0, Base::Root(old.clone())),
        (60, Base::Cached(old.clone())),
    ] {
        let look = look(&seen, &[Ok((&old, age))]);
        assert_eq!(look.gone, ["one"]);
        assert!(seen.lacks(&look) && look.base == base);
    }
    assert!(look(&seen, &[Ok((&new, 7200))]).lacking.is_empty());
    // Where it was never seen, a cached file shows as well that it is to be published; but not what else is already published.
    let unseen = target(&[]);
    let found = look(&unseen, &[Ok((&old, 7200))]);
    assert!(unseen.lacks(&found) && found.base == Base::Cached(old.clone()));
}

/// A cache that has kept the file with the key since before it was gone shows nothing: no rotation may count on it.
#[test]
fn a_file_from_before_the_key_was_gone_does_not_have_it() {
    let new = file(&["ca"], 2);
    let mut seen = target(&[]);
    seen.seen_since = Some(at(NOW - 7200));
    seen.gone.insert("one".to_owned(), at(NOW - 3600));
    for age in [3600, 5000, 9000] {
        let look = look(&seen, &[Ok((&new, age)), Ok((&new, 0))]);
        assert!(look.gone.is_empty() && look.base == Base::Unreadable);
        let [(place, why)] = look.lacking.as_slice() else {
            panic!("{look:?}");
        };
        assert!(
            place == "one" && why.contains("from before the key was gone"),
            "{why}"
        );
    }
    for age in [0, 60, 3599] {
        assert!(look(&seen, &[Ok((&new, age))]).lacking.is_empty(), "{age}");
    }
    // Where it was never gone, a copy of today's file is as good as the file.
    assert!(
        look(&seen, &[Ok((&new, 0)), Ok((&new, 5000))])
            .lacking
            .is_empty()
    );
}

#[test]
fn recorded_places_are_looked_at_whatever_the_command_names() {
    let all = |named: &[&str]| {
        let args = AnnounceArgs {
            seen_at: named.iter().map(|name| (*name).to_owned()).collect(),
            ..AnnounceArgs::default()
        };
        let known = ["file:/srv/a.json", "file:/srv/b.json", "some-job"];
        let (places, unnamed) = all_places(known.into_iter(), &args).unwrap();
        let names = places.into_iter().map(|place| place.name);
        let mut unnamed: Vec<_> = unnamed.into_iter().collect();
        unnamed.sort();
        (names.collect::<Vec<_>>(), unnamed)
    };
    let (a, b) = ("file:/srv/a.json".to_owned(), "file:/srv/b.json".to_owned());
    assert_eq!(all(&[]), (vec![a.clone(), b.clone()], Vec::new()));
    assert_eq!(
        all(&["/srv/b.json"]),
        (vec![b.clone(), a.clone()], vec![a.clone()])
    );
    let c = "file:/srv/c.json".to_owned();
    assert_eq!(
        all(&["/srv/c.json"]),
        (vec![c, a.clone(), b.clone()], vec![a, b])
    );
}

#[test]
fn a_file_is_the_base_only_if_all_places_agree() {
    let unseen = target(&[]);
    let (old, new, other) = (file(&["ca"], 1), file(&["ca"], 2), file(&["other"], 1));
    let base = |read: &[Result<(&str, u64), bool>]| look(&unseen, read).base;
    // The places may differ in the keys of this log alone.
    assert_eq!(
        base(&[Ok((&old, 0)), Ok((&new, 0))]),
        Base::Root(old.clone())
    );
    assert_eq!(base(&[Ok((&old, 0)), Ok((&other, 0))]), Base::Differ);
    // A cached file that is the same as a current one is a copy of it; another may be older.
    let root = Base::Root(old.clone());
    assert_eq!(base(&[Ok((&old, 50)), Ok((&old, 0))]), root);
    assert_eq!(base(&[Ok((&new, 50)), Ok((&old, 0))]), root);
    for others in [
        &[Ok((&*other, 50)), Ok((&*old, 0))][..],
        &[Ok((&*other, 50)), Ok((&*other, 9))],
    ] {
        assert_eq!(base(others), Base::Cached(other.clone()));
    }
    for miss in [Err(true), Err(false), Ok(("<html>", 0))] {
        assert_eq!(base(&[Ok((&old, 0)), miss]), Base::Unreadable);
    }
    assert_eq!(base(&[Err(true), Err(true)]), Base::Nothing);
    assert_eq!(base(&[Err(true), Err(false)]), Base::Unreadable);
}

/// Behind a cache, no file is ever without an age. One that the cache has fetched during the run is as current as one that the run has.
#[test]
fn what_a_cache_has_fetched_since_the_run_began_is_current() {
    let (old, new, other) = (file(&["ca"], 1), file(&["ca"], 2), file(&["other"], 1));
    let (root, cached) = (Base::Root(old.clone()), Base::Cached(old.clone()));
    for recorded in [&[][..], &["one"]] {
        let base = |read: &[Result<(&str, u64), bool>], lasted| {
            look_after(&target(recorded), read, lasted).base
        };
        for (age, lasted, expected) in [
            (1, 0, &cached),
            (1, 1, &cached),
            (1, 2, &root),
            (300, 300, &cached),
            (300, 301, &root),
        ] {
            let found = base(&[Ok((&old, age))], lasted);
            assert_eq!(&found, expected, "{age} {lasted}");
        }
        assert_eq!(base(&[Ok((&old, 50)), Ok((&new, 9))], 60), root);
        assert_eq!(base(&[Ok((&old, 50)), Ok((&other, 9))], 60), Base::Differ);
        assert_eq!(base(&[Ok((&old, 90)), Ok((&other, 9))], 60), cached);
        // Where one place has a current file, a cache may still have an older one.
        assert_eq!(base(&[Ok((&old, 9)), Ok((&other, 0))], 60), cached);
    }
}

/// The command says once that a cache has kept a file, although the file gets older.
#[test]
fn the_age_of_a_file_is_no_news() {
    let (old, seen) = (file(&["ca"], 1), target(&["one"]));
    let said = |age| {
        let look = look(&seen, &[Ok((&old, age))]);
        let publish = seen.to_publish(&look.base, super::super::Wanted::default());
        (look.lacking, publish.unwrap().unwrap_err())
    };
    for age in [10, 7200] {
        assert_eq!(said(age), said(age + 1));
    }
}

#[test]
fn what_the_server_would_not_record_is_refused_before() {
    let refused = |named: &[String]| places(named, &AnnounceArgs::default()).is_err();
    let many = |count: usize| (0..count).map(|n| format!("/srv/{n}")).collect::<Vec<_>>();
    assert!(!refused(&many(MAX_PLACES)));
    assert!(refused(&many(MAX_PLACES + 1)));
    assert!(refused(&["/srv/two words".to_owned()]));
    assert!(refused(&[format!("/{}", "x".repeat(MAX_PLACE))]));
}
