//! A running server: signals from the operating system, and messages to the service manager.
//!
//! - **SIGHUP**: settings that can change without a restart are read again, and the log says which. If the terminal is gone, SIGHUP
//!   stops the server: a closed terminal window sends it.
//! - **SIGTERM**: the server is not ready, but serves everything as before (the drain time, for load balancers to notice); then no
//!   more connections are accepted, requests finish, and the process ends.
//! - **SIGINT** (Ctrl-C): the same without a drain time, since a person waits at the terminal.
//! - Another of the two ends the drain time, and one more the wait for requests.
//!
//! What must never happen: a signal cuts off a request that could finish, or a process continues without one of its parts.

mod notify;
mod reload;

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

pub(crate) use notify::Service;
pub(crate) use reload::Sources;

use crate::error::Error;

/// The default drain time of a server with settings.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);

/// The signals of this process, and its service manager.
pub(crate) struct Lifecycle {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// The process was started from a terminal without `nohup`, so it ends with the terminal.
    terminal: bool,
    pub(crate) service: Service,
    limits: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

/// Pause between checks for news for the service manager.
const NEWS: Duration = Duration::from_secs(1);

/// The request that a signal makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AskedSignal {
    /// A stop, by a service manager.
    Stop,
    /// A stop, by a person at a terminal.
    StopNow,
    /// A reload of certificates and settings.
    Reload,
}

impl Lifecycle {
    /// Listens from now on.
    pub(crate) fn new() -> Result<Self, Error> {
        let listen = |kind| {
            signal(kind).map_err(|source| Error::System {
                what: "cannot listen for signals",
                source,
            })
        };
        let terminal = has_terminal() && !hangup_is_ignored();
        Ok(Self {
            terminal,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            service: Service::from_environment(),
            limits: Box::new(|| None),
        })
    }

    /// The status for the service manager of a process that serves although logs are halted: it names them.
    pub(crate) fn limited_by(
        &mut self,
        limits: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) {
        self.limits = Box::new(limits);
    }

    async fn next(&mut self) -> AskedSignal {
        tokio::select! {
            _ = self.terminate.recv() => AskedSignal::Stop,
            _ = self.interrupt.recv() => AskedSignal::StopNow,
            _ = self.hangup.recv() => match self.terminal && !has_terminal() {
                true => AskedSignal::StopNow,
                false => AskedSignal::Reload,
            },
        }
    }

    /// Waits for a (further) request to stop.
    pub(crate) async fn stop(&mut self) {
        while self.next().await == AskedSignal::Reload {
            tracing::info!("SIGHUP: nothing is read again now");
        }
    }

    /// Serves until a stop is asked for, reloading when that is asked for. Returns how long to drain: the time on the command line, else
    /// that of the settings, else `otherwise`; an error if `broken` reports that a needed task ended for good.
    pub(crate) async fn serve(
        &mut self,
        sources: &mut Sources,
        drain: Option<Duration>,
        otherwise: Duration,
        broken: impl Future<Output = String>,
    ) -> Result<Duration, Error> {
        tokio::pin!(broken);
        let mut alive = self.service.watchdog();
        let mut said = (self.limits)();
        self.service.ready(said.as_deref());
        let mut news = tokio::time::interval(NEWS);
        news.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                asked = self.next() => asked,
                what = &mut broken => return Err(Error::Broken { what }),
                () = alive.tick() => {
                    self.service.alive();
                    continue;
                }
                _ = news.tick(), if self.service.is_there() => {
                    let now = (self.limits)();
                    if now != said {
                        self.service.status(now.as_deref());
                        said = now;
                    }
                    continue;
                }
            };
            match asked {
                AskedSignal::Reload => {
                    self.service.reloading();
                    sources.reload().report();
                    said = (self.limits)();
                    self.service.ready(said.as_deref());
                }
                AskedSignal::Stop => return Ok(drain.or(sources.drain()).unwrap_or(otherwise)),
                AskedSignal::StopNow => return Ok(Duration::ZERO),
            }
        }
    }

    /// Waits for the drain time, in which the server is not ready but serves everything; a second signal ends it.
    pub(crate) async fn drain(&mut self, time: Duration) {
        self.service.stopping();
        if time.is_zero() {
            return;
        }
        tracing::info!(
            seconds = time.as_secs_f64(),
            "stopping: not ready any more, still serving"
        );
        let mut alive = self.service.watchdog();
        let over = tokio::time::sleep(time);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return,
                () = self.stop() => {
                    tracing::info!("second stop signal: the drain time ends");
                    return;
                }
                () = alive.tick() => self.service.alive(),
            }
        }
    }
}

fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Whether SIGHUP was ignored when this process began, as under nohup(1): proc(5), `SigIgn`.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & 1 == 1)
}
