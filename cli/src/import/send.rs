//! Sends an upload, request by request, and resumes after every temporary failure.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::Instant;
use wire::PROBLEM_TYPE;
use wire::data::{Range, codes};

use super::feed::Feed;
use super::{UploadId, join};
use crate::client::cause;

/// Attempts in a row that bring nothing.
const ATTEMPTS: u32 = 10;
/// The pause before the second attempt; it doubles.
const SEND_BACKOFF_MIN: Duration = Duration::from_millis(250);
/// The longest pause of our own choice.
const SEND_BACKOFF_MAX: Duration = Duration::from_secs(30);
/// The longest pause that a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);
/// After this time without progress, the connection counts as dead. A server without room answers earlier.
const STALL: Duration = Duration::from_secs(120);
/// The time limit for a question about an upload.
const ASK: Duration = Duration::from_secs(30);
/// The largest answer: 65,536 ranges.
const LARGEST: usize = 8 << 20;

/// The destination of an upload.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) headers: HeaderMap,
    pub(crate) upload: UploadId,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// The global indexes that the entries have.
    pub(crate) ranges: Vec<Range>,
    /// The shard of the last entries.
    pub(crate) shard: Option<String>,
    /// The tier that the server granted.
    pub(crate) tier: Option<String>,
    /// The merge delay that it promised.
    pub(crate) merge_by: Option<String>,
}

/// Why an upload cannot continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// No server answers there, or no longer.
    Unreachable(String),
    /// The server refused the upload.
    Refused {
        status: u16,
        /// Stable, kebab-case; empty where the answer was not the log's.
        code: String,
        /// Details, in words for a person.
        detail: String,
    },
}

/// How one request ended, if not well.
#[derive(Debug)]
struct Trouble {
    failed: Failed,
    /// Whether another attempt may succeed.
    passing: bool,
    /// Whether the server was reached.
    connected: bool,
    /// The time to wait, as the server said.
    after: Option<Duration>,
}

/// The answer to a part, and to the question how much was accepted.
#[derive(Debug, Deserialize)]
struct Answer {
    accepted: u64,
    ranges: Vec<Range>,
    #[serde(default)]
    shard: Option<String>,
}

/// The parts of a problem document that matter here.
#[derive(Debug, Default, Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    detail: String,
}

impl Target {
    /// Asks how much was accepted so far.
    pub(crate) async fn progress(&self) -> Result<(u64, Vec<Range>), Failed> {
        self.ask().await.map_err(|trouble| trouble.failed)
    }

    async fn ask(&self) -> Result<(u64, Vec<Range>), Trouble> {
        let answer = self
            .http
            .get(format!("{}?upload={}", self.url, self.upload.as_str()))
            .headers(self.headers.clone())
            .header(ACCEPT, "application/json")
            .timeout(ASK)
            .send()
            .await
            .map_err(|error| Trouble::broken(&error))?;
        let answer: Answer = read(answer).await?;
        Ok((answer.accepted, answer.ranges))
    }

    /// Sends everything that `feed` has. `note` gets the messages for the user.
    pub(crate) async fn send(
        &self,
        feed: &Arc<Mutex<Feed>>,
        sent: &mut Sent,
        note: impl Fn(&str),
    ) -> Result<(), Failed> {
        let mut attempts = 0;
        let mut reached = false;
        loop {
            let begun = feed.lock().await.begin().await;
            let Some((request, offset)) = begun else {
                return Ok(());
            };
            let mut trouble = match self.part(feed, request, offset, sent).await {
                Ok(accepted) => {
                    reached = true;
                    attempts = 0;
                    self.accept(feed, accepted).await?;
                    continue;
                }
                Err(trouble) => trouble,
            };
            reached |= trouble.connected;
            loop {
                attempts += 1;
                // Do not wait for an address that has never answered.
                if !trouble.passing || !reached || attempts >= ATTEMPTS {
                    return Err(trouble.failed);
                }
                let pause = trouble.pause(attempts);
                note(&format!(
                    "{}; continuing in {:.1} s",
                    trouble.failed,
                    pause.as_secs_f64()
                ));
                tokio::time::sleep(pause).await;
                match self.ask().await {
                    Ok((accepted, ranges)) => {
                        if accepted > feed.lock().await.accepted() {
                            attempts = 0;
                        }
                        sent.ranges = ranges;
                        self.accept(feed, accepted).await?;
                        break;
                    }
                    Err(next) => trouble = next,
                }
            }
        }
    }

    async fn accept(&self, feed: &Mutex<Feed>, accepted: u64) -> Result<(), Failed> {
        if feed.lock().await.accept(accepted) {
            return Ok(());
        }
        Err(Failed::Refused {
            status: 409,
            code: codes::UPLOAD_OFFSET.0.into(),
            detail: format!(
                "the server has {accepted} entries of this upload, more than were sent from here"
            ),
        })
    }

    /// Sends one request: from `offset` to the end of the entries that the feed gives for it.
    async fn part(
        &self,
        feed: &Arc<Mutex<Feed>>,
        request: u64,
        offset: u64,
        sent: &mut Sent,
    ) -> Result<u64, Trouble> {
        let body = stream::unfold(Arc::clone(feed), move |feed| async move {
            let piece = feed.lock().await.next(request).await?;
            Some((Ok::<Bytes, std::io::Error>(piece), feed))
        });
        let (url, upload) = (&self.url, self.upload.as_str());
        let request = self
            .http
            .post(format!("{url}?upload={upload}&offset={offset}"))
            .headers(self.headers.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(reqwest::Body::wrap_stream(body))
            .send();
        let answer = tokio::select! {
            answer = request => answer.map_err(|error| Trouble::broken(&error))?,
            () = stalled(feed) => return Err(Trouble::stalled()),
        };
        let said = |name: &str| {
            let value = answer.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let granted = (said("log-tier"), said("log-merge-by"));
        let answer: Answer = read(answer).await?;
        if granted.0.is_some() {
            (sent.tier, sent.merge_by) = granted;
        }
        if answer.shard.is_some() {
            sent.shard = answer.shard;
        }
        join(&mut sent.ranges, answer.ranges);
        Ok(answer.accepted)
    }
}

/// Resolves when nothing was taken for a long time.
async fn stalled(feed: &Mutex<Feed>) {
    let (mut last, mut since) = (None, Instant::now());
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // While the feed waits for the file, the server is not at fault.
        let Ok(feed) = feed.try_lock() else {
            since = Instant::now();
            continue;
        };
        let reached = Some(feed.reached());
        if last != reached {
            (last, since) = (reached, Instant::now());
        }
        if since.elapsed() > STALL {
            return;
        }
    }
}

async fn read<T: DeserializeOwned>(mut answer: Response) -> Result<T, Trouble> {
    let status = answer.status();
    let header = |name| {
        let value = answer.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let after = header(RETRY_AFTER).and_then(|seconds| seconds.parse().ok());
    let is_problem = header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with(PROBLEM_TYPE));
    let mut body = Vec::new();
    while let Some(piece) = answer
        .chunk()
        .await
        .map_err(|error| Trouble::broken(&error))?
    {
        if body.len() + piece.len() > LARGEST {
            return Err(Trouble::foreign(status, "its answer is too large"));
        }
        body.extend_from_slice(&piece);
    }
    if status == StatusCode::OK {
        return serde_json::from_slice(&body)
            .map_err(|error| Trouble::foreign(status, &format!("its answer: {error}")));
    }
    if !is_problem {
        let said = status.canonical_reason().unwrap_or("no reason given");
        return Err(Trouble::foreign(status, said));
    }
    let Problem { code, detail } = serde_json::from_slice(&body).unwrap_or_default();
    Err(Trouble {
        passing: passes(status, &code),
        connected: true,
        after: after.map(Duration::from_secs),
        failed: Failed::Refused {
            status: status.as_u16(),
            code,
            detail,
        },
    })
}

/// Whether a refusal may end soon. An upload can always be repeated, since none of it is written twice.
fn passes(status: StatusCode, code: &str) -> bool {
    match status.as_u16() {
        408 | 429 | 500 | 502 | 504 => true,
        // A halted log needs an operator.
        503 => code != codes::HALTED.0,
        409 => code == codes::UPLOAD_OFFSET.0,
        // More ranges than an answer holds: the rest goes into the next request.
        413 => code == codes::TOO_MANY_RANGES.0,
        _ => false,
    }
}

impl Trouble {
    fn broken(error: &reqwest::Error) -> Self {
        Self {
            failed: Failed::Unreachable(cause(error)),
            passing: !error.is_builder(),
            connected: !error.is_connect() && !error.is_builder(),
            after: None,
        }
    }

    fn stalled() -> Self {
        Self {
            failed: Failed::Unreachable(format!("nothing moved for {} s", STALL.as_secs())),
            passing: true,
            connected: true,
            after: None,
        }
    }

    fn foreign(status: StatusCode, detail: &str) -> Self {
        Self {
            failed: Failed::Refused {
                status: status.as_u16(),
                code: String::new(),
                detail: format!("the server answered {}: {detail}", status.as_u16()),
            },
            passing: matches!(status.as_u16(), 502..=504),
            connected: true,
            after: None,
        }
    }

    fn pause(&self, attempts: u32) -> Duration {
        let own = SEND_BACKOFF_MIN.saturating_mul(1 << attempts.saturating_sub(1).min(16));
        match self.after {
            Some(after) => after.min(RETRY_AFTER_MAX),
            None => own.min(SEND_BACKOFF_MAX),
        }
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(cause) => write!(f, "the connection broke: {cause}"),
            Self::Refused { detail, .. } => f.write_str(detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(after: Option<u64>) -> Trouble {
        Trouble {
            after: after.map(Duration::from_secs),
            ..Trouble::stalled()
        }
    }

    #[test]
    fn pauses_double_and_the_server_knows_better() {
        let pauses: Vec<u128> = (1..=10)
            .map(|n| trouble(None).pause(n).as_millis())
            .collect();
        assert_eq!(
            pauses,
            [
                250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000
            ]
        );
        assert_eq!(trouble(Some(7)).pause(1), Duration::from_secs(7));
        assert_eq!(trouble(Some(86_400)).pause(1), RETRY_AFTER_MAX);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (status, code, expected) in [
            (503, "no-room", true),
            (503, "halted", false),
            (429, "limited", true),
            (409, "upload-offset", true),
            (409, "frozen", false),
            (409, "upload-superseded", false),
            (413, "too-many-ranges", true),
            (413, "too-large", false),
            (400, "bad-batch", false),
            (401, "unauthenticated", false),
            (500, "unknown-outcome", true),
            (507, "full", false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(passes(status, code), expected, "{status} {code}");
        }
    }
}
