//! `logd fsck`: opens the stores, lets the engine's checker read them, and prints its findings.
//!
//! It must never make a store that does not exist: a mistyped path would be reported as clean. It writes nothing at all, so it also runs on
//! a file system that is mounted read-only, and as a user that may only read.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::fsck::{Finding, NodeReport, Progress, Report, StoreKind, fsck};
use engine::{Opening, Places as _};
use serde::Serialize;
use store::{Directory, Objects, Sqlite, StoreError};

use crate::args::{ReportFormat, Stores as Which};
use crate::error::{Error, at};
use crate::exit::Ended;
use crate::run::print;
use crate::settings::{Settings, Stores};
use logconfig::text::count;

/// Time between two lines of progress.
const PROGRESS: Duration = Duration::from_millis(200);

/// The document that `-o json` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    api_version: &'static str,
    kind: &'static str,
    clean: bool,
    logs: &'a [engine::fsck::LogReport],
    findings: &'a [Finding],
}

/// Checks the stores and prints the report.
pub(crate) fn run(which: &Which, output: ReportFormat) -> Result<Ended, Error> {
    let settings = Settings::read(&which.settings())?;
    let report = check(&settings)?;
    print(&match output {
        ReportFormat::Table => table(&report, &settings.stores),
        ReportFormat::Json => json(&report),
    })?;
    Ok(if report.is_clean() {
        Ended::Done
    } else {
        Ended::Findings
    })
}

fn check(settings: &Settings) -> Result<Report, Error> {
    let stores = &settings.stores;
    for path in [&stores.coordination, &stores.objects] {
        path.metadata().map_err(at("read", path))?;
    }
    let failed = |source| Error::System {
        what: "cannot start the runtime",
        source,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(async {
        let coordination = match Sqlite::open_to_read(&stores.coordination) {
            Ok(coordination) => coordination,
            Err(error) => return damaged(error, stores),
        };
        let objects = Directory::open_to_read(&stores.objects)
            .map_err(|e| store_error("objects", &stores.objects, &e))?;
        let places = settings.places()?;
        let node = |name: &str| -> Opening<'_> {
            let known = settings.nodes.iter().find(|(at, _)| at.as_str() == name);
            match known.and_then(|(_, node)| node.path.as_ref()) {
                Some(path) => {
                    let opened = Directory::open_to_read(path)
                        .map(|node| Arc::new(node) as Arc<dyn Objects>)
                        .map_err(|e| format!("{}: {e}", path.display()));
                    Box::pin(std::future::ready(opened))
                }
                None => places.node(name),
            }
        };
        let mut line = Line::default();
        let mut show = |progress: Progress<'_>| line.show(progress);
        let outcome = fsck(&coordination, &objects, &node, &mut show).await;
        line.clear();
        outcome.or_else(|error| damaged(error, stores))
    })
}

fn store_error(what: &'static str, path: &Path, error: &StoreError) -> Error {
    Error::Store {
        what,
        path: path.to_owned(),
        detail: error.to_string(),
    }
}

/// A coordination store that is damaged below its rows is a finding too.
fn damaged(error: StoreError, stores: &Stores) -> Result<Report, Error> {
    let StoreError::Corrupt(what) = error else {
        return Err(store_error("coordination", &stores.coordination, &error));
    };
    let finding = Finding {
        log: "all".to_owned(),
        place: stores.coordination.display().to_string(),
        store: StoreKind::Coordination,
        what,
        remedy: "stop the server; put a copy back only where nothing was signed since it was made (`logd fsck` with it says so), or restore the log from its secondaries with `logd restore`",
    };
    Ok(Report {
        findings: vec![finding],
        ..Report::default()
    })
}

fn json(report: &Report) -> String {
    let document = Document {
        api_version: "logctl/v1",
        kind: "Fsck",
        clean: report.is_clean(),
        logs: &report.logs,
        findings: &report.findings,
    };
    // Strings and integers only: serde_json cannot fail on it.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn table(report: &Report, stores: &Stores) -> String {
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{args}");
    };
    for log in &report.logs {
        line(format_args!(
            "log {}: slots up to number {} ({} kept), {} ordered, {} published, {}, {} read",
            log.name,
            log.slots,
            log.slots - log.floor.min(log.slots),
            count(log.ordered, "entry"),
            log.published,
            count(log.shards, "shard"),
            count(log.objects, "object"),
        ));
        for node in &log.nodes {
            let NodeReport { name, trouble, .. } = node;
            match trouble {
                Some(why) => line(format_args!(
                    "  storage node {name}: could not be read: {why}"
                )),
                None => line(format_args!(
                    "  storage node {name}: {} large batches intact, {} lacking, {} damaged",
                    node.intact, node.lacks, node.damaged
                )),
            }
            if node.lacks > 0 {
                line(format_args!("    a running server writes them here again"));
            }
        }
        let whole = report.findings.iter().all(|found| found.log != log.name);
        for unfinished in &log.unfinished {
            let says = match whole {
                true => "a restart finishes",
                false => "unfinished, until the findings below are settled",
            };
            line(format_args!("  {says}: {unfinished}"));
        }
        let leftovers = log.leftovers.announcements
            + log.leftovers.batches
            + log.leftovers.rows
            + log.leftovers.objects;
        if leftovers > 0 && whole {
            line(format_args!(
                "  leftovers of interrupted work, harmless: {leftovers}"
            ));
        } else if leftovers > 0 {
            // An older coordination store does not know newer objects.
            line(format_args!(
                "  rows and objects that nothing here refers to: {leftovers}; remove none of them before the findings below are settled"
            ));
        }
    }
    for Finding {
        log,
        place,
        store,
        what,
        remedy,
    } in &report.findings
    {
        let place = match store {
            StoreKind::Coordination => format!("{}, row {place}", stores.coordination.display()),
            StoreKind::Objects => stores.objects.join(place).display().to_string(),
            StoreKind::Node => format!("storage node {place}"),
        };
        line(format_args!(
            "WRONG  log {log}: {place}\n       {what}\n       {remedy}"
        ));
    }
    match report.findings.len() {
        0 => line(format_args!("clean")),
        1 => line(format_args!("1 finding")),
        many => line(format_args!("{many} findings")),
    }
    text
}

/// One line on a terminal that says how far the check is; nothing elsewhere.
#[derive(Debug, Default)]
struct Line {
    last: Option<Instant>,
}

impl Line {
    fn show(&mut self, progress: Progress<'_>) {
        let mut out = std::io::stderr().lock();
        if !out.is_terminal() || self.last.is_some_and(|last| last.elapsed() < PROGRESS) {
            return;
        }
        self.last = Some(Instant::now());
        let place = progress.shard.map_or_else(
            || progress.log.to_owned(),
            |shard| format!("{}/{shard}", progress.log),
        );
        let of = progress
            .total
            .map(|total| format!(" of {total}"))
            .unwrap_or_default();
        // Progress that cannot be shown changes nothing.
        let _ = write!(out, "\r\x1b[Kchecking {place}: {}{of}", progress.done);
        let _ = out.flush();
    }

    fn clear(&mut self) {
        if self.last.take().is_some() {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Dev, LogFormat};
    use crate::testing::engine;
    use tlog::GlobalIndex;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_flipped_byte_is_named_and_a_missing_store_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let free = "127.0.0.1:0".parse().unwrap();
        let dev = Dev {
            dir: folder.path().to_owned(),
            listen: free,
            admin: free,
            metrics: None,
            rekor: false,
            merge: engine::Program::ALL.to_vec(),
            drain: None,
            format: LogFormat::Text,
        };
        let mut settings = crate::dev::prepare(&dev).unwrap().settings;
        let stores = settings.stores.clone();
        let missing = tokio::task::spawn_blocking({
            let settings = settings.clone();
            move || check(&settings)
        });
        assert!(matches!(missing.await.unwrap(), Err(Error::File { .. })));
        assert!(!stores.coordination.exists() && !stores.objects.exists());

        let stores = Stores {
            coordination: folder.path().join("coordination.db"),
            ..stores
        };
        let engine = engine(&folder).await;
        let log = engine.log("dev").unwrap();
        for n in 0..300u32 {
            log.append(n.to_be_bytes().to_vec().into()).await.unwrap();
        }
        log.wait_published(GlobalIndex::new(299)).await.unwrap();
        engine.shutdown().await;
        settings.stores = stores.clone();
        let checked = || {
            let settings = settings.clone();
            tokio::task::spawn_blocking(move || check(&settings).unwrap())
        };
        let clean = checked().await.unwrap();
        assert!(clean.is_clean(), "{}", table(&clean, &stores));
        assert!(table(&clean, &stores).ends_with("clean\n"));

        let tile = stores.objects.join("dev/a/tile/entries/000");
        let mut bytes = std::fs::read(&tile).unwrap();
        bytes[9] ^= 1;
        std::fs::write(&tile, bytes).unwrap();
        let found = checked().await.unwrap();
        assert!(
            table(&found, &stores).contains(tile.to_str().unwrap()),
            "{}",
            table(&found, &stores)
        );
        let json: serde_json::Value = serde_json::from_str(&json(&found)).unwrap();
        assert_eq!(
            (json["clean"].as_bool(), json["findings"][0]["log"].as_str()),
            (Some(false), Some("dev"))
        );

        std::fs::write(
            &stores.coordination,
            b"SQLite format 3\0 and then nothing of the kind",
        )
        .unwrap();
        let found = checked().await;
        assert!(found.is_err() || !found.unwrap().is_clean());
    }
}
