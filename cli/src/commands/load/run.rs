//! `logctl load run`: prepares the load generator, and writes its results.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::auth::secret::Token;
use crate::client::{Public, transport};
use crate::commands::{Place, Session, now, rfc3339};
use crate::error::Error;
use crate::load::figures::{About, LoadReport, thousands};
use crate::load::html;
use crate::load::measure::Recorder;
use crate::load::run::{Ran, Setup, run as drive};
use crate::load::scenario::{Scenario, Wrong};
use crate::load::verify::{Verified, verify};
use crate::load::wire::Target;
use crate::report::Outcome;
use crate::request::{File, LoadRun, Streams};
use crate::settings::Address;

pub(super) async fn run(session: &Session<'_>, request: LoadRun) -> Result<Outcome, Error> {
    let scenario = scenario(&request).await?;
    let tokens = scenario
        .streams
        .iter()
        .map(|stream| stream.token_file.as_deref().map(Token::read).transpose())
        .collect::<Result<_, _>>()?;
    // A place that can't be written is known before the run, not after it.
    if let Some(folder) = &request.svg {
        std::fs::create_dir_all(folder).map_err(|source| unwritten(folder, source))?;
    }
    if let Some(file) = &request.html {
        write(file, "")?;
    }
    let place = session.place(request.url.clone()).await?;
    let metrics = match &request.metrics {
        Some(url) => {
            let (base, path) = metrics_url(url)?;
            let place = Place {
                url: base,
                ..place.clone()
            };
            Some((Rc::new(target(&place).await?), path))
        }
        None => None,
    };
    let id = id()?;
    let setup = Setup {
        target: Rc::new(target(&place).await?),
        log: place.log.clone(),
        tokens,
        poll: request.poll,
        metrics,
        keep: request.verify,
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
    let ran = drive(&scenario, setup, crate::interrupt::ended(), progress).await;
    drop(phase);
    finish(session, &request, &scenario, &place, (started, id), ran).await
}

/// From what was measured to what is shown.
async fn finish(
    session: &Session<'_>,
    request: &LoadRun,
    scenario: &Scenario,
    place: &Place,
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
    if request.verify && !ran.interrupted {
        report.verified = Some(check(session, scenario, place, id, ran).await?);
    }
    if let Some(file) = &request.html {
        write(file, &html::page(&report))?;
    }
    if let Some(folder) = &request.svg {
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
    place: &Place,
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
        hint: "the run itself is over; its entries are in the log".into(),
    })
}

/// From flags or a file.
async fn scenario(request: &LoadRun) -> Result<Scenario, Error> {
    let (scenario, subject) = match &request.what {
        Streams::Flags(streams) => (Scenario::from_flags(streams), "--stream".to_owned()),
        Streams::File(file) => {
            let (subject, text) = crate::commands::document::read(file).await?;
            let folder = match file {
                File::Path(path) => path.parent().map(Path::to_owned).unwrap_or_default(),
                File::Standard => PathBuf::new(),
            };
            (Scenario::from_yaml(&text, &folder), subject)
        }
    };
    scenario
        .and_then(|scenario| scenario.with(request.duration, request.warm_up))
        .map_err(|Wrong(message)| Error::Usage {
            message: format!("{subject}: {message}"),
            hint: "`logctl load run --help` shows streams and a scenario file".into(),
        })
}

/// Where to connect to.
async fn target(place: &Place) -> Result<Target, Error> {
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
            // Nothing there is better said before the run than in each of its figures.
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

/// `http://HOST:PORT` and `/metrics`.
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

/// Unlike that of any other run.
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
