//! Reads the files of a log at its public address, as any reader can, for the auditor. No token, no trust.
//!
//! What must never happen: an endless answer fills the memory, or a short network failure is reported as a fault of the log.

use std::path::Path;
use std::time::Duration;

use reqwest::StatusCode;

use super::{Deadline, cause, transport};
use crate::auditor::{Source, SourceError};
use crate::error::Error;
use crate::settings::Address;

/// A log's public address.
#[derive(Debug)]
pub struct Public {
    http: reqwest::Client,
    base: String,
    /// The limit for one file.
    timeout: Duration,
}

/// The largest file is a bundle: 256 entries of 65,535 bytes, each with its length.
const LARGEST: usize = 256 * (2 + 65_535);
/// Attempts for one file, with doubling pauses between them.
const ATTEMPTS: u32 = 4;
const FILE_BACKOFF: Duration = Duration::from_millis(100);

/// Why one attempt failed.
enum Failure {
    /// A retry may succeed.
    Passing(String),
    /// No retry will succeed.
    Final(String),
}

impl Public {
    /// A log at `url`, whose server shows a certificate of `ca` or of the platform's authorities.
    pub fn new(url: &str, ca: Option<&Path>, log: &str, timeout: Duration) -> Result<Self, Error> {
        let url = url.trim_end_matches('/');
        if reqwest::Url::parse(url).map_or(true, |url| {
            !matches!(url.scheme(), "http" | "https") || !url.has_host()
        }) {
            return Err(Error::Usage {
                message: format!("`{url}` is not where a log can be read"),
                hint: "write it as https://HOST:PORT or http://HOST:PORT, without the log's name"
                    .into(),
            });
        }
        let http = transport(&Address::Url(url.to_owned()), ca, None)?;
        Ok(Self {
            http,
            base: format!("{url}/{log}"),
            timeout,
        })
    }

    /// The address, for people.
    pub fn address(&self) -> &str {
        &self.base
    }

    async fn attempt(&self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let passing = |error: reqwest::Error| Failure::Passing(cause(&error));
        let request = self
            .http
            .get(format!("{}/{path}", self.base))
            .timeout(self.timeout);
        let mut answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.is_builder() => return Err(Failure::Final(cause(&error))),
            Err(error) => return Err(passing(error)),
        };
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(None),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(Failure::Passing(status.to_string()));
            }
            status => return Err(Failure::Final(status.to_string())),
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(passing)? {
            if bytes.len() + chunk.len() > LARGEST {
                return Err(Failure::Final(format!("it is larger than {LARGEST} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes))
    }
}

/// A file at a public address, of at most `limit` bytes.
pub(crate) async fn fetch(
    url: &str,
    ca: Option<&Path>,
    limit: usize,
    deadline: Deadline,
) -> Result<Vec<u8>, Error> {
    let unreachable = |cause: String| Error::Unreachable {
        address: url.to_owned(),
        cause,
        hint: "check the address; a file on this machine is named without https://".into(),
    };
    let http = transport(&Address::Url(url.to_owned()), ca, None)?;
    let request = http.get(url).timeout(deadline.left());
    let mut answer = request
        .send()
        .await
        .map_err(|error| unreachable(cause(&error)))?;
    if !answer.status().is_success() {
        return Err(unreachable(answer.status().to_string()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|error| unreachable(cause(&error)))?
    {
        if bytes.len() + chunk.len() > limit {
            return Err(unreachable(format!("it is larger than {limit} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

impl Source for Public {
    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        let mut pause = FILE_BACKOFF;
        let mut attempts = ATTEMPTS;
        loop {
            attempts -= 1;
            match self.attempt(path).await {
                Ok(file) => return Ok(file),
                Err(Failure::Passing(_)) if attempts > 0 => tokio::time::sleep(pause).await,
                Err(Failure::Passing(reason) | Failure::Final(reason)) => {
                    return Err(SourceError::new(path, reason));
                }
            }
            pause *= 2;
        }
    }
}
