//! The checkpoints of an endpoint's audit trail that this user has seen: the newest one of each of its shards, kept between runs.
//!
//! A server can show a sound trail that is not the real one. A user that keeps a checkpoint notices when the trail has been replaced. What
//! must never happen: a pin moves forward to a tree that was not proven to contain it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tlog::{Hash, leaf_hash};

use crate::error::{Error, TrailFault};
use crate::private;
use crate::settings::Address;

/// Checkpoints that could not be compared yet are kept up to this number for `audit verify`; the oldest says most, so it stays.
const UNPROVEN: usize = 64;

/// All that is pinned of one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Pins {
    file: Option<PathBuf>,
    /// The endpoint as it was configured, for people.
    pub(crate) endpoint: String,
    /// The pins of each shard of the trail.
    pub(crate) shards: Vec<ShardPins>,
}

/// The pinned checkpoints of one shard of a trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ShardPins {
    pub(crate) shard: String,
    /// The key of its checkpoints, as at the first contact.
    pub(crate) vkey: String,
    /// When that was, RFC 3339.
    pub(crate) since: String,
    /// The newest checkpoint that was shown to contain all earlier ones.
    pub(crate) pinned: Seen,
    /// Later ones, of which that could not be checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unproven: Vec<Seen>,
}

/// A checkpoint that was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seen {
    pub(crate) size: u64,
    pub(crate) root: Hash,
    /// When it was seen, RFC 3339.
    pub(crate) at: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    version: Version,
    endpoint: String,
    shards: Vec<ShardPins>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Version {
    #[serde(rename = "logctl/pins/v1")]
    V1,
}

/// How a checkpoint compares with the pinned ones.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    First,
    /// It is the pinned one.
    Same,
    /// It is a larger one: proofs must show whether it contains these.
    Later(Vec<Seen>),
}

impl Seen {
    /// `17 entries with root 1a2b…, seen 2026-…`.
    fn spelled(&self) -> String {
        format!(
            "{} with root {} on {}",
            if self.size == 1 {
                "1 entry".to_owned()
            } else {
                format!("{} entries", self.size)
            },
            self.root,
            self.at
        )
    }
}

impl Pins {
    pub(crate) fn empty(address: &Address) -> Self {
        let endpoint = address.absolute();
        Self {
            file: file(&endpoint),
            endpoint,
            shards: Vec::new(),
        }
    }

    /// The pins of an endpoint: none yet when there is no file.
    pub(crate) fn load(address: &Address) -> Result<Self, Error> {
        let mut pins = Self::empty(address);
        if let Some(path) = &pins.file {
            pins.shards = read(path)?;
        }
        Ok(pins)
    }

    /// Whether there is a folder to keep them in.
    pub(crate) fn are_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Why they can't be kept; `None` when they can.
    pub(crate) fn why_not_kept(&self) -> Option<Error> {
        let path = self.file.as_ref()?;
        let source = private::probe(path).err()?;
        Some(Error::Write {
            what: path.display().to_string(),
            source,
        })
    }

    /// Keeps them, wholly or not at all; if another run has a later pin meanwhile, that stays.
    pub(crate) fn save(&mut self) -> Result<(), Error> {
        let Some(path) = &self.file else {
            return Ok(());
        };
        let _held = private::hold(path).map_err(|source| Error::Write {
            what: path.display().to_string(),
            source,
        })?;
        for theirs in read(path).unwrap_or_default() {
            self.merge(theirs);
        }
        self.replace()
    }

    /// Keeps them instead of what is there.
    pub(crate) fn replace(&self) -> Result<(), Error> {
        let Some(path) = &self.file else {
            return Ok(());
        };
        let file = File {
            version: Version::V1,
            endpoint: self.endpoint.clone(),
            shards: self.shards.clone(),
        };
        let text = serde_json::to_string_pretty(&file)
            .map_err(|error| Error::Bug(format!("cannot write the pins: {error}")))?;
        private::write(path, format!("{text}\n").as_bytes()).map_err(|source| Error::Write {
            what: path.display().to_string(),
            source,
        })
    }

    /// The pins of one shard.
    pub(crate) fn shard(&self, shard: &str) -> Option<&ShardPins> {
        self.shards.iter().find(|pins| pins.shard == shard)
    }

    /// Compares a checkpoint, whose signature by `vkey` is already checked, with the pins.
    ///
    /// # Errors
    /// [`Error::Trail`] when both cannot be of one trail.
    pub(crate) fn compare(&self, shard: &str, vkey: &str, now: &Seen) -> Result<Compared, Error> {
        let Some(pins) = self.shard(shard) else {
            return Ok(Compared::First);
        };
        if pins.vkey != vkey {
            let message = format!(
                "the key of the audit trail of {} changed: since {} it was {}, now it is {vkey}",
                self.endpoint, pins.since, pins.vkey
            );
            return Err(Error::trail(TrailFault::OtherKey, message));
        }
        let newest = pins.unproven.last().unwrap_or(&pins.pinned);
        for seen in pins.all() {
            if seen.size > now.size {
                return Err(self.shorter(seen, now));
            }
            if seen.size == now.size && seen.root != now.root {
                return Err(self.rewritten(seen, now));
            }
        }
        if newest.size == now.size && pins.unproven.is_empty() {
            return Ok(Compared::Same);
        }
        Ok(Compared::Later(pins.all().cloned().collect()))
    }

    /// The error that the trail served now has fewer entries than were pinned.
    pub(crate) fn shorter(&self, pinned: &Seen, now: &Seen) -> Error {
        let message = format!(
            "{} shows fewer entries of its audit trail than were pinned: it had {}, and now it has {}",
            self.endpoint,
            pinned.spelled(),
            now.spelled()
        );
        Error::Trail {
            fault: TrailFault::Shorter,
            message,
            evidence: Some(Box::new((pinned.clone(), now.clone()))),
        }
    }

    /// The error that the trail served now does not contain the pinned one.
    pub(crate) fn rewritten(&self, pinned: &Seen, now: &Seen) -> Error {
        let message = format!(
            "the audit trail of {} was rewritten: it had {}, and the trail that is served now, {}, does not contain that",
            self.endpoint,
            pinned.spelled(),
            now.spelled()
        );
        Error::Trail {
            fault: TrailFault::Rewritten,
            message,
            evidence: Some(Box::new((pinned.clone(), now.clone()))),
        }
    }

    /// Pins a checkpoint that contains all earlier ones, or is the first.
    pub(crate) fn advance(&mut self, shard: &str, vkey: &str, now: Seen) {
        match self.shards.iter_mut().find(|pins| pins.shard == shard) {
            Some(pins) => {
                pins.unproven.clear();
                pins.pinned = now;
            }
            None => self.shards.push(ShardPins {
                shard: shard.to_owned(),
                vkey: vkey.to_owned(),
                since: now.at.clone(),
                pinned: now,
                unproven: Vec::new(),
            }),
        }
    }

    /// Takes over another run's pins, if they are of the same trail and later.
    fn merge(&mut self, theirs: ShardPins) {
        match self
            .shards
            .iter_mut()
            .find(|mine| mine.shard == theirs.shard)
        {
            Some(mine) => {
                if mine.vkey == theirs.vkey && mine.pinned.size < theirs.pinned.size {
                    *mine = theirs;
                }
            }
            None => self.shards.push(theirs),
        }
    }

    /// Keeps a checkpoint that was not proven to contain the earlier ones, for later.
    pub(crate) fn note(&mut self, shard: &str, now: Seen) {
        if let Some(pins) = self.shards.iter_mut().find(|pins| pins.shard == shard) {
            if pins.all().any(|seen| seen.size == now.size) {
                return;
            }
            if pins.unproven.len() >= UNPROVEN {
                pins.unproven.pop();
            }
            pins.unproven.push(now);
        }
    }
}

impl ShardPins {
    pub(crate) fn all(&self) -> impl Iterator<Item = &Seen> {
        std::iter::once(&self.pinned).chain(&self.unproven)
    }
}

/// The pins in a file; none when there is no file.
fn read(path: &Path) -> Result<Vec<ShardPins>, Error> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(Error::Read {
                what: path.display().to_string(),
                source,
            });
        }
    };
    let file: File = serde_json::from_slice(&text).map_err(|error| {
        let message = format!("{} was not written by logctl: {error}", path.display());
        Error::trail(TrailFault::Unreadable, message)
    })?;
    Ok(file.shards)
}

/// The file of its pins: `$XDG_STATE_HOME/logctl/pins/ENDPOINT.json`.
fn file(endpoint: &str) -> Option<PathBuf> {
    // A name of its own for each endpoint, whatever characters are in it.
    let name: String = leaf_hash(endpoint.as_bytes())
        .to_string()
        .chars()
        .take(32)
        .collect();
    let folder = private::state_folder()?;
    Some(folder.join("pins").join(format!("{name}.json")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(size: u64, root: u8) -> Seen {
        Seen {
            size,
            root: Hash([root; 32]),
            at: "2026-11-21T08:00:00Z".into(),
        }
    }

    fn pins() -> Pins {
        let mut pins = Pins {
            file: None,
            endpoint: "unix:/run/logd/admin.sock".into(),
            shards: Vec::new(),
        };
        pins.advance("2026a", "key", seen(10, 1));
        pins
    }

    #[test]
    fn later_checkpoints_need_proofs_and_earlier_ones_are_refused() {
        let mut pins = pins();
        let compare = |pins: &Pins, shard, vkey, now| pins.compare(shard, vkey, &now);
        assert_eq!(
            compare(&pins, "2026b", "key", seen(1, 9)).unwrap(),
            Compared::First
        );
        assert_eq!(
            compare(&pins, "2026a", "key", seen(10, 1)).unwrap(),
            Compared::Same
        );
        assert_eq!(
            compare(&pins, "2026a", "key", seen(11, 2)).unwrap(),
            Compared::Later(vec![seen(10, 1)])
        );
        for (vkey, now) in [
            ("other", seen(10, 1)),
            ("key", seen(10, 2)),
            ("key", seen(9, 1)),
        ] {
            assert!(matches!(
                compare(&pins, "2026a", vkey, now),
                Err(Error::Trail { .. })
            ));
        }
        // One that could not be compared counts from then on, and does not move the pin.
        pins.note("2026a", seen(12, 3));
        assert_eq!(pins.shard("2026a").unwrap().pinned, seen(10, 1));
        assert!(compare(&pins, "2026a", "key", seen(11, 2)).is_err());
        assert!(compare(&pins, "2026a", "key", seen(12, 4)).is_err());
        assert_eq!(
            compare(&pins, "2026a", "key", seen(12, 3)).unwrap(),
            Compared::Later(vec![seen(10, 1), seen(12, 3)])
        );
        pins.advance("2026a", "key", seen(13, 5));
        assert_eq!(
            compare(&pins, "2026a", "key", seen(14, 6)).unwrap(),
            Compared::Later(vec![seen(13, 5)])
        );
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut pins = pins();
        for size in 11..1000 {
            pins.note("2026a", seen(size, 7));
        }
        assert!(pins.shard("2026a").unwrap().unproven.len() <= UNPROVEN);
        assert_eq!(
            pins.shard("2026a").unwrap().unproven.last(),
            Some(&seen(999, 7))
        );
    }

    #[test]
    fn a_run_that_came_further_keeps_its_pin() {
        let other = |size, vkey: &str| {
            let mut pins = pins();
            pins.shards.clear();
            pins.advance("2026a", vkey, seen(size, 3));
            pins.shards.remove(0)
        };
        let mut pins = pins();
        pins.merge(other(9, "key"));
        pins.merge(other(99, "another key"));
        assert_eq!(pins.shard("2026a").unwrap().pinned, seen(10, 1));
        pins.merge(other(11, "key"));
        assert_eq!(pins.shard("2026a").unwrap().pinned, seen(11, 3));
    }
}
