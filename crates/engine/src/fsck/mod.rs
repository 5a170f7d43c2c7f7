//! `fsck`: reads the stores and checks that everything in them follows from the order and leads to the signed roots.
//!
//! It only reads, uses no key, and trusts nothing but the shards' public keys, which are in the slots. The server may run meanwhile: rows
//! that change are read again before they are reported. What must never happen: a clean report over damaged data, or an alarm about a
//! state that a crash or a running server may leave behind (those are counted, not found).

mod batches;
mod large;
mod notes;
mod positions;
mod promises;
mod rows;
mod shard;
mod slots;
mod tree;

#[cfg(test)]
mod tests;

use order::SlotNumber;
use std::collections::HashSet;

use serde::Serialize;

pub use large::{NodeReport, OpenNode};

use crate::control::import;
use crate::orphans;
use crate::orphans::Orphan;
use order::keys::{CLOCK, IMPORTING, LOGS, ORIGINS, RESTORING};
use order::slot::ShardIdentity;
use store::record;
use store::{Coordination, CopiedShard, Objects, StoreError};

/// A fault and its remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The log that the finding is about.
    pub log: String,
    /// The key in the coordination store, or the path in the object store.
    pub place: String,
    /// Which of the two stores.
    pub store: StoreKind,
    /// The fault, in words for an operator.
    pub what: String,
    /// The remedy, in words for an operator.
    pub remedy: &'static str,
}

/// The store that a finding is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// The coordination store: order, positions, keys.
    Coordination,
    /// The object store: tiles, bundles, checkpoints, large batches.
    Objects,
    /// A storage node: the place begins with its name.
    Node,
}

/// Rows and objects that are not needed: interrupted work of dead processes. They are harmless, and counted so that growth is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Leftovers {
    /// Announcements, and rows of promised work, that are ordered already; announcements that count no more.
    pub announcements: u64,
    /// Batches that no slot needs.
    pub batches: u64,
    /// Config documents, sealed keys and roots that nothing names.
    pub rows: u64,
    /// Objects that belong to no shard, or are ahead of the published size.
    pub objects: u64,
}

/// The results for one log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogReport {
    /// The log's name in addresses and commands.
    pub name: String,
    /// Number of slots ever decided.
    pub slots: SlotNumber,
    /// The first slot that is still kept.
    pub floor: SlotNumber,
    /// Entries that have a place in the log.
    pub ordered: u64,
    /// Entries under a published root, all of which were hashed again.
    pub published: u64,
    /// Shards, the planned ones too.
    pub shards: u64,
    /// Tiles and bundles that were read.
    pub objects: u64,
    /// The unpublished large batches on each storage node; empty if there is only the server's own store.
    pub nodes: Vec<NodeReport>,
    /// Work that a restart of the server finishes: a checkpoint or a seal that is not written yet.
    pub unfinished: Vec<String>,
    /// Rows and objects that nothing needs; no finding.
    #[serde(rename = "litter")]
    pub leftovers: Leftovers,
}

/// The result of a check of all logs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One for each log, by name.
    pub logs: Vec<LogReport>,
    /// Everything that is wrong; empty when all is well.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

/// The progress of a check.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The log being checked.
    pub log: &'a str,
    /// The shard being checked; `None` while the order is.
    pub shard: Option<&'a str>,
    /// Slots or entries checked so far.
    pub done: u64,
    /// How many slots or entries there are, if known.
    pub total: Option<u64>,
}

/// A callback for the progress of the check.
pub type Watcher<'a> = &'a mut (dyn FnMut(Progress<'_>) + Send);

/// The remedies for damage.
pub(crate) mod remedy {
    /// For a damaged row of the order or of a position.
    pub(crate) const ROW: &str = "stop the server and keep both stores as they are: an older copy of the coordination store must not be put back where anything was signed since; compare with a backup (`logd backup`) or a mirror, or restore the log from its secondaries with `logd restore`; do not edit the row";
    /// For a damaged or missing entry bundle.
    pub(crate) const ENTRIES: &str = "restore this file from a backup or a mirror: entries cannot be computed from anything else";
    /// For a batch of which another node has a good copy.
    pub(crate) const COPY: &str = "another storage node has it intact: a running server writes it here again; look at this node's disk";
    /// For a damaged or missing hash tile.
    pub(crate) const TILE: &str =
        "restore this file from a backup or a mirror; the entries it is computed from are intact";
    /// For damaged or missing times of entries.
    pub(crate) const TIMES: &str = "restore this file from a backup: without it Rekor's first API does not answer these entries; everything else about them is intact";
    /// For a damaged checkpoint.
    pub(crate) const CHECKPOINT: &str = "move this file away and restart the server, which signs the same size again; an older copy in its place would take readers back";
    /// For a damaged seal.
    pub(crate) const SEAL: &str =
        "remove this file and restart the server, which seals the shard again";
    /// For two things that contradict each other, of which either may be wrong.
    pub(crate) const CONFLICT: &str =
        "stop the server, keep both stores as they are, and compare them with a backup or a mirror";
    /// For a read error of the disk.
    pub(crate) const READ: &str = "look at the kernel's log for disk errors, then run fsck again";
    /// For a damaged sealed key.
    pub(crate) const KEY: &str = "put back this row alone, from any copy of the store: without it nothing more can be signed for the shard";
    /// For the age of the store, and for times that are measured by it.
    pub(crate) const AGE: &str = "remove the row: how long places are kept is counted from now on";
    /// For signed objects that are in no order.
    pub(crate) const ORPHAN: &str = "stop the server, and put back the newest coordination store that belongs to these objects (the database and the -wal file beside it), or restore the log from its secondaries with `logd restore`; remove nothing";
    /// For a checkpoint in a folder that is not its shard's.
    pub(crate) const STRAY: &str = "move the folder away; the server ignores it";
    /// For what an unfinished restore left.
    pub(crate) const RESTORING: &str = "run the same `logd restore` again, with this folder";
    /// For a wrong number of sealed shards.
    pub(crate) const SEALED: &str = "stop the server and remove the row: the next start looks at every shard, and writes it again";
    /// For a damaged announcement.
    pub(crate) const BAG: &str =
        "remove the row: its author has been told that the outcome is unknown";
}

/// Collects the findings of one log.
pub(crate) struct Findings<'a> {
    log: &'a str,
    list: Vec<Finding>,
}

impl Findings<'_> {
    fn row(&mut self, key: impl Into<String>, what: impl std::fmt::Display, remedy: &'static str) {
        self.add(
            key.into(),
            StoreKind::Coordination,
            what.to_string(),
            remedy,
        );
    }

    fn object(
        &mut self,
        path: impl Into<String>,
        what: impl std::fmt::Display,
        remedy: &'static str,
    ) {
        self.add(path.into(), StoreKind::Objects, what.to_string(), remedy);
    }

    /// Objects of shards that the slots of their log do not know: the coordination store is older, or a folder is in the wrong place.
    fn shards(&mut self, found: Result<Vec<Orphan>, StoreError>, sibling: Option<&ShardIdentity>) {
        self.orphans(found, |orphan| {
            match sibling.and_then(|s| orphan.strayed(s)) {
                Some(_) => (format!("{orphan}: not a shard of this log"), remedy::STRAY),
                None => {
                    let conflict = orphan.older();
                    (conflict.cause().to_owned(), conflict.remedy())
                }
            }
        });
    }

    /// Objects that the coordination store does not know.
    fn orphans(
        &mut self,
        found: Result<Vec<Orphan>, StoreError>,
        say: impl Fn(&Orphan) -> (String, &'static str),
    ) {
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                let place = self.log.to_owned();
                return self.object(place, error, remedy::READ);
            }
        };
        for orphan in found {
            let (what, remedy) = say(&orphan);
            self.object(orphan.path.clone(), what, remedy);
        }
    }

    fn add(&mut self, place: String, store: StoreKind, what: String, remedy: &'static str) {
        // Several checks may cover one place; the first finding about it is enough.
        if !self.names(&place) {
            self.list.push(Finding {
                log: self.log.to_owned(),
                place,
                store,
                what,
                remedy,
            });
        }
    }

    fn names(&self, place: &str) -> bool {
        self.list.iter().any(|finding| finding.place == place)
    }
}

/// Checks every log of a pair of stores; `nodes` opens the storage nodes that their configurations name.
///
/// # Errors
/// [`StoreError`] when the coordination store does not answer. Damage is no error but a finding, as is an object that cannot
/// be read.
pub async fn fsck(
    coordination: &dyn Coordination,
    objects: &dyn Objects,
    nodes: OpenNode<'_>,
    watcher: Watcher<'_>,
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    if let Some(row) = coordination.get(CLOCK).await?
        && let Err(error) = record::decode_counted(&row)
    {
        let mut findings = Findings {
            log: "",
            list: Vec::new(),
        };
        findings.row(CLOCK, error, remedy::AGE);
        report.findings.append(&mut findings.list);
    }
    let mut known = HashSet::new();
    for (key, bytes) in rows::all(coordination, LOGS).await? {
        let name = &key[LOGS.len()..];
        let mut findings = Findings {
            log: name,
            list: Vec::new(),
        };
        match record::decode::<String>(&bytes) {
            Ok(written) if written == name => {}
            Ok(written) => findings.row(&key, format!("names the log {written}"), remedy::ROW),
            Err(error) => findings.row(&key, error, remedy::ROW),
        }
        let log = log(coordination, objects, nodes, name, &mut findings, watcher).await?;
        report.logs.push(log);
        report.findings.append(&mut findings.list);
        known.insert(name.to_owned());
    }
    origins(coordination, &known, &mut report).await?;
    unknown(coordination, objects, &known, &mut report).await?;
    Ok(report)
}

/// Each origin that is given away belongs to a log.
async fn origins(
    coordination: &dyn Coordination,
    known: &HashSet<String>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut findings = Findings {
        log: "all",
        list: Vec::new(),
    };
    for (key, bytes) in rows::all(coordination, ORIGINS).await? {
        match record::decode::<String>(&bytes) {
            Ok(name) if known.contains(&name) => {}
            // A running server may have made it since.
            Ok(name) if coordination.get(&format!("{LOGS}{name}")).await?.is_some() => {}
            Ok(name) => {
                findings.row(
                    key,
                    format!("names the log {name}, which there is not"),
                    remedy::ROW,
                );
            }
            Err(error) => findings.row(key, error, remedy::ROW),
        }
    }
    report.findings.append(&mut findings.list);
    Ok(())
}

/// Finds signed objects of logs that the coordination store does not know.
async fn unknown(
    coordination: &dyn Coordination,
    objects: &dyn Objects,
    known: &HashSet<String>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut findings = Findings {
        log: "all",
        list: Vec::new(),
    };
    let mut names = match objects.names("").await {
        Ok(names) => names,
        Err(error) => {
            findings.object("", error, remedy::READ);
            Vec::new()
        }
    };
    names.sort_unstable();
    report.findings.append(&mut findings.list);
    for name in names.iter().filter(|name| !known.contains(*name)) {
        let mut findings = Findings {
            log: name,
            list: Vec::new(),
        };
        // An import writes objects before its log is there: no reader sees them, and none of them are signed.
        let found = match import::known(coordination, name).await {
            Ok(Some(importing)) => import::foreign(objects, name, &importing).await,
            Ok(None) => orphans::of_others(objects, name, |_| false, usize::MAX).await,
            Err(error) => {
                findings.row(format!("{IMPORTING}{name}"), error, remedy::ROW);
                orphans::of_others(objects, name, |_| false, usize::MAX).await
            }
        };
        // A running server may have made the log since.
        if coordination.get(&format!("{LOGS}{name}")).await?.is_none() {
            let restoring = coordination.get(&format!("{RESTORING}{name}")).await?;
            findings.orphans(found, |orphan| {
                if restoring.is_some() {
                    let what = format!("{orphan}: left by a restore that was not finished");
                    return (what, remedy::RESTORING);
                }
                let what = format!(
                    "{orphan}: objects of a log that the coordination store does not know: it is another one, or an older one"
                );
                (what, remedy::ORPHAN)
            });
        }
        report.findings.append(&mut findings.list);
    }
    Ok(())
}

/// The positions of each log and shard of a coordination store, and findings about the rows that hold them.
///
/// # Errors
/// [`StoreError`] when the store does not answer.
pub async fn positions(
    coordination: &dyn Coordination,
) -> Result<(Vec<CopiedShard>, Vec<Finding>), StoreError> {
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    for (key, _) in rows::all(coordination, LOGS).await? {
        let name = &key[LOGS.len()..];
        let mut findings = Findings {
            log: name,
            list: Vec::new(),
        };
        let positions = positions::read(coordination, name, &mut findings).await?;
        let mut report = LogReport::default();
        let order =
            slots::check(coordination, name, &mut findings, &mut report, &mut |_| {}).await?;
        for shard in order.state.shards.iter() {
            let Some(ordered) = order.state.length(shard) else {
                continue;
            };
            let shard = shard.identity.name.clone();
            all.push(CopiedShard {
                log: name.to_owned(),
                ordered: ordered.get(),
                published: positions.published(&shard).get(),
                root: positions.root(&shard).map(|root| root.to_string()),
                shard,
            });
        }
        wrong.append(&mut findings.list);
    }
    Ok((all, wrong))
}

async fn log(
    coordination: &dyn Coordination,
    objects: &dyn Objects,
    nodes: OpenNode<'_>,
    name: &str,
    findings: &mut Findings<'_>,
    watcher: Watcher<'_>,
) -> Result<LogReport, StoreError> {
    // Positions first: whatever they cover must be in the slots and tiles that are read after them.
    let mut report = LogReport {
        name: name.to_owned(),
        ..LogReport::default()
    };
    let positions = positions::read(coordination, name, findings).await?;
    let order = slots::check(coordination, name, findings, &mut report, watcher).await?;
    rows::check(
        coordination,
        (objects, nodes),
        &order,
        &positions,
        findings,
        &mut report,
    )
    .await?;
    shard::check(
        coordination,
        objects,
        &order,
        &positions,
        findings,
        &mut report,
        watcher,
    )
    .await?;
    Ok(report)
}
