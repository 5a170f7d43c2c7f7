//! `logctl qos simulate FILE`: simulates the settings of FILE with the writes of the last hours.

use std::time::Duration;

use clap::ValueHint;
use logconfig::Span;
use serde::Serialize;
use wire::{SimulatedFigures, SimulatedTier, Simulation};

use crate::cli::parse_between;
use crate::commands::document::Document;
use crate::commands::{Session, differences};
use crate::error::Error;
use crate::file::File;
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};

/// The arguments of `logctl qos simulate`.
#[derive(Debug, clap::Args)]
pub(crate) struct SimulateArgs {
    /// The document, YAML or JSON; `-` is standard input
    #[arg(value_hint = ValueHint::FilePath)]
    file: File,
    /// Time to look back: 1m to 7d
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_since)]
    since: Span,
}

/// Parses a time for which the server keeps arrivals.
fn parse_since(text: &str) -> Result<Span, String> {
    let week = Duration::from_secs(7 * 86_400);
    parse_between(text, Duration::from_secs(60), week, "from 1m to 7d")?;
    text.parse()
        .map_err(|error: logconfig::SpanError| error.to_string())
}

#[derive(Debug, Serialize)]
struct Simulated {
    simulation: Simulation,
    /// The tiers that would get worse, with the figures.
    worse: Vec<Worse>,
}

/// A tier that gets worse, and its worse figures.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Worse {
    tier: String,
    /// Names of those figures; `tier` if the tier is removed.
    figures: Vec<&'static str>,
}

pub(super) async fn run(
    session: &Session<'_>,
    SimulateArgs { file, since }: SimulateArgs,
) -> Result<Outcome, Error> {
    let document = Document::read(&file).await?;
    let server = session.server()?;
    // As in `shard --use-config`: a file for another log is a mistake, not a switch.
    let log = match &server.settings.log {
        Some(_) => server.log().await?,
        None => document.config.log.as_str().to_owned(),
    };
    let phase = session
        .ui
        .phase(&format!("replaying the last {since} of {log}"));
    let simulation = server
        .admin
        .simulate(&log, &document.config, since, server.deadline)
        .await
        .map_err(|error| document.place(error))?;
    drop(phase);
    Outcome::done(&Simulated {
        worse: worse(&simulation.tiers),
        simulation,
    })
}

/// A figure's name, its value, and whether more of it is better.
type Figure = (&'static str, u64, bool);

fn figures(figures: SimulatedFigures) -> [Figure; 5] {
    [
        ("accepted", figures.accepted, true),
        ("refused", figures.refused, false),
        ("p50WaitMillis", figures.p50_wait_millis, false),
        ("p99WaitMillis", figures.p99_wait_millis, false),
        ("missed", figures.missed, false),
    ]
}

fn is_worse(before: Figure, after: Figure) -> bool {
    match before.2 {
        true => after.1 < before.1,
        false => after.1 > before.1,
    }
}

fn worse(tiers: &[SimulatedTier]) -> Vec<Worse> {
    let of = |tier: &SimulatedTier| match (tier.before, tier.after) {
        (Some(before), Some(after)) => figures(before)
            .into_iter()
            .zip(figures(after))
            .filter(|(before, after)| is_worse(*before, *after))
            .map(|(before, _)| before.0)
            .collect(),
        // A tier that accepted nothing is no loss.
        (Some(before), None) if before.accepted > 0 => vec!["tier"],
        _ => Vec::new(),
    };
    tiers
        .iter()
        .map(|tier| Worse {
            tier: tier.tier.clone(),
            figures: of(tier),
        })
        .filter(|worse| !worse.figures.is_empty())
        .collect()
}

impl Present for Simulated {
    const KIND: &'static str = "QosSimulation";

    fn page(&self) -> Page {
        let Simulation {
            log,
            generation,
            from,
            until,
            arrived,
            published_bytes_per_second,
            differences: changes,
            tiers,
        } = &self.simulation;
        let mut page = Page::new();
        if changes.is_empty() {
            page = page.text(format!(
                "{log}: the settings are those of generation {generation}"
            ));
        } else {
            let changes: Vec<_> = changes.to_vec();
            page = page.with(differences(&changes));
        }
        page = page.text(format!(
            "{arrived} entries from {from} until {until}, {published_bytes_per_second} bytes/s published"
        ));
        if *arrived == 0 {
            return page.text("nothing was written in that time, so nothing can be said");
        }
        page = page.with(Block::Table {
            header: vec![
                "TIER", "ACCEPTED", "REFUSED", "P50 WAIT", "P99 WAIT", "MISSED", "",
            ],
            rows: tiers.iter().map(row).collect(),
            spare: 0,
        });
        match self.worse.is_empty() {
            true => page.text("nothing gets worse"),
            false => {
                let tiers: Vec<_> = self.worse.iter().map(|worse| worse.tier.as_str()).collect();
                page.text(format!("gets worse: {}", tiers.join(", ")))
            }
        }
    }
}

fn row(tier: &SimulatedTier) -> Vec<Cell> {
    let shown = |(name, value, _): Figure| match name {
        "p50WaitMillis" | "p99WaitMillis" => format!("{value} ms"),
        _ => value.to_string(),
    };
    let (cells, word): (Vec<Cell>, Cell) = match (tier.before, tier.after) {
        (Some(before), Some(after)) => {
            let pairs = figures(before).into_iter().zip(figures(after));
            let mut any = false;
            let cells = pairs.map(|(before, after)| {
                let (old, new) = (shown(before), shown(after));
                if is_worse(before, after) {
                    any = true;
                    Cell::toned(format!("{old} -> {new}"), Tone::Bad)
                } else if old == new {
                    new.into()
                } else {
                    Cell::toned(format!("{old} -> {new}"), Tone::Good)
                }
            });
            let cells = cells.collect();
            let word = if any {
                Cell::toned("worse", Tone::Bad)
            } else {
                "".into()
            };
            (cells, word)
        }
        (None, Some(after)) => (
            figures(after).map(|figure| shown(figure).into()).into(),
            Cell::toned("new", Tone::Next),
        ),
        (Some(before), None) => (
            figures(before).map(|figure| shown(figure).into()).into(),
            Cell::toned("goes", Tone::Bad),
        ),
        (None, None) => (vec![Cell::number(None::<u64>); 5], "".into()),
    };
    let name = std::iter::once(tier.tier.as_str().into());
    name.chain(cells).chain([word]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worse_is_fewer_accepted_or_more_of_the_rest() {
        let same = SimulatedFigures {
            accepted: 10,
            refused: 1,
            p50_wait_millis: 2,
            p99_wait_millis: 3,
            missed: 0,
        };
        let better = SimulatedFigures {
            accepted: 11,
            refused: 0,
            p99_wait_millis: 2,
            ..same
        };
        let bad = SimulatedFigures {
            accepted: 9,
            missed: 1,
            ..same
        };
        let tier = |name: &str, before, after| SimulatedTier {
            tier: name.into(),
            before,
            after,
        };
        let all = [
            tier("same", Some(same), Some(same)),
            tier("better", Some(same), Some(better)),
            tier("bad", Some(same), Some(bad)),
            tier("new", None, Some(bad)),
            tier("gone", Some(same), None),
            tier("unused", Some(SimulatedFigures::default()), None),
        ];
        let found: Vec<_> = worse(&all)
            .into_iter()
            .map(|worse| (worse.tier, worse.figures))
            .collect();
        assert_eq!(
            found,
            [
                ("bad".to_owned(), vec!["accepted", "missed"]),
                ("gone".to_owned(), vec!["tier"])
            ]
        );
    }
}
