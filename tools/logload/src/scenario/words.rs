//! A stream in words: what a file and `--stream` may say, and the stream that it makes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use logconfig::Span;
use serde::Deserialize;

use super::{Advice, LARGEST_BATCH, LONGEST, MOST_CONNECTIONS, Pace, SHORTEST, Stream, Wrong};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Document {
    #[serde(default)]
    pub(super) duration: Option<Span>,
    #[serde(default)]
    pub(super) warm_up: Option<Span>,
    pub(super) streams: Vec<Words>,
}

/// A stream in words, as a file or a flag has them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Words {
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
    pub(super) start: Option<Span>,
    pub(super) duration: Option<Span>,
}

/// Distances between the writes of an open loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Spacing {
    Poisson,
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

impl Words {
    pub(super) fn stream(self, at: usize, run: Duration, folder: &Path) -> Result<Stream, Wrong> {
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

/// Reads the words of a stream: `name=live,rate=500/s,backfill`.
pub(super) fn parse(text: &str) -> Result<Words, Wrong> {
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
                let hint = logconfig::text::nearest(other, WORDS.into_iter())
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
}
