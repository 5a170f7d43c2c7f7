//! Where a shard's key was seen before the shard opens. The server writes this down when an operator reports it; pure.
//!
//! What must never happen: a report about one key counts for another. So the record names the key, and a document can't change it: it is
//! checked where it is given, and kept where it is left out.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::finding::{Finding, Problem, quote};
use crate::model::{LogConfig, ShardConfig, ShardState};
use crate::name::ShardName;
use crate::span::Span;

/// How many places may be recorded for one shard.
pub const MAX_PLACES: usize = 8;
/// The longest name of a place, bytes.
pub const MAX_PLACE: usize = 512;

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
}

impl Announced {
    /// Since when the key has been seen at every place; `None` if a time can't be read.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        let times = self.seen.iter().map(|seen| seen.since.parse().ok());
        let times: Option<Vec<Timestamp>> = times.collect();
        times?.into_iter().max()
    }

    /// One line: different records have different texts.
    pub(crate) fn text(&self) -> String {
        let seen = self.seen.iter();
        let seen: Vec<_> = seen
            .map(|seen| format!("since {} at {}", seen.since, seen.at))
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

    /// Whether it has settings or records of announcements.
    #[must_use]
    pub fn announces(&self) -> bool {
        self.rotate.require_announced
            || self.rotate.settle.is_some()
            || self.shards.iter().any(|shard| shard.announced.is_some())
    }
}

/// The running configuration with the key of a planned or active shard recorded as seen at these places since now. A place that is
/// recorded already keeps its time; a record of another key is replaced.
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
    let mut seen = match shard.announced.take() {
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
        if !seen.iter().any(|seen| seen.at == *place) {
            seen.push(Seen {
                at: place.clone(),
                since: since.to_string(),
            });
        }
    }
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
        // Of another key nothing is known.
        let other = with_announced(&twice, &shard("b"), "OTHER", &at("https://one"), 400).unwrap();
        assert_eq!(since(&other), 400);
        assert_eq!(record(&other).unwrap().seen.len(), 1);
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
