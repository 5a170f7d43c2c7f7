//! Asks a secondary for what it has, again if it is busy.

use std::time::Duration;

use bytes::Bytes;
use mirror::{PeerAnswer, PeerError, PeerRequest};

use crate::restore::{Restore, RestoreError};

/// Time for one request.
const SOURCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause before a request is repeated: then four times as long.
const SOURCE_BACKOFF: Duration = Duration::from_millis(500);

impl Restore {
    /// What a secondary has under a path. If its manifest came from a storage, only that storage can say that there is nothing: a proxy may be
    /// in between, or another storage behind the same address.
    pub(crate) async fn get(
        &self,
        url: &str,
        path: &str,
        most: usize,
        storage: Option<&str>,
    ) -> Result<Option<Bytes>, RestoreError> {
        let answer = self.asked(url, path, most).await?;
        let found = answer.status == 200;
        let why = match (storage, answer.incarnation.as_deref()) {
            (Some(storage), Some(other)) if other != storage => {
                format!("storage {other} answered, and {storage} before")
            }
            (Some(_), None) if !found => {
                format!("{}; it was not the secondary that said so", answer.words())
            }
            _ => return Ok(found.then_some(answer.body)),
        };
        Err(RestoreError::Peer {
            url: url.to_owned(),
            why: format!("{path}: {why}"),
        })
    }

    /// An answer of 200 or 404.
    pub(super) async fn asked(
        &self,
        url: &str,
        path: &str,
        most: usize,
    ) -> Result<PeerAnswer, RestoreError> {
        let failed = |why: String| RestoreError::Peer {
            url: url.to_owned(),
            why: format!("{path}: {why}"),
        };
        let mut last = None;
        for pause in [0, 1, 4] {
            tokio::time::sleep(SOURCE_BACKOFF * pause).await;
            let request = PeerRequest {
                url: format!("{}/{path}", url.trim_end_matches('/')),
                body: None,
                timeout: SOURCE_TIMEOUT,
                most,
                life: None,
            };
            match self.peers.send(request).await {
                Ok(answer) if matches!(answer.status, 200 | 404) => return Ok(answer),
                Ok(answer) => last = Some(answer.words()),
                Err(e @ PeerError::TooLong(_)) => return Err(failed(e.to_string())),
                Err(e) => last = Some(e.to_string()),
            }
        }
        Err(failed(last.unwrap_or_default()))
    }
}
