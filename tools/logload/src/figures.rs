//! The result of a run, as a value: what `-o json` prints, what the table shows, what the plots draw.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::measure::{Record, Recorder};
use crate::scenario::{Pace, Scenario};
use crate::verify::Verified;

/// The percentiles of latency that the report shows.
const QUANTILES: [f64; 12] = [
    0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1.0,
];

/// The complete result of a run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoadReport {
    /// The log's public address.
    pub(crate) url: String,
    pub(crate) log: String,
    /// When it began, RFC 3339.
    pub(crate) started_at: String,
    /// Until the last request was sent, warm-up included.
    pub(crate) seconds: f64,
    /// The beginning, which is in no figure.
    pub(crate) warm_up_seconds: f64,
    /// Whether the user ended it early.
    pub(crate) interrupted: bool,
    /// The streams, as in the scenario.
    pub(crate) streams: Vec<StreamFigures>,
    /// Acknowledged entries by the tier that was granted.
    pub(crate) tiers: Vec<TierFigures>,
    pub(crate) timeline: Timeline,
    /// How exact times to published are.
    pub(crate) watermarks: Watch,
    /// The check of every acknowledgement.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verified: Option<Verified>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamFigures {
    pub(crate) name: String,
    /// The pace of the stream, in words.
    pub(crate) pace: String,
    /// Bytes of an entry.
    pub(crate) size: usize,
    /// The rate that was offered, entries a second; of an open loop only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offered: Option<f64>,
    pub(crate) acknowledged: u64,
    /// Of them a second.
    pub(crate) entries_per_second: f64,
    /// Entries refused, by status and reason.
    pub(crate) refused: Vec<Refusal>,
    /// Requests that were not answered: their entries are in the log, once, or not.
    pub(crate) unanswered: u64,
    /// The first reason for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) complaint: Option<String>,
    /// Due, but not sent before the end.
    pub(crate) unsent: u64,
    /// Acknowledged, but not seen published before the end.
    pub(crate) unpublished: u64,
    /// From when the write was due to its index.
    pub(crate) ordered: Latency,
    /// From when the write was due to a checkpoint that covers it.
    pub(crate) published: Latency,
    /// Promises, granted and missed.
    pub(crate) promises: PromiseFigures,
    /// Acknowledged entries by granted tier.
    pub(crate) tiers: Vec<TierFigures>,
}

/// Refused entries of one kind.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The body's first line, numbers left out.
    pub(crate) reason: String,
    pub(crate) entries: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Latency {
    pub(crate) count: u64,
    pub(crate) mean_ms: f64,
    pub(crate) p50_ms: f64,
    /// One in ten is slower.
    pub(crate) p90_ms: f64,
    /// One in a hundred is slower.
    pub(crate) p99_ms: f64,
    /// One in a thousand is slower.
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
    /// Pairs of a share, in percent, and its latency in milliseconds.
    pub(crate) percentiles: Vec<(f64, f64)>,
}

/// Promises, granted and missed; counted in entries.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PromiseFigures {
    /// A time was promised.
    pub(crate) granted: u64,
    pub(crate) kept: u64,
    /// Not published in time.
    pub(crate) missed: u64,
    /// The latest, after its time, milliseconds.
    pub(crate) worst_ms: f64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct TierFigures {
    pub(crate) tier: String,
    pub(crate) entries: u64,
    /// Of all that named a tier, 0 to 1.
    pub(crate) share: f64,
}

/// Values for each interval of the measured time.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Timeline {
    /// Length of an interval.
    pub(crate) interval_seconds: f64,
    pub(crate) streams: Vec<StreamLine>,
    /// Entries acknowledged a second, by tier.
    pub(crate) tiers: Vec<Line>,
    /// Entries ordered and not yet published: the largest number seen.
    pub(crate) backlog: Vec<u64>,
    /// Entries waiting before the order, by tier, where `--metrics` was given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) queue: Vec<Line>,
}

/// A stream over time.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamLine {
    pub(crate) name: String,
    /// Entries acknowledged a second.
    pub(crate) acknowledged: Vec<f64>,
    /// Entries refused a second.
    pub(crate) refused: Vec<f64>,
    /// 99th percentile to ordered; 0 where nothing came.
    pub(crate) ordered_p99_ms: Vec<f64>,
    /// 99th percentile to published; 0 where nothing came.
    pub(crate) published_p99_ms: Vec<f64>,
}

/// Something with a name over time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    /// The line's name in the legend.
    pub(crate) name: String,
    /// A value for each interval.
    pub(crate) values: Vec<f64>,
}

/// How the watermarks were read.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Watch {
    pub(crate) readings: u64,
    /// The longest time between two: no time to published is wrong by more.
    pub(crate) widest_gap_ms: f64,
}

/// Facts about a run besides its figures.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// The log's public address.
    pub(crate) url: String,
    pub(crate) log: String,
    /// When the run began, RFC 3339.
    pub(crate) started_at: String,
    /// Until the last request was sent.
    pub(crate) took: Duration,
    /// Whether the user ended it early.
    pub(crate) interrupted: bool,
}

impl LoadReport {
    /// The figures of a run.
    pub(crate) fn new(scenario: &Scenario, about: About, recorder: &Recorder) -> Self {
        let interval = recorder.bin().as_secs_f64();
        // The last interval may have only begun: a rate over part of it would be a dip that never was.
        let measured = about.took.saturating_sub(scenario.warm_up).as_secs_f64();
        let bins = ((measured / interval).floor() as usize).max(1);
        let rates = |values: &[u64]| -> Vec<f64> {
            let values = values.iter().chain(std::iter::repeat(&0)).take(bins);
            values
                .map(|value| round(*value as f64 / interval))
                .collect()
        };
        let line = |values: &[u64]| -> Vec<f64> {
            let values = values.iter().chain(std::iter::repeat(&0)).take(bins);
            values.map(|value| *value as f64).collect()
        };
        let millis =
            |values: &[u64]| -> Vec<f64> { line(values).iter().map(|us| us / 1e3).collect() };
        let pairs = || scenario.streams.iter().zip(recorder.streams());
        let tiers = recorder.tiers();
        Self {
            url: about.url,
            log: about.log,
            started_at: about.started_at,
            seconds: round(about.took.as_secs_f64()),
            warm_up_seconds: scenario.warm_up.as_secs_f64(),
            interrupted: about.interrupted,
            streams: pairs()
                .map(|(stream, record)| {
                    let begin = stream.start.max(scenario.warm_up);
                    let end = stream.end.min(about.took.max(begin));
                    let active = end.saturating_sub(begin).as_secs_f64().max(1e-3);
                    StreamFigures::new(stream, record, active)
                })
                .collect(),
            tiers: tier_figures(
                tiers
                    .iter()
                    .map(|(name, line)| (&**name, line.iter().sum())),
            ),
            timeline: Timeline {
                interval_seconds: interval,
                streams: pairs()
                    .map(|(stream, record)| StreamLine {
                        name: stream.name.clone(),
                        acknowledged: rates(&record.line.acknowledged),
                        refused: rates(&record.line.refused),
                        ordered_p99_ms: millis(&record.line.ordered_p99),
                        published_p99_ms: millis(&record.line.published_p99),
                    })
                    .collect(),
                tiers: tiers
                    .iter()
                    .map(|(name, values)| Line {
                        name: name.to_string(),
                        values: rates(values),
                    })
                    .collect(),
                backlog: line(recorder.backlog())
                    .iter()
                    .map(|value| *value as u64)
                    .collect(),
                queue: recorder
                    .queue()
                    .iter()
                    .map(|(name, values)| Line {
                        name: name.clone(),
                        values: line(values),
                    })
                    .collect(),
            },
            watermarks: Watch {
                readings: recorder.polls().0,
                widest_gap_ms: recorder.polls().1.as_secs_f64() * 1e3,
            },
            verified: None,
        }
    }
}

impl StreamFigures {
    fn new(stream: &crate::scenario::Stream, record: &Record, active: f64) -> Self {
        Self {
            name: stream.name.clone(),
            pace: stream.pace.spelled(),
            size: stream.size,
            offered: match stream.pace {
                Pace::Open { per_1000s, .. } => Some(per_1000s as f64 / 1e3),
                Pace::Closed { .. } | Pace::Backfill { .. } => None,
            },
            acknowledged: record.acknowledged,
            entries_per_second: round(record.acknowledged as f64 / active),
            refused: record
                .refused
                .iter()
                .map(|((status, reason), entries)| Refusal {
                    status: *status,
                    reason: reason.clone(),
                    entries: *entries,
                })
                .collect(),
            unanswered: record.broken,
            complaint: record.complaint.clone(),
            unsent: record.unsent,
            unpublished: record.unpublished(),
            ordered: Latency::new(&record.ordered),
            published: Latency::new(&record.published),
            promises: PromiseFigures {
                granted: record.promises.granted,
                kept: record.promises.kept,
                missed: record.promises.missed,
                worst_ms: record.promises.worst_us as f64 / 1e3,
            },
            tiers: tier_figures(
                record
                    .tiers
                    .iter()
                    .map(|(name, entries)| (&**name, *entries)),
            ),
        }
    }

    pub(crate) fn refused_entries(&self) -> u64 {
        self.refused.iter().map(|refusal| refusal.entries).sum()
    }
}

impl Latency {
    fn new(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            count: histogram.len(),
            mean_ms: round(histogram.mean() / 1e3),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: at(1.0),
            percentiles: QUANTILES.map(|quantile| (quantile, at(quantile))).to_vec(),
        }
    }
}

fn tier_figures<'a>(tiers: impl Iterator<Item = (&'a str, u64)>) -> Vec<TierFigures> {
    let tiers: Vec<_> = tiers.collect();
    let all: u64 = tiers.iter().map(|(_, entries)| entries).sum();
    let mut tiers: Vec<_> = tiers
        .into_iter()
        .map(|(tier, entries)| TierFigures {
            tier: tier.to_owned(),
            entries,
            share: if all == 0 {
                0.0
            } else {
                round(entries as f64 / all as f64 * 1e3) / 1e3
            },
        })
        .collect();
    tiers.sort_by(|a, b| a.tier.cmp(&b.tier));
    tiers
}

/// Three digits after the point are more than anything here is good for.
fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::measure::{Acknowledged, Granted};
    use logctl::kit::Present as _;

    /// A small made-up run.
    pub(crate) fn sample() -> LoadReport {
        let scenario = Scenario::from_flags(&[
            "name=live,rate=100/s,duration=10s".into(),
            "name=fill,backfill,duration=10s".into(),
        ])
        .unwrap();
        let mut recorder = Recorder::new(2, scenario.duration, Duration::ZERO);
        let ms = Duration::from_millis;
        let mut index = 0;
        for n in 0..1000u64 {
            let at = ms(n * 10);
            let write = |first, entries, took, tier: &str, promise| Acknowledged {
                due: at,
                sent: at,
                answered: at + ms(took),
                first,
                entries,
                granted: Granted {
                    tier: Some(tier.into()),
                    merge_by: promise,
                },
            };
            let soon = Some(Duration::from_secs(2));
            recorder.acknowledged(0, write(index, 1, 2 + n % 7, "interactive", soon));
            index += 1;
            if n % 10 == 0 {
                let entries = 5000 + 100 * (n % 30);
                recorder.acknowledged(1, write(index, entries, 40, "bulk", None));
                index += 8000;
            }
            if n % 50 == 3 {
                recorder.refused(1, at, at + ms(1), 5000, 503, "the backlog needs 17 s");
            }
            if n % 20 == 19 {
                recorder.watermarks(at + ms(9), at + ms(10), index + 3000, index);
                recorder.waiting(at, &[("bulk".to_owned(), 1000 + n)].into());
            }
        }
        recorder.finish(Duration::from_secs(10));
        let about = About {
            url: "http://127.0.0.1:7070".into(),
            log: "dev".into(),
            started_at: "2026-01-01T00:00:00Z".into(),
            took: Duration::from_secs(10),
            interrupted: false,
        };
        LoadReport::new(&scenario, about, &recorder)
    }

    #[test]
    fn the_page_at_every_width() {
        use logctl::kit::{Look, rendered as page};
        let page_at = |width| {
            page(
                &sample().page(),
                Look {
                    width,
                    color: false,
                },
            )
        };
        let shown = [60, 100, 200]
            .map(|width| page_at(Some(width)))
            .join("\n=====\n");
        insta::assert_snapshot!("load_page", shown);
    }

    #[test]
    fn the_document() {
        let mut report = sample();
        report.timeline.streams.truncate(0);
        report.timeline.backlog.truncate(3);
        report.timeline.tiers.truncate(0);
        report.timeline.queue.truncate(0);
        insta::assert_json_snapshot!("load_document", report);
    }

    #[test]
    fn intervals_cover_the_run() {
        let report = sample();
        let line = &report.timeline.streams[0];
        assert_eq!(line.acknowledged.len(), report.timeline.backlog.len());
        let covered = line.acknowledged.len() as f64 * report.timeline.interval_seconds;
        assert!((9.0..=10.0).contains(&covered), "{covered}");
        assert!(
            line.acknowledged
                .iter()
                .all(|rate| (90.0..=110.0).contains(rate)),
            "{line:?}"
        );
    }
}
