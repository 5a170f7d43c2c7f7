//! `logctl audit`: reads and verifies the audit trail.

use std::collections::HashMap;

use clap::Subcommand;
use serde::Serialize;
use serde_json::json;
use wire::{AuditEntry, AuditPage};

use super::{Session, audit_receipt, now, rfc3339};
use crate::auditor::{self, Finding, Options, ShardReport};
use crate::client::Trail;
use crate::error::{Error, TrailFault};
use crate::pins::{Pins, Seen, ShardPins};
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};
use tlog::GlobalIndex;

/// The subcommands of `logctl audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List requests, their actors and their outcomes; newest first
    #[command(after_help = "Examples:
  logctl audit list
  logctl audit list --limit 500 --before 12000 -o json")]
    List {
        /// Number of entries, at most 1000
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Only entries before this index
        #[arg(long, value_name = "INDEX")]
        before: Option<u64>,
    },
    /// Recompute the whole trail and compare it with every pinned checkpoint
    #[command(
        after_help = "logctl pins the first checkpoint of an endpoint in $XDG_STATE_HOME/logctl/pins. From then on the trail must contain
it, or the command fails with exit code 12.

Examples:
  logctl audit verify
  logctl audit verify --repin     # after the server was replaced on purpose"
    )]
    Verify {
        /// Discard the pins, and pin the trail that is served now if it is consistent and has lost no entry under the pinned key
        #[arg(long)]
        repin: bool,
    },
}

pub(super) async fn run(session: &Session<'_>, command: AuditCommand) -> Result<Outcome, Error> {
    match command {
        AuditCommand::List { limit, before } => list(session, limit, before).await,
        AuditCommand::Verify { repin } => verify(session, repin).await,
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AuditList {
    /// Number of entries in the trail.
    size: GlobalIndex,
    entries: Vec<AuditEntry>,
    /// `--before` of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<GlobalIndex>,
}

async fn list(session: &Session<'_>, limit: u16, before: Option<u64>) -> Result<Outcome, Error> {
    let server = session.server()?;
    // Only a log that is named in this call: many entries of the trail are about no log.
    let log = session.overrides.log.as_deref();
    let log = log.map(super::log_name).transpose()?;
    let AuditPage {
        size,
        entries,
        next,
    } = server
        .admin
        .audit(before, limit, log.as_deref(), server.deadline)
        .await?;
    Outcome::done(&AuditList {
        size,
        entries,
        next,
    })
}

impl Present for AuditList {
    const KIND: &'static str = "AuditList";
    const LIST: Option<&'static str> = Some("entries");
    const NAME: &'static str = "/index";

    fn page(&self) -> Page {
        let rows = self.entries.iter().map(|entry| {
            let what = match (&entry.action, &entry.result) {
                (Some(action), _) => action.as_str().into(),
                (None, Some(result)) => {
                    let tone = match result.as_str() {
                        "decided" => Tone::Good,
                        "unchanged" => Tone::Past,
                        _ => Tone::Bad,
                    };
                    Cell::toned(result.as_str(), tone)
                }
                (None, None) => "-".into(),
            };
            let about = match (entry.intent, &entry.detail) {
                (Some(intent), None) => format!("outcome of {intent}"),
                (Some(intent), Some(detail)) => format!("outcome of {intent}: {detail}"),
                (None, Some(detail)) => detail.clone(),
                (None, None) => "-".to_owned(),
            };
            vec![
                Cell::number(Some(entry.index)),
                Cell::maybe(entry.time.as_deref()),
                Cell::maybe(entry.actor.as_deref()),
                entry.kind.as_str().into(),
                what,
                Cell::maybe(entry.log.as_deref()),
                Cell::from(about).quoted(),
                Cell::maybe(entry.operation.as_deref()),
            ]
        });
        let page = Page::listing(
            Block::Table {
                header: vec![
                    "INDEX",
                    "TIME",
                    "BY",
                    "KIND",
                    "WHAT",
                    "LOG",
                    "ABOUT",
                    "OPERATION",
                ],
                rows: rows.collect(),
                spare: 2,
            },
            "no entry of the audit trail fits; `logctl audit list` shows the newest ones of all logs",
        );
        match self.next {
            Some(next) => page.text(format!(
                "{} of {} entries; for older ones: `logctl audit list --before {next}`",
                self.entries.len(),
                self.size
            )),
            None => page,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AuditVerified {
    endpoint: String,
    verified: bool,
    entries: u64,
    shards: Vec<ShardReport>,
    /// The earlier pins, and whether the served trail contains them.
    pins: Vec<Checked>,
    findings: Vec<Finding>,
    /// Whether the served trail is pinned from now on.
    pinned: bool,
}

/// A pinned checkpoint, and the result of its comparison.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    shard: String,
    size: u64,
    root: String,
    seen: String,
    /// Whether the served trail contains it.
    contained: bool,
}

async fn verify(session: &Session<'_>, repin: bool) -> Result<Outcome, Error> {
    let server = session.server()?;
    let Some(endpoint) = &server.settings.admin else {
        return Err(Error::Bug("an endpoint without an address".into()));
    };
    let mut pins = match Pins::load(&endpoint.address) {
        // An unreadable file of pins is given up, too.
        Err(Error::Trail { .. }) if repin => Pins::empty(&endpoint.address),
        pins => pins?,
    };
    let given_up = if repin {
        pins.shards.clone()
    } else {
        Vec::new()
    };
    if repin && !pins.shards.is_empty() {
        session.ui.confirm(&format!(
            "discard the pins of {} since {}?",
            pins.endpoint,
            pins.shards
                .first()
                .map_or_else(String::new, |pins| pins.since.clone())
        ))?;
        pins.shards.clear();
    }
    let trail = server.admin.trail(server.deadline);
    let list = match trail.object("shards").await? {
        Some(list) => list,
        None => stand_in(&pins)?,
    };
    let keys = audit_receipt::keys(&list);
    let trail = server.admin.trail(server.deadline).listed(list);
    caught_up(session, &trail, &pins).await?;
    let report = examine(session, &trail, &pins.endpoint).await?;
    let findings: Vec<Finding> = report.all_findings().cloned().collect();
    let mut trouble = (!findings.is_empty()).then_some(Error::VerificationFailed {
        findings: findings.len(),
    });
    let mut checked = Vec::new();
    for pinned in pins.shards.clone() {
        let compared = compare(&trail, &mut pins, &pinned, &report.shards, &keys).await;
        checked.extend(pinned.all().map(|seen| Checked {
            shard: pinned.shard.clone(),
            size: seen.size,
            root: seen.root.to_string(),
            seen: seen.at.clone(),
            contained: compared.is_ok(),
        }));
        if let Err(error) = compared {
            // A rewritten past matters more than faults of the present.
            trouble = Some(error);
        }
    }
    if trouble.is_none() {
        trouble = given_up
            .iter()
            .find_map(|earlier| loss(&pins, earlier, &report, &keys));
    }
    let sound = trouble.is_none();
    let mut pinned = false;
    if sound {
        for shard in &report.shards {
            if let (Some(seen), Some(vkey)) = (seen(shard), keys.get(&shard.name)) {
                pins.advance(&shard.name, vkey, seen);
            }
        }
        if pins.are_kept() {
            let kept = if repin { pins.replace() } else { pins.save() };
            match kept {
                Ok(()) => pinned = true,
                // The user asked for the verdict; only --repin asks for new pins.
                Err(error) if repin => trouble = Some(error),
                Err(error) => session
                    .ui
                    .warn(&format!("the audit trail is not pinned: {error}")),
            }
        } else {
            session.ui.warn("neither XDG_STATE_HOME nor HOME is set: there is nowhere to pin the audit trail, so a rewrite would not be noticed");
        }
    }
    let verified = AuditVerified {
        endpoint: pins.endpoint.clone(),
        verified: sound,
        entries: report.totals.entries,
        shards: report.shards,
        pins: checked,
        findings,
        pinned,
    };
    Outcome::with_trouble(&verified, trouble)
}

/// Checks the trail by itself: bundles, tiles, roots, signatures.
async fn examine(
    session: &Session<'_>,
    trail: &Trail<'_>,
    endpoint: &str,
) -> Result<auditor::Report, Error> {
    let options = Options {
        log: "audit/tree".to_owned(),
        shards: Vec::new(),
        settle: audit_receipt::SETTLE.min(session.timeout),
        by_index: false,
    };
    let phase = session
        .ui
        .phase(&format!("verifying the audit trail of {endpoint}"));
    let mut sized = false;
    let mut progress = |done, total| {
        if !sized {
            phase.total(total);
            sized = true;
        }
        phase.position(done);
    };
    let report = auditor::audit(trail, &options, &mut progress).await;
    report.map_err(|error| match error.source.downcast::<Error>() {
        Ok(error) => *error,
        Err(source) => Error::Unreachable {
            address: format!("{endpoint} audit/tree/{}", error.path),
            cause: source.to_string(),
            hint: "run the command again".into(),
        },
    })
}

/// Compares the pins of a shard with its served checkpoint.
async fn compare(
    trail: &Trail<'_>,
    pins: &mut Pins,
    pinned: &ShardPins,
    reports: &[ShardReport],
    keys: &HashMap<String, String>,
) -> Result<(), Error> {
    let now = newest(reports, &pinned.shard);
    let elsewhere = reports
        .iter()
        .any(|report| report.size.is_some_and(|size| size > 0));
    if elsewhere && !keys.contains_key(&pinned.shard) {
        return Err(pins.rewritten(&pinned.pinned, &now));
    }
    let vkey = keys
        .get(&pinned.shard)
        .map_or(pinned.vkey.as_str(), String::as_str);
    audit_receipt::step(trail, pins, &pinned.shard, vkey, now.clone()).await?;
    // A missing or wrong tile is among the findings; here it means that the server proved nothing.
    let shown = pins.shard(&pinned.shard).is_some_and(|pins| {
        pins.unproven.is_empty() && (pins.pinned.size, pins.pinned.root) == (now.size, now.root)
    });
    if shown {
        return Ok(());
    }
    let message = format!(
        "nothing shows that the {} entries served now contain the {} that were pinned on {}: the tiles that would show it cannot be had",
        now.size, pinned.pinned.size, pinned.pinned.at
    );
    Err(Error::trail(TrailFault::BadProof, message))
}

/// The error that nothing may be pinned instead of `earlier`: a trail that has lost entries under the key that it had is not another
/// trail, and an empty one says nothing.
fn loss(
    pins: &Pins,
    earlier: &ShardPins,
    report: &auditor::Report,
    keys: &HashMap<String, String>,
) -> Option<Error> {
    let largest = earlier.all().max_by_key(|seen| seen.size)?;
    let served = newest(&report.shards, &earlier.shard);
    let same_key = keys.get(&earlier.shard) == Some(&earlier.vkey);
    let lost = (same_key || report.totals.entries == 0) && served.size < largest.size;
    lost.then(|| pins.shorter(largest, &served))
}

/// The served checkpoint of a shard, or that of an empty tree.
fn newest(reports: &[ShardReport], shard: &str) -> Seen {
    let served = reports.iter().find(|report| report.name == shard);
    served.and_then(seen).unwrap_or_else(|| Seen {
        size: 0,
        root: tlog::empty_root(),
        at: rfc3339(now()),
    })
}

/// Waits a little for a replica that is behind the one that was asked before.
async fn caught_up(session: &Session<'_>, trail: &Trail<'_>, pins: &Pins) -> Result<(), Error> {
    let deadline = crate::client::Deadline::after(audit_receipt::SETTLE.min(session.timeout));
    for pinned in &pins.shards {
        let least = pinned.all().map(|seen| seen.size).max().unwrap_or(0);
        while let Ok(Some(seen)) = audit_receipt::head(trail, &pinned.shard, &pinned.vkey).await {
            if seen.size >= least || !deadline.pause(std::time::Duration::from_millis(100)).await {
                break;
            }
        }
    }
    Ok(())
}

fn seen(shard: &ShardReport) -> Option<Seen> {
    Some(Seen {
        size: shard.size?,
        root: shard.root?,
        at: rfc3339(now()),
    })
}

/// For an endpoint that does not list the shards of its trail: the one that it gave proofs of.
fn stand_in(pins: &Pins) -> Result<Vec<u8>, Error> {
    let [pins] = pins.shards.as_slice() else {
        return Err(Error::Foreign {
            address: pins.endpoint.clone(),
            cause: "it does not list the shards of its audit trail".into(),
        });
    };
    // The name of a key is the origin of the notes that it signs.
    let origin = pins.vkey.split('+').next();
    let list = json!([{ "name": pins.shard, "state": "active", "treeId": "1", "origin": origin, "vkey": pins.vkey, "startIndex": 0 }]);
    serde_json::to_vec(&list).map_err(|error| Error::Bug(error.to_string()))
}

impl Present for AuditVerified {
    const KIND: &'static str = "AuditVerification";

    fn page(&self) -> Page {
        let rows = self.shards.iter().map(|shard| {
            vec![
                shard.name.as_str().into(),
                Cell::number(shard.size),
                Cell::maybe(shard.root.map(|root| root.to_string()).as_deref()),
            ]
        });
        let mut page = Page::new().with(Block::Table {
            header: vec!["SHARD", "ENTRIES", "ROOT"],
            rows: rows.collect(),
            spare: 1,
        });
        for finding in &self.findings {
            page = page.text(finding.to_string());
        }
        for pin in &self.pins {
            page = page.text(if pin.contained {
                format!("contains the {} entries seen on {}", pin.size, pin.seen)
            } else {
                format!(
                    "not shown to contain the {} entries seen on {}",
                    pin.size, pin.seen
                )
            });
        }
        let entries = if self.entries == 1 {
            "1 entry".to_owned()
        } else {
            format!("{} entries", self.entries)
        };
        let outcome = match (self.verified, self.pins.is_empty()) {
            (true, true) => "sound; first contact, nothing to compare with",
            (true, false) => "sound, and the one that was pinned",
            (false, _) => "not sound",
        };
        let page = page.text(format!(
            "audit trail of {}: {outcome}: {entries}",
            self.endpoint
        ));
        if self.pinned {
            page.text("pinned: from now on a rewrite of these entries is noticed")
        } else {
            page
        }
    }
}
