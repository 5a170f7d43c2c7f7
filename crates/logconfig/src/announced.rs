//! Where a shard's key was seen before the shard opens. The server writes this down when an operator reports it; pure.
//!
//! What must never happen: a report about one key counts for another. So the record names the key, and a document can't change it: it is
//! checked where it is given, and kept where it is left out.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::finding::{Finding, Problem, quote};
use crate::model::{LogConfig, OriginForm, ShardConfig, ShardState};
use crate::name::ShardName;
use crate::span::Span;

/// How many places may be recorded for one shard.
pub const MAX_PLACES: usize = 8;
/// The longest name of a place, bytes.
pub const MAX_PLACE: usize = 512;
/// How long a key settles where nothing else is said: clients then have fetched it.
pub const SETTLE: Span = Span::from_secs(7 * 86_400);

/// The places where the key of a shard was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Announced {
    /// Log ID of the key that was seen, as a trusted root has it.
    pub key: String,
    /// Where the key was seen, and since when.
    pub seen: Vec<Seen>,
}

/// A place where a key was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct Seen {
    /// The URL of the published file.
    pub at: String,
    /// Since when, by the server's clock, RFC 3339.
    pub since: String,
    /// Since when it is gone from there, RFC 3339; absent while it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
}

impl Announced {
    /// Since when the key has been seen at every place; `None` if it is gone from one, or a time can't be read.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        if self.gone().is_some() {
            return None;
        }
        let times = self.seen.iter().map(|seen| seen.since.parse().ok());
        let times: Option<Vec<Timestamp>> = times.collect();
        times?.into_iter().max()
    }

    /// A place from which the key is gone.
    #[must_use]
    pub fn gone(&self) -> Option<&Seen> {
        self.seen.iter().find(|seen| seen.gone.is_some())
    }

    /// One line: different records have different texts.
    pub(crate) fn text(&self) -> String {
        let seen = self.seen.iter();
        let seen: Vec<_> = seen
            .map(|seen| match &seen.gone {
                Some(gone) => format!("since {} at {}, gone since {gone}", seen.since, seen.at),
                None => format!("since {} at {}", seen.since, seen.at),
            })
            .collect();
        format!("{} (key {})", seen.join(", "), self.key)
    }
}

impl ShardConfig {
    /// Its record, which no longer counts once the shard is frozen.
    pub(crate) fn recorded(&self) -> Option<&Announced> {
        let open = self.state != ShardState::Frozen;
        self.announced.as_ref().filter(|_| open)
    }
}

impl LogConfig {
    /// Takes over the running records of shards for which this document has none: a document is often a file from before.
    #[must_use]
    pub fn keeping_announced(mut self, running: &Self) -> Self {
        for shard in &mut self.shards {
            if shard.state == ShardState::Frozen {
                shard.announced = None;
            } else if shard.announced.is_none() {
                let known = running.shards.iter().rev();
                let mut known = known.filter(|known| known.name == shard.name);
                shard.announced = known.next().and_then(|known| known.announced.clone());
            }
        }
        self
    }

    /// Whether rotations wait for keys that Sigstore's clients do not accept, since the shards' origins are not host names. `logctl`
    /// cannot announce such keys, so the wait ends only when something else reports the key.
    #[must_use]
    pub fn requires_unusable_keys(&self) -> bool {
        self.rotate.require_announced && self.origin_form == OriginForm::Path
    }

    /// Whether it has settings or records of announcements, which older programs do not know.
    #[must_use]
    pub fn announces(&self) -> bool {
        self.rotate.require_announced
            || self.rotate.settle.is_some()
            || self.shards.iter().any(|shard| shard.announced.is_some())
    }
}

/// The running configuration with the key of a planned or active shard recorded as seen at these places since now. A place that is
/// recorded already keeps its time, unless the key was gone from it; a record of another key is replaced. Places from which the key is
/// gone and that are not named are forgotten, and then the time of all others begins again.
///
/// # Errors
/// `no-such-shard`, `shard-frozen`, `bad-place` or `too-many-places`.
pub fn with_announced(
    running: &LogConfig,
    name: &ShardName,
    key: &str,
    places: &[String],
    now_unix_seconds: i64,
) -> Result<LogConfig, Finding> {
    let edit = |seen: Vec<Seen>, now: &str| seen_at(seen, places, now);
    with_record(running, name, key, places, now_unix_seconds, edit)
}

/// The running configuration with the key of a shard recorded as gone from these places since now. Only a place where it was recorded as
/// seen changes. The record counts for nothing until the key is recorded as seen there again.
///
/// # Errors
/// As for [`with_announced`].
pub fn with_withdrawn(
    running: &LogConfig,
    name: &ShardName,
    key: &str,
    places: &[String],
    now_unix_seconds: i64,
) -> Result<LogConfig, Finding> {
    let of_key = |shard: &ShardConfig| shard.announced.as_ref().is_some_and(|r| r.key == key);
    if running.shard(name).is_some_and(|shard| !of_key(shard)) {
        return Ok(running.clone());
    }
    let edit = |seen: Vec<Seen>, now: &str| gone_from(seen, places, now);
    with_record(running, name, key, places, now_unix_seconds, edit)
}

/// The places of a record after the key was seen at these.
fn seen_at(mut seen: Vec<Seen>, places: &[String], now: &str) -> Vec<Seen> {
    let before = seen.len();
    seen.retain(|seen| seen.gone.is_none() || places.contains(&seen.at));
    let forgotten = seen.len() < before;
    for seen in &mut seen {
        if seen.gone.take().is_some() || forgotten {
            now.clone_into(&mut seen.since);
        }
    }
    for place in places {
        if !seen.iter().any(|seen| seen.at == *place) {
            seen.push(Seen {
                at: place.clone(),
                since: now.to_owned(),
                gone: None,
            });
        }
    }
    seen
}

/// The places of a record after the key was found to be gone from these.
fn gone_from(mut seen: Vec<Seen>, places: &[String], now: &str) -> Vec<Seen> {
    for seen in &mut seen {
        if seen.gone.is_none() && places.contains(&seen.at) {
            seen.gone = Some(now.to_owned());
        }
    }
    seen
}

/// The running configuration with another record of a shard's key: `edit` makes it from the known one and the time.
fn with_record(
    running: &LogConfig,
    name: &ShardName,
    key: &str,
    places: &[String],
    now_unix_seconds: i64,
    edit: impl FnOnce(Vec<Seen>, &str) -> Vec<Seen>,
) -> Result<LogConfig, Finding> {
    let refused = |code, message: String, hint: &str| {
        let problem = Problem::new(code, message);
        problem.hint(hint)
    };
    let listed = "`logctl shard list` shows the shards";
    let Some(at) = running.shards.iter().position(|shard| shard.name == *name) else {
        let message = format!("there is no shard {name}");
        return Err(refused("no-such-shard", message, listed).at("/shard"));
    };
    let mut next = running.clone();
    let Some(shard) = next.shards.get_mut(at) else {
        return Ok(next);
    };
    if shard.state == ShardState::Frozen {
        let message = format!("shard {name} is frozen: nobody needs its key to be announced");
        return Err(refused("shard-frozen", message, listed).at("/shard"));
    }
    let since = Timestamp::from_second(now_unix_seconds).map_err(|error| {
        let message = format!("the server's clock shows no time: {error}");
        Problem::new("bad-time", message).at("")
    })?;
    let known = match shard.announced.take() {
        Some(known) if known.key == key => known.seen,
        _ => Vec::new(),
    };
    for (number, place) in places.iter().enumerate() {
        let visible = place.bytes().all(|b| b.is_ascii_graphic());
        if place.is_empty() || place.len() > MAX_PLACE || !visible {
            let message = format!("{} is not a place", quote(place));
            let problem = refused(
                "bad-place",
                message,
                "name the published file by its URL, of at most 512 visible ASCII characters",
            );
            return Err(problem.at(format!("/seenAt/{number}")));
        }
    }
    let seen = edit(known, &since.to_string());
    if seen.is_empty() || seen.len() > MAX_PLACES {
        let message = format!(
            "{} places would be recorded for shard {name}, and 1 to {MAX_PLACES} can be",
            seen.len()
        );
        let hint = "name fewer, for example one for each way in which clients get the file";
        return Err(refused("too-many-places", message, hint).at("/seenAt"));
    }
    shard.announced = Some(Announced {
        key: key.to_owned(),
        seen,
    });
    Ok(next)
}

/// Why a shard may not open yet, although a rotation must wait for its key to be announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAnnounced {
    /// Its key has not been seen.
    Unseen,
    /// Its key was seen, and is gone from this place.
    Gone(String),
    /// Its key has been seen, not for long enough.
    Settling {
        /// Since when it has been seen.
        since: Timestamp,
        /// When it has been seen for long enough.
        until: Timestamp,
    },
}

/// Whether a shard with this key has been announced and has settled at `now`. The record must be of just this key; a shard without a key
/// is unseen.
///
/// # Errors
/// [`NotAnnounced`]: what has to happen before it may open.
pub fn is_announced(
    record: Option<&Announced>,
    key: Option<&str>,
    settle: Span,
    now: Timestamp,
) -> Result<(), NotAnnounced> {
    let record = record.filter(|record| Some(record.key.as_str()) == key);
    if let Some(gone) = record.and_then(Announced::gone) {
        return Err(NotAnnounced::Gone(gone.at.clone()));
    }
    let since = record
        .and_then(Announced::since)
        .ok_or(NotAnnounced::Unseen)?;
    // A span is at most ten years; a time that no calendar has never comes.
    let until = since
        .checked_add(settle.duration())
        .unwrap_or(Timestamp::MAX);
    match now >= until {
        true => Ok(()),
        false => Err(NotAnnounced::Settling { since, until }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::LogName;

    fn shard(name: &str) -> ShardName {
        name.parse().unwrap()
    }

    fn log() -> LogConfig {
        let log: LogName = "argon".parse().unwrap();
        let config = LogConfig::new(log, "log.example.org".to_owned(), shard("a"));
        crate::with_planned(&config, Some(shard("b")), 0).unwrap()
    }

    fn at(place: &str) -> Vec<String> {
        vec![place.to_owned()]
    }

    fn announced(config: &LogConfig, place: &str, now: i64) -> LogConfig {
        with_announced(config, &shard("b"), "KEY", &at(place), now).unwrap()
    }

    fn record(config: &LogConfig) -> Option<&Announced> {
        config.shard(&shard("b")).unwrap().announced.as_ref()
    }

    #[test]
    fn a_place_keeps_its_time_and_the_last_one_counts() {
        let once = announced(&log(), "https://one", 100);
        assert_eq!(announced(&once, "https://one", 200), once);
        let twice = announced(&once, "https://two", 300);
        let since = |config| record(config).unwrap().since().unwrap().as_second();
        assert_eq!((since(&once), since(&twice)), (100, 300));
        // A record of one key says nothing about another key.
        let other = with_announced(&twice, &shard("b"), "OTHER", &at("https://one"), 400).unwrap();
        assert_eq!(since(&other), 400);
        assert_eq!(record(&other).unwrap().seen.len(), 1);
    }

    #[test]
    fn what_is_withdrawn_counts_no_more_and_begins_again() {
        let two = announced(&announced(&log(), "https://one", 100), "https://two", 200);
        let at_second = |config: &LogConfig, now| {
            let now = Timestamp::from_second(now).unwrap();
            is_announced(record(config), Some("KEY"), Span::from_secs(60), now)
        };
        assert_eq!(at_second(&two, 260), Ok(()));
        let gone = |config: &LogConfig, key, place, now| {
            with_withdrawn(config, &shard("b"), key, &at(place), now).unwrap()
        };
        // Another key, another place and a shard without a record have nothing to withdraw.
        assert_eq!(gone(&two, "OTHER", "https://one", 300), two);
        assert_eq!(gone(&two, "KEY", "https://three", 300), two);
        assert_eq!(gone(&log(), "KEY", "https://one", 300), log());
        let without = gone(&two, "KEY", "https://one", 300);
        assert!(!crate::diff(&two, &without).is_empty());
        assert_eq!(gone(&without, "KEY", "https://one", 400), without);
        let refused = at_second(&without, 10_000);
        assert_eq!(refused, Err(NotAnnounced::Gone("https://one".to_owned())));
        // What is seen at the other place does not help.
        let other = gone(&without, "KEY", "https://none", 400);
        assert_eq!(other, without);
        let back = announced(&without, "https://one", 500);
        let since = |config| record(config).unwrap().since().unwrap().as_second();
        assert_eq!(since(&back), 500);
        assert_eq!(
            record(&back).unwrap().seen[1],
            record(&two).unwrap().seen[1]
        );
        assert!(at_second(&back, 559).is_err() && at_second(&back, 560).is_ok());
        // A place that is given up is forgotten, and nothing is gained by that.
        let moved = announced(&without, "https://two", 600);
        assert_eq!(
            (since(&moved), record(&moved).unwrap().seen.len()),
            (600, 1)
        );
        let code = with_withdrawn(&log(), &shard("c"), "KEY", &at("x"), 0);
        assert_eq!(code.unwrap_err().code, "no-such-shard");
    }

    #[test]
    fn what_can_t_be_recorded_is_refused() {
        let refused = |config: &LogConfig, name: &str, places: &[String]| {
            let found = with_announced(config, &shard(name), "KEY", places, 0);
            found.map_err(|finding| finding.code)
        };
        let config = log();
        assert_eq!(refused(&config, "c", &at("x")), Err("no-such-shard"));
        assert_eq!(refused(&config, "b", &at("two words")), Err("bad-place"));
        assert_eq!(refused(&config, "b", &at("")), Err("bad-place"));
        let long = "x".repeat(MAX_PLACE + 1);
        assert_eq!(refused(&config, "b", &at(&long)), Err("bad-place"));
        assert_eq!(refused(&config, "b", &[]), Err("too-many-places"));
        let many: Vec<_> = (0..=MAX_PLACES).map(|n| n.to_string()).collect();
        assert_eq!(refused(&config, "b", &many), Err("too-many-places"));
        let rotated = crate::with_rotation(&config, None, 0).unwrap();
        assert_eq!(refused(&rotated, "a", &at("x")), Err("shard-frozen"));
        assert!(refused(&rotated, "b", &at("x")).is_ok());
    }

    #[test]
    fn only_the_record_of_the_key_counts_and_only_after_its_time() {
        let config = announced(&log(), "https://one", 1_000);
        let ask = |key, settle, now| {
            let now = Timestamp::from_second(now).unwrap();
            is_announced(record(&config), key, Span::from_secs(settle), now)
        };
        assert_eq!(ask(Some("KEY"), 0, 1_000), Ok(()));
        assert_eq!(ask(Some("KEY"), 60, 1_060), Ok(()));
        assert!(matches!(
            ask(Some("KEY"), 60, 1_059),
            Err(NotAnnounced::Settling { until, .. }) if until.as_second() == 1_060
        ));
        for key in [Some("OTHER"), None] {
            assert_eq!(ask(key, 0, i64::from(u32::MAX)), Err(NotAnnounced::Unseen));
        }
        let nothing = is_announced(None, Some("KEY"), Span::from_secs(0), Timestamp::MAX);
        assert_eq!(nothing, Err(NotAnnounced::Unseen));
        assert!(ask(Some("KEY"), u64::MAX, i64::from(u32::MAX)).is_err());
    }

    #[test]
    fn a_document_keeps_what_it_leaves_out_and_cannot_say_more() {
        let running = announced(&log(), "https://one", 100);
        // A file from before leaves it out; nothing changes.
        let file = log().keeping_announced(&running);
        assert_eq!(file, running);
        assert!(
            crate::change(&running, &file)
                .unwrap()
                .differences
                .is_empty()
        );
        let mut edited = running.clone();
        edited.rotate.require_announced = true;
        assert_eq!(
            crate::change(&running, &edited).unwrap().differences.len(),
            1
        );
        // A document says no more than the record.
        let code = |running: &LogConfig, next: &LogConfig| {
            let found = crate::change(running, next).unwrap_err();
            let codes: Vec<_> = found.iter().map(|finding| finding.code).collect();
            codes
        };
        assert_eq!(code(&log(), &running), ["announced-mismatch"]);
        let later = announced(&running, "https://two", 200);
        assert_eq!(code(&running, &later), ["announced-mismatch"]);
        let mut new = running.clone();
        new.shards[1].name = shard("c");
        assert_eq!(code(&log(), &new), ["server-filled"]);
    }

    #[test]
    fn it_ends_with_the_shard_and_opens_with_it() {
        let running = announced(&log(), "https://one", 100);
        let open = crate::with_rotation(&running, None, 0).unwrap();
        assert_eq!(record(&open), record(&running));
        let change = crate::change(&running, &open).unwrap();
        assert_eq!(change.differences.len(), 2, "{:?}", change.differences);
        let past = crate::with_rotation(&open, None, 0).unwrap();
        assert_eq!(record(&past), None);
        let change = crate::change(&open, &past).unwrap();
        assert_eq!(change.differences.len(), 2, "{:?}", change.differences);
        // The file that made it frozen can be used again.
        let mut file = past.clone();
        file.shards[1].announced = record(&running).cloned();
        assert!(crate::change(&past, &file).unwrap().differences.is_empty());
        assert_eq!(file.keeping_announced(&past).stripped(), past.stripped());
        assert_eq!(past.stripped().canonical(), past.canonical());
        // A shard that is planned once more begins again.
        let mut without = running.clone();
        without.shards.pop();
        let again = crate::with_planned(&without, Some(shard("b")), 0).unwrap();
        assert_eq!(record(&again), None);
    }
}
