//! `logd backup`: a copy of the coordination store, of one moment, while servers go on.
//!
//! It must never replace a file, make a store that is not there, or call a copy made that is not durable. Objects are not in it:
//! they never change, and any program can copy them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use log::fsck::Finding;
use log::store::{CopiedShard, Sqlite, SqliteCopy, StoreError};
use serde::Serialize;

use crate::args::{FsckOutput, Stores as Which};
use crate::error::{Error, at};
use crate::exit::Ended;
use crate::rfc3339;
use crate::run::{self, print};
use crate::settings::Settings;

/// What was made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    api_version: &'static str,
    kind: &'static str,
    path: PathBuf,
    bytes: u64,
    /// What it holds was committed by then.
    time: String,
    version: &'static str,
    shards: Vec<Position>,
    findings: Vec<Finding>,
}

/// How far a shard is in the copy.
#[derive(Debug, Serialize)]
struct Position {
    log: String,
    shard: String,
    ordered: u64,
    published: u64,
    root: Option<String>,
}

/// Makes the copy and says what it stands for.
pub(crate) fn run(which: &Which, to: &Path, output: FsckOutput) -> Result<Ended, Error> {
    let settings = Settings::read(&which.settings())?;
    let store = &settings.stores.coordination;
    store.metadata().map_err(at("read", store))?;
    let made = run::with_small_runtime(make(store, to))?;
    print(&match output {
        FsckOutput::Table => table(&made),
        FsckOutput::Json => json(&made),
    })?;
    Ok(match made.findings.is_empty() {
        true => Ended::Done,
        false => Ended::Findings,
    })
}

async fn make(store: &Path, to: &Path) -> Result<Made, Error> {
    let failed = |error: StoreError| match error {
        StoreError::Io(detail) => Error::Backup(detail),
        other => Error::Backup(other.to_string()),
    };
    let now = jiff::Timestamp::now();
    let path = match to.is_dir() {
        true => to.join(format!(
            "coordination-{}.db",
            now.strftime("%Y%m%dT%H%M%SZ")
        )),
        false => to.to_owned(),
    };
    let copy = SqliteCopy::of(store, &path).map_err(failed)?;
    let copied = Sqlite::open_to_read(copy.temporary()).map_err(failed)?;
    let (shards, findings) = log::fsck::positions(&copied).await.map_err(failed)?;
    drop(copied);
    let time = rfc3339::now();
    let version = env!("CARGO_PKG_VERSION");
    let bytes = copy.finish(&time, version, &shards).map_err(failed)?;
    let position = |copied: CopiedShard| Position {
        log: copied.log,
        shard: copied.shard,
        ordered: copied.ordered,
        published: copied.published,
        root: copied.root,
    };
    Ok(Made {
        api_version: "logctl/v1",
        kind: "Backup",
        path,
        bytes,
        time,
        version,
        shards: shards.into_iter().map(position).collect(),
        findings,
    })
}

fn json(made: &Made) -> String {
    // Strings and integers only: serde_json cannot fail on it.
    let mut text = serde_json::to_string_pretty(made).unwrap_or_default();
    text.push('\n');
    text
}

fn table(made: &Made) -> String {
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{args}");
    };
    line(format_args!(
        "backup of the coordination store: {} ({} bytes, {})",
        made.path.display(),
        made.bytes,
        made.time
    ));
    for position in &made.shards {
        let root = position.root.as_deref();
        line(format_args!(
            "  log {}, shard {}: {} entries ordered, {} published{}",
            position.log,
            position.shard,
            position.ordered,
            position.published,
            root.map(|root| format!(", root {root}"))
                .unwrap_or_default()
        ));
    }
    for finding in &made.findings {
        line(format_args!(
            "WRONG  log {}: row {}\n       {}",
            finding.log, finding.place, finding.what
        ));
    }
    if !made.findings.is_empty() {
        line(format_args!(
            "the store was copied as it is, with what is wrong in it: run logd fsck"
        ));
    }
    line(format_args!(
        "not in it: the objects, and the key-encryption key. It may be put back only where nothing was signed since"
    ));
    text
}
