//! Checks after the decision: is the change in the audit trail, and does every replica run it?
//!
//! What must never happen: "done" while a replica still runs the earlier configuration.

use std::time::Duration;

use wire::{Action, Operation, OperationState, Replica, codes};

use super::{Changed, Probation};
use crate::client::{self, ChangeHeaders, Deadline};
use crate::commands::{Server, Session, audit_receipt};
use crate::error::{Error, count};
use crate::pins::Pins;
use crate::report::{Outcome, Page};

/// A change that was made: its state, and any trouble.
#[derive(Debug)]
pub(in crate::commands) struct Made {
    /// The change as an operation.
    pub(in crate::commands) operation: Operation,
    /// Trouble although the change was made; the first one is reported.
    pub(in crate::commands) trouble: Option<Error>,
    /// The change on probation that made what already runs.
    probation: Option<Probation>,
}

impl From<Operation> for Made {
    fn from(operation: Operation) -> Self {
        Self {
            operation,
            trouble: None,
            probation: None,
        }
    }
}

impl Made {
    /// Checks that the change is in the audit trail, and that the trail is the one that was pinned.
    pub(in crate::commands) async fn check_receipt(
        &mut self,
        session: &Session<'_>,
        server: &Server,
        pins: Pins,
    ) {
        if matches!(
            self.operation.state,
            OperationState::Unchanged | OperationState::Planned
        ) {
            return;
        }
        let audited = self.operation.audit_index.is_some();
        let receipt = self.operation.audit.take();
        let id = Some(self.operation.id.as_str());
        let checked =
            audit_receipt::receipt(session, server, pins, id, receipt.as_ref(), audited).await;
        self.operation.audit = receipt;
        self.trouble = self.trouble.take().or(checked.err());
    }

    /// Where nothing had to be done: whether what runs is itself on probation, and ends unless it is confirmed. A caller who may not
    /// list operations is not told.
    pub(super) async fn find_probation(&mut self, server: &Server, deadline: Deadline) {
        let Operation {
            action,
            state,
            generation,
            log,
            ..
        } = &self.operation;
        if (*action, *state) != (Action::Configure, OperationState::Unchanged) {
            return;
        }
        let listed = server.admin.operations(Some(log), deadline).await;
        self.probation = listed
            .into_iter()
            .flat_map(|listed| listed.operations)
            .filter(|one| one.log == *log && one.generation == *generation)
            .find_map(Probation::of);
    }

    /// Waits for the replicas.
    pub(in crate::commands) async fn converge(
        &mut self,
        session: &Session<'_>,
        server: &Server,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let lagging = converge(session, server, deadline, &mut self.operation).await?;
        self.trouble = self.trouble.take().or(lagging);
        Ok(())
    }

    /// Asks the user to confirm a change on probation, over a new connection, which shows that the server can still be reached.
    pub(super) async fn ask_to_keep(&mut self, session: &Session<'_>) -> Result<(), Error> {
        if self.operation.state != OperationState::Unconfirmed || self.trouble.is_some() {
            return Ok(());
        }
        let id = self.operation.id.clone();
        session.ui.stand(
            "the change runs, and is reverted unless it is confirmed",
            format!("`logctl op confirm {id}` keeps it"),
        );
        let until = self.operation.confirm_by.as_deref().unwrap_or("its time");
        let runs = format!(
            "generation {} runs; it is reverted at {until} unless it is confirmed",
            self.operation.generation
        );
        session
            .ui
            .made(runs.clone(), format!("`logctl op confirm {id}` keeps it"));
        session.ui.show(&Page::new().text(runs));
        let question = format!(
            "keep generation {} of {}?",
            self.operation.generation, self.operation.log
        );
        if session.ui.ask(&question)? != Some(true) {
            return Ok(());
        }
        let server = session.server()?;
        let phase = session.ui.phase("confirming over a new connection");
        let pins = audit_receipt::before(session, &server).await?;
        let key = client::idempotency_key()?;
        self.operation = confirm(&server, &id, session.asked(&key), session.deadline()).await?;
        drop(phase);
        session.ui.made(
            format!("operation {id} was made"),
            format!("`logctl op show {id}` shows whether it was confirmed"),
        );
        self.check_receipt(session, &server, pins).await;
        Ok(())
    }

    pub(in crate::commands) fn outcome(self, dry_run: bool) -> Result<Outcome, Error> {
        let Self {
            operation,
            trouble,
            probation,
        } = self;
        let ended = match operation.state {
            OperationState::Reverted => Some(Error::RolledBack {
                operation: Box::new(operation.clone()),
            }),
            OperationState::Refused => Some(Error::NotMade {
                operation: operation.id.clone(),
            }),
            _ => None,
        };
        Outcome::with_trouble(
            &Changed {
                unchanged: operation.state == OperationState::Unchanged,
                dry_run,
                operation,
                probation,
            },
            trouble.or(ended),
        )
    }
}

/// Confirms a change; one that was reverted before is reported as such.
pub(in crate::commands) async fn confirm(
    server: &Server,
    id: &str,
    asked: ChangeHeaders<'_>,
    deadline: Deadline,
) -> Result<Operation, Error> {
    match server.admin.confirm(id, asked, deadline).await {
        Err(Error::Problem(problem)) if problem.code == codes::CONFLICT => {
            match server.admin.operation(id, deadline).await {
                Ok(now) if now.state == OperationState::Reverted => Ok(now),
                _ => Err(Error::Problem(problem)),
            }
        }
        other => other,
    }
}

/// Waits for the replicas, and reports the result.
pub(in crate::commands) async fn report(
    session: &Session<'_>,
    server: &Server,
    deadline: Deadline,
    operation: Operation,
    dry_run: bool,
) -> Result<Outcome, Error> {
    let mut made = Made::from(operation);
    made.find_probation(server, deadline).await;
    if !dry_run {
        made.converge(session, server, deadline).await?;
    }
    made.outcome(dry_run)
}

/// Waits until every live replica runs the operation's generation. `Some` is the error if they do not in time.
async fn converge(
    session: &Session<'_>,
    server: &Server,
    deadline: Deadline,
    operation: &mut Operation,
) -> Result<Option<Error>, Error> {
    let decided = match operation.state {
        OperationState::Decided | OperationState::Unconfirmed => true,
        OperationState::Unchanged => false,
        OperationState::Planned
        | OperationState::Refused
        | OperationState::Reverted
        | OperationState::Done => {
            return Ok(None);
        }
    };
    // A change on probation runs from its decision on; the command waits only for the replicas.
    if operation.state != OperationState::Decided && lagging(operation).is_empty() {
        return Ok(None);
    }
    let (id, generation) = (operation.id.clone(), operation.generation);
    if decided {
        session.ui.stand(
            "the change is decided and will be carried out",
            format!("`logctl op wait {id}` continues to wait"),
        );
    }
    let phase = session.ui.phase(&format!(
        "waiting until every replica runs generation {generation}"
    ));
    let mut pause = REPLICA_POLL_MIN;
    loop {
        let missed = match probe(server, deadline, operation, decided).await {
            Ok(true) => return Ok(None),
            Ok(false) => None,
            Err(error) if passes(&error) => Some(error),
            // It is decided; a caller that can't follow it is told which replicas lag, not that the change was refused.
            Err(error) if decided => {
                session
                    .ui
                    .warn(&format!("cannot read the state of the change: {error}"));
                return Ok(Some(Error::NotConverged {
                    operation: Some(id),
                    generation,
                    lagging: lagging(operation),
                }));
            }
            Err(error) => return Err(error),
        };
        let behind = lagging(operation);
        phase.update(&format!(
            "waiting for {} to run generation {generation}",
            count(behind.len(), "replica")
        ));
        if !deadline.pause(pause).await {
            if let Some(error) = missed {
                session
                    .ui
                    .warn(&format!("the last read of the change failed: {error}"));
            }
            let operation = decided.then_some(id);
            return Ok(Some(if behind.is_empty() {
                Error::TimedOut {
                    seconds: deadline.limit().as_secs_f64(),
                    operation,
                }
            } else {
                Error::NotConverged {
                    operation,
                    generation,
                    lagging: behind,
                }
            }));
        }
        pause = (pause * 2).min(REPLICA_POLL_MAX);
    }
}

/// Whether a read that failed may succeed a moment later: the server, or a proxy before it, is away or busy. That does not undo a
/// change which is decided.
pub(in crate::commands) fn passes(error: &Error) -> bool {
    const OF_THE_CALLER: [&str; 4] = [
        codes::UNAUTHENTICATED,
        codes::FORBIDDEN,
        codes::BROWSER_REFUSED,
        codes::NOT_FOUND,
    ];
    match error {
        Error::Unreachable { .. } | Error::Foreign { .. } => true,
        Error::Problem(problem) => !OF_THE_CALLER.contains(&problem.code.as_str()),
        _ => false,
    }
}

/// Asks once whether all replicas run the change: it reads the operation if that was decided, otherwise the replicas.
async fn probe(
    server: &Server,
    deadline: Deadline,
    operation: &mut Operation,
    decided: bool,
) -> Result<bool, Error> {
    // Each probe has a short limit of its own, so that a server that hangs does not use up the whole wait in one request.
    let deadline = Deadline::after(deadline.left().clamp(Duration::from_millis(1), PROBE));
    if decided {
        let now = server.admin.operation(&operation.id, deadline).await?;
        operation.state = now.state;
        operation.replicas = now.replicas;
        operation.checkpoint = now.checkpoint.or(operation.checkpoint.take());
        operation.confirm_by = now.confirm_by;
        operation.reverted_by = now.reverted_by;
        return Ok(match operation.state {
            OperationState::Unconfirmed => lagging(operation).is_empty(),
            state => state != OperationState::Decided,
        });
    }
    operation.replicas = server.admin.replicas(&operation.log, deadline).await?;
    Ok(lagging(operation).is_empty())
}

pub(in crate::commands) fn lagging(operation: &Operation) -> Vec<Replica> {
    let behind = |replica: &&Replica| {
        replica
            .generation
            .is_some_and(|generation| generation < operation.generation)
    };
    operation.replicas.iter().filter(behind).cloned().collect()
}

/// Pauses between probes double from the first to the last.
const REPLICA_POLL_MIN: Duration = Duration::from_millis(5);
const REPLICA_POLL_MAX: Duration = Duration::from_millis(500);
/// A probe that takes longer has failed.
const PROBE: Duration = Duration::from_secs(5);
