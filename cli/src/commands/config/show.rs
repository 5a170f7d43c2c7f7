//! `logctl config show`: a document as `--create-config` writes it, with the values that the server filled in.

use crate::commands::Session;
use crate::error::Error;
use crate::report::{Block, Outcome, Page, Report};

pub(super) async fn run(session: &Session<'_>, generation: Option<u64>) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let answer = match generation {
        Some(generation) => {
            let at = server.admin.config_at(&log, generation, server.deadline);
            at.await?
        }
        None => server.admin.config(&log, server.deadline).await?,
    };
    let config = answer.config;
    let value = serde_json::to_value(&config).map_err(|error| Error::Bug(error.to_string()))?;
    Ok(Outcome {
        report: Report::document(value, Page::new().with(Block::Verbatim(config.to_yaml()))),
        trouble: None,
    })
}
