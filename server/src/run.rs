//! From a command to a running server, and back to a stopped one.
//!
//! What must never happen: the ready line before everything serves; a stop that loses acknowledged entries or cuts off requests in flight.
//! Order of a stop: readiness says no, no connection is accepted any more, requests finish, the engine publishes what is ordered, the
//! process ends.

use ambient::Ambient;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::{
    Audited, ChangeError, ChangeOutcome, Engine, EngineOptions, Faults, Kek, MergeOptions,
};
use logconfig::LogConfig;
use plane_http::{Limits, Listener, Order, Watch};
use server_admin::{Access, Listeners, Options, Permission, SocketOptions, TcpOptions};
use store::{Coordination, DelayedCoordination, DelayedObjects, Directory, Objects, Sqlite};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::admin::{EngineHost, Files};
use crate::args::{Command, FsckOutput, LogFormat};
use crate::data::DataPlane;
use crate::dev::{self, Prepared};
use crate::error::{Error, at};
use crate::exit::Ended;
use crate::gate::{Gate, halted, halted_in_words};
use crate::handover;
use crate::init;
use crate::life::{DRAIN, Life, Sources};
use crate::listen::secured;
use crate::metrics::{Exporter, HttpMetrics};
use crate::peers::HttpPeers;
use crate::restore;
use crate::secondary;
use crate::settings::{self, Admin, KekSource, Settings};
use crate::telemetry;
use crate::{backup, frontend, fsck, merge};

/// Connections of the metrics listener.
const SCRAPERS: usize = 16;
/// How long tasks that outlive the server's own stop may take.
const LEFTOVERS: Duration = Duration::from_secs(2);
/// Threads for blocking work: as many as the stores run at once, and some for the rest.
const BLOCKING: usize = 64;
/// How long such a thread stays idle before it ends.
const IDLE: Duration = Duration::from_secs(3600);

/// Runs a command to its end.
pub(crate) fn command(command: Command) -> Result<Ended, Error> {
    match command {
        Command::ConfigExample => {
            print(settings::EXAMPLE)?;
            Ok(Ended::Done)
        }
        Command::ConfigCheck { file, output } => check(&file, output),
        Command::Init(asked) => {
            telemetry::start(LogFormat::Text);
            with_runtime(init::run(asked))
        }
        Command::Fsck { stores, output } => fsck::run(&stores, output),
        Command::Backup { stores, to, output } => backup::run(&stores, &to, output),
        Command::Dev(dev) => {
            telemetry::start(dev.format);
            let Prepared {
                settings,
                dir,
                first,
            } = dev::prepare(&dev)?;
            let place = Place {
                dir: &dir,
                first: first.is_some(),
            };
            let drain = dev.drain.map(|span| span.duration());
            let outcome = with_runtime(run(&settings, Sources::default(), drain, Some(place)));
            // Only now may another server become the first.
            drop(first);
            outcome
        }
        Command::Secondary {
            from,
            drain,
            format,
        } => {
            telemetry::start(format);
            let (settings, sources) = from.settings()?;
            telemetry::set_filter(settings.hot().filter.as_deref());
            let drain = drain.map(|span| span.duration());
            with_runtime(secondary::run(&settings, sources, drain))
        }
        Command::Restore { args, format } => {
            telemetry::start(format);
            with_runtime(restore::run(args))
        }
        Command::SecondaryKey { file, name } => {
            secondary::show_key(&file, name.as_deref())?;
            Ok(Ended::Done)
        }
        Command::Merge {
            program,
            once,
            stores,
            format,
        } => {
            telemetry::start(format);
            with_runtime(merge::run(program, once, &stores))
        }
        Command::HandOver {
            log,
            force,
            stores,
            format,
        } => {
            telemetry::start(format);
            with_runtime(handover::run(&log, force, &stores))
        }
        Command::Frontend(options) => {
            telemetry::start(options.format);
            with_runtime(frontend::run(&options))
        }
        Command::Serve {
            config,
            drain,
            format,
        } => {
            telemetry::start(format);
            let text = settings::read_text(&config)?;
            let settings = Settings::parse(&text, &config)?;
            let hot = settings.hot();
            telemetry::set_filter(hot.filter.as_deref());
            let check = |text: &str, path: &Path| Settings::parse(text, path).map(|s| s.hot());
            let sources = Sources::file(&config, &text, &hot, check);
            let drain = drain.map(|span| span.duration());
            with_runtime(run(&settings, sources, drain, None))
        }
    }
}

/// The directory of `logd dev`.
#[derive(Clone, Copy)]
struct Place<'a> {
    dir: &'a Path,
    first: bool,
}

/// Writes to standard output, all of it.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|source| Error::System {
        what: "cannot write to standard output",
        source,
    })
}

/// Lists every mistake in a settings file.
fn check(file: &Path, output: FsckOutput) -> Result<Ended, Error> {
    let text = settings::read_text(file)?;
    let problems = settings::check(&text, file);
    match output {
        FsckOutput::Json => {
            let list: Vec<_> = problems
                .iter()
                .map(|p| serde_json::json!({ "line": p.line, "problem": p.what, "remedy": p.remedy }))
                .collect();
            let report = serde_json::json!({ "file": file, "problems": list });
            print(&format!("{report:#}\n"))?;
        }
        FsckOutput::Table => {
            for problem in &problems {
                let line = problem.line.map(|line| format!(":{line}"));
                print(&format!(
                    "{}{}: {}\n  {}\n",
                    file.display(),
                    line.unwrap_or_default(),
                    problem.what,
                    problem.remedy
                ))?;
            }
            let said = match problems.len() {
                0 => "nothing is wrong".to_owned(),
                1 => "1 problem".to_owned(),
                many => format!("{many} problems"),
            };
            print(&format!("{}: {said}\n", file.display()))?;
        }
    }
    Ok(match problems.is_empty() {
        true => Ended::Done,
        false => Ended::Refused,
    })
}

/// Prints the ready line. If nobody reads it, the server serves anyway.
pub(crate) fn ready(line: &str) {
    if let Err(error) = print(line) {
        tracing::warn!(%error, "{}", line.trim_end());
    }
}

/// Names the halted logs, before the ready line: a supervisor that waits for the ready line has read these.
pub(crate) fn say_halted(engine: &Engine) {
    for (log, reason) in halted(engine) {
        ready(&format!(
            "logd halted: {log} takes no writes and signs nothing: {reason}\n"
        ));
    }
}

/// Runs a server in the data plane's runtime.
fn with_runtime(server: impl Future<Output = Result<(), Error>>) -> Result<Ended, Error> {
    raise_descriptor_limit();
    let failed = |source| Error::System {
        what: "cannot start the runtime",
        source,
    };
    // One core is left to the threads of the stores: with a worker on every core they wait for each other.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.saturating_sub(1).max(1))
        .thread_name("data")
        // The allocator keeps a heap for each thread: few that stay, not many that come and go.
        .max_blocking_threads(BLOCKING)
        .thread_keep_alive(IDLE)
        .enable_all()
        .build()
        .map_err(failed)?;
    outlive_file_limit(&runtime)?;
    let outcome = runtime.block_on(server);
    runtime.shutdown_timeout(LEFTOVERS);
    outcome.map(|()| Ended::Done)
}

/// Runs a command that serves no clients.
pub(crate) fn with_small_runtime<T>(
    command: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let failed = |source| Error::System {
        what: "cannot start the runtime",
        source,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    outlive_file_limit(&runtime)?;
    runtime.block_on(command)
}

/// A write over the limit on the size of files (`ulimit -f`) kills a process that does not listen for this signal. To one that
/// listens the write fails, as on a full disk. The listening outlives its receiver.
fn outlive_file_limit(runtime: &tokio::runtime::Runtime) -> Result<(), Error> {
    let _inside = runtime.enter();
    let kind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    signal(kind).map(drop).map_err(|source| Error::System {
        what: "cannot listen for signals",
        source,
    })
}

async fn run(
    settings: &Settings,
    mut sources: Sources,
    drain: Option<Duration>,
    place: Option<Place<'_>>,
) -> Result<(), Error> {
    let mut life = Life::new()?;
    let (gate, http) = (Arc::new(Gate::default()), Arc::new(HttpMetrics::default()));
    let watch = Watch::new(settings.bounds.listener());
    let stop = CancellationToken::new();
    let faults = Faults::default();

    // All addresses first: a taken port is the most likely thing to go wrong, and the cheapest to find.
    let socket = settings.admin.socket.as_deref();
    let tcp = |address| Listener::tcp(address).map_err(|e| taken(e.into(), socket));
    let (data, data_address) = tcp(settings.data.listen)?;
    let metrics = settings.metrics.as_ref().map(|metrics| tcp(metrics.listen));
    let metrics = metrics.transpose()?;
    let admin = admin_listeners(&settings.admin)?;
    let admin_address = admin.address();
    let tls = settings.data.tls.as_ref();
    let tls = tls.map(settings::TlsFiles::files);
    let (data, scheme) = secured(data, tls, &mut sources)?;
    let url = match &settings.data.url {
        Some(url) => url.clone(),
        None => format!("{scheme}://{}", dev::reachable(data_address)),
    };

    let plane = Arc::new(DataPlane::new(
        Arc::clone(&gate),
        Arc::clone(&http),
        settings.bounds.body_timeout.duration(),
        settings.bounds.publish_timeout.duration(),
        settings.data.rekor.clone(),
    ));
    let serving = plane_http::serve(
        data,
        plane,
        Arc::clone(&watch),
        stop.clone(),
        settings.bounds.grace(),
    )?;
    let serving = tokio::spawn(faults.clone().watch("the data plane's listener", serving));
    let exporter = match metrics {
        None => None,
        Some((listener, address)) => {
            tracing::info!(%address, "metrics");
            let exporter = Exporter::new(Arc::clone(&gate), http, Arc::clone(&watch));
            Some(export(listener, exporter, faults.clone())?)
        }
    };

    let started = async {
        let engine = open_engine(settings, merge_options(settings)?, "").await?;
        create_logs(&engine, settings, place.is_some()).await?;
        Ok::<_, Error>(engine)
    };
    let engine = tokio::select! {
        started = started => started?,
        () = life.stop() => {
            tracing::info!("stopped while starting");
            return Ok(());
        }
    };
    let audited = Audited::new(Arc::clone(&engine));
    let settling = tokio::spawn(Arc::clone(&audited).settle());
    let (one, other) = (Arc::clone(&audited), Arc::clone(&audited));
    let host = EngineHost::new(Arc::clone(&engine), audited, url.clone(), files(settings));
    let probations = move || Arc::clone(&one).watch_probations();
    let shards = move || Arc::clone(&other).watch_shards();
    let watching = [
        settling,
        tokio::spawn(
            faults
                .clone()
                .keep("the watch over changes on probation", probations),
        ),
        tokio::spawn(faults.clone().keep("the watch over full shards", shards)),
    ];
    let mut admin = admin.serve_apart(host).map_err(admin_error)?;
    sources.follows(
        "the admin endpoint's TLS files and tokens (which are looked at with each connection)",
    );
    gate.open(Arc::clone(&engine));
    let limited = Arc::clone(&engine);
    life.limited_by(move || halted_in_words(&limited));
    say_halted(&engine);
    announce(settings, place, &url, data_address, admin_address)?;

    let broken = async {
        tokio::select! {
            what = faults.reported() => what,
            what = engine.faults().reported() => what,
            why = admin.ended() => format!("the admin endpoint ended: {why}"),
        }
    };
    let otherwise = if place.is_some() {
        Duration::ZERO
    } else {
        DRAIN
    };
    let asked = life.serve(&mut sources, drain, otherwise, broken).await;
    let (time, outcome) = match asked {
        Ok(time) => (time, Ok(())),
        Err(error) => {
            tracing::error!(%error, "stopping");
            gate.break_down(error.to_string());
            let time = drain.or(sources.drain()).unwrap_or(otherwise);
            (time, Err(error))
        }
    };
    gate.drain();
    life.drain(time).await;
    tracing::info!("stopping: finishing requests in flight");
    gate.close();
    stop.cancel();
    watching.iter().for_each(tokio::task::JoinHandle::abort);
    let finish = async {
        if let Err(error) = serving.await {
            tracing::error!(%error, "the data plane ended badly");
        }
        if let Err(error) = admin.stop().await {
            tracing::warn!(%error, "the admin endpoint ended badly");
        }
    };
    tokio::pin!(finish);
    tokio::select! {
        () = &mut finish => {}
        () = life.stop() => {
            tracing::warn!("asked again: closing connections");
            watch.ask_all(Order::Close);
            finish.await;
        }
    }
    // Ordered entries are already durable: the next start finishes what a stop leaves undone.
    tokio::select! {
        finished = tokio::time::timeout(settings.bounds.grace(), engine.shutdown()) => {
            if finished.is_err() {
                tracing::warn!("publication did not finish in time, the next start continues it");
                engine.rest().await;
            }
        }
        () = life.stop() => tracing::warn!("asked again: the next start continues with publication"),
    }
    if let Some(exporter) = exporter {
        exporter.cancel();
    }
    tracing::info!("stopped");
    outcome
}

/// Many connections need many descriptors; a lower limit only means fewer connections.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    ) {
        tracing::debug!(%error, "cannot raise the limit of open files");
    }
}

fn admin_error(error: server_admin::Error) -> Error {
    Error::Admin(plane_http::causes(&error))
}

/// An address that is taken; names the server that answers on the `socket` of these settings, if one does.
fn taken(error: Error, socket: Option<&Path>) -> Error {
    let answers = |socket: &&Path| std::os::unix::net::UnixStream::connect(socket).is_ok();
    match (error, socket.filter(answers)) {
        (Error::Listen { address, source }, Some(socket))
            if source.kind() == std::io::ErrorKind::AddrInUse =>
        {
            Error::Served {
                address,
                socket: socket.to_owned(),
            }
        }
        (other, _) => other,
    }
}

fn admin_listeners(admin: &Admin) -> Result<Listeners, Error> {
    let mut access = Access::new(Ambient::system());
    let mode = match &admin.users {
        // Peer credentials decide, not the file's mode.
        Some(users) => {
            for user in users {
                access = access.with_uid(user.uid, admin.permissions(&user.permissions));
            }
            0o666
        }
        None => {
            // Root could read the stores anyway.
            for uid in [0, rustix::process::getuid().as_raw()] {
                access = access.with_uid(uid, [Permission::everything()]);
            }
            0o600
        }
    };
    for client in &admin.certificates {
        let permissions = admin.permissions(&client.permissions);
        access = access.with_certificate(client.client.clone(), permissions);
    }
    for rule in admin.identity_rules() {
        access = access.with_identity(rule).map_err(admin_error)?;
    }
    if let Some(tokens) = &admin.tokens {
        access = access.with_tokens(tokens).map_err(admin_error)?;
    }
    let options = Options {
        socket: admin
            .socket
            .clone()
            .map(|path| SocketOptions { path, mode }),
        tcp: admin.listen.map(|address| TcpOptions {
            address,
            tls: admin.tls.as_ref().map(|files| server_admin::TlsFiles {
                certificate: files.cert.clone(),
                key: files.key.clone(),
                client_ca: files.client_ca.clone(),
            }),
        }),
        ..Options::default()
    };
    Listeners::bind(Arc::new(access), options).map_err(admin_error)
}

/// Serves metrics on a separate thread, so that a saturated data plane can still be observed.
pub(crate) fn export(
    listener: Listener,
    exporter: Exporter,
    faults: Faults,
) -> Result<CancellationToken, Error> {
    let failed = |source| Error::System {
        what: "cannot start the metrics listener",
        source,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let watch = Watch::new(Limits {
        connections: SCRAPERS,
        ..settings::Bounds::default().listener()
    });
    let serve = move || {
        runtime.block_on(async {
            let exporter = Arc::new(exporter);
            match plane_http::serve(listener, exporter, watch, stopped, Duration::ZERO) {
                Ok(serving) => faults.watch("the metrics listener", serving).await,
                Err(error) => faults.report(format!("the metrics listener: {error}")),
            }
        });
    };
    std::thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(serve)
        .map_err(failed)?;
    Ok(stop)
}

/// How a server takes part in the merge.
pub(crate) fn merge_options(settings: &Settings) -> Result<MergeOptions, Error> {
    let programs = settings.merge.programs.iter().copied();
    Ok(MergeOptions {
        programs: programs.map(engine::Program::from).collect(),
        writes: true,
        peers: HttpPeers::new(settings.peers.ca.as_deref())?,
        places: Arc::new(settings.places()?),
    })
}

/// For tests: with the environment variable, every operation of the stores takes at least this long.
const TEST_STORE_DELAY: &str = "LOGD_TEST_STORE_DELAY";

type Stores = (Arc<dyn Coordination>, Arc<dyn Objects>);

fn slowed(coordination: Arc<dyn Coordination>, objects: Arc<dyn Objects>) -> Result<Stores, Error> {
    let Some(text) = std::env::var_os(TEST_STORE_DELAY) else {
        return Ok((coordination, objects));
    };
    let delay: Option<logconfig::Span> = text.to_str().and_then(|text| text.parse().ok());
    let Some(delay) = delay.map(|span| span.duration()) else {
        let text = text.display();
        return Err(Error::Engine(format!(
            "{TEST_STORE_DELAY}: expected a time such as 5ms, found {text:?}"
        )));
    };
    tracing::warn!(
        ?delay,
        "{TEST_STORE_DELAY} is set: the stores are slow on purpose"
    );
    Ok((
        Arc::new(DelayedCoordination::new(coordination, delay)),
        Arc::new(DelayedObjects::new(objects, delay)),
    ))
}

/// Opens the engine on the stores that the settings name.
pub(crate) async fn open_engine(
    settings: &Settings,
    merge: MergeOptions,
    role: &str,
) -> Result<Arc<Engine>, Error> {
    let kek = match &settings.kek {
        KekSource::File(path) => Kek::from_file(path),
        KekSource::Env(name) => Kek::from_env(name),
    };
    let kek = kek.map_err(Error::Kek)?;
    let stores = &settings.stores;
    let coordination = Sqlite::open(&stores.coordination).map_err(|e| Error::Store {
        what: "coordination",
        path: stores.coordination.clone(),
        detail: e.to_string(),
    })?;
    let objects = Directory::open(&stores.objects).map_err(|e| Error::Store {
        what: "objects",
        path: stores.objects.clone(),
        detail: e.to_string(),
    })?;
    let (coordination, objects) = slowed(Arc::new(coordination), Arc::new(objects))?;
    let options = EngineOptions {
        coordination,
        objects,
        kek,
        label: label(role),
        min_free: settings.bounds.min_free.0,
        max_pending_bytes: settings.bounds.max_pending.bytes(),
        merge,
        ambient: Ambient::system(),
    };
    Engine::open(options)
        .await
        .map_err(|e| Error::Engine(e.to_string()))
}

/// What the server's own diagnosis (`logctl doctor`) checks.
fn files(settings: &Settings) -> Files {
    let mut files = Files::default();
    if let KekSource::File(path) = &settings.kek {
        files.secrets.push(path.clone());
    }
    let data = settings.data.tls.iter().map(|tls| (&tls.cert, &tls.key));
    let admin = settings.admin.tls.iter().map(|tls| (&tls.cert, &tls.key));
    for (certificate, key) in data.chain(admin) {
        files.secrets.push(key.clone());
        files.certificates.push(certificate.clone());
    }
    files
}

/// Host name and process id, and the role of a process that is not a server.
fn label(role: &str) -> String {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    let label = format!("{host}:{} {role}", std::process::id());
    label.trim_end().to_owned()
}

async fn create_logs(engine: &Arc<Engine>, settings: &Settings, dev: bool) -> Result<(), Error> {
    if dev && engine.log(dev::LOG).is_none() {
        create(engine, dev::first_config()?).await?;
    }
    for path in &settings.create {
        let text = std::fs::read_to_string(path).map_err(at("read", path))?;
        let config = logconfig::parse(&text).map_err(|findings| {
            let list: Vec<String> = findings
                .iter()
                .map(|finding| format!("{}:{finding}", path.display()))
                .collect();
            Error::Create {
                log: path.display().to_string(),
                detail: list.join("\n  "),
            }
        })?;
        if engine.log(config.log.as_str()).is_none() {
            create(engine, config).await?;
        }
    }
    Ok(())
}

pub(crate) async fn create(engine: &Arc<Engine>, config: LogConfig) -> Result<(), Error> {
    let log = config.log.to_string();
    let audited = Audited::new(Arc::clone(engine));
    let applied = match audited.create_by_itself(config).await {
        Ok(applied) => applied,
        // Another server on these stores was first, and its operator has changed the log since.
        Err(ChangeError::Conflict(why)) if engine.log(&log).is_some() => {
            tracing::info!(log, why, "already exists");
            return Ok(());
        }
        Err(error) => {
            let detail = match &error {
                ChangeError::Invalid(findings) => {
                    let list: Vec<String> = findings.iter().map(plainly).collect();
                    list.join("\n  ")
                }
                _ => error.to_string(),
            };
            return Err(Error::Create { log, detail });
        }
    };
    for warning in &applied.warnings {
        tracing::warn!(log, %warning, "created anyway");
    }
    if applied.outcome == ChangeOutcome::Decided {
        tracing::info!(log, "created");
    }
    Ok(())
}

/// A finding about a generated document, which has no lines.
pub(crate) fn plainly(finding: &logconfig::Finding) -> String {
    let hint = finding.hint.as_ref();
    let hint = hint.map(|hint| format!(" ({hint})"));
    format!("{}{}", finding.message, hint.unwrap_or_default())
}

/// Writes the contexts and the ready line.
fn announce(
    settings: &Settings,
    place: Option<Place<'_>>,
    url: &str,
    data: SocketAddr,
    admin: Option<SocketAddr>,
) -> Result<(), Error> {
    let Some(Place { dir, first }) = place else {
        let admin = match (&settings.admin.socket, admin) {
            (_, Some(address)) if settings.admin.tls.is_some() => {
                format!(", admin https://{address}")
            }
            (_, Some(address)) => format!(", admin http://{address}"),
            (Some(socket), None) => format!(", admin unix:{}", socket.display()),
            (None, None) => String::new(),
        };
        ready(&format!("logd ready: {url}{admin}\n"));
        return Ok(());
    };
    let admin = admin.unwrap_or(settings.data.listen);
    let socket = settings.admin.socket.as_deref();
    if first {
        dev::write_contexts(dir, socket, data, admin)?;
        if socket.is_none() {
            tracing::warn!(
                "the path of a Unix socket in {} would be too long: the admin endpoint is on TLS only",
                dir.display()
            );
        }
    } else {
        tracing::info!(
            "another server is the first on {}: its contexts and its socket stay",
            dir.display()
        );
    }
    let contexts = dir.join("logctl.toml");
    let log = dev::LOG;
    ready(&format!(
        "logd ready: log {log} at {url}/{log}, admin https://{admin}, contexts in {}\n",
        contexts.display()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_server_on_the_same_settings_is_told_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("admin.sock");
        let first = Listener::tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let second = || Error::from(Listener::tcp(first.1).map(drop).unwrap_err());
        let hint = |error: &Error| error.hint().unwrap().into_owned();
        let alone = taken(second(), Some(&socket));
        assert!(hint(&alone).starts_with("something else listens there"));
        let answers = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let other = taken(second(), Some(&socket));
        assert_eq!(
            other.to_string(),
            format!(
                "cannot listen on {}: another server runs with these settings and answers on {}",
                first.1,
                socket.display()
            )
        );
        assert!(hint(&other).starts_with("stop that one first"));
        drop(answers);
        assert!(hint(&taken(second(), Some(&socket))).starts_with("something else"));
    }
}
