//! `logctl shard --create-config FILE`: the next configuration, to be read, edited and applied.
//!
//! What must never happen: a file is overwritten without its owner's consent.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use logconfig::{LogConfig, LogName, ShardName};
use serde::Serialize;
use wire::Difference;

use crate::commands::document::wire_finding;
use crate::commands::{Session, differences, now, wire_difference};
use crate::error::Error;
use crate::file::File;
use crate::report::{Block, Outcome, Page, Present, Report};

/// A new log that no server knows yet.
#[derive(Debug)]
pub(super) struct NewLog {
    pub(super) log: String,
    pub(super) origin: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    log: String,
    file: String,
    /// The generation that the file was made from; absent for a new log.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    differences: Vec<Difference>,
    /// Parts of another system's list that do not fit into a document; each was also a warning.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<wire::Finding>,
}

pub(super) async fn run(
    session: &Session<'_>,
    file: File,
    force: bool,
    offline: Option<NewLog>,
) -> Result<Outcome, Error> {
    // Asked before any request to a server, because the user may say no.
    let overwrite = match &file {
        File::Path(path) => may_overwrite(session, path, force)?,
        File::Standard => false,
    };
    let (next, changes) = match offline {
        Some(new) => (first(new)?, Vec::new()),
        None => following(session).await?,
    };
    place(file, overwrite, next, changes, Vec::new())
}

/// Writes the document to its destination, and describes it.
pub(super) fn place(
    file: File,
    overwrite: bool,
    next: LogConfig,
    changes: Vec<Difference>,
    dropped: Vec<wire::Finding>,
) -> Result<Outcome, Error> {
    match file {
        File::Standard => {
            let value =
                serde_json::to_value(&next).map_err(|error| Error::Bug(error.to_string()))?;
            Ok(Outcome {
                report: Report::document(value, Page::new().with(Block::Verbatim(next.to_yaml()))),
                trouble: None,
            })
        }
        File::Path(path) => {
            let is_json = path
                .extension()
                .is_some_and(|extension| extension == "json");
            write(
                &path,
                &if is_json {
                    next.to_json()
                } else {
                    next.to_yaml()
                },
                overwrite,
            )?;
            Outcome::done(&Created {
                log: next.log.as_str().to_owned(),
                file: path.display().to_string(),
                generation: next.generation,
                differences: changes,
                dropped,
            })
        }
    }
}

/// The configuration that follows the running one.
async fn following(session: &Session<'_>) -> Result<(LogConfig, Vec<Difference>), Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let running = server.admin.config(&log, server.deadline).await?.config;
    let next =
        logconfig::with_rotation(&running, None, now()).map_err(|finding| Error::Invalid {
            subject: format!("the running configuration of {log}"),
            findings: vec![wire_finding(finding)],
        })?;
    let changes = logconfig::diff(&running, &next)
        .into_iter()
        .map(wire_difference)
        .collect();
    Ok((next, changes))
}

/// The first configuration of a log that no server has.
pub(super) fn first(new: NewLog) -> Result<LogConfig, Error> {
    let NewLog { log, origin } = new;
    let name = LogName::try_from(log.clone()).map_err(|error| Error::Usage {
        message: format!("--log: `{log}` cannot be the name of a log: {error}"),
        hint: "choose another name".into(),
    })?;
    let refused = |finding: logconfig::Finding| Error::Invalid {
        subject: format!("the first configuration of {log}"),
        findings: vec![wire_finding(finding)],
    };
    let placeholder =
        ShardName::try_from("first".to_owned()).map_err(|error| Error::Bug(error.to_string()))?;
    let mut config = LogConfig::new(name, origin, placeholder);
    config.shards.clear();
    let config = config.with_first_shard(now()).map_err(refused)?;
    let findings = config.validate();
    if findings.is_empty() {
        return Ok(config);
    }
    let findings = findings.into_iter().map(wire_finding).collect();
    Err(Error::Invalid {
        subject: format!("the first configuration of {log}"),
        findings,
    })
}

pub(in crate::commands) fn may_overwrite(
    session: &Session<'_>,
    path: &Path,
    force: bool,
) -> Result<bool, Error> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(force),
        _ if force => Ok(true),
        _ if session.ui.will_ask() || session.ui.says_yes() => session
            .ui
            .confirm(&format!("overwrite {}?", path.display()))
            .map(|()| true),
        _ => Err(Error::Exists {
            path: path.to_owned(),
            force: true,
        }),
    }
}

pub(in crate::commands) fn write(path: &Path, text: &str, overwrite: bool) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true);
    // Without consent to overwrite, a file that appeared since the check is not replaced either.
    if overwrite {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let written = options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Error::Exists {
            path: path.to_owned(),
            // The file appeared after the question.
            force: false,
        }),
        other => other.map_err(|source| Error::Write {
            what: path.display().to_string(),
            source,
        }),
    }
}

impl Present for Created {
    const KIND: &'static str = "ConfigFile";
    const NAME: &'static str = "/file";

    fn page(&self) -> Page {
        let file = &self.file;
        match self.generation {
            None => Page::new().text(format!(
                "wrote {file}: the first configuration of {}",
                self.log
            )),
            Some(generation) => Page::new()
                .text(format!(
                    "wrote {file}: the configuration of {} after generation {generation}",
                    self.log
                ))
                .with(differences(&self.differences))
                .text(format!(
                    "edit it if you like; `logctl shard --use-config {file}` applies it"
                )),
        }
    }
}
