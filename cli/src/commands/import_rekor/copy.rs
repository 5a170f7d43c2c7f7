//! Copies the entries that the server does not have yet, and shows the progress.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use tlog::TreeSize;
use wire::{ImportEntry, ImportPage, ImportProgress, ImportRequest, codes};

use super::{RekorArgs, unverified};
use crate::commands::{Server, Session};
use crate::error::Error;
use crate::import::shard::OldShard;
use crate::import::source::Source;
use crate::import::waits::Waits;
use crate::numbers::grouped;
use crate::ui::Phase;

/// Text of entries in one request: a server takes 4 MiB.
const PAGE_BYTES: usize = 2 << 20;
/// Entries in one request: the server verifies a signature of each.
const PAGE_ENTRIES: usize = 1024;
/// How long a server that restarts is waited for, and how often it is asked.
const SERVER_TIMEOUT: Duration = Duration::from_secs(60);
const SERVER_BACKOFF: Duration = Duration::from_secs(1);
/// Time between two lines about the progress, where no bar is drawn.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Copies the entries that the server does not have yet.
pub(super) async fn copy(
    session: &Session<'_>,
    server: &Server,
    log: &str,
    source: &Source,
    shards: &[OldShard],
    request: &ImportRequest,
    args: &RekorArgs,
) -> Result<(), Error> {
    let progress = server
        .admin
        .begin_import(log, request, session.deadline())
        .await?;
    session.ui.stand(
        "what was copied is kept, and no reader sees it",
        "run the same command again to continue",
    );
    let total: u64 = shards.iter().map(|shard| shard.head.size).sum();
    let mut shown = Shown::begin(session, source, total);
    shown.set(done(&progress));
    for shard in shards {
        let there = progress
            .shards
            .iter()
            .find(|known| known.tree_id == shard.tree_id);
        let mut from = there.map_or(0, |known| known.imported.get());
        let mut entries = source.entries(shard, from, usize::from(args.connections))?;
        let (mut page, mut bytes) = (Vec::new(), 0);
        loop {
            let more = entries.next().await.transpose()?;
            let is_end = more.is_none();
            for entry in more.into_iter().flatten() {
                bytes += entry.body.len() + entry.signed_entry_timestamp.len() + 128;
                page.push(entry);
            }
            let is_full = bytes >= PAGE_BYTES || page.len() >= PAGE_ENTRIES;
            if !page.is_empty() && (is_full || is_end) {
                let count = page.len() as u64;
                add(session, server, log, shard, from, std::mem::take(&mut page))
                    .await
                    .map_err(|error| not_signed(error, source, shard))?;
                (from, bytes) = (from + count, 0);
                shown.set(shown.done + count);
            }
            if is_end {
                break;
            }
        }
    }
    Ok(())
}

/// Adds the next step where an entry of this shard is not what the old Rekor signed.
fn not_signed(error: Error, source: &Source, shard: &OldShard) -> Error {
    match error {
        Error::Problem(problem) if problem.code == codes::UNVERIFIED => {
            unverified(*problem, source.not_signed(shard))
        }
        error => error,
    }
}

/// Sends a page of entries. A server that restarts is waited for: the same page again is harmless.
async fn add(
    session: &Session<'_>,
    server: &Server,
    log: &str,
    shard: &OldShard,
    from: u64,
    entries: Vec<ImportEntry>,
) -> Result<(), Error> {
    let page = ImportPage {
        tree_id: shard.tree_id.clone(),
        from: TreeSize::new(from),
        entries,
    };
    let began = Instant::now();
    loop {
        match server
            .admin
            .add_to_import(log, &page, session.deadline())
            .await
        {
            Err(Error::Unreachable { .. }) if began.elapsed() < SERVER_TIMEOUT => {
                tokio::time::sleep(SERVER_BACKOFF).await;
            }
            added => return added.map(|_| ()),
        }
    }
}

/// How many entries the server has.
pub(super) fn done(progress: &ImportProgress) -> u64 {
    progress
        .shards
        .iter()
        .map(|shard| shard.imported.get())
        .sum()
}

/// The progress as it is shown: a bar on a terminal, elsewhere a line now and then.
pub(super) struct Shown<'a> {
    session: &'a Session<'a>,
    phase: Phase,
    waits: Option<Arc<Waits>>,
    total: u64,
    pub(super) done: u64,
    /// When the last line was printed.
    line: Instant,
}

impl<'a> Shown<'a> {
    pub(super) fn begin(session: &'a Session<'a>, source: &Source, total: u64) -> Self {
        let phase = session.ui.phase("copying entries");
        phase.total(total);
        let waits = source.waits();
        if let Some(waits) = &waits {
            waits.begin(total, phase.bar());
        }
        Self {
            session,
            phase,
            waits,
            total,
            done: 0,
            line: Instant::now(),
        }
    }

    pub(super) fn set(&mut self, done: u64) {
        self.done = done;
        self.phase.position(done);
        if let Some(waits) = &self.waits {
            waits.set(done);
        }
        if !self.phase.is_drawn() && self.line.elapsed() >= LINE_EVERY {
            self.line = Instant::now();
            let (done, total) = (grouped(done), grouped(self.total));
            self.session
                .ui
                .line(&format!("{done} of {total} entries copied"));
        }
    }
}
