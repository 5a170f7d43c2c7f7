//! The audit trail's own tree, fetched through the admin endpoint for the auditor.

use reqwest::Method;

use super::exchange::{Attempt, REQUEST_BACKOFF_MAX, REQUEST_BACKOFF_MIN};
use super::{Admin, Deadline};
use crate::auditor::{Source, SourceError};
use crate::error::Error;
use wire::codes;

/// The trail of an endpoint.
#[derive(Debug)]
pub(crate) struct Trail<'a> {
    admin: &'a Admin,
    deadline: Deadline,
    /// Stands in for the list of shards, from an endpoint that has none.
    list: Option<Vec<u8>>,
}

impl Admin {
    /// The audit trail as a log.
    pub(crate) fn trail(&self, deadline: Deadline) -> Trail<'_> {
        Trail {
            admin: self,
            deadline,
            list: None,
        }
    }

    /// `GET audit/tree/{path}`; `None` when there is no such object.
    async fn audit_object(&self, path: &str, deadline: Deadline) -> Result<Option<Vec<u8>>, Error> {
        let mut pause = REQUEST_BACKOFF_MIN;
        loop {
            let url = format!("{}/audit/tree/{path}", self.base);
            let request = self.http.request(Method::GET, url);
            let read = |body: &[u8]| Ok(Some(body.to_vec()));
            match self.attempt_as(request, false, deadline, read).await {
                Attempt::Answered(answer) => return Ok(answer),
                Attempt::Refused(Error::Problem(problem)) if problem.code == codes::NOT_FOUND => {
                    return Ok(None);
                }
                Attempt::Refused(error) => return Err(error),
                Attempt::Broken { cause, .. } => {
                    if pause > REQUEST_BACKOFF_MAX || !deadline.pause(pause).await {
                        return Err(self.unreachable(cause));
                    }
                    pause *= 2;
                }
            }
        }
    }
}

impl Trail<'_> {
    /// Adds a list of shards, for an endpoint that has none.
    pub(crate) fn listed(mut self, list: Vec<u8>) -> Self {
        self.list = Some(list);
        self
    }

    /// An object; `None` when there is none.
    pub(crate) async fn object(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        self.admin.audit_object(path, self.deadline).await
    }
}

impl Source for Trail<'_> {
    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        match &self.list {
            Some(list) if path == "shards" => Ok(Some(list.clone())),
            _ => self
                .object(path)
                .await
                .map_err(|error| SourceError::new(path, error)),
        }
    }
}
