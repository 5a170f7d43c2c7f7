//! The stored part of a configuration: everything but the list of its frozen shards, of which the order keeps the only copy. A log that was
//! rotated thousands of times would otherwise write that list again with every change.
//!
//! Frozen shards come first and never change place, so their number says which they are. The digest is that of the whole document,
//! [`LogConfig::canonical`]: its bytes are put together again as the version that stored them wrote them, not as this version would. A
//! document without frozen shards is stored as it is.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::{LogConfig, ShardConfig, ShardState};

/// The bytes before the list.
const LIST: &[u8] = b"\"shards\":[";

/// The first line of a document that is stored without its frozen shards. The rest follows it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// How many shards are left out.
    frozen: usize,
    /// Their position in the rest, bytes.
    at: usize,
    /// The text before and behind the name of each.
    before: String,
    behind: String,
}

/// The beginning of that line.
const BEGINS: &[u8] = b"{\"frozen\":";

/// A document as it is named and stored: worked out once, since that takes the longer the more shards it lists.
#[derive(Clone, Debug)]
pub struct Written {
    /// The document's [`LogConfig::digest`], which names it.
    pub digest: [u8; 32],
    /// The document's [`LogConfig::stored`] bytes.
    pub stored: Vec<u8>,
}

impl Written {
    /// The document's [`LogConfig::etag`] in this generation.
    #[must_use]
    pub fn etag(&self, generation: u64) -> String {
        crate::write::etag(generation, self.digest)
    }
}

impl LogConfig {
    /// How many frozen shards with the same kind of key come first; only those are left out of what is stored.
    fn frozen(&self) -> usize {
        let key = self.shards.first().map(|shard| shard.key);
        let left_out =
            |shard: &&ShardConfig| shard.state == ShardState::Frozen && Some(shard.key) == key;
        self.shards.iter().take_while(left_out).count()
    }

    /// The bytes that are stored: [`LogConfig::canonical`] where no shard is frozen; [`whole`] gives that back.
    #[must_use]
    pub fn stored(&self) -> Vec<u8> {
        self.written().stored
    }

    /// The bytes that are stored, and the digest of the whole.
    #[must_use]
    pub fn written(&self) -> Written {
        let canonical = self.canonical();
        Written {
            digest: Sha256::digest(&canonical).into(),
            stored: self.without_frozen(&canonical).unwrap_or(canonical),
        }
    }

    fn without_frozen(&self, canonical: &[u8]) -> Option<Vec<u8>> {
        let frozen = self.frozen();
        let first = self.shards.first().filter(|_| frozen > 0)?;
        // In no string: a quote is escaped there.
        let list = |bytes: &[u8]| {
            let at = bytes.windows(LIST.len()).position(|part| part == LIST);
            at.map(|at| at + LIST.len())
        };
        let one = Self {
            shards: vec![first.clone()],
            ..self.without_shards()
        };
        let one = one.canonical();
        let at = list(&one)?;
        let name = format!("\"{}\"", first.name);
        let element = one.get(at..)?;
        let mut parts = element.windows(name.len());
        let named = parts.position(|part| part == name.as_bytes())? + 1;
        let end = element.windows(2).position(|part| part == b"}]")? + 1;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        let head = Head {
            frozen,
            at,
            before: text(element.get(..named)?)?,
            behind: text(element.get(named + first.name.as_str().len()..end)?)?,
        };
        let rest = Self {
            shards: self.shards.iter().skip(frozen).cloned().collect(),
            ..self.without_shards()
        };
        let mut bytes = serde_json::to_vec(&head).ok()?;
        bytes.push(b'\n');
        bytes.append(&mut rest.canonical());
        let names = self.shards.iter().map(|shard| shard.name.as_str());
        let back = whole(&bytes, names).ok()?;
        (back == canonical).then_some(bytes)
    }
}

/// The bytes of the whole document, from [`LogConfig::stored`]; `opened` are the names of the log's shards, oldest first. The bytes are not
/// checked here; their digest shows whether they are right.
///
/// # Errors
/// The fault of the bytes, or there are too few shards.
pub fn whole<'a>(
    stored: &[u8],
    opened: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<u8>, String> {
    if !stored.starts_with(BEGINS) {
        return Ok(stored.to_vec());
    }
    let torn = || "torn".to_owned();
    let line = stored.iter().position(|byte| *byte == b'\n');
    let (head, rest) = stored
        .split_at_checked(line.ok_or_else(torn)?)
        .ok_or_else(torn)?;
    let head: Head = serde_json::from_slice(head).map_err(|error| error.to_string())?;
    let (start, end) = rest
        .get(1..)
        .and_then(|rest| rest.split_at_checked(head.at))
        .ok_or_else(torn)?;
    let mut bytes = start.to_vec();
    let mut count = 0;
    for name in opened.into_iter().take(head.frozen) {
        if count > 0 {
            bytes.push(b',');
        }
        for part in [&head.before, name, &head.behind] {
            bytes.extend_from_slice(part.as_bytes());
        }
        count += 1;
    }
    if count < head.frozen {
        return Err(format!(
            "it is of a log with {} frozen shards, and there are {count}",
            head.frozen
        ));
    }
    if !end.starts_with(b"]") {
        bytes.push(b',');
    }
    bytes.extend_from_slice(end);
    Ok(bytes)
}

/// The stored part as a document: its settings, and the shards that are not left out.
///
/// # Errors
/// The fault of the bytes.
pub fn settings(stored: &[u8]) -> Result<LogConfig, String> {
    let head = stored.starts_with(BEGINS);
    let line = stored.iter().position(|byte| *byte == b'\n' && head);
    let rest = line.and_then(|at| stored.get(at + 1..)).unwrap_or(stored);
    serde_json::from_slice(rest).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{LogName, ShardName};

    fn log(frozen: usize, open: bool) -> LogConfig {
        let name = |n: usize| format!("s{n}").parse::<ShardName>().unwrap();
        let log: LogName = "s0".parse().unwrap();
        let mut config = LogConfig::new(log, "o/{\"shards\":[s0".to_owned(), name(frozen));
        if !open {
            config.shards.clear();
        }
        for n in (0..frozen).rev() {
            let shard = ShardConfig::new(name(n), ShardState::Frozen);
            config.shards.insert(0, shard);
        }
        if open {
            let planned = ShardConfig::new(name(frozen + 1), ShardState::Planned);
            config.shards.push(planned);
        }
        config
    }

    #[test]
    fn what_is_stored_does_not_grow_with_the_frozen_shards() {
        let names: Vec<String> = (0..6000).map(|n| format!("s{n}")).collect();
        for (frozen, open) in [(0, true), (1, true), (1, false), (3, true), (5000, true)] {
            let config = log(frozen, open);
            let bytes = config.stored();
            assert!(bytes.len() < 5000, "{} bytes", bytes.len());
            let back = whole(&bytes, names.iter().map(String::as_str)).unwrap();
            assert!(back == config.canonical());
            let mut rest = config.stripped();
            rest.shards.drain(..frozen);
            assert_eq!(settings(&bytes).unwrap(), rest);
            let too_few = names.iter().take(frozen / 2).map(String::as_str);
            assert_eq!(whole(&bytes, too_few).is_err(), frozen > 0);
        }
    }

    /// Stored unchanged, byte for byte: a log's first documents, and those that an earlier version stored.
    #[test]
    fn a_document_without_frozen_shards_is_stored_as_ever() {
        assert_eq!(log(0, true).stored(), log(0, true).canonical());
        let old = log(3, true).canonical();
        assert_eq!(whole(&old, []).unwrap(), old);
    }

    #[test]
    fn whatever_the_bytes_nothing_panics() {
        let stored = log(2, true).stored();
        for at in 0..stored.len() {
            let _ = whole(&stored[..at], ["a", "b"]);
            let mut bad = stored.clone();
            bad[at] ^= 1;
            let _ = (whole(&bad, ["a", "b"]), settings(&bad));
        }
    }
}
