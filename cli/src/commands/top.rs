//! `logctl top`: asks the server again and again, and shows it.

use std::cell::RefCell;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use admin_api::codes;
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{Server, Session, log_name};
use crate::client::Deadline;
use crate::error::Error;
use crate::report::{Outcome, Page, Present};
use crate::top::screen;
use crate::top::state::{Queue, Queues, Sample, State};

/// Nothing is left on the screen.
#[derive(Debug, Serialize)]
struct Left {}

impl Present for Left {
    const KIND: &'static str = "Top";

    fn page(&self) -> Page {
        Page::new()
    }
}

pub(super) async fn run(session: &Session<'_>, interval: Duration) -> Result<Outcome, Error> {
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
    // What is wrong from the beginning is said like any other error, not on a screen of its own.
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

/// Looks until nobody wants to know any more.
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
    // The first look is done.
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

/// One look: all logs, and the queues of the chosen one.
async fn look(
    server: &Server,
    log: Option<&str>,
    began: Instant,
    deadline: Deadline,
) -> Result<Sample, Error> {
    let logs = server.admin.logs(deadline).await?;
    let chosen = log.or(logs.first().map(|log| log.log.as_str()));
    let queues = match chosen {
        Some(log) => queues(server, log, deadline).await?,
        None => None,
    };
    Ok(Sample {
        at: began.elapsed(),
        logs,
        queues,
    })
}

/// A log's queues; none where the server has no such thing, or does not show it to this caller.
async fn queues(server: &Server, log: &str, deadline: Deadline) -> Result<Option<Queues>, Error> {
    let status = match server.admin.qos(log, deadline).await {
        Ok(status) => status,
        Err(Error::Problem(problem))
            if matches!(problem.code.as_str(), codes::NOT_FOUND | codes::FORBIDDEN) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let rows = status.queues.into_iter().map(|queue| Queue {
        tier: queue.tier,
        tenant: queue.tenant,
        entries: queue.queued_entries,
        bytes: queue.queued_bytes,
        oldest: Duration::from_millis(queue.oldest_wait_millis.unwrap_or(0)),
        accepted: queue.accepted,
        refused: queue.refused.iter().map(|refused| refused.entries).sum(),
        ordered: queue.ordered,
    });
    Ok(Some(Queues {
        log: status.log,
        rows: rows.collect(),
    }))
}
