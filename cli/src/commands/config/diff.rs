//! `logctl config diff FILE`: what `--use-config` would change, by the server's own dry run.

use serde::Serialize;
use wire::Difference;

use crate::client::Write;
use crate::commands::document::Document;
use crate::commands::{Session, change, differences, shard};
use crate::error::{Error, count};
use crate::report::{Outcome, Page, Present};
use crate::request::File;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigDiff {
    log: String,
    file: String,
    generation: u64,
    differences: Vec<Difference>,
}

pub(in crate::commands) async fn run(
    session: &Session<'_>,
    file: File,
    exit_code: bool,
) -> Result<Outcome, Error> {
    let document = Document::read(&file).await?;
    let server = session.server()?;
    let log = match &server.settings.log {
        Some(_) => server.log().await?,
        None => document.config.log.as_str().to_owned(),
    };
    let base = shard::use_config::base(&server, &document, &log).await?;
    let write = Write::configure(document.config.clone());
    let preview = server
        .admin
        .preview(&log, &write, Some(&base), server.deadline)
        .await;
    let operation = preview.map_err(|error| document.place(error))?;
    change::warn(session, &operation.warnings, &mut Vec::new());
    let differences = operation.differences.len();
    let trouble = (exit_code && differences > 0).then_some(Error::Differs {
        differences,
        file: true,
    });
    let generation = operation.base_generation;
    Outcome::with_trouble(
        &ConfigDiff {
            log,
            file: document.subject,
            generation,
            differences: operation.differences,
        },
        trouble,
    )
}

impl Present for ConfigDiff {
    const KIND: &'static str = "ConfigDiff";
    const LIST: Option<&'static str> = Some("differences");
    const NAME: &'static str = "/subject";

    fn page(&self) -> Page {
        let Self {
            log,
            file,
            generation,
            ..
        } = self;
        if self.differences.is_empty() {
            return Page::new().text(format!(
                "{file} is what {log} runs (generation {generation})"
            ));
        }
        let all = count(self.differences.len(), "difference");
        Page::new()
            .text(format!("{file}: {all} to generation {generation} of {log}"))
            .with(differences(&self.differences))
    }
}
