//! The counters of this process, for Prometheus, on a listener of its own.
//!
//! The engine keeps plain atomics; this module reads them when asked. Only one counter of it is on the path of a write.

mod format;
mod merge;
mod qos;
mod replicas;
mod search;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, VARY};
use hyper::{Method, Request, Response, StatusCode};
use plane_http::{Body, Phase, Plane, TEXT, Unread, Watch, Watched, busy};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use self::format::Format;
use crate::process::Process;
use crate::readiness::Readiness;
use engine::{Histogram, Log, LogMetrics};

#[derive(Debug)]
pub(crate) struct HttpMetrics {
    /// One counter per status from 100 to 599.
    answers: Box<[AtomicU64]>,
}

const LOWEST: u16 = 100;
const STATUSES: usize = 500;

impl Default for HttpMetrics {
    fn default() -> Self {
        Self {
            answers: (0..STATUSES).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl HttpMetrics {
    pub(crate) fn count(&self, status: StatusCode) {
        let at = usize::from(status.as_u16().saturating_sub(LOWEST));
        if let Some(counter) = self.answers.get(at) {
            counter.fetch_add(1, Relaxed);
        }
    }

    #[cfg(test)]
    pub(crate) fn total(&self) -> u64 {
        self.seen().map(|(_, count)| count).sum()
    }

    fn seen(&self) -> impl Iterator<Item = (usize, u64)> {
        let counts = self.answers.iter().map(|counter| counter.load(Relaxed));
        counts
            .enumerate()
            .filter(|(_, count)| *count > 0)
            .map(|(at, count)| (at + usize::from(LOWEST), count))
    }
}

/// Everything that is exported.
pub(crate) struct Exporter {
    registry: Registry,
}

impl Exporter {
    /// Exports the logs behind `readiness`, the answers in `http` and the connections in `watch`.
    pub(crate) fn new(
        readiness: Arc<Readiness>,
        http: Arc<HttpMetrics>,
        watch: Arc<Watch>,
    ) -> Self {
        let mut registry = Registry::default();
        registry
            .sub_registry_with_prefix("logd")
            .register_collector(Box::new(Source {
                readiness,
                http,
                watch,
            }));
        registry
            .sub_registry_with_prefix("process")
            .register_collector(Box::new(Process::default()));
        Self { registry }
    }

    pub(crate) fn of(registry: Registry) -> Self {
        Self { registry }
    }

    fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl Plane for Exporter {
    async fn answer(&self, watched: &Watched, request: Request<Incoming>) -> Response<Body> {
        watched.enter(Phase::Working);
        let (head, body) = request.into_parts();
        let unread = Unread::new(head.version, &head.headers, body);
        let format = Format::asked(&head.headers);
        let (status, kind, text) = match (&head.method, head.uri.path()) {
            (&Method::GET | &Method::HEAD, "/metrics") => match self.text() {
                Ok(text) => (StatusCode::OK, format.kind(), format.of(text)),
                Err(error) => (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    TEXT,
                    format!("{error}\n"),
                ),
            },
            (_, "/metrics") => (
                StatusCode::METHOD_NOT_ALLOWED,
                TEXT,
                "not with this method\n".into(),
            ),
            _ => (
                StatusCode::NOT_FOUND,
                TEXT,
                "only /metrics is served here\n".into(),
            ),
        };
        let mut response = Response::new(text.into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        let answer = watched.counted(response, busy);
        answer.map(|text| unread.answer(text))
    }
}

struct Source {
    readiness: Arc<Readiness>,
    http: Arc<HttpMetrics>,
    watch: Arc<Watch>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

/// A family of numbers: its name, what it means, and how to read it from one log.
type Number = (&'static str, &'static str, fn(&LogMetrics) -> u64);

const COUNTERS: &[Number] = &[
    ("commits", "Commits decided by this replica", |m| {
        m.commits.get()
    }),
    ("entries", "Entries acknowledged by this replica", |m| {
        m.entries.get()
    }),
    ("publications", "Checkpoints signed by this replica", |m| {
        m.publications.get()
    }),
    (
        "partials_deleted",
        "Partial tiles and bundles deleted by this replica",
        |m| m.partials_deleted.get(),
    ),
];

/// A family of numbers about damaged objects.
type DamageNumber = (&'static str, &'static str, MetricType, fn(&Log) -> u64);

const DAMAGE: &[DamageNumber] = &[
    (
        "damaged_objects",
        "Published objects that were found damaged and are not repaired",
        MetricType::Gauge,
        |log| log.damaged_count() as u64,
    ),
    (
        "damaged_reads",
        "Reads that were refused because what they ask for is damaged",
        MetricType::Counter,
        |log| log.damage_counts().0,
    ),
    (
        "repaired_objects",
        "Damaged published objects that were repaired from a good copy",
        MetricType::Counter,
        |log| log.damage_counts().1,
    ),
];

const GAUGES: &[Number] = &[
    ("commits_in_flight", "Commits under way", |m| {
        m.commits_in_flight.get()
    }),
    ("ordered", "Entries ordered", |m| m.ordered.get()),
    ("integrated", "Entries in the tree", |m| m.integrated.get()),
    ("published", "Entries covered by signed checkpoints", |m| {
        m.published.get()
    }),
];

/// A family of histograms.
type Spread = (&'static str, &'static str, fn(&LogMetrics) -> &Histogram);

const HISTOGRAMS: &[Spread] = &[
    (
        "commit_decision_seconds",
        "From the start of a commit to its decision",
        |m| &m.commit_seconds,
    ),
    (
        "commit_announced_seconds",
        "From the announcement of a commit that lost a proposal to its decision",
        |m| &m.announced_seconds,
    ),
    (
        "commit_rounds",
        "Proposals a commit took; more than 2 without paging is a bug",
        |m| &m.commit_rounds,
    ),
    (
        "publish_seconds",
        "From the cut to the signed checkpoint",
        |m| &m.publish_seconds,
    ),
];

impl Collector for Source {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let info =
            encoder.encode_descriptor("build_info", "This program", None, MetricType::Gauge)?;
        labelled(
            info,
            &[("version", env!("CARGO_PKG_VERSION"))],
            |mut metric| metric.encode_gauge(&1i64),
        )?;
        let mut connections = encoder.encode_descriptor(
            "http_connections",
            "Open data-plane connections",
            None,
            MetricType::Gauge,
        )?;
        connections.encode_gauge(&i64::try_from(self.watch.count()).unwrap_or(i64::MAX))?;
        let mut bodies = encoder.encode_descriptor(
            "http_body_bytes",
            "Bytes of request bodies held by the data plane; at limits.max_bodies requests with a body are refused",
            None,
            MetricType::Gauge,
        )?;
        bodies.encode_gauge(&i64::try_from(self.watch.bodies().held()).unwrap_or(i64::MAX))?;
        let mut out = encoder.encode_descriptor(
            "http_answer_bytes",
            "Bytes of long answers held by the data plane until their readers have taken them; at twice limits.max_bodies, and 64 MiB at least, long answers are refused",
            None,
            MetricType::Gauge,
        )?;
        out.encode_gauge(&i64::try_from(self.watch.answers().held()).unwrap_or(i64::MAX))?;
        let mut answers = encoder.encode_descriptor(
            "http_requests",
            "Data-plane answers by status",
            None,
            MetricType::Counter,
        )?;
        for (status, count) in self.http.seen() {
            let labels = [("code", status.to_string())];
            answers
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        let Some(engine) = self.readiness.engine() else {
            return Ok(());
        };
        let mut logs = engine.logs();
        logs.extend(engine.system());
        per_log(&mut encoder, &logs)?;
        qos::encode(&mut encoder, &logs)?;
        replicas::encode(&mut encoder, &logs)?;
        if let Some(indexes) = self.readiness.indexes() {
            search::encode(&mut encoder, &logs, indexes)?;
        }
        merge::encode(&mut encoder, &logs)
    }
}

fn labelled(
    mut encoder: MetricEncoder<'_>,
    labels: &[(&str, &str)],
    encode: impl FnOnce(MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    encode(encoder.encode_family(&labels)?)
}

fn per_log(encoder: &mut DescriptorEncoder<'_>, logs: &[Arc<Log>]) -> fmt::Result {
    for (name, help, read) in COUNTERS {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for log in logs {
            family
                .encode_family(&[("log", log.name())])?
                .encode_counter::<NoLabelSet, _, u64>(&read(log.metrics()), None)?;
        }
    }
    for (name, help, read) in GAUGES {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for log in logs {
            let value = i64::try_from(read(log.metrics())).unwrap_or(i64::MAX);
            family
                .encode_family(&[("log", log.name())])?
                .encode_gauge(&value)?;
        }
    }
    for (name, help, kind, read) in DAMAGE {
        let mut family = encoder.encode_descriptor(name, help, None, *kind)?;
        for log in logs {
            let labels = [("log", log.name())];
            number(family.encode_family(&labels)?, *kind, read(log))?;
        }
    }
    for (name, help, read) in HISTOGRAMS {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for log in logs {
            spread(
                family.encode_family(&[("log", log.name())])?,
                read(log.metrics()),
            )?;
        }
    }
    let mut failures = encoder.encode_descriptor(
        "commit_failures",
        "Failed steps of commits, and works that were not ordered, by reason",
        None,
        MetricType::Counter,
    )?;
    for log in logs {
        for (reason, count) in log.metrics().failures() {
            let labels = [("log", log.name()), ("reason", reason.as_str())];
            failures
                .encode_family(&labels)?
                .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
    }
    Ok(())
}

fn number(mut metric: MetricEncoder<'_>, kind: MetricType, value: u64) -> fmt::Result {
    match kind {
        MetricType::Counter => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
        _ => metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX)),
    }
}

fn spread(mut metric: MetricEncoder<'_>, histogram: &Histogram) -> fmt::Result {
    // The last bucket has no bound.
    let bounds = histogram
        .bounds()
        .iter()
        .copied()
        .chain(std::iter::once(f64::INFINITY));
    let buckets: Vec<(f64, u64)> = bounds.zip(histogram.counts()).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    metric.encode_histogram::<NoLabelSet>(histogram.sum(), count, &buckets, None)
}

#[cfg(test)]
mod tests {
    use plane_http::{Limits, Listener};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::testing::{Server, read_all, request};

    #[tokio::test]
    async fn a_long_answer_is_in_the_budget() {
        for (answers, status) in [(0, 503), (1 << 20, 200)] {
            let mut registry = Registry::default();
            for n in 0..2_000 {
                let counter = prometheus_client::metrics::counter::Counter::<u64>::default();
                registry.register(format!("counter_{n}"), "One of many", counter);
            }
            let (listener, address) = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
            let watch = Watch::new(Limits {
                answers,
                ..Limits::default()
            });
            let stop = CancellationToken::new();
            let exporter = Arc::new(Exporter::of(registry));
            let serving = plane_http::serve(
                listener,
                exporter,
                watch,
                stop.clone(),
                std::time::Duration::ZERO,
            );
            let serving = tokio::spawn(serving.unwrap());
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            let asked = request("GET /metrics", "connection: close\r\n", b"");
            tokio::io::AsyncWriteExt::write_all(&mut stream, &asked)
                .await
                .unwrap();
            let replies = read_all(&mut stream, false).await;
            assert_eq!(replies[0].status, status);
            stop.cancel();
            serving.await.unwrap();
        }
    }

    #[tokio::test]
    async fn every_family_is_exported_and_buckets_add_up() {
        let server = Server::start().await;
        for _ in 0..3 {
            server
                .ask("POST /dev/add", "log-ack: published\r\n", b"x")
                .await;
        }
        server.get("/nope").await;
        let exporter = Exporter::new(
            Arc::clone(&server.readiness),
            Arc::clone(&server.http),
            Arc::clone(&server.watch),
        );
        let text = exporter.text().unwrap();
        for line in [
            "logd_entries_total{log=\"dev\"} 3",
            "logd_ordered{log=\"dev\"} 3",
            "logd_published{log=\"dev\"} 3",
            "logd_commits_in_flight{log=\"dev\"} 0",
            "logd_http_requests_total{code=\"200\"} 3",
            "logd_http_requests_total{code=\"404\"} 1",
            "# TYPE logd_commit_failures counter",
            "# TYPE process_cpu_seconds counter",
            "# EOF",
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "{line} is missing in\n{text}"
            );
        }
        for line in [
            "logd_admission_total{log=\"dev\",tier=\"interactive\",tenant=\"default\",decision=\"accepted\",reason=\"\"} 3",
            "logd_share_entries_total{log=\"dev\",tier=\"interactive\",tenant=\"default\"} 3",
            "logd_queue_entries{log=\"dev\",tier=\"interactive\",tenant=\"default\"} 0",
            "logd_commit_seconds_count{log=\"dev\",tier=\"interactive\",stage=\"ordered\"} 3",
            "logd_commit_seconds_count{log=\"dev\",tier=\"interactive\",stage=\"published\"} 3",
            "logd_promise_missed_total{log=\"dev\",tier=\"interactive\"} 0",
            "logd_storage_node_up{log=\"dev\",node=\"local\"} 1",
            "logd_storage_node_repaired_total{log=\"dev\",node=\"local\"} 0",
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "{line} is missing in\n{text}"
            );
        }
        let value = |name: &str| -> u64 {
            let line = text.lines().find(|l| l.starts_with(name)).unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        for family in [
            "commit_decision_seconds",
            "commit_rounds",
            "publish_seconds",
        ] {
            let last = value(&format!("logd_{family}_bucket{{le=\"+Inf\",log=\"dev\"}}"));
            assert_eq!(
                last,
                value(&format!("logd_{family}_count{{log=\"dev\"}}")),
                "{family}"
            );
            assert!(last > 0, "{family}");
        }
    }
    /// The page lists the exported families, and no others.
    #[tokio::test]
    async fn the_page_lists_every_family_with_its_type_and_nothing_else() {
        let server = Server::start().await;
        server.follow();
        server
            .ask("POST /dev/add", "log-ack: published\r\n", b"x")
            .await;
        let exporter = Exporter::new(
            Arc::clone(&server.readiness),
            Arc::clone(&server.http),
            Arc::clone(&server.watch),
        );
        let text = exporter.text().unwrap();
        let exported: Vec<(&str, &str)> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
            .collect();
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
        let page = std::fs::read_to_string(page).unwrap();
        let documented: Vec<(&str, &str)> = page
            .lines()
            .filter_map(|row| {
                let mut cells = row.strip_prefix("| `")?.split(" | ");
                let name = cells.next()?.trim_end_matches('`');
                Some((name, cells.next()?))
            })
            .collect();
        let sorted = |list: &[(&str, &str)]| {
            let mut list: Vec<String> = list
                .iter()
                .map(|(name, kind)| format!("{} {kind}", name.trim_end_matches("_total")))
                .collect();
            list.sort();
            list
        };
        assert_eq!(sorted(&exported), sorted(&documented));
        for family in exported {
            let help = format!("# HELP {} ", family.0);
            assert!(text.lines().any(|line| line.starts_with(&help)), "{help}");
        }
    }
}
