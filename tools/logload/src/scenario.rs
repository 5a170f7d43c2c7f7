//! What a run of the load generator does: streams of writes, each of one kind, size and advice. From a YAML file or from flags,
//! with the same words.
//!
//! What must never happen: a run that is something else than what was asked for. Whatever does not fit together is said
//! before the first write.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use logconfig::Span;
use serde::{Deserialize, Serialize};

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
    /// What they ask for.
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

/// What a writer asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Advice {
    /// `Priority: u=N`.
    pub(crate) priority: Option<u8>,
    /// `Merge-By`, as it is sent.
    pub(crate) merge_by: Option<String>,
    /// `Log-Shard`.
    pub(crate) shard: Option<String>,
}

/// A scenario file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    #[serde(default)]
    duration: Option<Span>,
    #[serde(default)]
    warm_up: Option<Span>,
    streams: Vec<Words>,
}

/// A stream in words, as a file or a flag has them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Words {
    name: Option<String>,
    rate: Option<String>,
    spacing: Option<Spacing>,
    connections: Option<u32>,
    backfill: Option<bool>,
    batch: Option<u32>,
    size: Option<usize>,
    priority: Option<u8>,
    merge_by: Option<String>,
    shard: Option<String>,
    token_file: Option<PathBuf>,
    start: Option<Span>,
    duration: Option<Span>,
}

/// Distances between the writes of an open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Spacing {
    /// As independent writers.
    Poisson,
    /// At equal intervals.
    Even,
}

/// The words that a `--stream` knows.
const WORDS: [&str; 13] = [
    "name",
    "rate",
    "spacing",
    "connections",
    "backfill",
    "batch",
    "size",
    "priority",
    "merge-by",
    "shard",
    "token-file",
    "start",
    "duration",
];

/// What is wrong with a scenario, for a person.
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
            .map(|text| words(text))
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

    /// What no single stream can see.
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

impl Words {
    fn stream(self, at: usize, run: Duration, folder: &Path) -> Result<Stream, Wrong> {
        let name = self
            .name
            .clone()
            .unwrap_or_else(|| format!("stream{}", at + 1));
        let refuse = |message: &str| Err(Wrong(format!("stream `{name}`: {message}")));
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            return Err(Wrong(
                "the name of a stream has 1 to 64 characters, none of them a control character"
                    .into(),
            ));
        }
        if self
            .connections
            .is_some_and(|n| n == 0 || n > MOST_CONNECTIONS)
        {
            return refuse(&format!("connections are 1 to {MOST_CONNECTIONS}"));
        }
        let backfill = self.backfill == Some(true);
        let pace = match (&self.rate, backfill, self.connections) {
            (Some(_), true, _) => {
                return refuse("a backfill is as fast as it is taken; it has no rate");
            }
            (Some(rate), false, connections) => Pace::Open {
                per_1000s: per_1000s(rate)
                    .map_err(|Wrong(why)| Wrong(format!("stream `{name}`: {why}")))?,
                even: self.spacing == Some(Spacing::Even),
                connections: connections.unwrap_or(256),
            },
            (None, true, connections) => Pace::Backfill {
                connections: connections.unwrap_or(2),
                batch: self.batch.unwrap_or(16_384),
            },
            (None, false, Some(connections)) => Pace::Closed { connections },
            (None, false, None) => {
                return refuse(
                    "say `rate` (an open loop), `connections` (a closed loop) or `backfill`",
                );
            }
        };
        if self.spacing.is_some() && !matches!(pace, Pace::Open { .. }) {
            return refuse("`spacing` belongs to an open loop, which has a `rate`");
        }
        if self.batch.is_some() && !backfill {
            return refuse("`batch` belongs to a backfill");
        }
        if self.batch.is_some_and(|n| n == 0 || n > LARGEST_BATCH) {
            return refuse(&format!("a batch has 1 to {LARGEST_BATCH} entries"));
        }
        let size = self.size.unwrap_or(112);
        if !(SHORTEST..=LONGEST).contains(&size) {
            return refuse(&format!(
                "entries have {SHORTEST} to {LONGEST} bytes: shorter ones could not all be different"
            ));
        }
        if self.priority.is_some_and(|urgency| urgency > 7) {
            return refuse("a priority is 0 (most urgent) to 7");
        }
        for (word, text) in [("merge-by", &self.merge_by), ("shard", &self.shard)] {
            // They become headers; what they mean is for the server to judge.
            if text.as_ref().is_some_and(|text| {
                text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
            }) {
                return refuse(&format!("`{word}` is printable ASCII"));
            }
        }
        let start = self.start.map_or(Duration::ZERO, Span::duration);
        let end = self
            .duration
            .map_or(run, |duration| start + duration.duration())
            .min(run);
        Ok(Stream {
            name,
            pace,
            size,
            advice: Advice {
                priority: self.priority,
                merge_by: self.merge_by,
                shard: self.shard,
            },
            token_file: self.token_file.map(|path| folder.join(path)),
            start,
            end,
        })
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

/// `500/s`, `0.5/s`, `30/m`, as writes in a thousand seconds.
fn per_1000s(text: &str) -> Result<u64, Wrong> {
    let wrong = || {
        Wrong(format!(
            "`{text}` is not a rate: write 500/s, 0.5/s or 30/m, up to 1000000/s"
        ))
    };
    let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    if !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(wrong());
    }
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let rate = (number / seconds * 1000.0).round();
    if (1.0..=1e9).contains(&rate) {
        Ok(rate as u64)
    } else {
        Err(wrong())
    }
}

/// `name=live,rate=500/s,backfill`.
fn words(text: &str) -> Result<Words, Wrong> {
    let mut words = Words::default();
    let mut seen = BTreeSet::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (word, value) = part.split_once('=').map_or((part, None), |(word, value)| {
            (word.trim(), Some(value.trim()))
        });
        if !seen.insert(word) {
            return Err(Wrong(format!("`{text}` says `{word}` twice")));
        }
        let needs = || Wrong(format!("`{word}` wants a value: {word}=…"));
        let number = |value: Option<&str>| -> Result<u32, Wrong> {
            value
                .ok_or_else(needs)?
                .parse()
                .map_err(|_| Wrong(format!("`{part}`: not a whole number")))
        };
        let span = |value: Option<&str>| -> Result<Span, Wrong> {
            value
                .ok_or_else(needs)?
                .parse()
                .map_err(|error| Wrong(format!("`{part}`: {error}")))
        };
        let some = || value.map(str::to_owned).ok_or_else(needs);
        match word {
            "name" => words.name = Some(some()?),
            "rate" => words.rate = Some(some()?),
            "spacing" => {
                words.spacing = Some(match value {
                    Some("poisson") => Spacing::Poisson,
                    Some("even") => Spacing::Even,
                    _ => return Err(Wrong(format!("`{part}`: poisson or even"))),
                });
            }
            "connections" => words.connections = Some(number(value)?),
            "backfill" => {
                words.backfill = Some(match value {
                    None | Some("true") => true,
                    Some("false") => false,
                    Some(_) => return Err(Wrong(format!("`{part}`: true or false"))),
                });
            }
            "batch" => words.batch = Some(number(value)?),
            "size" => words.size = Some(number(value)? as usize),
            "priority" => {
                words.priority = Some(
                    u8::try_from(number(value)?)
                        .map_err(|_| Wrong(format!("`{part}`: a priority is 0 to 7")))?,
                );
            }
            "merge-by" => words.merge_by = Some(some()?),
            "shard" => words.shard = Some(some()?),
            "token-file" => words.token_file = Some(some()?.into()),
            "start" => words.start = Some(span(value)?),
            "duration" => words.duration = Some(span(value)?),
            other => {
                let hint = logctl::kit::nearest(other, WORDS.into_iter())
                    .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                return Err(Wrong(format!(
                    "a stream has no `{other}`{hint} (it has {})",
                    WORDS.join(", ")
                )));
            }
        }
    }
    Ok(words)
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
    fn rates() {
        for (text, rate) in [
            ("500/s", 500_000),
            ("0.5/s", 500),
            ("30/m", 500),
            ("3600/h", 1000),
            ("1000000/s", 1_000_000_000),
        ] {
            assert_eq!(per_1000s(text), Ok(rate), "{text}");
        }
        for text in [
            "",
            "500",
            "/s",
            "-1/s",
            "1/d",
            "0/s",
            "1e3/s",
            "inf/s",
            "NaN/s",
            "1000001/s",
        ] {
            assert!(per_1000s(text).is_err(), "{text}");
        }
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
