//! `logctl load commits`: starts servers, abuses them, and compares what writers were told with the log.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::client::Public;
use crate::commands::Session;
use crate::error::Error;
use crate::load::commits::history::{Checked, Write, check};
use crate::load::commits::page::{CommitsReport, Times};
use crate::load::commits::servers::{Launch, Server, find};
use crate::load::commits::trouble::{Trouble, Troubles};
use crate::load::commits::writers::{Desk, millis, write};
use crate::load::verify::everything;
use crate::report::Outcome;
use crate::request::LoadCommits;

/// How long a server is stopped.
const PAUSE: Duration = Duration::from_millis(2_000);
/// How long writers have the servers to themselves between two things that are done.
const CALM: Duration = Duration::from_millis(700);
/// How long all that is ordered may take to be published, once nobody writes any more.
const SETTLE: Duration = Duration::from_secs(60);

/// What is done to the servers, and what came of it.
struct Abuse<'a> {
    launch: &'a Launch,
    desk: &'a Desk,
    servers: RefCell<Vec<Option<Server>>>,
    trouble: RefCell<BTreeMap<&'static str, u64>>,
    operations: RefCell<BTreeMap<i32, u64>>,
}

pub(super) async fn run(session: &Session<'_>, request: LoadCommits) -> Result<Outcome, Error> {
    let logd = find(request.logd.as_deref())?;
    let random = |error| Error::Bug(format!("no random numbers: {error}"));
    let run = getrandom::u64().map_err(random)?;
    let seed = request.seed.unwrap_or(run % 1_000_000);
    let folder = folder(&request, run)?;
    let launch = Launch {
        logd,
        folder,
        delay: request.store_delay,
    };
    let (stop, over) = tokio::sync::watch::channel(false);
    let desk = Desk {
        run,
        began: Instant::now(),
        servers: RefCell::new(Vec::new()),
        writes: RefCell::new(Vec::new()),
        over,
    };
    let abuse = Abuse {
        launch: &launch,
        desk: &desk,
        servers: RefCell::default(),
        trouble: RefCell::default(),
        operations: RefCell::default(),
    };
    let phase = session.ui.phase("starting the servers");
    for number in 0..request.processes {
        let server = launch.start(number).await?;
        desk.servers.borrow_mut().push(Some(server.address));
        abuse.servers.borrow_mut().push(Some(server));
    }
    phase.update(&format!(
        "{} writers for {} s, {}",
        request.writers,
        request.duration.as_secs_f64(),
        launch.folder.display()
    ));
    let began = Instant::now();
    let mut told = std::pin::pin!(crate::interrupt::ended());
    let writers = join_all((0..request.writers).map(|writer| write(&desk, writer)));
    let torment = async {
        let mut troubles = Troubles::new(seed, request.processes);
        let mut interrupted = false;
        while !interrupted && began.elapsed() < request.duration {
            tokio::select! {
                () = tokio::time::sleep(CALM) => {}
                () = &mut told => { interrupted = true; break; }
            }
            let (trouble, server) = troubles.next();
            abuse.make(trouble, server).await?;
        }
        Ok(interrupted)
    };
    let torment = async {
        let ended: Result<bool, Error> = torment.await;
        // Nobody waits for it any more, if the writers are gone.
        let _ = stop.send(true);
        ended
    };
    let (_, interrupted) = tokio::join!(writers, torment);
    let interrupted = interrupted?;
    let seconds = began.elapsed().as_secs_f64();
    phase.update("comparing what the writers were told with the log");
    let writes = desk.writes.take();
    keep(&launch.folder.join("history.json"), &writes)?;
    let mut report = CommitsReport {
        folder: None,
        writers: request.writers,
        processes: request.processes,
        store_delay_ms: millis(request.store_delay),
        seed,
        seconds,
        interrupted,
        entries_per_second: 0.0,
        acknowledged: Times::of(&writes),
        trouble: abuse.trouble.take(),
        operations: abuse.operations.take(),
        servers: Vec::new(),
        checked: None,
        fsck: None,
    };
    if !interrupted {
        let checked = compare(&abuse, run, &writes, session.timeout).await?;
        report.entries_per_second = checked.acknowledged as f64 / seconds;
        report.checked = Some(checked);
    }
    for (number, server) in (0..).zip(abuse.servers.take()) {
        if let Some(server) = server
            && !server.stop().await
        {
            let text = format!("server {number} did not stop when it was told to");
            report.servers.push(text);
        }
    }
    report.servers.extend(halts(&launch, request.processes));
    if !interrupted {
        report.fsck = launch.fsck().await?;
    }
    drop(phase);
    let wrong = report.wrong();
    if wrong == 0 && request.dir.is_none() {
        // Litter in the folder for temporary files is no reason to call a good run bad.
        let _ = std::fs::remove_dir_all(&launch.folder);
    } else {
        report.folder = Some(launch.folder.display().to_string());
    }
    let trouble = if wrong > 0 {
        Some(Error::VerificationFailed { findings: wrong })
    } else {
        interrupted.then(|| session.ui.interrupted())
    };
    Outcome::with_trouble(&report, trouble)
}

impl Abuse<'_> {
    /// Does one thing, and undoes what can be undone.
    async fn make(&self, trouble: Trouble, server: usize) -> Result<(), Error> {
        match trouble {
            Trouble::Pause => {
                self.pause(server, true);
                tokio::time::sleep(PAUSE).await;
                self.pause(server, false);
            }
            Trouble::Kill | Trouble::Restart => {
                self.desk.servers.borrow_mut()[server] = None;
                let old = self.servers.borrow_mut()[server].take();
                match old {
                    Some(old) if trouble == Trouble::Kill => old.kill().await,
                    Some(old) => drop(old.stop().await),
                    None => {}
                }
                let new = self.launch.start(server).await?;
                self.desk.servers.borrow_mut()[server] = Some(new.address);
                self.servers.borrow_mut()[server] = Some(new);
            }
            Trouble::Rotate => self.operate(&["shard", "rotate"]).await?,
            Trouble::Freeze => self.freeze().await?,
            Trouble::SleepThroughRotation => {
                self.pause(server, true);
                let done = self.operate(&["shard", "rotate"]).await;
                self.pause(server, false);
                done?;
            }
            Trouble::SleepThroughFreeze => {
                self.pause(server, true);
                let done = self.freeze().await;
                self.pause(server, false);
                done?;
            }
        }
        *self.trouble.borrow_mut().entry(trouble.text()).or_default() += 1;
        Ok(())
    }

    async fn freeze(&self) -> Result<(), Error> {
        self.operate(&["shard", "freeze", "--now"]).await?;
        tokio::time::sleep(CALM).await;
        self.operate(&["shard", "unfreeze"]).await
    }

    async fn operate(&self, arguments: &[&str]) -> Result<(), Error> {
        let code = self.launch.operate(arguments).await?;
        if code != 0 {
            *self.operations.borrow_mut().entry(code).or_default() += 1;
        }
        Ok(())
    }

    fn pause(&self, server: usize, pause: bool) {
        if let Some(server) = &self.servers.borrow()[server] {
            if pause {
                server.pause();
            } else {
                server.wake();
            }
        }
    }
}

/// Waits until all is published, and reads the whole log from each server: all say the same.
async fn compare(
    abuse: &Abuse<'_>,
    run: u64,
    writes: &[Write],
    timeout: Duration,
) -> Result<Checked, Error> {
    let addresses = abuse.desk.servers.borrow().clone();
    let mut first: Option<Checked> = None;
    for address in addresses.into_iter().flatten() {
        let url = format!("http://{address}");
        let unreachable = |cause: String| Error::Unreachable {
            address: url.clone(),
            cause,
            hint: format!(
                "{} has what the servers said",
                abuse.launch.folder.display()
            ),
        };
        let public = Public::new(&url, None, "dev", timeout)?;
        let settled = tokio::time::timeout(SETTLE, crate::load::verify::settled(&public)).await;
        let settled =
            settled.map_err(|_| unreachable("not all that is ordered is published".into()))?;
        settled.map_err(|e| unreachable(e.source.to_string()))?;
        let log = everything(&public)
            .await
            .map_err(|e| unreachable(format!("{}: {}", e.path, e.source)))?;
        let checked = check(run, writes, &log);
        match &first {
            Some(first) if first.wrong() >= checked.wrong() && first.entries >= checked.entries => {
            }
            _ => first = Some(checked),
        }
    }
    first.ok_or_else(|| Error::Bug("no server is left".into()))
}

/// What servers said that must not happen.
fn halts(launch: &Launch, processes: usize) -> Vec<String> {
    let mut found = Vec::new();
    for number in 0..processes {
        let path = launch.folder.join(format!("server-{number}.stderr"));
        let said = std::fs::read_to_string(path).unwrap_or_default();
        let bad = |line: &&str| line.contains("panicked") || line.contains("halted");
        found.extend(
            said.lines()
                .filter(bad)
                .map(|l| format!("server {number}: {l}")),
        );
    }
    found.truncate(20);
    found
}

/// The folder of this run: a new one, or an empty one that was named.
fn folder(request: &LoadCommits, run: u64) -> Result<PathBuf, Error> {
    let folder = match &request.dir {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("logctl-commits-{run:016x}")),
    };
    let unwritten = |source| Error::Write {
        what: folder.display().to_string(),
        source,
    };
    std::fs::create_dir_all(&folder).map_err(unwritten)?;
    let mut files = std::fs::read_dir(&folder).map_err(unwritten)?;
    if files.next().is_some() {
        return Err(Error::Usage {
            message: format!("{} is not empty", folder.display()),
            hint: "name a folder of its own for each run, or none for a temporary one".into(),
        });
    }
    folder.canonicalize().map_err(unwritten)
}

/// Every write with what its writer was told, for those who look for a fault.
fn keep(path: &Path, writes: &[Write]) -> Result<(), Error> {
    let json = serde_json::to_vec(writes).map_err(|e| Error::Bug(e.to_string()))?;
    std::fs::write(path, json).map_err(|source| Error::Write {
        what: path.display().to_string(),
        source,
    })
}
