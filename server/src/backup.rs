//! `logd backup`: a copy of the coordination store at one moment, while servers run.
//!
//! It must never replace a file, make a store that does not exist, or report a copy before it is durable. Objects are not in it: they never
//! change, and any program can copy them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use engine::fsck::Finding;
use serde::Serialize;
use store::{CopiedShard, Sqlite, SqliteCopy, StoreError};

use crate::args::{ReportFormat, Stores as Which};
use crate::clock;
use crate::error::{Error, at};
use crate::exit::Ended;
use crate::run::{self, print};
use crate::settings::Settings;
use logconfig::text::count;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    api_version: &'static str,
    kind: &'static str,
    path: PathBuf,
    bytes: u64,
    /// Everything in the copy was committed before this time.
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

/// Makes the copy and reports its contents.
pub(crate) fn run(which: &Which, to: &Path, output: ReportFormat) -> Result<Ended, Error> {
    let settings = Settings::read(&which.settings())?;
    let store = &settings.stores.coordination;
    store.metadata().map_err(at("read", store))?;
    let made = run::with_small_runtime(make(store, to))?;
    print(&match output {
        ReportFormat::Table => table(&made),
        ReportFormat::Json => json(&made),
    })?;
    Ok(match made.findings.is_empty() {
        true => Ended::Done,
        false => Ended::Findings,
    })
}

/// The file that is to be made: in a folder that is there, or under the name that is given. A name without an ending is more likely
/// a folder that is not there.
fn place(to: &Path, time: &str) -> Result<PathBuf, Error> {
    if to.is_dir() {
        let path = to.join(format!("coordination-{time}.db"));
        // The caller named a folder, so to name another one is no advice.
        if path.symlink_metadata().is_ok() {
            return Err(Error::Input {
                what: format!(
                    "no backup was made: {} already exists, from another backup in the same second",
                    path.display()
                ),
                hint: "run the command again".to_owned(),
            });
        }
        return Ok(path);
    }
    let absent = |folder: &Path| Error::Input {
        what: format!(
            "no backup was made: there is no folder {}",
            folder.display()
        ),
        hint: format!(
            "`install -d -m 0700 {}` makes it; --to names a folder that is there, or a new file such as coordination.db",
            folder.display()
        ),
    };
    let is_folder = to.as_os_str().as_encoded_bytes().ends_with(b"/");
    if is_folder || (to.extension().is_none() && to.symlink_metadata().is_err()) {
        return Err(absent(to));
    }
    match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => Err(absent(folder)),
        _ => Ok(to.to_owned()),
    }
}

async fn make(store: &Path, to: &Path) -> Result<Made, Error> {
    let failed = |error: StoreError| match error {
        StoreError::Io(detail) => Error::Backup(detail),
        other => Error::Backup(other.to_string()),
    };
    let now = jiff::Timestamp::now();
    let path = place(to, &now.strftime("%Y%m%dT%H%M%SZ").to_string())?;
    let copy = SqliteCopy::of(store, &path).map_err(failed)?;
    let copied = Sqlite::open_to_read(copy.temporary()).map_err(failed)?;
    let (shards, findings) = engine::fsck::positions(&copied).await.map_err(failed)?;
    drop(copied);
    let time = clock::now();
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
            "  log {}, shard {}: {} ordered, {} published{}",
            position.log,
            position.shard,
            count(position.ordered, "entry"),
            position.published,
            root.map(|root| format!(" (root of these: {root})"))
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
            "the store was copied as it is, with its faults: run logd fsck"
        ));
    }
    line(format_args!(
        "not in it: the objects, and the key-encryption key. It may be put back only where nothing was signed since"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("taken"), "").unwrap();
        let made = |to: &Path| place(to, "T");
        assert_eq!(made(folder.path()).unwrap(), at("coordination-T.db"));
        assert_eq!(made(&at("new.db")).unwrap(), at("new.db"));
        std::fs::write(at("coordination-T.db"), "").unwrap();
        let error = made(folder.path()).unwrap_err();
        assert!(error.to_string().contains("in the same second"), "{error}");
        assert_eq!(error.hint().unwrap(), "run the command again");
        // The copy itself says that it is never replaced.
        assert_eq!(made(&at("taken")).unwrap(), at("taken"));
        for (to, missing) in [
            ("absent", "absent"),
            ("absent/", "absent/"),
            ("absent/new.db", "absent"),
            ("absent.d/", "absent.d/"),
        ] {
            let error = made(&at(to)).unwrap_err();
            let said = format!("{error} {}", error.hint().unwrap());
            let missing = at(missing).display().to_string();
            assert!(
                said.contains(&format!("there is no folder {missing}"))
                    && said.contains(&format!("install -d -m 0700 {missing}")),
                "{said}"
            );
            assert!(!said.contains(".part"), "{said}");
        }
    }
}
