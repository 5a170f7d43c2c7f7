//! Makes a change: preview, question, decision, convergence. Every command that changes something comes through here, so all of them ask,
//! wait, report and fail in the same way.
//!
//! What must never happen: a change without consent; "done" while a replica still runs the earlier configuration.

mod made;
mod shown;

use std::time::Duration;

use wire::{Finding, MAX_REASON, OperationState, codes};

use super::{Server, Session, audit_receipt, differences, now, rfc3339};
use crate::cli::{DAY, parse_between};
use crate::client::{self, Call};
use crate::error::Error;
use crate::exit;
use crate::report::{Outcome, Page};
use crate::unfinished::{RequestFile, Unfinished};

pub(super) use made::{Made, confirm, lagging, passes, report};
use shown::{Changed, Probation};
pub(super) use shown::{did, page, would};

/// How to ask for a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct ChangeArgs {
    /// The reason, for the audit trail and the history
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(crate) reason: Option<String>,
    /// Continue the request with this key, or name a new one; a change that is sent twice with one key is made once
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    pub(crate) idempotency_key: Option<String>,
}

/// Parses a reason by the server's rules.
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

/// Parses a key by the server's rules.
fn parse_key(text: &str) -> Result<String, String> {
    let sound = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if sound {
        Ok(text.to_owned())
    } else {
        Err("a key is 1 to 128 visible ASCII characters".to_owned())
    }
}

/// Parses the time for a confirmation by the server's rules.
pub(super) fn parse_confirm_within(text: &str) -> Result<Duration, String> {
    parse_between(text, Duration::from_secs(1), DAY, "from 1s to 24h")
}

/// How to make a change that can be tried first.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(crate) struct Trial {
    /// Show what the command would change, and stop
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Revert the change automatically unless it is confirmed within this time: 30s, 10m
    #[arg(long, value_name = "TIME", value_parser = parse_confirm_within)]
    pub(super) confirm_within: Option<Duration>,
}

/// The preview and the question before a change.
#[derive(Debug)]
pub(super) struct Consent {
    pub(super) log: String,
    /// The entity tag of the state that the user has seen.
    pub(super) base: Option<String>,
    /// The question before the change; `None` if it was answered before.
    pub(super) question: Option<String>,
    /// The word to type as consent, if a yes would be too easy.
    pub(super) typed: Option<String>,
    /// Whether to ask the server first what the change would do, and show it.
    pub(super) preview: bool,
    /// Whether to stop after that, and how long the change is on probation.
    pub(super) trial: Trial,
}

/// Carries a change out.
pub(super) async fn carry_out(
    session: &Session<'_>,
    server: &Server,
    call: Call,
    consent: Consent,
) -> Result<Outcome, Error> {
    carry_out_unless(session, server, call, consent, async || Ok(())).await
}

/// Carries a change out as [`carry_out`] does. Right before the request, after a person has had time to think, `changed` looks once more at what the
/// change rests on. If it fails, nothing is sent.
pub(super) async fn carry_out_unless(
    session: &Session<'_>,
    server: &Server,
    mut call: Call,
    Consent {
        log,
        base,
        question,
        typed,
        preview,
        trial,
    }: Consent,
    changed: impl AsyncFnOnce() -> Result<(), Error>,
) -> Result<Outcome, Error> {
    if let Some(time) = trial.confirm_within {
        if !server.capabilities().await.probation {
            return Err(Error::Unsupported {
                address: server.admin.address(),
                what: "changes on probation (--confirm-within)",
            });
        }
        call = call.confirmed_within(time);
    }
    session.ui.works_on(&log, server.settings.log.as_deref());
    let mut told = Vec::new();
    let place = place(server, &call)?;
    let earlier = if trial.dry_run {
        None
    } else {
        earlier(session, &place)
    };
    // A change that an earlier run may have made cannot be previewed: the preview would be of a second change.
    if preview && earlier.is_none() {
        let operation = server
            .admin
            .preview(&call, base.as_deref(), server.deadline)
            .await?;
        warn(session, &operation.warnings, &mut told);
        if operation.state == OperationState::Unchanged || trial.dry_run {
            return report(session, server, server.deadline, operation, trial.dry_run).await;
        }
        let mut page = Page::new().text(format!("{log}: {}", would(&operation)));
        if !operation.differences.is_empty() {
            page = page.with(differences(&operation.differences));
        }
        session.ui.show(&page);
    }
    match (question, typed) {
        (Some(question), Some(word)) => session.ui.confirm_typed(&question, &word)?,
        (Some(question), None) => session.ui.confirm(&question)?,
        (None, _) => {}
    }
    changed().await?;
    // The time that a person takes to decide must not be taken from the server's time to answer.
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
            call,
            sent.base.as_deref(),
            session.asked(&sent.key),
            deadline,
        )
        .await;
    drop(phase);
    let operation = match answer {
        // If the answer cannot be printed, the user runs the command again; that must not make the change twice.
        Ok(operation) if operation.state != OperationState::Unchanged => {
            session.ui.made_as(
                format!("{log}: operation {} was made", operation.id),
                exit::again(Some(&operation.id), Some(&sent.key), kept),
                place,
                &sent.key,
            );
            operation
        }
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
    let mut made = Made::from(operation);
    made.find_probation(server, deadline).await;
    made.check_receipt(session, server, pins).await;
    made.converge(session, server, deadline).await?;
    made.ask_to_keep(session).await?;
    made.outcome(false)
}

/// The file in which the request of this change is kept until it is answered.
fn place(server: &Server, call: &Call) -> Result<RequestFile, Error> {
    let Some(endpoint) = &server.settings.admin else {
        return Err(Error::Bug("an endpoint without an address".into()));
    };
    let context = server.settings.context.as_deref();
    Ok(RequestFile::of(
        &endpoint.address,
        context,
        &call.fingerprint(),
    ))
}

/// The request of an earlier run of the same command that was not answered, and that this run continues.
fn earlier(session: &Session<'_>, place: &RequestFile) -> Option<Unfinished> {
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
            "continues the request of {since}, which was not seen to end (idempotency key {}); another --idempotency-key makes a new change",
            found.key
        ));
        return Some(found);
    }
    session.ui.warn(&format!(
        "the same command of {since} was not seen to end; that is too long ago to continue it, so this is a new change; `logctl op list` shows whether that one was made"
    ));
    None
}

/// The error of a request without a good answer; the request is forgotten if it was refused for good.
fn unanswered(error: Error, place: &RequestFile, key: &str, kept: bool, continued: bool) -> Error {
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

/// Prints each warning once on standard error; the numbers in a warning may have changed since.
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
