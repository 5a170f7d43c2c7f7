//! `logctl op watch ID`: each step of a change as it happens, until it ends.

use std::time::Duration;

use wire::{Operation, OperationState};

use crate::client::Followed;
use crate::commands::change::{self, Made};
use crate::commands::{Server, Session};
use crate::error::{Error, count};
use crate::report::{Outcome, Page};

/// Pauses between questions, to a server without events or after a stream that broke, double from the first to the last.
const OPERATION_POLL_MIN: Duration = Duration::from_millis(20);
const OPERATION_POLL_MAX: Duration = Duration::from_secs(1);

pub(super) async fn run(session: &Session<'_>, id: &str) -> Result<Outcome, Error> {
    let id = super::checked(id)?;
    let server = session.server()?;
    let id = &*super::whole(&server, id).await?;
    session.ui.stand(
        "the change continues without being watched",
        format!("`logctl op watch {id}` watches on"),
    );
    let mut told = Told {
        session,
        line: String::new(),
    };
    let mut pause = OPERATION_POLL_MIN;
    let mut met = false;
    loop {
        match follow(&server, id, &mut told).await {
            Ok(Some(operation)) => {
                return Made::from(operation).outcome(false);
            }
            Ok(None) => met = true,
            // The server was there before, so it may come back.
            Err(error) if met && change::passes(&error) => {}
            Err(error) => return Err(error),
        }
        if !server.deadline.pause(pause).await {
            return Err(Error::TimedOut {
                seconds: server.deadline.limit().as_secs_f64(),
                operation: Some(id.to_owned()),
            });
        }
        pause = (pause * 2).min(OPERATION_POLL_MAX);
    }
}

/// One stream of events, or one question. `Some` when the change is over.
async fn follow(
    server: &Server,
    id: &str,
    told: &mut Told<'_>,
) -> Result<Option<Operation>, Error> {
    if let Some(mut events) = server.admin.events(id, server.deadline).await? {
        while let Followed::Now(operation) = events.next().await {
            if told.prints(&operation) {
                return Ok(Some(*operation));
            }
        }
    }
    if server.deadline.left().is_zero() {
        return Ok(None);
    }
    let operation = server.admin.operation(id, server.deadline).await?;
    Ok(told.prints(&operation).then_some(operation))
}

/// The last message, so that nothing is printed twice.
struct Told<'a> {
    session: &'a Session<'a>,
    line: String,
}

impl Told<'_> {
    /// Prints the news; returns whether the change has ended.
    fn prints(&mut self, operation: &Operation) -> bool {
        let line = line(operation);
        if line != self.line {
            self.session.ui.show(&Page::new().text(line.clone()));
            self.line = line;
        }
        matches!(
            operation.state,
            OperationState::Done
                | OperationState::Reverted
                | OperationState::Refused
                | OperationState::Unchanged
                | OperationState::Planned
        )
    }
}

fn line(operation: &Operation) -> String {
    let serving = operation
        .replicas
        .iter()
        .filter(|replica| replica.generation.is_some())
        .count();
    let behind = change::lagging(operation);
    let labels: Vec<&str> = behind
        .iter()
        .map(|replica| replica.label.as_str())
        .collect();
    let runs = match (serving, labels.as_slice()) {
        (0, _) => String::new(),
        (_, []) => format!(", runs on {serving} of {}", count(serving, "replica")),
        (_, labels) => format!(
            ", runs on {} of {}, not yet on {}",
            serving - labels.len(),
            count(serving, "replica"),
            labels.join(", ")
        ),
    };
    let generation = operation.generation;
    match operation.state {
        OperationState::Unchanged => format!("generation {generation}: nothing to do{runs}"),
        OperationState::Planned => format!("generation {generation}: a preview"),
        OperationState::Decided => format!("generation {generation}: decided{runs}"),
        OperationState::Done => format!("generation {generation}: done{runs}"),
        OperationState::Unconfirmed => format!(
            "generation {generation}: on probation until {}{runs}",
            operation.confirm_by.as_deref().unwrap_or("it is confirmed")
        ),
        OperationState::Reverted => format!("generation {generation}: reverted"),
        OperationState::Refused => "refused".to_owned(),
    }
}
