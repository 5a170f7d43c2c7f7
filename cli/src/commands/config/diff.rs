//! `logctl config diff FILE`: the changes that `--use-config` would make, by the server's own dry run.

use clap::ValueHint;
use serde::Serialize;
use wire::Difference;
use wire::routes::Name;

use super::compare::{self, Generations, parse_generations};
use crate::client::Call;
use crate::commands::document::Document;
use crate::commands::{Session, change, differences, shard};
use crate::error::{Error, count};
use crate::file::File;
use crate::report::{Outcome, Page, Present};

/// The arguments of `logctl config diff`.
#[derive(Debug, clap::Args)]
pub(crate) struct DiffArgs {
    /// The document, YAML or JSON; `-` is standard input
    #[arg(value_hint = ValueHint::FilePath, required_unless_present = "generation", conflicts_with = "generation")]
    pub(crate) file: Option<File>,
    /// Two generations, A..B, or one to compare with the running configuration
    #[arg(long, value_name = "A..B", value_parser = parse_generations)]
    pub(crate) generation: Option<Generations>,
    /// Exit with 3 when there is a difference
    #[arg(long)]
    exit_code: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigDiff {
    log: String,
    file: String,
    generation: u64,
    differences: Vec<Difference>,
}

pub(super) async fn run(
    session: &Session<'_>,
    DiffArgs {
        file,
        generation,
        exit_code,
    }: DiffArgs,
) -> Result<Outcome, Error> {
    if let Some(generations) = generation {
        return compare::run(session, generations, exit_code).await;
    }
    // Clap asks for one of the two; standard input is the harmless reading.
    let file = file.unwrap_or(File::Standard);
    let document = Document::read(&file).await?;
    let server = session.server()?;
    let log = match &server.settings.log {
        Some(_) => server.log().await?,
        None => document.config.log.as_str().to_owned(),
    };
    let base = shard::use_config::base(&server, &document, &log).await?;
    let call = Call::new(Name::PutConfig, &log, &document.config)?;
    let preview = server
        .admin
        .preview(&call, Some(&base), server.deadline)
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
