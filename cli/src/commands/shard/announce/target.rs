//! The shard whose key is announced, and what is published about it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use logconfig::{LogConfig, MAX_PLACE, MAX_PLACES, SETTLE, Seen, ShardName, Span};
use rekor::export::{Published, Shard, TrustedRoot};
use tlog::VerifierKey;

use super::base::Base;
use super::place::{Found, Miss, Place};
use super::{AnnounceArgs, Until};
use crate::client::Deadline;
use crate::commands::Session;
use crate::commands::shard::export::{self, KnownKey};
use crate::error::Error;

/// The shard whose key is announced.
pub(super) struct Target {
    pub(super) name: String,
    pub(super) key: VerifierKey,
    /// All keys of the log, for the trusted root, and since when this shard's is valid.
    pub(super) keys: Vec<KnownKey>,
    pub(super) since: u64,
    pub(super) settle: Span,
    /// The places to look at: those that the command names, and those where the key was seen before.
    pub(super) places: Vec<Place>,
    /// The places that only the record names, if the command names others.
    pub(super) unnamed: HashSet<String>,
    /// The places that are recorded already, and from which the key is not gone.
    pub(super) recorded: HashSet<String>,
    /// The places from which it is recorded as gone, and since when.
    pub(super) gone: HashMap<String, Timestamp>,
    /// When it was recorded as seen, if ever.
    pub(super) seen_since: Option<Timestamp>,
    /// Whether the key of another shard is recorded at one of the places: then a trusted root is published there, whatever a look finds now.
    pub(super) others_were_seen: bool,
}

impl Target {
    /// The trusted root with all keys of the log; the rest of its content comes from `merge`.
    pub(super) fn root(&self, merge: Option<&str>) -> Result<TrustedRoot, Error> {
        let keys = self.keys.iter();
        let shards: Vec<_> = keys
            .map(|known| Shard {
                key: &known.key,
                valid_from: known.since,
            })
            .collect();
        TrustedRoot::new(&shards, merge).map_err(export::refused)
    }

    /// A shard with its key, and the places that are named or recorded.
    pub(super) async fn of(
        session: &Session<'_>,
        log: &str,
        name: String,
        until: Until,
        args: &AnnounceArgs,
    ) -> Result<Self, Error> {
        let server = session.server()?;
        let running = server.admin.config(log, server.deadline).await?;
        let running: LogConfig = running.config;
        let since = export::since(&server, log).await?;
        let listed = server.admin.log(log, server.deadline).await?.shards;
        let keys = export::keys(&listed, since)?;
        let shard = ShardName::try_from(name.clone()).ok();
        let shard = shard.and_then(|name| running.shard(&name));
        let Some(shard) = shard else {
            return Err(Error::NotFound {
                kind: "planned shard",
                name,
                known: Vec::new(),
            });
        };
        let origin = running.shard_origin(&name);
        let mut all = keys.iter().map(|known| &known.key);
        let Some(key) = all.find(|key| key.name() == origin).cloned() else {
            return Err(Error::Bug(format!("shard {name} has no key")));
        };
        let id = key.log_id().to_base64();
        let seen = shard.announced.iter().filter(|record| record.key == id);
        let seen: Vec<_> = seen.flat_map(|record| &record.seen).collect();
        let known = seen.iter().map(|seen| seen.at.as_str());
        let (places, unnamed) = all_places(known, args)?;
        let (mut recorded, mut gone) = (HashSet::new(), HashMap::new());
        for Seen {
            at, gone: since, ..
        } in seen.iter().copied()
        {
            match since {
                None => {
                    recorded.insert(at.clone());
                }
                Some(since) => {
                    gone.insert(at.clone(), since.parse().unwrap_or(Timestamp::MAX));
                }
            }
        }
        let named = places.iter().map(|place| &place.name);
        let all: HashSet<_> = named.chain(&recorded).collect();
        if all.len() > MAX_PLACES {
            return Err(too_many(all.len()));
        }
        if places.is_empty() {
            return Err(nowhere());
        }
        let records = running.shards.iter().flat_map(|shard| &shard.announced);
        let mut records = records.flat_map(|record| &record.seen);
        let others_were_seen = records.any(|seen| places.iter().any(|place| place.name == seen.at));
        let asked = match until {
            Until::Seen => None,
            Until::Rotated(settle) => settle,
        };
        let target = Self {
            name,
            key,
            keys,
            since,
            settle: settle_time(asked, &running),
            places,
            unnamed,
            recorded,
            gone,
            seen_since: seen.iter().filter_map(|seen| seen.since.parse().ok()).max(),
            others_were_seen,
        };
        // Keys that no trusted root can have are refused before anything is waited for.
        target.root(None)?;
        Ok(target)
    }

    /// Reads every place once.
    pub(super) async fn look(&self, deadline: Deadline) -> Look {
        let read = self.places.iter().map(|place| place.read(deadline));
        let read = futures_util::future::join_all(read).await;
        let names = self.places.iter().map(|place| place.name.as_str());
        self.judge(names.zip(read), Timestamp::now())
    }

    /// Compares the published files, as they are at `now`, with what they have to contain.
    fn judge<'a>(
        &self,
        read: impl Iterator<Item = (&'a str, Result<Found, Miss>)>,
        now: Timestamp,
    ) -> Look {
        let shard = Shard {
            key: &self.key,
            valid_from: self.since,
        };
        let millis = now.as_millisecond().unsigned_abs();
        let (mut look, mut bases, mut nothing) = (Look::default(), Vec::new(), true);
        for (place, read) in read {
            let why = match read {
                Err(miss) => {
                    nothing &= miss.absent;
                    bases.push(None);
                    miss.why
                }
                Ok(Found { text, age }) => {
                    nothing = false;
                    let found = shard.published_in(&text, millis, self.settle.duration());
                    // A cache may still answer with a copy from before the key was seen, or from before it was withdrawn.
                    let from = now.checked_sub(age).unwrap_or(Timestamp::MIN);
                    let is_before = |time: Option<&Timestamp>| {
                        !age.is_zero() && time.is_some_and(|time| from <= *time)
                    };
                    let before_seen = is_before(self.seen_since.as_ref());
                    let before_gone = is_before(self.gone.get(place));
                    let kept = |event: &str| {
                        let age = age.as_secs();
                        format!(
                            "a cache answers with a file of {age}s ago, from before the key {event}"
                        )
                    };
                    bases.push(
                        self.root(Some(&text))
                            .ok()
                            .filter(|_| !before_seen && !before_gone)
                            .map(|root| (text, root, age)),
                    );
                    match found {
                        Published::Held if before_gone => kept("was gone"),
                        Published::Held => continue,
                        Published::Absent if before_seen => kept("was seen"),
                        Published::Absent => {
                            look.gone.push(place.to_owned());
                            "the published trusted root does not have it".to_owned()
                        }
                        Published::Unusable(why) => why,
                    }
                }
            };
            let why = match self.unnamed.contains(place) {
                true => format!(
                    "{why} (no --seen-at names this place, but the key was seen there before)"
                ),
                false => why,
            };
            look.lacking.push((place.to_owned(), why));
        }
        look.base = match nothing {
            true => Base::Nothing,
            false => base(&bases),
        };
        look
    }

    /// Whether the key has to be published: it was never seen, or a published file shows that it is not there. Where it was seen, no
    /// failure of the network and no old file of a cache is a reason to publish again.
    pub(super) fn lacks(&self, look: &Look) -> bool {
        self.recorded.is_empty() || !look.gone.is_empty()
    }

    /// Whether a key of this log was seen at any place, even if it is gone from there now.
    pub(super) fn was_seen(&self) -> bool {
        self.others_were_seen || !self.recorded.is_empty() || !self.gone.is_empty()
    }
}

/// The published files, as they are now.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The trusted root to which the key can be added.
    pub(super) base: Base,
    /// The places that lack the key, and why.
    pub(super) lacking: Vec<(String, String)>,
    /// The places whose file is sound and current, and does not have the key.
    pub(super) gone: Vec<String>,
}

/// The trusted root that all places have. What a cache has kept may lack what was added since: it counts only as a copy of a current one.
fn base(read: &[Option<(String, TrustedRoot, Duration)>]) -> Base {
    let readable = || read.iter().flatten();
    let mut current = readable().filter(|(_, _, age)| age.is_zero());
    let first = current.next();
    if current.any(|(_, root, _)| first.is_some_and(|(_, first, _)| root != first)) {
        return Base::Differ;
    }
    let is_copy = |root: &TrustedRoot| first.is_some_and(|(_, first, _)| root == first);
    let kept = readable().filter(|(_, root, _)| !is_copy(root));
    match (kept.max_by_key(|(_, _, age)| *age), first) {
        _ if read.iter().any(Option::is_none) => Base::Unreadable,
        (Some((text, _, age)), _) => Base::Cached(text.clone(), age.as_secs().max(1)),
        (None, Some((text, ..))) => Base::Root(text.clone()),
        (None, None) => Base::Unreadable,
    }
}

/// How long a key settles before the rotation: as the command says, or the configuration.
pub(super) fn settle_time(asked: Option<Span>, running: &LogConfig) -> Span {
    asked.or(running.rotate.settle).unwrap_or(SETTLE)
}

/// The places that are named, each once.
pub(super) fn places(named: &[String], args: &AnnounceArgs) -> Result<Vec<Place>, Error> {
    let mut places: Vec<Place> = Vec::new();
    for text in named {
        let place = Place::parse(text, args.seen_ca.as_deref())?;
        // The server would refuse to record it, after the key was published.
        if place.name.len() > MAX_PLACE || !place.name.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::Usage {
                message: format!("--seen-at: {:?} can't be recorded", place.name),
                hint: format!("a place has at most {MAX_PLACE} visible ASCII characters"),
            });
        }
        if !places.iter().any(|known| known.name == place.name) {
            places.push(place);
        }
    }
    match places.len() > MAX_PLACES {
        true => Err(too_many(places.len())),
        false => Ok(places),
    }
}

/// The places that the command names, and those where the key was seen before; and the names of those that it does not name, although it
/// names others. What another job recorded under a name that is no address cannot be looked at here.
fn all_places<'a>(
    known: impl Iterator<Item = &'a str>,
    args: &AnnounceArgs,
) -> Result<(Vec<Place>, HashSet<String>), Error> {
    let mut places = places(&args.seen_at, args)?;
    let mut unnamed = HashSet::new();
    for name in known {
        if places.iter().any(|place| place.name == name) {
            continue;
        }
        let place = Place::parse(name, args.seen_ca.as_deref()).ok();
        let Some(place) = place.filter(|place| place.name == name) else {
            continue;
        };
        if !args.seen_at.is_empty() {
            unnamed.insert(place.name.clone());
        }
        places.push(place);
    }
    Ok((places, unnamed))
}

fn too_many(places: usize) -> Error {
    Error::Usage {
        message: format!("{places} places would be recorded, and at most {MAX_PLACES} can be"),
        hint: "name fewer: one for each way in which clients get the file".into(),
    }
}

/// The error of a command that names no place.
pub(super) fn nowhere() -> Error {
    Error::Usage {
        message: "no place is named at which clients see the key".into(),
        hint: "name the published trusted root: --seen-at https://HOST/trusted_root.json".into(),
    }
}

#[cfg(test)]
pub(super) mod tests {
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
        target.judge(read, at(NOW))
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
            (60, Base::Cached(old.clone(), 60)),
        ] {
            let look = look(&seen, &[Ok((&old, age))]);
            assert_eq!(look.gone, ["one"]);
            assert!(seen.lacks(&look) && look.base == base);
        }
        assert!(look(&seen, &[Ok((&new, 7200))]).lacking.is_empty());
        // Where it was never seen, a cached file shows as well that it is to be published; but not what else is published by now.
        let unseen = target(&[]);
        let found = look(&unseen, &[Ok((&old, 7200))]);
        assert!(unseen.lacks(&found) && found.base == Base::Cached(old.clone(), 7200));
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
            assert_eq!(base(others), Base::Cached(other.clone(), 50));
        }
        for miss in [Err(true), Err(false), Ok(("<html>", 0))] {
            assert_eq!(base(&[Ok((&old, 0)), miss]), Base::Unreadable);
        }
        assert_eq!(base(&[Err(true), Err(true)]), Base::Nothing);
        assert_eq!(base(&[Err(true), Err(false)]), Base::Unreadable);
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
}
