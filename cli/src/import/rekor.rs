//! An old Rekor, whose entries are imported: reads its shards and their entries, with their times and signatures.
//!
//! It may be old, small and busy. Therefore only a few requests are under way at a time, and a request that is refused for now is sent again:
//! after the time that the answer names, or after a pause that doubles, and each wait is reported. A Rekor that has never answered may be a wrong
//! address, so the wait for it ends after the caller's timeout; the wait for one that has answered ends later.
//!
//! What must never happen: the old Rekor decides how much memory logctl takes. Most answers are short; only a few long ones are read at a time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt as _};
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use wire::ImportEntry;

use super::UNSEEN;
use super::shard::{Answered, Fault, OldShard, Part};
use super::waits::Waits;
use crate::client::{Deadline, cause, seconds, transport};
use crate::error::{Error, SourceFault};
use crate::settings::Address;

/// Entries per request; Rekor refuses a request for more.
const AT_ONCE: u64 = 10;
/// The longest answer, bytes: ten entries with the attestations that servers store beside them.
const MAX_ANSWER: usize = 8 << 20;
/// Bytes of an answer that each connection may hold: ten of the longest entries. At most [`LONG_ANSWERS`] longer ones are read at a time.
const SHORT_ANSWER: usize = 1 << 20;
const LONG_ANSWERS: usize = 4;
/// A Rekor that has answered before is given up after this long without any answer.
const GIVE_UP: Duration = Duration::from_secs(15 * 60);
/// The pauses between attempts for one answer.
const SOURCE_BACKOFF_MIN: Duration = Duration::from_millis(500);
const SOURCE_BACKOFF_MAX: Duration = Duration::from_secs(60);

/// A Rekor at a URL.
#[derive(Clone, Debug)]
pub(crate) struct OtherRekor {
    http: reqwest::Client,
    base: String,
    /// The longest wait for one answer; for the first answer, all attempts together.
    timeout: Duration,
    /// When it answered last, if ever.
    answered: Arc<Mutex<Option<Instant>>>,
    /// Says what is waited for.
    pub(super) waits: Arc<Waits>,
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
            answered: Arc::default(),
            waits: Arc::default(),
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
        let began = Instant::now();
        let mut pause = SOURCE_BACKOFF_MIN;
        loop {
            let limit = match self.answered() {
                None => deadline.left(),
                Some(_) => self.timeout,
            };
            let attempt = self.attempt(path, body.clone(), limit).await;
            let answered = self.answered();
            let (why, after) = match attempt {
                Ok(answer) => {
                    *self.answered.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(Instant::now());
                    return Ok(answer);
                }
                Err(Failed::Final(why)) => return Err(self.refused(path, &why)),
                Err(Failed::Absent(why)) if answered.is_none() => {
                    return Err(self.absent(path, why));
                }
                Err(Failed::Passing(why, after)) => (why, after),
                Err(Failed::Absent(why)) => (why, None),
            };
            let pause_now = wait(after, pause);
            match answered {
                None if pause_now >= deadline.left() => return Err(self.absent(path, why)),
                None => {}
                Some(last) => {
                    if last.max(began).elapsed() + pause_now >= GIVE_UP {
                        return Err(Error::Unreachable {
                            address: self.url(path),
                            cause: format!("no answer for {} min: {why}", GIVE_UP.as_secs() / 60),
                            hint:
                                "what was copied is kept; run the same command again: it continues"
                                    .into(),
                        });
                    }
                    self.waits.report(&self.base, &why, pause_now);
                }
            }
            tokio::time::sleep(pause_now).await;
            pause = (pause * 2).min(SOURCE_BACKOFF_MAX);
        }
    }

    fn answered(&self) -> Option<Instant> {
        *self.answered.lock().unwrap_or_else(PoisonError::into_inner)
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

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.base)
    }

    /// The error when no answer comes in time and the Rekor has never answered.
    fn absent(&self, path: &str, cause: String) -> Error {
        let hint = match cause.contains("certificate") {
            true => "nothing was changed; --from-ca FILE names the authority that issued the certificate of this Rekor, if it is not one of the system's".to_owned(),
            false => format!(
                "nothing was changed; check --from, and that this address can be reached from here; --timeout waits longer than {}",
                seconds(self.timeout)
            ),
        };
        Error::Unreachable {
            address: self.url(path),
            cause,
            hint,
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

    /// The command waits for a Rekor that dies in the middle, and reports every wait; but it does not wait forever.
    #[tokio::test(start_paused = true)]
    async fn a_rekor_that_is_gone_is_waited_for_and_given_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let rekor = OtherRekor::new(base.clone(), None, Duration::from_secs(3)).unwrap();
        // It has never answered: it may be a wrong address.
        let Err(Error::Unreachable { hint, .. }) = rekor.log().await else {
            panic!("somebody answers");
        };
        assert!(hint.contains("check --from") && rekor.waits.told().is_empty());
        *rekor.answered.lock().unwrap() = Some(Instant::now());
        rekor.waits.begin(3002, None);
        rekor.waits.set(1030);
        let began = Instant::now();
        let Err(Error::Unreachable { cause, hint, .. }) = rekor.log().await else {
            panic!("somebody answers");
        };
        let took = began.elapsed();
        assert!(
            took <= GIVE_UP && took + SOURCE_BACKOFF_MAX >= GIVE_UP,
            "{took:?}"
        );
        assert!(cause.starts_with("no answer for 15 min: "), "{cause}");
        assert!(hint.contains("run the same command again: it continues"));
        let told = rekor.waits.told();
        assert!((15..40).contains(&told.len()), "{told:?}");
        assert!(
            told[0].starts_with(&format!("{base} does not answer (")),
            "{told:?}"
        );
        let end = "trying again in 1 s; 1,030 of 3,002 entries are copied";
        assert!(told[1].ends_with(end), "{told:?}");
    }

    #[test]
    fn an_unknown_certificate_names_from_ca() {
        let base = "https://rekor.example.org".to_owned();
        let rekor = OtherRekor::new(base, None, Duration::from_secs(3)).unwrap();
        let hint = |cause: &str| match rekor.absent("log", cause.to_owned()) {
            Error::Unreachable { hint, .. } => hint,
            other => panic!("{other}"),
        };
        assert!(hint("invalid peer certificate: UnknownIssuer").contains("--from-ca FILE"));
        assert!(hint("connection refused").contains("check --from,"));
    }

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
