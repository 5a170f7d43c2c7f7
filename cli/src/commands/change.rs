//! Carrying a change out: preview, question, decision, convergence. Every command that changes something comes through
//! here, so all of them ask, wait, report and fail alike.
//!
//! What must never happen: a change without consent; "done" while a replica still runs what was before.

use std::time::Duration;

use serde::Serialize;
use wire::{Action, Finding, MAX_REASON, Operation, OperationState, Replica, codes};

use super::{Server, Session, audit_receipt, differences, now, rfc3339};
use crate::cli::{DAY, parse_between};
use crate::client::{self, Asked, Deadline, Write};
use crate::error::{Error, count};
use crate::exit;
use crate::pins::Pins;
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};
use crate::unfinished::{Place, Unfinished};

/// How to ask for a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct ChangeArgs {
    /// Why, for the audit trail and the history
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(crate) reason: Option<String>,
    /// Continue the request that had this key, or name a new one: however often it is sent, it is made once
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    pub(crate) idempotency_key: Option<String>,
}

/// What a server accepts as a reason.
pub(super) fn parse_reason(text: &str) -> Result<String, String> {
    let sound =
        (1..=MAX_REASON).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if sound {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "a reason is one line of 1 to {MAX_REASON} characters"
        ))
    }
}

/// What a server accepts as a key.
fn parse_key(text: &str) -> Result<String, String> {
    let sound = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if sound {
        Ok(text.to_owned())
    } else {
        Err("a key is 1 to 128 visible ASCII characters".to_owned())
    }
}

/// What a server accepts as the time for a confirmation.
pub(super) fn parse_confirm_within(text: &str) -> Result<Duration, String> {
    parse_between(text, Duration::from_secs(1), DAY, "from 1s to 24h")
}

/// How to make a change that can be tried first.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct Trial {
    /// Show what would be done
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Take the change back by itself unless it is confirmed within this time: 30s, 10m
    #[arg(long, value_name = "TIME", value_parser = parse_confirm_within)]
    pub(super) confirm_within: Option<Duration>,
}

/// A change as it went.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changed {
    /// Whether nothing had to be done.
    unchanged: bool,
    /// Whether this was only a preview.
    dry_run: bool,
    /// The change as an operation.
    operation: Operation,
}

/// What to carry out, and how.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) log: String,
    /// The change to ask for.
    pub(super) write: Write,
    /// The entity tag of the state that whoever asks for it has seen.
    pub(super) base: Option<String>,
    /// What to ask before it.
    pub(super) question: String,
    /// What must be typed to agree, where yes is too easily said.
    pub(super) typed: Option<String>,
    /// Whether to ask the server first what the change would do, and show it.
    pub(super) preview: bool,
    /// Whether to stop after that.
    pub(super) dry_run: bool,
}

/// Carries a plan out.
pub(super) async fn carry_out(
    session: &Session<'_>,
    server: &Server,
    plan: Plan,
) -> Result<Outcome, Error> {
    let Plan {
        log,
        write,
        base,
        question,
        typed,
        preview,
        dry_run,
    } = plan;
    if let Write::Configure {
        confirm_within: Some(_),
        ..
    } = &write
        && !server.capabilities().await.probation
    {
        return Err(Error::Unsupported {
            address: server.admin.address(),
            what: "changes on probation (--confirm-within)",
        });
    }
    let mut told = Vec::new();
    let place = place(server, &log, &write)?;
    let earlier = if dry_run {
        None
    } else {
        earlier(session, &place)
    };
    // What an earlier run may have made already can't be previewed: it would be the change after it.
    if preview && earlier.is_none() {
        let operation = server
            .admin
            .preview(&log, &write, base.as_deref(), server.deadline)
            .await?;
        warn(session, &operation.warnings, &mut told);
        if operation.state == OperationState::Unchanged || dry_run {
            return report(session, server, server.deadline, operation, dry_run).await;
        }
        let mut page = Page::new().text(format!("{log}: {}", would(&operation)));
        if !operation.differences.is_empty() {
            page = page.with(differences(&operation.differences));
        }
        session.ui.show(&page);
    }
    match typed {
        Some(word) => session.ui.confirm_typed(&question, &word)?,
        None => session.ui.confirm(&question)?,
    }
    // The person's time to think is not the server's time to answer.
    let deadline = session.deadline();
    let pins = audit_receipt::before(session, server).await?;
    let mine = Unfinished {
        key: session.key()?,
        base,
        since: now(),
    };
    let (sent, kept) = place.begin(mine, session.change.idempotency_key.is_some());
    session.ui.stand_sent(
        "the change may or may not have been made",
        exit::again(None, Some(&sent.key), kept),
        &sent.key,
    );
    let phase = session.ui.phase(&format!("deciding the change of {log}"));
    let answer = server
        .admin
        .apply(
            &log,
            &write,
            sent.base.as_deref(),
            session.asked(&sent.key),
            deadline,
        )
        .await;
    drop(phase);
    let operation = match answer {
        Ok(operation) => {
            place.end(&sent.key);
            operation
        }
        Err(error) => {
            return Err(unanswered(
                error,
                &place,
                &sent.key,
                kept,
                earlier.is_some(),
            ));
        }
    };
    warn(session, &operation.warnings, &mut told);
    let mut made = Made {
        operation,
        trouble: None,
    };
    made.check_receipt(session, server, pins).await;
    made.converge(session, server, deadline).await?;
    made.ask_to_keep(session).await?;
    made.outcome(false)
}

/// Where the request of this change is kept until it is answered.
fn place(server: &Server, log: &str, write: &Write) -> Result<Place, Error> {
    let Some(endpoint) = &server.settings.admin else {
        return Err(Error::Bug("an endpoint without an address".into()));
    };
    let context = server.settings.context.as_deref();
    let request = write.fingerprint(log)?;
    Ok(Place::of(&endpoint.address, context, &request))
}

/// The request of an earlier run of the same command that was not answered, and that this run continues.
fn earlier(session: &Session<'_>, place: &Place) -> Option<Unfinished> {
    let found = place.find()?;
    if session
        .change
        .idempotency_key
        .as_ref()
        .is_some_and(|key| *key != found.key)
    {
        return None;
    }
    let since = rfc3339(found.since);
    if found.is_young(now()) {
        session.ui.note(&format!(
            "continues the request of {since}, which was not answered (idempotency key {})",
            found.key
        ));
        return Some(found);
    }
    session.ui.warn(&format!(
        "the same command was not answered at {since}; that is too long ago to continue it, so this is a new change; `logctl op list` shows whether that one was made"
    ));
    None
}

/// What became of a request without a good answer; it is forgotten where it was refused for good.
fn unanswered(error: Error, place: &Place, key: &str, kept: bool, continued: bool) -> Error {
    match error {
        Error::OutcomeUnknown {
            address,
            cause,
            operation,
            key,
            ..
        } => Error::OutcomeUnknown {
            address,
            cause,
            operation,
            key,
            kept,
        },
        error => {
            let open = match &error {
                Error::Foreign { .. } => true,
                Error::Problem(problem) if problem.code == codes::INTERNAL => true,
                error => continued && !client::is_answer(error),
            };
            if !open {
                place.end(key);
            }
            error
        }
    }
}

/// Says on standard error what will not go as expected, each thing once: numbers in it may have moved since.
pub(super) fn warn(session: &Session<'_>, warnings: &[Finding], told: &mut Vec<(String, String)>) {
    for warning in warnings {
        let key = (warning.code.clone(), warning.pointer.clone());
        if told.contains(&key) {
            continue;
        }
        told.push(key);
        let hint = warning.hint.as_ref().map(|hint| format!("; {hint}"));
        session.ui.warn(&format!(
            "{}{} [{}]",
            warning.message,
            hint.unwrap_or_default(),
            warning.code
        ));
    }
}

/// A change that was made: how far it is, and what is wrong with it all the same.
#[derive(Debug)]
pub(super) struct Made {
    /// The change as an operation.
    pub(super) operation: Operation,
    /// What went wrong although it was made. The first counts.
    pub(super) trouble: Option<Error>,
}

impl Made {
    /// Checks that it is in the audit trail, and that the trail is the one that was pinned.
    pub(super) async fn check_receipt(
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

    /// Waits for the replicas.
    pub(super) async fn converge(
        &mut self,
        session: &Session<'_>,
        server: &Server,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let lagging = converge(session, server, deadline, &mut self.operation).await?;
        self.trouble = self.trouble.take().or(lagging);
        Ok(())
    }

    /// Of a change on probation, where a person is there to ask: the server is reached over a new connection, which shows that it
    /// can be.
    async fn ask_to_keep(&mut self, session: &Session<'_>) -> Result<(), Error> {
        if self.operation.state != OperationState::Unconfirmed || self.trouble.is_some() {
            return Ok(());
        }
        let id = self.operation.id.clone();
        session.ui.stand(
            "the change runs, and is taken back unless it is confirmed",
            format!("`logctl op confirm {id}` keeps it"),
        );
        let until = self.operation.confirm_by.as_deref().unwrap_or("its time");
        let runs = format!(
            "generation {} runs; it is taken back at {until} unless it is confirmed",
            self.operation.generation
        );
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
        self.check_receipt(session, &server, pins).await;
        Ok(())
    }

    pub(super) fn outcome(self, dry_run: bool) -> Result<Outcome, Error> {
        let Self { operation, trouble } = self;
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
            },
            trouble.or(ended),
        )
    }
}

/// Confirms a change; one that was taken back before is told as such.
pub(super) async fn confirm(
    server: &Server,
    id: &str,
    asked: Asked<'_>,
    deadline: Deadline,
) -> Result<Operation, Error> {
    match server.admin.confirm(id, asked, deadline).await {
        Err(Error::Problem(problem)) if problem.code == codes::CONFLICT => {
            let now = server.admin.operation(id, deadline).await?;
            match now.state {
                OperationState::Reverted => Ok(now),
                _ => Err(Error::Problem(problem)),
            }
        }
        other => other,
    }
}

/// Waits for the replicas, and says how it went.
pub(super) async fn report(
    session: &Session<'_>,
    server: &Server,
    deadline: Deadline,
    operation: Operation,
    dry_run: bool,
) -> Result<Outcome, Error> {
    let mut made = Made {
        operation,
        trouble: None,
    };
    if !dry_run {
        made.converge(session, server, deadline).await?;
    }
    made.outcome(dry_run)
}

/// Waits until every live replica runs the operation's generation. `Some` is what is wrong when they do not in time.
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
    let mut pause = FIRST_PAUSE;
    loop {
        match probe(server, deadline, operation, decided).await {
            Ok(true) => return Ok(None),
            Ok(false) => {}
            // The server went away after the decision: that does not undo it, and it may come back.
            Err(Error::Unreachable { .. }) => {}
            // It is decided; a caller who may not follow it is told who lags, not that the change was refused.
            Err(Error::Problem(problem))
                if decided
                    && [codes::FORBIDDEN, codes::NOT_FOUND].contains(&problem.code.as_str()) =>
            {
                session.ui.warn(&format!(
                    "you may not follow the change: {}",
                    problem.detail
                ));
                return Ok(Some(Error::NotConverged {
                    operation: Some(id),
                    generation,
                    lagging: lagging(operation),
                }));
            }
            Err(error) => return Err(error),
        }
        let behind = lagging(operation);
        phase.update(&format!(
            "waiting for {} to run generation {generation}",
            count(behind.len(), "replica")
        ));
        if !deadline.pause(pause).await {
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
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Asks once; whether all is done. An operation that was decided tells itself, otherwise the replicas do.
async fn probe(
    server: &Server,
    deadline: Deadline,
    operation: &mut Operation,
    decided: bool,
) -> Result<bool, Error> {
    // A short limit of its own, so that a server that hangs does not eat the whole wait in one request.
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

pub(super) fn lagging(operation: &Operation) -> Vec<Replica> {
    let behind = |replica: &&Replica| {
        replica
            .generation
            .is_some_and(|generation| generation < operation.generation)
    };
    operation.replicas.iter().filter(behind).cloned().collect()
}

/// Pauses between probes double from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_millis(500);
/// A probe that takes longer has failed.
const PROBE: Duration = Duration::from_secs(5);

/// What an operation does, before it does it.
pub(super) fn would(operation: &Operation) -> String {
    match operation.action {
        Action::Configure => format!(
            "would go from generation {} to {}",
            operation.base_generation, operation.generation
        ),
        Action::Rotate => "would rotate".into(),
        Action::Plan => "would plan a shard".into(),
        Action::Freeze => "would freeze".into(),
        Action::Unfreeze => "would take writes again".into(),
        Action::Create => "would be created".into(),
        Action::Delete => "would be deleted".into(),
        Action::Undelete => "would be there again".into(),
        Action::Revert => "would be taken back".into(),
    }
}

/// What an operation did.
pub(super) fn did(action: Action) -> &'static str {
    match action {
        Action::Configure => "configured",
        Action::Rotate => "rotated",
        Action::Plan => "planned a shard",
        Action::Freeze => "frozen",
        Action::Unfreeze => "takes writes again",
        Action::Create => "created",
        Action::Delete => "deleted",
        Action::Undelete => "there again",
        Action::Revert => "taken back",
    }
}

impl Present for Changed {
    const KIND: &'static str = "Change";
    const NAME: &'static str = "/operation/id";

    fn page(&self) -> Page {
        let operation = &self.operation;
        let log = &operation.log;
        if self.unchanged {
            return Page::new()
                .text(format!(
                    "{log}: nothing to do, generation {} already runs this",
                    operation.generation
                ))
                .then(replicas(operation));
        }
        let table = differences(&operation.differences);
        if self.dry_run {
            let page = Page::new().text(format!(
                "{log}: {} (dry run, nothing was changed)",
                would(operation)
            ));
            return if operation.differences.is_empty() {
                page
            } else {
                page.with(table)
            };
        }
        page(operation)
    }
}

/// A change that was asked for, as it went.
pub(super) fn page(operation: &Operation) -> Page {
    let log = &operation.log;
    let table = differences(&operation.differences);
    let index = operation
        .at_index
        .map(|index| format!(" at index {index}"))
        .unwrap_or_default();
    let (before, after) = (operation.base_generation, operation.generation);
    // Freezing is no change of the configuration.
    let generation = if before == after {
        format!("generation {after}")
    } else {
        format!("generation {before} -> {after}")
    };
    let done = match operation.state {
        OperationState::Refused => "refused",
        OperationState::Reverted => "rolled back",
        _ => did(operation.action),
    };
    let mut page = Page::new().text(format!("{log}: {done}, {generation}{index}"));
    if !operation.differences.is_empty() {
        page = page.with(table);
    }
    page = page
        .text(format!("operation {}", operation.id))
        .then(replicas(operation))
        .then(probation(operation));
    match &operation.checkpoint {
        Some(checkpoint) => page
            .text("final checkpoint:")
            .with(Block::Verbatim(crate::render::clean(checkpoint))),
        None => page,
    }
}

/// Until when it must be confirmed, or what became of it.
fn probation(operation: &Operation) -> Page {
    let id = &operation.id;
    match (operation.state, &operation.confirm_by) {
        (OperationState::Unconfirmed, by) => Page::new().text(format!(
            "on probation: taken back at {} unless confirmed over a new connection: `logctl op confirm {id}`",
            by.as_deref().unwrap_or("the end of its time")
        )),
        (OperationState::Reverted, _) => Page::new().text(match &operation.reverted_by {
            Some(other) => format!("taken back by operation {other}"),
            None => "taken back".to_owned(),
        }),
        _ => Page::new(),
    }
}

/// The replicas that run it: a sentence when all do, a table when not.
fn replicas(operation: &Operation) -> Page {
    let serving: Vec<&Replica> = operation
        .replicas
        .iter()
        .filter(|replica| replica.generation.is_some())
        .collect();
    let behind = lagging(operation);
    if serving.is_empty() {
        return Page::new();
    }
    if behind.is_empty() {
        return Page::new().text(format!(
            "runs on {} of {}",
            serving.len(),
            count(serving.len(), "replica")
        ));
    }
    let rows = serving.iter().map(|replica| {
        let current = replica.generation >= Some(operation.generation);
        let state = if current {
            Cell::toned("runs it", Tone::Good)
        } else {
            Cell::toned("not yet", Tone::Bad)
        };
        vec![
            replica.label.as_str().into(),
            Cell::number(replica.generation),
            state,
        ]
    });
    Page::new().with(Block::Table {
        header: vec!["REPLICA", "GENERATION", "STATE"],
        rows: rows.collect(),
        spare: 0,
    })
}
