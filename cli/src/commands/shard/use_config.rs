//! `logctl shard --use-config FILE`: checks a whole document, lets the server compare it, applies it once, and waits.

use wire::routes::Name;

use crate::client::Call;
use crate::commands::Session;
use crate::commands::change::{self, Consent, Trial};
use crate::commands::document::Document;
use crate::error::Error;
use crate::file::File;
use crate::report::Outcome;

pub(super) async fn run(
    session: &Session<'_>,
    file: &File,
    trial: Trial,
) -> Result<Outcome, Error> {
    let document = Document::read(file).await?;
    let server = session.server()?;
    // The log's name comes from the file only if it is named nowhere else: a file for another log is a mistake, not a switch.
    let log = match &server.settings.log {
        Some(_) => server.log().await?,
        None => document.config.log.as_str().to_owned(),
    };
    let base = base(&server, &document, &log).await?;
    let call = Call::new(Name::PutConfig, &log, &document.config)?;
    let consent = Consent {
        question: Some(format!("apply {} to {log}?", document.subject)),
        log,
        base: Some(base),
        preview: true,
        typed: None,
        trial,
    };
    change::carry_out(session, &server, call, consent)
        .await
        .map_err(|error| document.place(error))
}

/// The base of the document: the generation that it names, or the running one if it names none.
pub(in crate::commands) async fn base(
    server: &crate::commands::Server,
    document: &Document,
    log: &str,
) -> Result<String, Error> {
    match document.config.generation {
        Some(generation) => Ok(format!("g{generation}")),
        None => Ok(server.admin.log(log, server.deadline).await?.etag),
    }
}
