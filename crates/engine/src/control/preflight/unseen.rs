//! Holds a shard back until its key has been seen where clients look, for a log whose configuration requires that and for a
//! rotation that asks for it; and records that a key was seen.
//!
//! What must never happen: a report about another key opens a shard. The record is compared with the key of the order.

use jiff::Timestamp;
use logconfig::{
    Announced, DocumentChange, Finding, LogConfig, NotAnnounced, ShardName, diff, is_announced,
    with_announced, with_withdrawn,
};

use super::REPORTED_BY_OTHERS;
use crate::control::{ChangeError, Request};
use crate::log::Log;
use order::state::State;
use tlog::UnixMillis;

/// Warns if a log with a front opens a shard whose key nobody has reported as seen. Pure.
pub(super) fn unannounced(state: &State, next: &LogConfig) -> Option<Finding> {
    if !next.rekor.is_open() || next.rotate.require_announced {
        return None;
    }
    let opens = next.active()?;
    let is_open = state.active()?.identity.name == opens.name.as_str();
    let announced = opens.announced.as_ref().and_then(Announced::since);
    (!is_open && announced.is_none()).then(|| {
        let name = &opens.name;
        let message = format!(
            "Sigstore's clients refuse what shard {name} signs until their trusted root has its key, and nobody has reported that key as seen"
        );
        let hint = format!(
            "`logctl shard rotate {name} --announce --exec COMMAND --seen-at URL` has COMMAND publish the key, and waits until clients have it; rekor-cli alone needs no trusted root"
        );
        Finding::new("key-not-announced", message, "/shards", hint)
    })
}

impl Log {
    /// The running document with the key of a shard recorded as seen, or as gone; `None` if every place is recorded already.
    pub(crate) fn plan_announced(
        &self,
        running: &LogConfig,
        (shard, key): (&ShardName, &str),
        places: &[String],
        gone: bool,
    ) -> Result<Option<(LogConfig, DocumentChange)>, ChangeError> {
        let one = |finding: Finding| ChangeError::Invalid(vec![finding]);
        let state = self.ledger.state();
        let seconds = now(&state, self.ledger.clock.now()).as_second();
        let next = match gone {
            true => with_withdrawn(running, shard, key, places, seconds),
            false => with_announced(running, shard, key, places, seconds),
        };
        let next = next.map_err(one)?;
        // A shard that was taken back and planned again under another name has another key.
        let known = key_of(&state, shard).unwrap_or_default();
        if known != key {
            let finding = Finding::new(
                "other-key",
                format!("the key of shard {shard} is {known}, and {key} was seen"),
                "/key",
                "publish the trusted root again: `logctl shard export --format trusted-root`",
            );
            return Err(one(finding));
        }
        let differences = diff(running, &next);
        let change = DocumentChange {
            differences,
            ..DocumentChange::default()
        };
        Ok((!change.differences.is_empty()).then_some((next, change)))
    }

    /// Why the shard that opens must wait for its key to be announced. A document that sets the rule or drops it obeys it as well.
    pub(crate) fn unseen(
        &self,
        request: &Request,
        running: &LogConfig,
        next: &LogConfig,
        open: &ShardName,
    ) -> Option<Finding> {
        let asked = match request {
            Request::RotateAnnounced { settle, .. } => Some(*settle),
            _ => None,
        };
        let settings = [&running.rotate, &next.rotate];
        let required = settings
            .iter()
            .filter(|rotate| rotate.require_announced)
            .map(|rotate| rotate.settle.unwrap_or(logconfig::SETTLE));
        let settle = required.chain(asked).max()?;
        let state = self.ledger.state();
        let key = key_of(&state, open);
        let record = next.shard(open).and_then(|shard| shard.announced.as_ref());
        let now = now(&state, self.ledger.clock.now());
        let why = is_announced(record, key.as_deref(), settle, now).err()?;
        let forced = matches!(request, Request::Rotate { force: true, .. });
        let mut found = finding(open, key.is_some(), &why, asked.is_some());
        if next.requires_unusable_keys() {
            found.hint = Some(format!("{REPORTED_BY_OTHERS}; {}", force(open)));
        }
        if forced {
            found.hint = Some(format!(
                "clients refuse what shard {open} signs until they have fetched its key: publish the trusted root now (`logctl shard export --format trusted-root`)"
            ));
        }
        Some(found)
    }
}

/// The log ID of a shard's key, as clients know it. A planned shard that was taken back keeps its key.
pub(crate) fn key_of(state: &State, shard: &ShardName) -> Option<String> {
    let mut shards = state.shards.iter().rev();
    let found = shards.find(|known| known.identity.name == shard.as_str())?;
    found.identity.log_id()
}

/// The time of a record: that of the server, whose clock is compared with the store's, and never before the last slot.
fn now(state: &State, now: UnixMillis) -> Timestamp {
    let latest = i64::try_from(now.max(state.time).get()).ok();
    let latest = latest.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    latest.unwrap_or(Timestamp::MAX)
}

/// What opens a shard although its key was not announced.
fn force(open: &ShardName) -> String {
    format!(
        "`logctl shard rotate {open} --force` opens it anyway, and the audit trail records that; clients that do not have its key yet refuse what it signs"
    )
}

fn finding(open: &ShardName, planned: bool, why: &NotAnnounced, asked: bool) -> Finding {
    let force = force(open);
    let publish = format!(
        "`logctl shard plan {open} --announce --exec COMMAND --seen-at URL` publishes the key and waits until it is seen; {force}"
    );
    let (code, message, hint) = match why {
        NotAnnounced::Unseen => (
            "not-announced",
            match planned {
                true => format!("the key of shard {open} has not been seen where clients look"),
                false => format!("shard {open} is not planned yet, so no client has its key"),
            },
            publish,
        ),
        NotAnnounced::Gone(place) => (
            "not-announced",
            format!("the key of shard {open} was seen, and is gone from {place}"),
            publish,
        ),
        NotAnnounced::Settling { since, until } => (
            "not-settled",
            format!(
                "the key of shard {open} has been seen since {since}, and settles until {until}"
            ),
            format!("rotate after that time; {force}"),
        ),
    };
    let pointer = if asked {
        "/settle"
    } else {
        "/rotate/requireAnnounced"
    };
    Finding::new(code, message, pointer, hint)
}
