//! `logload run`: prepares the streams, runs them, and writes the results.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use clap::ValueHint;
use logctl::kit::{Address, Error, File, LogAddress, Outcome, Public, Session, Source as _, Token};
use logctl::kit::{ended, now, parse_between, read_document, rfc3339, thousands, transport};

use crate::drive::{Ran, Setup, drive};
use crate::figures::{About, LoadReport};
use crate::html;
use crate::measure::Recorder;
use crate::scenario::{Scenario, Wrong};
use crate::verify::{Verified, verify};
use crate::wire::Target;

/// The arguments of `logload run`.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// A stream: rate=500/s, connections=8 or backfill, and name=, size=, priority=, merge-by=, shard=, token-file=, start=, duration=, spacing=even, batch=
    #[arg(
        long,
        value_name = "WORDS",
        required_unless_present = "scenario",
        conflicts_with = "scenario"
    )]
    stream: Vec<String>,
    /// Streams from a YAML file; `-` is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    scenario: Option<File>,
    /// Duration of the run; by default that of the streams, or 30s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    duration: Option<Duration>,
    /// Time at the beginning that is left out of every figure
    #[arg(long, value_name = "TIME", value_parser = parse_warm_up)]
    warm_up: Option<Duration>,
    /// Time between two readings of the watermarks; times to published are exact to this
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = parse_poll)]
    poll: Duration,
    /// Write a report with plots to FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    html: Option<PathBuf>,
    /// Write each plot to a file of its own in DIR
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    svg: Option<PathBuf>,
    /// Address of the server's metrics, for a plot of the queues: http://127.0.0.1:9090/metrics
    #[arg(long, value_name = "URL")]
    metrics: Option<String>,
    /// Afterwards, check that each acknowledged index holds its entry
    #[arg(long)]
    verify: bool,
    /// Address of the log for readers and writers; by default the one in the context, else the one that the server names
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

fn parse_duration(text: &str) -> Result<Duration, String> {
    parse_between(text, Duration::from_secs(1), DAY, "from 1s to 24h")
}

fn parse_warm_up(text: &str) -> Result<Duration, String> {
    parse_between(text, Duration::ZERO, DAY, "at most 24h")
}

fn parse_poll(text: &str) -> Result<Duration, String> {
    let (least, most) = (Duration::from_millis(1), Duration::from_secs(10));
    parse_between(text, least, most, "from 1ms to 10s")
}

pub(super) async fn run(session: &Session<'_>, args: RunArgs) -> Result<Outcome, Error> {
    let scenario = scenario(&args).await?;
    let tokens = scenario
        .streams
        .iter()
        .map(|stream| stream.token_file.as_deref().map(Token::read).transpose())
        .collect::<Result<_, _>>()?;
    // A file that can't be written is reported before the run, not after it.
    if let Some(folder) = &args.svg {
        std::fs::create_dir_all(folder).map_err(|source| unwritten(folder, source))?;
    }
    if let Some(file) = &args.html {
        write(file, "")?;
    }
    let place = session.place(args.url.clone()).await?;
    let metrics = match &args.metrics {
        Some(url) => {
            let (base, path) = metrics_url(url)?;
            let place = LogAddress {
                url: base,
                ..place.clone()
            };
            Some((Rc::new(target(&place).await?), path))
        }
        None => None,
    };
    let target = target(&place).await?;
    known(&place, session.timeout).await?;
    let id = id()?;
    let setup = Setup {
        target: Rc::new(target),
        log: place.log.clone(),
        tokens,
        poll: args.poll,
        metrics,
        keep: args.verify,
        id,
    };
    let started = now();
    session.ui.stand(
        "what was acknowledged stays in the log",
        "run the command again when you are ready",
    );
    let phase = session.ui.phase(&format!(
        "writing to {}/{} for {} s",
        place.url,
        place.log,
        scenario.duration.as_secs_f64()
    ));
    let progress = |at: std::time::Duration, recorder: &Recorder| {
        let acknowledged: u64 = recorder
            .streams()
            .iter()
            .map(|stream| stream.acknowledged)
            .sum();
        phase.update(&format!(
            "{:.0} s of {} s, {} entries, Ctrl-C ends the run",
            at.as_secs_f64(),
            scenario.duration.as_secs_f64(),
            thousands(acknowledged as f64)
        ));
    };
    let ran = drive(&scenario, setup, ended(), progress).await;
    drop(phase);
    finish(session, &args, &scenario, &place, (started, id), ran).await
}

/// Makes the report from the measurements.
async fn finish(
    session: &Session<'_>,
    args: &RunArgs,
    scenario: &Scenario,
    place: &LogAddress,
    (started, id): (i64, u64),
    ran: Ran,
) -> Result<Outcome, Error> {
    let about = About {
        url: place.url.clone(),
        log: place.log.clone(),
        started_at: rfc3339(started),
        took: ran.took,
        interrupted: ran.interrupted,
    };
    let mut report = LoadReport::new(scenario, about, &ran.recorder);
    if args.verify && !ran.interrupted {
        report.verified = Some(check(session, scenario, place, id, ran).await?);
    }
    if let Some(file) = &args.html {
        write(file, &html::page(&report))?;
    }
    if let Some(folder) = &args.svg {
        for (name, svg) in html::plots(&report) {
            write(&folder.join(format!("{name}.svg")), &svg)?;
        }
    }
    let wrong = report.verified.as_ref().filter(|verified| !verified.good());
    let silent = report.streams.iter().find(|stream| {
        stream.acknowledged == 0 && stream.refused.is_empty() && stream.unanswered > 0
    });
    let trouble = if let Some(verified) = wrong {
        let findings = verified.wrong + verified.missing;
        Some(Error::VerificationFailed {
            findings: usize::try_from(findings).unwrap_or(usize::MAX),
        })
    } else if report.interrupted {
        Some(session.ui.interrupted())
    } else {
        silent.map(|stream| Error::Unreachable {
            address: format!("{}/{}", place.url, place.log),
            cause: stream.complaint.clone().unwrap_or_default(),
            hint: "is logd running there? `url` in the context (or --url) is where writers reach the log".into(),
        })
    };
    Outcome::with_trouble(&report, trouble)
}

/// Reads every acknowledged entry back.
async fn check(
    session: &Session<'_>,
    scenario: &Scenario,
    place: &LogAddress,
    id: u64,
    ran: Ran,
) -> Result<Verified, Error> {
    let public = Public::new(&place.url, place.ca.as_deref(), &place.log, session.timeout)?;
    let phase = session.ui.phase("checking every acknowledged entry");
    phase.total(ran.kept.iter().map(|kept| kept.entries).sum());
    verify(&public, scenario, id, ran.kept, &mut |done| {
        phase.position(done)
    })
    .await
    .map_err(|error| Error::Unreachable {
        address: format!("{}/{}", public.address(), error.path),
        cause: error.source.to_string(),
        hint: "the run itself has ended; its entries are in the log".into(),
    })
}

/// The scenario, from flags or a file.
async fn scenario(args: &RunArgs) -> Result<Scenario, Error> {
    let (scenario, subject) = match &args.scenario {
        None => (Scenario::from_flags(&args.stream), "--stream".to_owned()),
        Some(file) => {
            let (subject, text) = read_document(file).await?;
            let folder = match file {
                File::Path(path) => path.parent().map(Path::to_owned).unwrap_or_default(),
                File::Standard => PathBuf::new(),
            };
            (Scenario::from_yaml(&text, &folder), subject)
        }
    };
    scenario
        .and_then(|scenario| scenario.with(args.duration, args.warm_up))
        .map_err(|Wrong(message)| Error::Usage {
            message: format!("{subject}: {message}"),
            hint: "`logload run --help` shows streams and a scenario file".into(),
        })
}

/// The address to connect to.
async fn target(place: &LogAddress) -> Result<Target, Error> {
    let wrong = || Error::Usage {
        message: format!("`{}` is not where a log can be written", place.url),
        hint: "write it as https://HOST:PORT or http://HOST:PORT, without the log's name".into(),
    };
    let url = reqwest::Url::parse(&place.url).map_err(|_| wrong())?;
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(wrong());
    };
    match url.scheme() {
        "https" => Ok(Target::Tls {
            http: transport(&Address::Url(place.url.clone()), place.ca.as_deref(), None)?,
            base: place.url.trim_end_matches('/').to_owned(),
        }),
        "http" => {
            let unreachable = |cause: String| {
                Error::Unreachable {
                address: place.url.clone(),
                cause,
                hint: "is logd running there? `url` in the context (or --url) is where writers reach the log".into(),
            }
            };
            let name = format!("{}:{port}", host);
            let found = tokio::net::lookup_host(&name)
                .await
                .map(|mut found| found.next());
            let found = found.map_err(|error| unreachable(error.to_string()))?;
            let address = found.ok_or_else(|| unreachable("the name has no address".into()))?;
            // If nothing answers there, one error before the run says more than an error for each request.
            tokio::net::TcpStream::connect(address)
                .await
                .map_err(|error| unreachable(error.to_string()))?;
            Ok(Target::Plain {
                address,
                host: name,
            })
        }
        _ => Err(wrong()),
    }
}

/// Refuses a log that the server does not have: a run against it would measure refusals.
async fn known(place: &LogAddress, timeout: Duration) -> Result<(), Error> {
    let public = Public::new(&place.url, place.ca.as_deref(), &place.log, timeout)?;
    // Whatever else is wrong, the run itself shows.
    match public.get("shards").await {
        Ok(None) => Err(Error::NotFound {
            kind: "log",
            name: place.log.clone(),
            known: Vec::new(),
        }),
        _ => Ok(()),
    }
}

/// Splits it into `http://HOST:PORT` and the path, such as `/metrics`.
fn metrics_url(text: &str) -> Result<(String, String), Error> {
    let parsed = reqwest::Url::parse(text).ok().filter(|url| url.has_host());
    let Some(url) = parsed else {
        return Err(Error::Usage {
            message: format!("`{text}` is not where metrics are"),
            hint: "write it as http://HOST:PORT/metrics; logd's `[metrics]` says where".into(),
        });
    };
    let base = url.origin().ascii_serialization();
    let path = match url.path() {
        "/" => "/metrics".to_owned(),
        path => path.to_owned(),
    };
    Ok((base, path))
}

/// An ID that no other run has.
fn id() -> Result<u64, Error> {
    getrandom::u64().map_err(|error| Error::Bug(format!("no random numbers: {error}")))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| unwritten(path, source))
}

fn unwritten(path: &Path, source: std::io::Error) -> Error {
    Error::Write {
        what: path.display().to_string(),
        source,
    }
}
