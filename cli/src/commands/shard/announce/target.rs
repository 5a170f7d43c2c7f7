//! The shard whose key is announced, and what is published about it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use logconfig::{LogConfig, MAX_PLACE, MAX_PLACES, OriginForm, SETTLE, Seen, ShardName, Span};
use rekor::export::{Published, Shard, TrustedRoot};
use tlog::VerifierKey;

use super::base::Base;
use super::place::{Found, Miss, Place};
use super::{AnnounceArgs, Until};
use crate::client::Deadline;
use crate::commands::Session;
use crate::commands::shard::export::{self, KnownKey};
use crate::error::Error;

/// The unit of the age that a cache tells, which may leave out as much.
const AGE_UNIT: Duration = Duration::from_secs(1);

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

    /// Reads every place once, when the run has lasted for so long.
    pub(super) async fn look(&self, deadline: Deadline, lasted: Duration) -> Look {
        let read = self.places.iter().map(|place| place.read(deadline));
        let read = futures_util::future::join_all(read).await;
        let names = self.places.iter().map(|place| place.name.as_str());
        self.judge(names.zip(read), Timestamp::now(), lasted)
    }

    /// Compares the published files, as they are at `now`, with what they have to contain. They were asked for when the run had `lasted` so long.
    fn judge<'a>(
        &self,
        read: impl Iterator<Item = (&'a str, Result<Found, Miss>)>,
        now: Timestamp,
        lasted: Duration,
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
                        format!("a cache answers with a file from before the key {event}")
                    };
                    let root = self.root(Some(&text)).ok();
                    look.readable.extend(root.as_ref().map(|_| text.clone()));
                    bases.push(
                        root.filter(|_| !before_seen && !before_gone)
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
            false => base(&bases, lasted.saturating_sub(AGE_UNIT)),
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
    /// The files of the places that could be read, those of caches too.
    pub(super) readable: Vec<String>,
    /// The places that lack the key, and why.
    pub(super) lacking: Vec<(String, String)>,
    /// The places whose file is sound and current, and does not have the key.
    pub(super) gone: Vec<String>,
}

/// The trusted root that all places have. What a cache has kept may lack what was added since: it counts only as a copy of a current one. If all
/// files come from caches, those are current that the caches have fetched since the run began, at most `young` ago.
fn base(read: &[Option<(String, TrustedRoot, Duration)>], young: Duration) -> Base {
    let readable = || read.iter().flatten();
    let all_are_kept = readable().all(|(_, _, age)| !age.is_zero());
    let oldest = if all_are_kept { young } else { Duration::ZERO };
    let mut current = readable().filter(|(_, _, age)| *age <= oldest);
    let first = current.next();
    if current.any(|(_, root, _)| first.is_some_and(|(_, first, _)| root != first)) {
        return Base::Differ;
    }
    let is_copy = |root: &TrustedRoot| first.is_some_and(|(_, first, _)| root == first);
    let kept = readable().filter(|(_, root, _)| !is_copy(root));
    match (kept.max_by_key(|(_, _, age)| *age), first) {
        _ if read.iter().any(Option::is_none) => Base::Unreadable,
        (Some((text, ..)), _) => Base::Cached(text.clone()),
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

/// Refuses a log whose keys Sigstore's clients cannot use, before anything is planned.
pub(super) fn check_origin_form(config: &LogConfig) -> Result<(), Error> {
    if config.origin_form == OriginForm::Host {
        return Ok(());
    }
    let hint = match config.rotate.require_announced {
        true => {
            "remove `rotate.requireAnnounced` from the configuration and rotate without --announce"
        }
        false => "plan and rotate without --announce",
    };
    Err(Error::Usage {
        message: format!(
            "the shards of {} have origins with a path (`originForm: path`), and Sigstore's clients accept only host names, so the keys can't be announced",
            config.log
        ),
        hint: format!(
            "nothing was planned; {hint}. If Sigstore's clients use this log, create one with `originForm: host` instead"
        ),
    })
}

/// The error of a command that names no place.
pub(super) fn nowhere() -> Error {
    Error::Usage {
        message: "no place is named at which clients see the key".into(),
        hint: "name the published trusted root: --seen-at https://HOST/trusted_root.json".into(),
    }
}

#[cfg(test)]
pub(super) mod tests;
