//! The figures, one after the other, each against its goal; a Markdown table and a JSON file with all of them.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;

use crate::{
    admin, changes, cli, commits, memory, merge, qos, rekor, rotation, secondary, shards, single,
    table, writes,
};

/// The figures to measure, and how much work each does.
#[derive(Args)]
pub(crate) struct Options {
    /// writes, single, memory, rotation, shards, aged, logs, secondary, converge, storm, admin, cli, rekor; qos, which is beside, overload, floor, greedy, import,
    /// compare, halved; commits, which is contended, piled, stopped; merge, which is
    /// parallel and published; all when none is named
    names: Vec<String>,
    /// Entries of the memory figure, and of the aged log
    #[arg(long, default_value_t = 10_000_000)]
    pub(crate) entries: u64,
    /// Seconds of the write figure
    #[arg(long, default_value_t = 20)]
    pub(crate) seconds: u64,
    /// Rotations of the rotation figure
    #[arg(long, default_value_t = 200)]
    pub(crate) rotations: u64,
    /// Shards of the figure for a log that was rotated often
    #[arg(long, default_value_t = 5000)]
    pub(crate) shards: u64,
    /// Logs of the figure for many logs
    #[arg(long, default_value_t = 2000)]
    pub(crate) logs: u64,
    /// Changes of the convergence figure
    #[arg(long, default_value_t = 200)]
    pub(crate) changes: u64,
    /// Changes of the figure under load, after as many that fill the windows
    #[arg(long, default_value_t = 1000)]
    pub(crate) storm: u64,
    /// Entries of the import figure
    #[arg(long, default_value_t = 5_000_000)]
    pub(crate) import: u64,
    /// Entries that each secondary copies
    #[arg(long, default_value_t = 10_000_000)]
    pub(crate) copied: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    /// The goal; absent for values that only explain others.
    #[serde(skip_serializing_if = "Option::is_none")]
    goal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
}

impl Figure {
    /// A value that explains others.
    pub(crate) fn plain(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            what: what.into(),
            value,
            unit,
            goal: None,
            met: None,
        }
    }
    /// A value that should be at least this.
    pub(crate) fn least(
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        goal: f64,
    ) -> Self {
        Self {
            goal: Some(format!("≥ {}", shown(goal))),
            met: Some(value >= goal),
            ..Self::plain(what, value, unit)
        }
    }
    /// A value that should be at most this.
    pub(crate) fn most(what: impl Into<String>, value: f64, unit: &'static str, goal: f64) -> Self {
        Self {
            goal: Some(format!("≤ {}", shown(goal))),
            met: Some(value <= goal),
            ..Self::plain(what, value, unit)
        }
    }
}

fn shown(value: f64) -> String {
    match value {
        v if v >= 1000.0 => logconfig::text::grouped(v.round() as u64),
        v if v >= 100.0 || v == v.round() => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v if v >= 1.0 => format!("{v:.2}"),
        v => format!("{v:.4}"),
    }
}

type Measure = fn(&Options) -> Result<Vec<Figure>>;

const ALL: [(&str, Measure); 25] = [
    ("writes", writes::measure),
    ("single", single::measure),
    ("memory", memory::measure),
    ("rotation", rotation::measure),
    ("shards", shards::shards),
    ("aged", shards::aged),
    ("logs", shards::logs),
    ("secondary", secondary::measure),
    ("converge", changes::converge),
    ("storm", changes::storm),
    ("admin", admin::measure),
    ("cli", cli::measure),
    ("beside", qos::beside),
    ("overload", qos::overload),
    ("floor", qos::floor),
    ("greedy", qos::greedy),
    ("import", qos::import),
    ("compare", qos::compare),
    ("halved", qos::halved),
    ("contended", commits::contended),
    ("piled", commits::piled),
    ("stopped", commits::stopped),
    ("parallel", merge::parallel),
    ("published", merge::published),
    ("rekor", rekor::measure),
];

/// A name for several figures.
const GROUPS: [(&str, &[&str]); 3] = [
    (
        "qos",
        &[
            "beside", "overload", "floor", "greedy", "import", "compare", "halved",
        ],
    ),
    ("commits", &["contended", "piled", "stopped"]),
    ("merge", &["parallel", "published"]),
];

/// Whether a name that was given means this figure.
fn means(given: &str, figure: &str) -> bool {
    let group = GROUPS.iter().find(|(name, _)| *name == given);
    given == figure || group.is_some_and(|(_, figures)| figures.contains(&figure))
}

/// Measures what was named; true when every goal is met.
pub(crate) fn run(options: &Options) -> Result<bool> {
    if let Some(name) = options
        .names
        .iter()
        .find(|name| !ALL.iter().any(|(known, _)| means(name, known)))
    {
        let groups = GROUPS.iter().map(|(name, _)| *name);
        let known: Vec<_> = ALL.iter().map(|(name, _)| *name).chain(groups).collect();
        bail!(
            "there is no figure `{name}`; there are {}",
            known.join(", ")
        );
    }
    let mut all = Vec::new();
    for (name, measure) in ALL
        .iter()
        .filter(|(n, _)| options.names.is_empty() || options.names.iter().any(|x| means(x, n)))
    {
        eprintln!("measuring {name}");
        let figures = measure(options).with_context(|| format!("figure {name}"))?;
        all.extend(
            figures
                .into_iter()
                .map(|figure| ((*name).to_owned(), figure)),
        );
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|(name, figure)| {
            let met = match figure.met {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "",
            };
            let value = format!("{} {}", shown(figure.value), figure.unit)
                .trim_end()
                .to_owned();
            vec![
                name.clone(),
                figure.what.clone(),
                value,
                figure.goal.clone().unwrap_or_default(),
                met.to_owned(),
            ]
        })
        .collect();
    println!(
        "{}",
        table::markdown(&["figure", "what", "measured", "goal", "met"], &rows)
    );
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("out");
    std::fs::create_dir_all(&out)?;
    let named: Vec<_> = all
        .iter()
        .map(|(name, figure)| serde_json::json!({"figure": name, "result": figure}))
        .collect();
    let json = serde_json::to_string_pretty(&named)?;
    std::fs::write(out.join("figures.json"), &json)?;
    println!("as JSON in bench/out/figures.json");
    Ok(all.iter().all(|(_, figure)| figure.met != Some(false)))
}
