//! `logctl shard verify`: checks a log as a reader sees it. Needs no admin endpoint once the log's address is known.

use std::time::Duration;

use clap::ValueHint;
use clap_complete::ArgValueCompleter;
use serde::Serialize;

use crate::auditor::{self, Finding, Options, SealState, ShardReport, Source as _, Totals};
use crate::client::Public;
use crate::commands::{LogAddress, Session, audit_receipt};
use crate::complete;
use crate::error::{Error, count};
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};

/// A shard that was just rotated out is published and sealed within this; later it is a finding.
const SETTLE: Duration = Duration::from_secs(10);

/// The arguments of `logctl shard verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// Shards to verify; by default all
    #[arg(value_name = "NAME", add = ArgValueCompleter::new(complete::shards))]
    names: Vec<String>,
    /// Address of the log for readers, instead of the context's `url`
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    url: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Verified {
    log: String,
    url: String,
    verified: bool,
    shards: Vec<ShardReport>,
    totals: Totals,
    /// All findings; those of a shard are also listed with the shard.
    findings: Vec<Finding>,
}

pub(super) async fn run(
    session: &Session<'_>,
    VerifyArgs { names, url }: VerifyArgs,
) -> Result<Outcome, Error> {
    let LogAddress { url, ca, log } = session.place(url).await?;
    let public = Public::new(&url, ca.as_deref(), &log, session.timeout)?;
    listed(&public, &names).await?;
    let options = Options {
        log: log.clone(),
        shards: names,
        settle: SETTLE.min(session.timeout),
        by_index: true,
    };
    let phase = session.ui.phase(&format!("verifying {}", public.address()));
    let mut sized = false;
    let mut progress = |done, total| {
        if !sized {
            phase.total(total);
            sized = true;
        }
        phase.position(done);
    };
    let report = auditor::audit(&public, &options, &mut progress).await;
    drop(phase);
    let report = report.map_err(|error| Error::Unreachable {
        address: format!("{}/{}", public.address(), error.path),
        cause: error.source.to_string(),
        hint:
            "is logd running there? `url` in the context (or --url) is where readers reach the log"
                .into(),
    })?;
    let findings: Vec<Finding> = report.all_findings().cloned().collect();
    let trouble = (!findings.is_empty()).then_some(Error::VerificationFailed {
        findings: findings.len(),
    });
    let verified = Verified {
        log,
        url: public.address().to_owned(),
        verified: findings.is_empty(),
        shards: report.shards,
        totals: report.totals,
        findings,
    };
    Outcome::with_trouble(&verified, trouble)
}

/// Refuses an address without a list, and a name that is not in the list: a wrong word is no wrong log.
async fn listed(public: &Public, names: &[String]) -> Result<(), Error> {
    let list = match public.get("shards").await {
        Ok(Some(list)) => list,
        Ok(None) => {
            return Err(Error::Unreachable {
                address: format!("{}/shards", public.address()),
                cause: "there is no list of shards".to_owned(),
                hint: "only a server of the log has the list: a frontend or a secondary has checkpoints and tiles alone, and another log has another name; `logctl context show` has the address and the log of your context".to_owned(),
            });
        }
        // The audit reports faults on the way to it.
        Err(_) => return Ok(()),
    };
    let mut known: Vec<String> = audit_receipt::keys(&list).into_keys().collect();
    known.sort();
    match names
        .iter()
        .find(|name| !known.is_empty() && !known.contains(name))
    {
        Some(name) => Err(Error::NotFound {
            kind: "shard",
            name: name.clone(),
            known,
        }),
        None => Ok(()),
    }
}

impl Present for Verified {
    const KIND: &'static str = "Verification";

    fn page(&self) -> Page {
        let rows = self.shards.iter().map(|shard| {
            let found = u64::try_from(shard.findings.len()).unwrap_or(u64::MAX);
            let tone = if found == 0 { Tone::Good } else { Tone::Bad };
            vec![
                shard.name.as_str().into(),
                shard.state.into(),
                Cell::number(shard.size),
                seal(shard.seal),
                Cell {
                    tone,
                    ..Cell::number(Some(found))
                },
                Cell::number(Some(shard.entries)),
                Cell::number(Some(shard.bundles)),
                Cell::number(Some(shard.tiles)),
                Cell::number(Some(shard.samples)),
            ]
        });
        let header = vec![
            "SHARD", "STATE", "SIZE", "SEAL", "FINDINGS", "ENTRIES", "BUNDLES", "TILES", "SAMPLES",
        ];
        let mut page = Page::new().with(Block::Table {
            header,
            rows: rows.collect(),
            spare: 4,
        });
        for finding in &self.findings {
            page = page.text(finding.to_string());
        }
        let Totals {
            shards,
            entries,
            bundles,
            tiles,
            samples,
            findings,
        } = self.totals;
        let outcome = if self.verified {
            "verified".to_owned()
        } else {
            format!("{findings} found")
        };
        let entries = count(entries, "entry");
        let shards = count(shards, "shard");
        let bundles = count(bundles, "bundle");
        let tiles = count(tiles, "tile");
        let samples = count(samples, "sample");
        page.text(format!(
            "{}: {outcome}: {entries} in {shards}, from {bundles}, {tiles} and {samples} of the global index",
            self.log
        ))
    }
}

fn seal(seal: SealState) -> Cell {
    match seal {
        SealState::Ok => Cell::toned("ok", Tone::Good),
        SealState::Missing => Cell::toned("missing", Tone::Bad),
        SealState::Invalid => Cell::toned("invalid", Tone::Bad),
        SealState::None => "-".into(),
    }
}
