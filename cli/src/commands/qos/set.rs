//! `logctl qos set`: an edit of the running document, and the token that it makes.
//!
//! What must never happen: a token's text in the document, or anywhere but where it was asked for, once.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use logconfig::{WriterToken, token_hash, token_text};
use serde_json::json;

use super::edit;
use crate::client::Write;
use crate::commands::change::{self, Plan};
use crate::commands::token::reserve;
use crate::commands::{Session, now, rfc3339};
use crate::error::Error;
use crate::report::{Block, Outcome, Page};
use crate::request::{AddToken, QosEdit};

pub(super) async fn run(
    session: &Session<'_>,
    edit: QosEdit,
    dry_run: bool,
    confirm_within: Option<Duration>,
) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let running = server.admin.config(&log, server.deadline).await?;
    let fresh = match &edit {
        QosEdit::Tenant {
            edit: Some(edit), ..
        } => edit.add_token.as_ref().map(Fresh::make).transpose()?,
        _ => None,
    };
    let mut next = running.config;
    edit::apply(
        &mut next.qos,
        &edit,
        fresh.as_ref().map(|fresh| fresh.token.clone()),
    )?;
    let what = match &edit {
        QosEdit::Tier { name, edit: None } => format!("remove tier {name}"),
        QosEdit::Tier { name, .. } => format!("change tier {name}"),
        QosEdit::Tenant { name, edit: None } => format!("remove tenant {name}"),
        QosEdit::Tenant { name, .. } => format!("change tenant {name}"),
    };
    let plan = Plan {
        question: format!("{what} of {log}?"),
        write: Write::Configure {
            document: Box::new(next),
            confirm_within,
        },
        base: Some(running.etag),
        typed: None,
        preview: true,
        dry_run,
        log,
    };
    // Before the change: a token whose text has nowhere to go is lost.
    let kept = fresh.map(Fresh::keep).transpose()?;
    let made = change::carry_out(session, &server, plan).await;
    match kept {
        None => made,
        Some(kept) => kept.tell(session, made),
    }
}

/// A token that nobody has yet. Its text is here, so this has no `Debug` form.
struct Fresh {
    token: WriterToken,
    text: String,
    out: Option<PathBuf>,
}

impl Fresh {
    fn make(wanted: &AddToken) -> Result<Self, Error> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)
            .map_err(|error| Error::Bug(format!("no random numbers: {error}")))?;
        let text = token_text(&secret);
        let expires = wanted.lifetime.map(|lifetime| {
            let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
            rfc3339(now().saturating_add(seconds))
        });
        Ok(Self {
            token: WriterToken {
                name: wanted.name.clone(),
                sha256: token_hash(&text),
                expires,
            },
            text,
            out: wanted.out.clone(),
        })
    }

    /// Puts its text into its file, if it has one.
    fn keep(self) -> Result<Self, Error> {
        if let Some(path) = &self.out {
            let mut file = reserve(path)?;
            let text = format!("{}\n", self.text);
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(|source| Error::Write {
                    what: path.display().to_string(),
                    source,
                })?;
        }
        Ok(self)
    }

    /// The change as it went, with the token where it is in force or may be.
    fn tell(self, session: &Session<'_>, made: Result<Outcome, Error>) -> Result<Outcome, Error> {
        let made = match made {
            Ok(made) => made,
            Err(error) => {
                let open = matches!(error, Error::OutcomeUnknown { .. } | Error::TimedOut { .. });
                if let (false, Some(path)) = (open, &self.out) {
                    // It is ours, and what it holds is worth nothing.
                    let _ = std::fs::remove_file(path);
                }
                return Err(error);
            }
        };
        let name = &self.token.name;
        let until = match &self.token.expires {
            Some(expires) => format!("until {expires}"),
            None => "until it is removed".to_owned(),
        };
        Ok(match &self.out {
            Some(path) => {
                let path = path.display().to_string();
                let about = format!(
                    "token {name} is good {until}; its text is in {path}, which only you can read"
                );
                let page = made.report.page().clone().text(about);
                made.with("/tokenFile", json!(path), page)
            }
            None => {
                let about = Page::new().text(format!("token {name} is good {until}:"));
                session.ui.show(&made.report.page().clone().then(about));
                // Alone on standard output, so that it can be caught in a variable.
                let page = Page::new().with(Block::Verbatim(format!("{}\n", self.text)));
                made.with("/secret", json!(self.text), page)
            }
        })
    }
}
