//! `logctl top`: polls the server and shows the answers.

use std::cell::RefCell;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use wire::{QosStatus, codes};

use super::{Server, Session, log_name};
use crate::cli::parse_between;
use crate::client::Deadline;
use crate::error::Error;
use crate::report::{Outcome, Page, Present};
use crate::top::screen;
use crate::top::state::{Queue, Queues, Sample, State};

/// The arguments of `logctl top`.
#[derive(Debug, clap::Args)]
pub(crate) struct TopArgs {
    /// Time between two updates
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_interval)]
    interval: Duration,
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let (least, most) = (Duration::from_millis(100), Duration::from_secs(3600));
    parse_between(text, least, most, "from 100ms to 1h")
}

/// The empty report: nothing stays on the screen.
#[derive(Debug, Serialize)]
struct Left {}

impl Present for Left {
    const KIND: &'static str = "Top";

    fn page(&self) -> Page {
        Page::new()
    }
}

pub(super) async fn run(
    session: &Session<'_>,
    TopArgs { interval }: TopArgs,
) -> Result<Outcome, Error> {
    if !(std::io::stdout().is_terminal() && std::io::stdin().is_terminal())
        || session.ui.is_scripted()
    {
        return Err(Error::Usage {
            message: "top draws on a terminal, and there is none".into(),
            hint: "`logctl status -o json` says the same once, for scripts".into(),
        });
    }
    let server = session.server()?;
    let named = server.settings.log.as_deref().map(log_name).transpose()?;
    // An error at the start is reported like any other error, not on the full screen.
    let began = Instant::now();
    let first = look(&server, None, began, server.deadline).await?;
    if let Some(name) = named
        .as_ref()
        .filter(|name| first.logs.iter().all(|log| log.log != **name))
    {
        return Err(Error::NotFound {
            kind: "log",
            name: name.clone(),
            known: first.logs.into_iter().map(|log| log.log).collect(),
        });
    }
    let mut state = State::new(server.admin.address(), interval, named);
    state.learn(Ok(first));
    let chosen = RefCell::new(state.chosen().map(str::to_owned));
    let (sender, samples) = unbounded_channel();
    let watching = watch(session, &server, &chosen, interval, began, sender);
    let showing = screen::show(&mut state, samples, |log| {
        *chosen.borrow_mut() = log.map(str::to_owned)
    });
    tokio::select! {
        shown = showing => shown.map_err(|source| Error::Write {
            what: "the terminal".into(),
            source,
        })?,
        () = watching => {}
    }
    Outcome::done(&Left {})
}

/// Takes samples until the user quits.
async fn watch(
    session: &Session<'_>,
    server: &Server,
    chosen: &RefCell<Option<String>>,
    interval: Duration,
    began: Instant,
    sender: UnboundedSender<Result<Sample, String>>,
) {
    let mut tick = tokio::time::interval(interval);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first sample is taken.
    tick.tick().await;
    loop {
        let log = chosen.borrow().clone();
        let deadline = Deadline::after(session.timeout.min(Duration::from_secs(10)));
        let seen = look(server, log.as_deref(), began, deadline).await;
        if sender
            .send(seen.map_err(|error| error.to_string()))
            .is_err()
        {
            return;
        }
        tick.tick().await;
    }
}

/// Takes one sample: all logs, the queues and the merge of the chosen one.
async fn look(
    server: &Server,
    log: Option<&str>,
    began: Instant,
    deadline: Deadline,
) -> Result<Sample, Error> {
    let logs = server.admin.logs(deadline).await?;
    let chosen = log.or(logs.first().map(|log| log.log.as_str()));
    let (mut queues, mut merge) = (None, None);
    if let Some(log) = chosen {
        queues = shown(server.admin.qos(log, deadline).await)?.map(of_log);
        merge = shown(server.admin.merge(log, deadline).await)?;
    }
    Ok(Sample {
        at: began.elapsed(),
        logs,
        queues,
        merge,
    })
}

/// `None` if the server does not have it, or does not show it to this caller.
fn shown<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    const HIDDEN: [&str; 3] = [codes::NOT_FOUND, codes::FORBIDDEN, codes::UNSUPPORTED];
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(Error::Problem(problem)) if HIDDEN.contains(&problem.code.as_str()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A log's queues, tier by tier; a tier without queues has a row of its own once it has missed a promise.
fn of_log(status: QosStatus) -> Queues {
    let rows = status.queues.into_iter().map(|queue| Queue {
        tier: queue.tier,
        tenant: queue.tenant,
        entries: queue.queued_entries,
        bytes: queue.queued_bytes,
        oldest: Duration::from_millis(queue.oldest_wait_millis.unwrap_or(0)),
        accepted: queue.accepted,
        refused: queue.refused.iter().map(|refused| refused.entries).sum(),
        ordered: queue.ordered,
        missed: None,
    });
    let mut rows: Vec<Queue> = rows.collect();
    for tier in status.tiers {
        match rows.iter_mut().find(|row| row.tier == tier.tier) {
            Some(row) => row.missed = Some(tier.missed),
            None if tier.missed > 0 => rows.push(Queue {
                tier: tier.tier,
                missed: Some(tier.missed),
                ..Queue::default()
            }),
            None => {}
        }
    }
    Queues {
        log: status.log,
        rows,
    }
}

#[cfg(test)]
mod tests {
    use wire::{QueueStatus, TierStatus};

    use super::*;

    #[test]
    fn missed_promises_stand_once_for_each_tier() {
        let queue = |tier: &str, tenant: &str| QueueStatus {
            tier: tier.into(),
            tenant: tenant.into(),
            ..QueueStatus::default()
        };
        let tier = |tier: &str, missed| TierStatus {
            tier: tier.into(),
            missed,
        };
        let status = QosStatus {
            log: "argon".into(),
            queues: vec![queue("bulk", "a"), queue("bulk", "b")],
            tiers: vec![tier("bulk", 7), tier("gone", 2), tier("idle", 0)],
            ..QosStatus::default()
        };
        let rows = of_log(status).rows;
        let missed = rows
            .iter()
            .map(|row| (row.tier.as_str(), row.tenant.as_str(), row.missed));
        let expected = [
            ("bulk", "a", Some(7)),
            ("bulk", "b", None),
            ("gone", "", Some(2)),
        ];
        assert!(missed.eq(expected), "{rows:?}");
    }
}
