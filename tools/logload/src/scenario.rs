//! The scenario of a run: streams of writes, each of one kind, size and advice. From a YAML file or from flags,
//! with the same words.
//!
//! What must never happen: a run that differs from the given scenario. Settings that do not fit together are refused
//! before the first write.

mod words;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use logconfig::Span;

use words::{Document, Words, parse};

/// The most streams of one run; each has its own histograms.
pub(crate) const MOST_STREAMS: usize = 32;
/// The most connections of one stream.
const MOST_CONNECTIONS: u32 = 10_000;
/// The shortest entry that can be unlike every other of every run.
const SHORTEST: usize = 40;
/// The longest (C2SP tlog-tiles).
const LONGEST: usize = 65_535;
/// The most entries of one batch of a backfill.
const LARGEST_BATCH: u32 = 1_000_000;
/// The default duration of a run.
pub(crate) const USUAL_DURATION: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    /// Until no more is sent.
    pub(crate) duration: Duration,
    /// How much of the beginning is not measured.
    pub(crate) warm_up: Duration,
    pub(crate) streams: Vec<Stream>,
}

/// Writers of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    /// As in the report.
    pub(crate) name: String,
    pub(crate) pace: Pace,
    /// The length of an entry, bytes.
    pub(crate) size: usize,
    /// The advice that they send.
    pub(crate) advice: Advice,
    /// The file with their tenant's token; anonymous when absent.
    pub(crate) token_file: Option<PathBuf>,
    /// When they begin, after the start of the run.
    pub(crate) start: Duration,
    /// When they end, after the start of the run.
    pub(crate) end: Duration,
}

/// How a stream writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// At its own times, whatever the server does; late answers do not make it slower.
    Open {
        /// Writes in a thousand seconds, so that 0.5/s is a whole number.
        per_1000s: u64,
        /// At even distances, or as independent writers do (a Poisson process).
        even: bool,
        /// The most writes in flight; later ones wait, and their wait counts.
        connections: u32,
    },
    /// Each connection writes, waits for the answer, and writes again.
    Closed { connections: u32 },
    /// Batches (`add-batch`), as fast as they are taken.
    Backfill {
        /// How many connections, each with one batch in flight.
        connections: u32,
        /// Entries in a batch.
        batch: u32,
    },
}

/// The advice that a writer sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Advice {
    pub(crate) priority: Option<u8>,
    /// `Merge-By`, as it is sent.
    pub(crate) merge_by: Option<String>,
    pub(crate) shard: Option<String>,
}

/// A fault of a scenario, for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Wrong(pub(crate) String);

impl Scenario {
    /// Reads a scenario file. Paths in it are relative to `folder`.
    pub(crate) fn from_yaml(text: &str, folder: &Path) -> Result<Self, Wrong> {
        let document: Document =
            serde_saphyr::from_str(text).map_err(|error| Wrong(error.to_string()))?;
        Self::assemble(
            document.streams,
            document.duration.map(Span::duration),
            document.warm_up.map(Span::duration),
            folder,
        )
    }

    /// From `--stream` flags, such as `name=live,rate=500/s,priority=1`.
    pub(crate) fn from_flags(streams: &[String]) -> Result<Self, Wrong> {
        let words = streams
            .iter()
            .map(|text| parse(text))
            .collect::<Result<Vec<_>, _>>()?;
        Self::assemble(words, None, None, Path::new(""))
    }

    /// With what flags say of the whole run.
    pub(crate) fn with(
        mut self,
        duration: Option<Duration>,
        warm_up: Option<Duration>,
    ) -> Result<Self, Wrong> {
        if let Some(duration) = duration {
            for stream in &mut self.streams {
                // Those that had an end of their own keep it, if the run lasts as long.
                if stream.end == self.duration || stream.end > duration {
                    stream.end = duration;
                }
            }
            self.duration = duration;
        }
        self.warm_up = warm_up.unwrap_or(self.warm_up);
        self.check()?;
        Ok(self)
    }

    fn assemble(
        words: Vec<Words>,
        duration: Option<Duration>,
        warm_up: Option<Duration>,
        folder: &Path,
    ) -> Result<Self, Wrong> {
        let longest = words
            .iter()
            .filter_map(|words| {
                Some(
                    words.start.map_or(Duration::ZERO, Span::duration) + words.duration?.duration(),
                )
            })
            .max();
        let whole = words.iter().all(|words| words.duration.is_some());
        // A run lasts as long as its streams, when all of them say how long.
        let duration = duration
            .or(longest.filter(|_| whole))
            .unwrap_or(USUAL_DURATION);
        let streams = words
            .into_iter()
            .enumerate()
            .map(|(at, words)| words.stream(at, duration, folder))
            .collect::<Result<_, _>>()?;
        let scenario = Self {
            duration,
            warm_up: warm_up.unwrap_or_default(),
            streams,
        };
        scenario.check()?;
        Ok(scenario)
    }

    /// Checks the rules between streams.
    fn check(&self) -> Result<(), Wrong> {
        let refuse = |message: String| Err(Wrong(message));
        if self.streams.is_empty() {
            return refuse("a run has at least one stream".into());
        }
        if self.streams.len() > MOST_STREAMS {
            return refuse(format!("a run has at most {MOST_STREAMS} streams"));
        }
        if self.warm_up >= self.duration {
            return refuse("the warm-up leaves nothing of the run to measure".into());
        }
        let mut names = BTreeSet::new();
        for stream in &self.streams {
            if !names.insert(&stream.name) {
                return refuse(format!("two streams are called `{}`", stream.name));
            }
            if stream.start >= stream.end {
                return refuse(format!(
                    "stream `{}` starts after the end of the run",
                    stream.name
                ));
            }
        }
        Ok(())
    }
}

impl Pace {
    /// How many connections at most.
    pub(crate) fn connections(self) -> u32 {
        match self {
            Self::Open { connections, .. }
            | Self::Closed { connections }
            | Self::Backfill { connections, .. } => connections,
        }
    }

    /// In words, for the report.
    pub(crate) fn spelled(self) -> String {
        match self {
            Self::Open {
                per_1000s, even, ..
            } => format!(
                "open loop, {}/s{}",
                rate_text(per_1000s),
                if even { ", evenly spaced" } else { "" }
            ),
            Self::Closed { connections } => format!("closed loop, {connections} connections"),
            Self::Backfill { connections, batch } => {
                format!("backfill, {connections} × {batch} entries")
            }
        }
    }
}

fn rate_text(per_1000s: u64) -> String {
    format!("{}", per_1000s as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_flags_say_the_same() {
        let yaml = "
duration: 20s
streams:
  - name: live
    rate: 500/s
    priority: 1
    mergeBy: 2s
  - {name: fill, backfill: true, batch: 1000, start: 5s}
  - {name: loop, connections: 8, size: 200, duration: 10s}
";
        let file = Scenario::from_yaml(yaml, Path::new("")).unwrap();
        let flags = Scenario::from_flags(&[
            "name=live,rate=500/s,priority=1,merge-by=2s".into(),
            "name=fill,backfill,batch=1000,start=5s".into(),
            "name=loop, connections=8, size=200, duration=10s".into(),
        ])
        .unwrap()
        .with(Some(Duration::from_secs(20)), None)
        .unwrap();
        assert_eq!(file, flags);
        assert_eq!(file.streams[1].end, Duration::from_secs(20));
        assert_eq!(file.streams[2].end, Duration::from_secs(10));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let mut said = String::new();
        for flags in [
            &[][..],
            &["name=x"],
            &["rate=5/s,backfill"],
            &["connections=0"],
            &["connections=5,spacing=even"],
            &["rate=5/s,batch=3"],
            &["rate=5/s,size=39"],
            &["rate=5/s,size=65536"],
            &["rate=5/s,priority=8"],
            &["rate=5/s,rat=3"],
            &["rate=5/s,rate=6/s"],
            &["rate=5"],
            &["rate"],
            &["rate=5/s,merge-by=a\nb"],
            &["backfill=maybe"],
            &["rate=5/s,start=40s"],
            &["name=a,rate=1/s", "name=a,rate=1/s"],
        ] {
            let flags: Vec<String> = flags.iter().map(|text| (*text).to_owned()).collect();
            let wrong = Scenario::from_flags(&flags).unwrap_err();
            said.push_str(&format!("{flags:?}\n  {wrong}\n"));
        }
        for yaml in [
            "streams: []",
            "stream: []",
            "streams: [{rate: 5/s, ratee: 5/s}]",
            "duration: 5s\nwarmUp: 5s\nstreams: [{rate: 5/s}]",
        ] {
            let wrong = Scenario::from_yaml(yaml, Path::new("")).unwrap_err();
            said.push_str(&format!(
                "{yaml:?}\n  {}\n",
                wrong.0.lines().next().unwrap_or_default()
            ));
        }
        insta::assert_snapshot!("wrong_scenarios", said);
    }
}
