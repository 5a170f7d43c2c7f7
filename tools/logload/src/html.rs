//! The report as one HTML file, and its plots one by one.

use std::fmt::Write as _;

use logctl::kit::{latency, thousands};

use crate::figures::{Line, LoadReport};
use crate::plot::{Axis, Plot, Series, escape};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;color:#222;background:#fff;max-width:780px;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.4rem}table{border-collapse:collapse;margin:1rem 0;width:100%}\
th,td{text-align:right;padding:.25rem .5rem;border-bottom:1px solid #ddd;white-space:nowrap}\
th:first-child,td:first-child,td.text{text-align:left;white-space:normal}th{font-weight:600}\
svg{width:100%;height:auto;margin:.6rem 0}.bad{color:#b00020;font-weight:600}small{color:#666}";

/// The plots, each with a name that can be a file's.
pub(crate) fn plots(report: &LoadReport) -> Vec<(&'static str, String)> {
    let line = &report.timeline;
    let step = line.interval_seconds;
    let over_time = |values: &[f64]| -> Vec<(f64, f64)> {
        values
            .iter()
            .enumerate()
            .map(|(at, value)| (at as f64 * step, *value))
            .collect()
    };
    let by_stream = |values: fn(&crate::figures::StreamLine) -> &Vec<f64>| -> Vec<Series> {
        line.streams
            .iter()
            .map(|stream| Series {
                name: stream.name.clone(),
                points: over_time(values(stream)),
            })
            .collect()
    };
    // An interval without answers has no latency.
    let there = |mut series: Vec<Series>| {
        for line in &mut series {
            line.points.retain(|(_, value)| *value > 0.0);
        }
        series
    };
    let named = |lines: &[Line]| -> Vec<Series> {
        lines
            .iter()
            .map(|line| Series {
                name: line.name.clone(),
                points: over_time(&line.values),
            })
            .collect()
    };
    let percentiles = |ordered: bool| -> Vec<Series> {
        report
            .streams
            .iter()
            .map(|stream| Series {
                name: stream.name.clone(),
                points: if ordered {
                    &stream.ordered
                } else {
                    &stream.published
                }
                .percentiles
                .clone(),
            })
            .collect()
    };
    let time = |title: &str, y_label, log_y, stacked, series| Plot {
        title: title.into(),
        x_label: "since the end of the warm-up",
        y_label,
        x: Axis::Time,
        log_y,
        stacked,
        series,
    };
    let shares = |title: &str, series| Plot {
        title: title.into(),
        x_label: "share of all entries",
        y_label: "milliseconds, logarithmic",
        x: Axis::Percentile,
        log_y: true,
        stacked: false,
        series,
    };
    let mut plots = vec![
        (
            "ordered",
            shares(
                "Time to the durable index, by percentile",
                percentiles(true),
            ),
        ),
        (
            "published",
            shares("Time to published, by percentile", percentiles(false)),
        ),
        (
            "ordered-over-time",
            time(
                "Time to the durable index, 99th percentile",
                "milliseconds, logarithmic",
                true,
                false,
                there(by_stream(|stream| &stream.ordered_p99_ms)),
            ),
        ),
        (
            "published-over-time",
            time(
                "Time to published, 99th percentile",
                "milliseconds, logarithmic",
                true,
                false,
                there(by_stream(|stream| &stream.published_p99_ms)),
            ),
        ),
        (
            "rate",
            time(
                "Entries acknowledged",
                "entries/s, logarithmic",
                true,
                false,
                there(by_stream(|stream| &stream.acknowledged)),
            ),
        ),
        (
            "share",
            time(
                "Share of each tier",
                "entries/s",
                false,
                true,
                named(&line.tiers),
            ),
        ),
        (
            "backlog",
            time(
                "Ordered and not yet published",
                "entries",
                false,
                false,
                vec![Series {
                    name: "entries".into(),
                    points: over_time(
                        &line
                            .backlog
                            .iter()
                            .map(|value| *value as f64)
                            .collect::<Vec<_>>(),
                    ),
                }],
            ),
        ),
        (
            "refused",
            time(
                "Entries refused",
                "entries/s",
                false,
                false,
                by_stream(|stream| &stream.refused),
            ),
        ),
    ];
    if !line.queue.is_empty() {
        plots.push((
            "queue",
            time(
                "Waiting before the order",
                "entries",
                false,
                true,
                named(&line.queue),
            ),
        ));
    }
    plots
        .into_iter()
        .filter(|(_, plot)| {
            plot.series
                .iter()
                .any(|series| series.points.iter().any(|point| point.1 > 0.0))
        })
        .map(|(name, plot)| (name, plot.svg()))
        .collect()
}

pub(crate) fn page(report: &LoadReport) -> String {
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
<title>Load on {log}</title><style>{STYLE}</style><h1>Load on {log}</h1>\
<p>{url}, from {start}: {seconds:.0} s{warm_up}{interrupted}.</p>",
        log = escape(&report.log),
        url = escape(&report.url),
        start = escape(&report.started_at),
        seconds = report.seconds,
        warm_up = if report.warm_up_seconds > 0.0 {
            format!(
                ", of which the first {:.0} s are not measured",
                report.warm_up_seconds
            )
        } else {
            String::new()
        },
        interrupted = if report.interrupted {
            "; interrupted"
        } else {
            ""
        },
    );
    streams(report, &mut out);
    refusals(report, &mut out);
    for remark in report.remarks() {
        let _ = write!(out, "<p class=\"bad\">{}</p>", escape(&remark));
    }
    if let Some(verified) = report.verified.as_ref().filter(|verified| verified.good()) {
        let _ = write!(
            out,
            "<p>Every one of {} acknowledged entries is at its index.</p>",
            thousands(verified.checked as f64)
        );
    }
    for (_, svg) in plots(report) {
        out.push_str(&svg);
    }
    let _ = writeln!(
        out,
        "<p><small>Times count from when a write was due (open loop) or sent (closed loop, backfill). Published: when the first \
answer about the watermarks that covers the entry has come; between two of them were at most {:.1} ms. Made by \
<code>logload run</code> {}.</small></p></html>",
        report.watermarks.widest_gap_ms,
        env!("CARGO_PKG_VERSION")
    );
    out
}

fn streams(report: &LoadReport, out: &mut String) {
    out.push_str(
        "<table><tr><th>stream<th>entries/s<th>ordered p50<th>p99<th>p99.9<th>published p50<th>p99<th>promised<th>missed</tr>",
    );
    for stream in &report.streams {
        let _ = write!(
            out,
            "<tr><td>{}<br><small>{}, {} bytes</small><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td{}>{}</tr>",
            escape(&stream.name),
            escape(&stream.pace),
            stream.size,
            thousands(stream.entries_per_second),
            latency(stream.ordered.p50_ms),
            latency(stream.ordered.p99_ms),
            latency(stream.ordered.p999_ms),
            latency(stream.published.p50_ms),
            latency(stream.published.p99_ms),
            thousands(stream.promises.granted as f64),
            if stream.promises.missed > 0 {
                " class=\"bad\""
            } else {
                ""
            },
            thousands(stream.promises.missed as f64),
        );
    }
    out.push_str("</table>");
}

fn refusals(report: &LoadReport, out: &mut String) {
    if report
        .streams
        .iter()
        .all(|stream| stream.refused.is_empty())
    {
        return;
    }
    out.push_str("<table><tr><th>stream<th>status<th>entries refused<th>reason</tr>");
    for stream in &report.streams {
        for refusal in &stream.refused {
            let _ = write!(
                out,
                "<tr><td>{}<td>{}<td>{}<td class=\"text\">{}</tr>",
                escape(&stream.name),
                refusal.status,
                thousands(refusal.entries as f64),
                escape(&refusal.reason)
            );
        }
    }
    out.push_str("</table>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::tests::sample;

    #[test]
    fn one_file_with_everything() {
        let page = page(&sample());
        for there in [
            "<svg",
            "Share of each tier",
            "Waiting before the order",
            "live",
            "fill",
            "the backlog needs # s",
        ] {
            assert!(page.contains(there), "{there}");
        }
        // Nothing is fetched from anywhere.
        for not_there in ["<script", "src=", "<link", "@import", "url("] {
            assert!(!page.contains(not_there), "{not_there}");
        }
    }

    #[test]
    fn what_a_server_says_is_no_markup() {
        let mut report = sample();
        report.streams[1].refused[0].reason = "<img src=x onerror=alert(1)>".into();
        report.log = "</title><script>".into();
        report.timeline.tiers[0].name = "<script>".into();
        let page = page(&report);
        assert!(
            !page.contains("<img") && !page.contains("<script"),
            "{page}"
        );
    }

    #[test]
    fn empty_plots_are_left_out() {
        let mut report = sample();
        report.timeline.queue.clear();
        for stream in &mut report.timeline.streams {
            stream.refused.clear();
        }
        let names: Vec<_> = plots(&report).into_iter().map(|(name, _)| name).collect();
        assert_eq!(
            names,
            [
                "ordered",
                "published",
                "ordered-over-time",
                "published-over-time",
                "rate",
                "share",
                "backlog"
            ]
        );
    }
}
