//! `logctl version`: the version of this program, and of the server if one is named and answers.

use serde::Serialize;

use super::Session;
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Page, Present};

pub(super) const OWN: &str = env!("CARGO_PKG_VERSION");

#[derive(Debug, Serialize)]
struct Versions {
    logctl: &'static str,
    /// `logd 0.1.0`; absent when it could not be asked, or does not say.
    server: Option<String>,
    /// The address of that server.
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    /// Why the server could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    unasked: Option<String>,
}

pub(super) async fn run(session: &Session<'_>) -> Result<Outcome, Error> {
    let (mut server, mut endpoint, mut unasked) = (None, None, None);
    match session.server() {
        Ok(asked) => {
            endpoint = Some(asked.admin.address());
            match asked.admin.whoami(asked.deadline).await {
                Ok(caller) => server = caller.server,
                Err(error) => unasked = Some(error.to_string()),
            }
        }
        Err(error) => unasked = Some(error.to_string()),
    }
    Outcome::done(&Versions {
        logctl: OWN,
        server,
        endpoint,
        unasked,
    })
}

impl Present for Versions {
    const KIND: &'static str = "Versions";
    const NAME: &'static str = "/logctl";

    fn page(&self) -> Page {
        let server = match (&self.server, &self.unasked) {
            (Some(version), _) => version.as_str().into(),
            (None, Some(why)) => Cell::from(format!("not known: {why}")),
            (None, None) => "it does not say".into(),
        };
        Page::new().with(Block::Fields(vec![
            ("logctl", self.logctl.into()),
            ("server", server),
        ]))
    }
}
