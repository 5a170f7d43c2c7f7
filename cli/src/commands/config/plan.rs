//! `logctl config plan FILE -o plan.json`: a change computed by the server and written to a file, to be reviewed and applied later.

use std::path::{Path, PathBuf};

use clap::ValueHint;
use logconfig::{Plan, PlanDocument};
use serde::Serialize;
use wire::OperationState;
use wire::routes::Name;

use crate::client::Call;
use crate::commands::document::Document;
use crate::commands::shard::create_config;
use crate::commands::{Session, change, differences, now, rfc3339, shard, wire_difference};
use crate::error::Error;
use crate::file::File;
use crate::report::{Outcome, Page, Present, Report};

/// The arguments of `logctl config plan`.
#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// The document, YAML or JSON; `-` is standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: File,
    /// The file for the plan; standard output when absent.
    #[arg(skip)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Planned {
    log: String,
    /// The file that it was written to.
    file: Option<String>,
    base_etag: String,
    etag: String,
    generation: u64,
    digest: String,
    differences: Vec<wire::Difference>,
    /// Warnings about the change. They are asked for again when the plan is applied, and are not part of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<wire::Finding>,
}

pub(super) async fn run(
    session: &Session<'_>,
    PlanArgs { file, out }: PlanArgs,
) -> Result<Outcome, Error> {
    // Asked before any request to a server, because the user may say no.
    let overwrite = match &out {
        Some(path) => {
            is_plan(path)
                || create_config::may_overwrite(session, path, false).map_err(only_another)?
        }
        None => false,
    };
    let document = Document::read(&file).await?;
    let server = session.server()?;
    let log = match &server.settings.log {
        Some(_) => server.log().await?,
        None => document.config.log.as_str().to_owned(),
    };
    let running = server.admin.config(&log, server.deadline).await?;
    let base = shard::use_config::base(&server, &document, &log).await?;
    let call = Call::new(Name::PutConfig, &log, &document.config)?;
    let preview = server
        .admin
        .preview(&call, Some(&base), server.deadline)
        .await
        .map_err(|error| document.place(error))?;
    change::warn(session, &preview.warnings, &mut Vec::new());
    let from = PlanDocument::new(&running.config, preview.base_generation);
    // The server keeps what a document leaves out of the records of announced keys.
    let next = document.config.clone();
    let next = next.keeping_announced(&running.config);
    let to = PlanDocument::new(&next, preview.generation);
    // If the server reads this document, or the running one, differently, the plan would be worth nothing.
    let differs = |what: &str, ours: &str, theirs: &str| Error::Foreign {
        address: server.admin.address(),
        cause: format!("{what} is {ours} here and {theirs} there"),
    };
    if from.etag != running.etag {
        return Err(differs("the running document", &from.etag, &running.etag));
    }
    if preview.state != OperationState::Unchanged && to.etag != preview.etag {
        return Err(differs("the next document", &to.etag, &preview.etag));
    }
    let who = server.admin.whoami(server.deadline).await;
    let plan = Plan::new(from, to, rfc3339(now()), who.ok().map(|who| who.actor));
    let text = plan.encode();
    let planned = Planned {
        log,
        file: out.as_ref().map(|path| path.display().to_string()),
        digest: plan.digest(),
        base_etag: plan.base.etag,
        etag: plan.next.etag,
        generation: plan.next.generation,
        differences: plan.differences.into_iter().map(wire_difference).collect(),
        warnings: preview.warnings,
    };
    match out {
        Some(path) => {
            create_config::write(&path, &text, overwrite)?;
            Outcome::done(&planned)
        }
        // With -o json, the plan itself.
        None => {
            let value = serde_json::from_str(&text)
                .map_err(|error| Error::Bug(format!("cannot read the plan again: {error}")))?;
            Ok(Outcome {
                report: Report::document(value, planned.page()),
                trouble: None,
            })
        }
    }
}

/// The error with a hint to name another file: no flag allows overwriting this one.
fn only_another(error: Error) -> Error {
    match error {
        Error::Exists { path, .. } => Error::Exists { path, force: false },
        other => other,
    }
}

/// Whether a file is a plan. A plan may be overwritten, since it can be made again; any other file may not.
fn is_plan(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| Plan::decode(&bytes).is_ok())
}

impl Present for Planned {
    const ADVICE: &'static [&'static str] = &["warnings"];
    const KIND: &'static str = "PlanFile";
    const NAME: &'static str = "/file";

    fn page(&self) -> Page {
        let page = if self.differences.is_empty() {
            Page::new().text(format!(
                "{}: nothing to do, {} already runs this",
                self.log, self.base_etag
            ))
        } else {
            Page::new()
                .text(format!("{}: {} -> {}", self.log, self.base_etag, self.etag))
                .with(differences(&self.differences))
        };
        page.text(match &self.file {
            Some(file) => format!(
                "wrote {file}; `logctl config apply {file}` applies exactly this, or shows what has changed"
            ),
            None => "nothing was written; `-o plan.json` writes the plan".to_owned(),
        })
    }
}
