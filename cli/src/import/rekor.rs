//! An old Rekor, whose entries are imported: reads its shards and their entries, with their times and signatures.
//!
//! It may be old, small and busy. Therefore only a few requests are under way at a time, and a request that is refused for now is sent again:
//! after the time that the answer names, or after a pause that doubles. A Rekor that has never answered may be a wrong address, so the wait
//! for it ends after the caller's timeout.
//!
//! What must never happen: the old Rekor decides how much memory logctl takes. Most answers are short; only a few long ones are read at a time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wire::ImportEntry;

use super::UNSEEN;
use super::shard::{Answered, Fault, OldShard, Part};
use crate::client::{Deadline, cause, seconds, transport};
use crate::error::{Error, SourceFault};
use crate::settings::Address;

/// Entries of one request: more are refused.
const AT_ONCE: u64 = 10;
/// The longest answer, bytes: ten entries with the attestations that servers store beside them.
const MAX_ANSWER: usize = 8 << 20;
/// Bytes of an answer that each connection may hold: ten of the longest entries. So many longer answers are read at a time.
const SHORT_ANSWER: usize = 1 << 20;
const LONG_ANSWERS: usize = 4;
/// Attempts for one answer, and the pauses between them.
const ATTEMPTS: u32 = 9;
const SOURCE_BACKOFF_MIN: Duration = Duration::from_millis(500);
const SOURCE_BACKOFF_MAX: Duration = Duration::from_secs(60);

/// A Rekor at a URL.
#[derive(Clone, Debug)]
pub(crate) struct OtherRekor {
    http: reqwest::Client,
    base: String,
    /// The longest wait for one answer; for the first answer, all attempts together.
    timeout: Duration,
    /// Whether it has answered.
    has_answered: Arc<AtomicBool>,
    /// Turns to read a long answer. One is held until the answer is parsed, never by a page that waits for an earlier one.
    long: Arc<Semaphore>,
}

/// The bytes of an answer, and the turn that a long one was read in.
struct Answer {
    bytes: Vec<u8>,
    turn: Option<OwnedSemaphorePermit>,
}

enum Failed {
    /// There is no connection.
    Absent(String),
    /// Another attempt may succeed, after this time if it says so.
    Passing(String, Option<Duration>),
    Final(String),
}

impl OtherRekor {
    /// The one that answers below this URL, which ends before `/api/v1`.
    pub(super) fn new(base: String, ca: Option<&Path>, timeout: Duration) -> Result<Self, Error> {
        Ok(Self {
            http: transport(&Address::Url(base.clone()), ca, None)?,
            base,
            timeout,
            has_answered: Arc::default(),
            long: Arc::new(Semaphore::new(LONG_ANSWERS)),
        })
    }

    /// The description of its log.
    pub(super) async fn log(&self) -> Result<Vec<u8>, Error> {
        Ok(self.get("log", None).await?.bytes)
    }

    /// The key of a tree, PEM.
    pub(super) async fn key(&self, tree_id: &str) -> Result<Vec<u8>, Error> {
        let path = format!("log/publicKey?treeID={tree_id}");
        Ok(self.get(&path, None).await?.bytes)
    }

    /// The entries of a shard from one of them on, in order, a few at a time.
    pub(super) fn entries(
        &self,
        shard: &OldShard,
        from: u64,
        connections: usize,
    ) -> impl Stream<Item = Result<Vec<ImportEntry>, Error>> + use<> {
        let (start, size) = (shard.start, shard.head.size);
        let steps = usize::try_from(AT_ONCE).unwrap_or(1);
        let source = self.clone();
        let tree: Arc<str> = shard.tree_id.as_str().into();
        stream::iter((from..size).step_by(steps))
            .map(move |first| {
                let (source, tree) = (source.clone(), Arc::clone(&tree));
                let last = (first + AT_ONCE).min(size);
                async move { source.page(&tree, start + first..start + last).await }
            })
            .buffered(connections)
    }

    /// The entries of a tree with these indexes.
    async fn page(
        &self,
        tree_id: &str,
        indexes: std::ops::Range<u64>,
    ) -> Result<Vec<ImportEntry>, Error> {
        let asked: Vec<u64> = indexes.clone().collect();
        let body = serde_json::json!({ "logIndexes": asked }).to_string();
        let Answer { bytes, turn } = self.get("log/entries/retrieve", Some(body)).await?;
        let answer: Vec<Answered> = serde_json::from_slice(&bytes)
            .map_err(|error| self.bad(format!("the answer is not a list of entries: {error}")))?;
        drop((bytes, turn));
        let answer = answer.into_iter();
        let answer = answer.flat_map(|answered| answered.entries(tree_id));
        let mut found: BTreeMap<u64, _> = answer.collect();
        let mut entries = Vec::with_capacity(asked.len());
        for index in indexes {
            let entry = found.remove(&index);
            let entry = entry
                .ok_or_else(|| self.bad(format!("entry {index} is missing from the answer")))?;
            entries.push(entry.map_err(|why| self.bad(why))?);
        }
        Ok(entries)
    }

    async fn get(&self, path: &str, body: Option<String>) -> Result<Answer, Error> {
        let deadline = Deadline::after(self.timeout);
        let mut pause = SOURCE_BACKOFF_MIN;
        for left in (0..ATTEMPTS).rev() {
            let is_new = !self.has_answered.load(Relaxed);
            let limit = if is_new {
                deadline.left()
            } else {
                self.timeout
            };
            let (why, after) = match self.attempt(path, body.clone(), limit).await {
                Ok(answer) => {
                    self.has_answered.store(true, Relaxed);
                    return Ok(answer);
                }
                Err(Failed::Final(why)) => return Err(self.refused(path, &why)),
                Err(Failed::Absent(why)) if is_new => return Err(self.absent(path, why)),
                Err(Failed::Passing(why, after)) => (why, after),
                Err(Failed::Absent(why)) => (why, None),
            };
            let pause_now = wait(after, pause);
            if is_new && pause_now >= deadline.left() {
                return Err(self.absent(path, why));
            }
            if left == 0 {
                return Err(Error::Unreachable {
                    address: self.url(path),
                    cause: why,
                    hint: "what was copied is kept: run the same command again to continue".into(),
                });
            }
            tokio::time::sleep(pause_now).await;
            pause *= 2;
        }
        Err(Error::Bug("no attempt was made".into()))
    }

    async fn attempt(
        &self,
        path: &str,
        body: Option<String>,
        limit: Duration,
    ) -> Result<Answer, Failed> {
        let passing = |error: reqwest::Error| match error.is_connect() {
            true => Failed::Absent(cause(&error)),
            false => Failed::Passing(cause(&error), None),
        };
        let request = match body {
            Some(body) => self
                .http
                .post(self.url(path))
                .header("content-type", "application/json")
                .body(body),
            None => self.http.get(self.url(path)),
        };
        let mut answer = request.timeout(limit).send().await.map_err(passing)?;
        let status = answer.status();
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let after = answer.headers().get(RETRY_AFTER);
            let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(Failed::Passing(
                status.to_string(),
                after.map(Duration::from_secs),
            ));
        }
        if !status.is_success() {
            return Err(Failed::Final(status.to_string()));
        }
        let (mut bytes, mut turn) = (Vec::new(), None);
        while let Some(chunk) = answer.chunk().await.map_err(passing)? {
            let length = bytes.len() + chunk.len();
            if length > MAX_ANSWER {
                return Err(Failed::Final(format!(
                    "the answer is longer than {MAX_ANSWER} bytes"
                )));
            }
            if length > SHORT_ANSWER && turn.is_none() {
                turn = Arc::clone(&self.long).acquire_owned().await.ok();
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Answer { bytes, turn })
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.base)
    }

    /// The error when no answer comes in time and the Rekor has never answered.
    fn absent(&self, path: &str, cause: String) -> Error {
        Error::Unreachable {
            address: self.url(path),
            cause,
            hint: format!(
                "nothing was changed; check --from, and that this address can be reached from here; --timeout waits longer than {}",
                seconds(self.timeout)
            ),
        }
    }

    /// The error for an answer that another attempt would not change.
    fn refused(&self, path: &str, why: &str) -> Error {
        let hint = match path {
            "log" => format!("check --from: {}", super::source::FORMS),
            _ => "what was copied is kept, and readers see none of it; run the same command again once the old Rekor answers this request".to_owned(),
        };
        Error::BadEntries {
            message: format!("{}: {why}", self.url(path)),
            hint,
        }
    }

    fn bad(&self, what: String) -> Error {
        Error::BadEntries {
            message: format!("{}: {what}", self.base),
            hint: format!(
                "{UNSEEN}; see \"Replace a running Rekor\" in docs/sigstore.md for what can be imported"
            ),
        }
    }

    /// What is wrong with how it describes its log.
    pub(super) fn fault(&self, fault: Fault) -> Error {
        match fault.part {
            Part::Log | Part::Key => self.bad(fault.what),
            Part::Signature => Error::Source {
                fault: SourceFault::Unverified,
                message: format!("{}: {}", self.base, fault.what),
                hint: self.not_signed(),
            },
        }
    }

    /// The next step where it returned what it has not signed.
    pub(super) fn not_signed(&self) -> String {
        format!(
            "{UNSEEN}; find out whether {} is the Rekor that your clients use, and tell its operator",
            self.base
        )
    }
}

/// The pause before another attempt: never shorter than our own pause, whatever the other side asks for.
fn wait(asked: Option<Duration>, own: Duration) -> Duration {
    asked.unwrap_or_default().max(own).min(SOURCE_BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer that asks for no pause, or for a whole day, gets a bounded one.
    #[test]
    fn pauses_are_bounded() {
        let asked = [None, Some(0), Some(2), Some(60), Some(u64::MAX)];
        for asked in asked.map(|asked| asked.map(Duration::from_secs)) {
            for own in [500, 4000, 600_000].map(Duration::from_millis) {
                let pause = wait(asked, own);
                assert!(pause >= own.min(SOURCE_BACKOFF_MAX) && pause <= SOURCE_BACKOFF_MAX);
                assert!(pause >= asked.unwrap_or_default().min(SOURCE_BACKOFF_MAX));
            }
        }
    }
}
