//! `logd index rebuild`: removes the search index of a log and builds it again from what is published.
//!
//! It never touches a file that a server has open.

use std::path::Path;

use engine::{Log, MergeOptions, Programs};
use logconfig::text::count;
use tlog::GlobalIndex;
use tokio::time::{Duration, timeout};

use super::{file, follow, is_indexed, open};
use crate::args::Stores;
use crate::error::{Error, at};
use crate::run;
use crate::settings::Settings;
use rekor_index::Index;

/// How long the end may take.
const END: Duration = Duration::from_secs(10);
/// Entries that are indexed in one transaction.
const BATCH: u64 = 4096;

/// Which indexes are built again, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Which {
    /// The name of a log; all logs that have an index if absent.
    pub(crate) log: Option<String>,
    /// The stores that the logs are in.
    pub(crate) stores: Stores,
}

/// Builds indexes again, one after the other.
pub(crate) async fn run(which: &Which) -> Result<(), Error> {
    let settings = Settings::read(&which.stores.settings())?;
    for path in [&settings.stores.coordination, &settings.stores.objects] {
        path.metadata().map_err(at("read", path))?;
    }
    let options = MergeOptions {
        programs: Programs::NONE,
        writes: false,
        ..run::merge_options(&settings)?
    };
    let engine = run::open_engine(&settings, options, "index rebuild").await?;
    let done = async {
        let mut logs = engine.logs();
        logs.retain(|log| match &which.log {
            Some(name) => log.name() == name,
            None => is_indexed(log),
        });
        if logs.is_empty() {
            return Err(Error::Index(match &which.log {
                Some(name) => format!("there is no log {name} in these stores"),
                None => {
                    "no log in these stores has a search index (`rekor.v1` in its configuration)"
                        .to_owned()
                }
            }));
        }
        for log in logs {
            let path = file(&settings.index_folder(), log.name());
            let indexed = one(&log, &path).await.map_err(Error::Index)?;
            let indexed = count(indexed.get(), "entry");
            run::print(&format!(
                "{}: {indexed} in {}\n",
                log.name(),
                path.display()
            ))?;
        }
        Ok(())
    };
    let done = done.await;
    if timeout(END, engine.shutdown()).await.is_err() {
        tracing::warn!("the engine did not stop in time; everything that was finished is durable");
    }
    done
}

/// Builds one index; returns its new position.
pub(super) async fn one(log: &Log, path: &Path) -> Result<GlobalIndex, String> {
    let failed = |error: rekor_index::Error| match error {
        rekor_index::Error::Held { path } => format!(
            "a server uses the search index {}: stop that server, and start it again afterwards",
            path.display()
        ),
        error => format!("log {}: {error}", log.name()),
    };
    Index::remove(path).map_err(failed)?;
    let index = open(path, &log.config().origin).map_err(failed)?;
    let published = log.watermarks().published;
    let mut position = GlobalIndex::ZERO;
    while position < published {
        let end = published.min(position + BATCH);
        let entries = follow::read(log, position, end).await;
        let entries = entries.map_err(|error| format!("log {}: {error}", log.name()))?;
        let none = Default::default();
        position = follow::write(&index, position, &entries, none, true).map_err(failed)?;
    }
    index.sync().map_err(failed)?;
    Ok(position)
}
