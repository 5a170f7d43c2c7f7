//! `logctl merge status`: positions, lags and the quorum.

use clap::Subcommand;
use serde::Serialize;
use wire::{LogCondition, MergeStatus, PeerStatus};

use super::Session;
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};
use tlog::GlobalIndex;

/// The subcommands of `logctl merge`.
#[derive(Debug, Subcommand)]
pub(crate) enum MergeCommand {
    /// Show the progress of each program, storage node, secondary, frontend and witness
    #[command(after_help = "Examples:
  logctl merge status
  logctl merge status --log argon -o json")]
    Status,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Merge {
    status: MergeStatus,
    /// Why the log is halted, if it is.
    #[serde(skip)]
    halted: Option<String>,
}

pub(super) async fn run(
    session: &Session<'_>,
    MergeCommand::Status: MergeCommand,
) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let status = server.admin.merge(&log, server.deadline).await?;
    let of = server.admin.log(&log, server.deadline).await?;
    let halted = (of.condition == LogCondition::Halted).then(|| of.reason.unwrap_or_default());
    let trouble = halted
        .is_some()
        .then(|| Error::Halted { logs: vec![of.log] });
    Outcome::with_trouble(&Merge { status, halted }, trouble)
}

/// The fault, or `ok`.
fn state(trouble: Option<&str>) -> Cell {
    match trouble {
        None => Cell::toned("ok", Tone::Good),
        Some(why) => Cell::toned(why, Tone::Bad),
    }
}

fn seconds(millis: u64) -> Cell {
    if millis == 0 {
        return Cell::maybe(None);
    }
    format!("{:.1} s", millis as f64 / 1e3).into()
}

/// Entries between a position and the one that it follows.
fn behind(of: u64, position: Option<u64>) -> Cell {
    match position {
        Some(at) if at >= of => "0".into(),
        Some(at) => Cell::toned((of - at).to_string(), Tone::Next),
        None => Cell::toned(of.to_string(), Tone::Next),
    }
}

fn peers(heading: &'static str, of: u64, peers: &[PeerStatus]) -> Block {
    let rows = peers.iter().map(|peer| {
        vec![
            peer.name.as_str().into(),
            Cell::number(peer.position),
            behind(of, peer.position.map(GlobalIndex::get)),
            seconds(peer.lag_millis),
            state(
                peer.alarm
                    .as_ref()
                    .or(peer.trouble.as_ref())
                    .or(peer.away.as_ref())
                    .map(String::as_str),
            ),
            Cell::maybe(peer.incarnation.as_deref()),
            peer.url.as_str().into(),
        ]
    });
    Block::Table {
        header: vec![
            heading,
            "HAS",
            "BEHIND",
            "LAG",
            "STATE",
            "INCARNATION",
            "URL",
        ],
        rows: rows.collect(),
        spare: 2,
    }
}

impl Merge {
    fn overview(&self) -> Block {
        let status = &self.status;
        let quorum: Cell = match status.backup_quorum {
            0 => "none needed".into(),
            needed => {
                let text = format!(
                    "{needed} of {}, {} hold all that is published",
                    status.secondaries.len(),
                    status.holding
                );
                if status.live < needed {
                    let live = status.live;
                    let text =
                        format!("{text}; only {live} live: publication waits for secondaries");
                    Cell::toned(text, Tone::Bad)
                } else {
                    text.into()
                }
            }
        };
        let stay = status.nodes.iter().filter(|node| !node.leaving).count();
        let marks = &status.watermarks;
        let halted = self.halted.as_ref();
        let halted = halted.map(|why| Cell::toned(format!("halted: {why}"), Tone::Bad));
        let mut fields = vec![("log", status.log.as_str().into())];
        fields.extend(halted.map(|why| ("state", why)));
        fields.extend([
            ("ordered", Cell::number(Some(marks.ordered))),
            ("integrated", Cell::number(Some(marks.integrated))),
            ("published", Cell::number(Some(marks.published))),
            ("lag", seconds(status.lag_millis)),
            ("backup quorum", quorum),
            (
                "storage quorum",
                format!("{} of {stay}", status.storage_quorum).into(),
            ),
            (
                "replication key",
                Cell::maybe(status.replication_key.as_deref()),
            ),
        ]);
        Block::Fields(fields)
    }

    fn programs(&self) -> Block {
        let rows = self.status.programs.iter().map(|program| {
            vec![
                program.program.as_str().into(),
                if program.here { "here" } else { "elsewhere" }.into(),
                state(program.trouble.as_deref()),
            ]
        });
        Block::Table {
            header: vec!["PROGRAM", "RUNS", "STATE"],
            rows: rows.collect(),
            spare: 0,
        }
    }

    fn nodes(&self) -> Block {
        let rows = self.status.nodes.iter().map(|node| {
            vec![
                node.name.as_str().into(),
                Cell::number(Some(node.missed)),
                Cell::number(Some(node.repaired)),
                match (&node.trouble, node.leaving) {
                    (trouble, false) => state(trouble.as_deref()),
                    (None, true) => "leaving: keep it running".into(),
                    (Some(why), true) => state(Some(&format!("leaving, and needed: {why}"))),
                },
            ]
        });
        Block::Table {
            header: vec!["STORAGE NODE", "MISSED", "REPAIRED", "STATE"],
            rows: rows.collect(),
            spare: 0,
        }
    }
}

impl Present for Merge {
    const KIND: &'static str = "MergeStatus";
    const NAME: &'static str = "/log";

    fn page(&self) -> Page {
        let status = &self.status;
        let marks = &status.watermarks;
        let mut page = Page::new()
            .with(self.overview())
            .with(self.programs())
            .with(self.nodes());
        if !status.secondaries.is_empty() {
            page = page.with(peers(
                "SECONDARY",
                marks.integrated.get(),
                &status.secondaries,
            ));
        }
        if !status.frontends.is_empty() {
            page = page.with(peers("FRONTEND", marks.published.get(), &status.frontends));
        }
        if !status.witnesses.is_empty() {
            let rows = status.witnesses.iter().map(|witness| {
                vec![
                    witness.name.as_str().into(),
                    state(witness.trouble.as_deref()),
                ]
            });
            page = page.with(Block::Table {
                header: vec!["WITNESS", "STATE"],
                rows: rows.collect(),
                spare: 0,
            });
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use wire::{NodeStatus, ProgramStatus, Watermarks, WitnessStatus};

    use super::*;

    fn example() -> Merge {
        let program = |program: &str, trouble: Option<&str>| ProgramStatus {
            program: program.to_owned(),
            here: program != "distribute",
            trouble: trouble.map(str::to_owned),
        };
        let peer = |name: &str, position, lag_millis, trouble: Option<&str>| PeerStatus {
            name: name.to_owned(),
            url: format!("https://{name}.example.org"),
            incarnation: Some("6f1e".to_owned()),
            position,
            lag_millis,
            trouble: trouble.map(str::to_owned),
            alarm: None,
            away: None,
        };
        let status = MergeStatus {
            log: "argon".to_owned(),
            generation: 3,
            time: "2026-11-21T18:00:00.000Z".to_owned(),
            watermarks: Watermarks {
                ordered: GlobalIndex::new(120),
                integrated: GlobalIndex::new(110),
                published: GlobalIndex::new(90),
            },
            lag_millis: 4_200,
            backup_quorum: 2,
            holding: 1,
            live: 1,
            storage_quorum: 1,
            replication_key: None,
            programs: vec![
                program("integrate", None),
                program("publish", Some("1 of the 2 secondaries")),
                program("distribute", None),
            ],
            nodes: vec![
                NodeStatus {
                    name: "local".to_owned(),
                    up: true,
                    ..NodeStatus::default()
                },
                NodeStatus {
                    name: "b".to_owned(),
                    up: true,
                    leaving: true,
                    ..NodeStatus::default()
                },
            ],
            secondaries: vec![
                peer("ams", Some(GlobalIndex::new(110)), 0, None),
                peer(
                    "fra",
                    Some(GlobalIndex::new(90)),
                    3_000,
                    Some("connection refused"),
                ),
                peer("lon", None, 0, None),
            ],
            frontends: vec![peer("cdn", Some(GlobalIndex::new(90)), 0, None)],
            witnesses: vec![WitnessStatus {
                name: "w".to_owned(),
                trouble: None,
            }],
        };
        Merge {
            status,
            halted: None,
        }
    }

    #[test]
    fn everything_is_on_the_page() {
        let look = crate::render::Look {
            width: Some(120),
            color: false,
        };
        let mut merge = example();
        insta::assert_snapshot!(crate::render::page(&merge.page(), look));
        let why = "shard a has two histories".to_owned();
        merge.halted = Some(why);
        let page = crate::render::page(&merge.page(), look);
        assert!(page.contains("halted: shard a has two histories"), "{page}");
    }
}
