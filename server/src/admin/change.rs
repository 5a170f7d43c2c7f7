//! A change between its audit records.
//!
//! What must never happen: a change without its intent, an answer that is lost because its proof is late.

use engine::{Applied, ChangeError, ChangeOutcome, Log, Request};
use server_admin::{Base, Caller, Change, HostError};
use tlog::Hash;
use wire::Operation;

use super::audit::Intent;
use super::operations::state;
use super::{EngineHost, convert};
use crate::rfc3339::now;

/// What is asked for, as its intent names it.
pub(super) struct Asked<'a> {
    /// The operation's id.
    pub(super) operation: String,
    /// The log it concerns.
    pub(super) log: &'a str,
    /// The action in one word, as the trail names it.
    pub(super) action: &'a str,
    /// The caller who asks for the change.
    pub(super) actor: &'a str,
    /// SHA-256 of the request.
    pub(super) request: Hash,
    /// Why, in the caller's words.
    pub(super) reason: Option<String>,
}

impl EngineHost {
    /// Makes a change between its intent and its outcome. The answer carries the receipt of the intent.
    pub(super) async fn recorded(
        &self,
        asked: Asked<'_>,
        effect: impl Future<Output = Result<Applied, ChangeError>>,
    ) -> Result<Operation, HostError> {
        let Asked { operation, log, .. } = asked;
        let _under_way = self.audit.under_way(&operation);
        let index = self
            .audit
            .intent(Intent {
                operation: operation.clone(),
                log: log.to_owned(),
                action: asked.action.to_owned(),
                actor: asked.actor.to_owned(),
                request: asked.request,
                reason: asked.reason,
                replica: self.engine.replica_id().to_owned(),
                time: now(),
            })
            .await?;
        let outcome = effect.await;
        // A repeated request is the same operation: its first intent counts.
        let first = self.audit.index(&operation).unwrap_or(index);
        let ((), receipt) = tokio::join!(
            self.audit.outcome(&operation, log, index, &outcome),
            self.audit.receipt(first)
        );
        let applied = outcome.map_err(convert::change_error)?;
        let decided = applied.outcome == ChangeOutcome::Decided;
        let mut answer = convert::applied(applied, log, asked.actor.to_owned());
        answer.audit_index = Some(first);
        answer.audit = receipt;
        if let Ok(found) = self.find_any(log) {
            answer.replicas = self.live(Some(&found)).await?;
            if decided {
                answer.state = state(&answer);
                answer = self.tried(&found, answer).await?;
            }
        }
        tracing::info!(log, operation = answer.id, action = ?answer.action, state = ?answer.state,
            generation = answer.generation, actor = answer.actor, "changed");
        Ok(answer)
    }

    /// Makes a change of a running log.
    pub(super) async fn change(
        &self,
        log: &Log,
        request: Request,
        caller: Caller,
    ) -> Result<Operation, HostError> {
        let as_engine = as_engine(&caller)?;
        let asked = Asked {
            operation: named(&as_engine, log.name()),
            log: log.name(),
            action: word(&request),
            actor: &caller.actor,
            request: digest(&request),
            reason: caller.reason.clone(),
        };
        self.recorded(asked, log.change(request, as_engine.clone()))
            .await
    }
}

/// The caller for the engine; with a key of our own when they have none, so that the intent can name the operation.
pub(super) fn as_engine(caller: &Caller) -> Result<engine::Caller, HostError> {
    let key = match &caller.idempotency_key {
        Some(key) => key.clone(),
        None => fresh_key()?,
    };
    Ok(engine::Caller {
        actor: caller.actor.clone(),
        idempotency_key: Some(key),
        reason: caller.reason.clone(),
    })
}

/// The operation that a caller with a key asks for.
pub(super) fn named(caller: &engine::Caller, log: &str) -> String {
    caller
        .operation(log)
        .map(|token| token.to_string())
        .unwrap_or_default()
}

fn fresh_key() -> Result<String, HostError> {
    let failed = |e: getrandom::Error| HostError::Internal(format!("no randomness: {e}"));
    Ok(format!(
        "{:016x}{:016x}",
        getrandom::u64().map_err(failed)?,
        getrandom::u64().map_err(failed)?
    ))
}

pub(super) fn digest(request: &Request) -> Hash {
    store::record::digest(&serde_json::to_vec(request).unwrap_or_default())
}

pub(super) fn word(request: &Request) -> &'static str {
    if matches!(request, Request::Rotate { force: true, .. }) {
        return "rotate-forced";
    }
    match request.action() {
        engine::Action::Configure => "configure",
        engine::Action::Rotate => "rotate",
        engine::Action::Plan => "plan",
        engine::Action::Freeze => "freeze",
        engine::Action::Unfreeze => "unfreeze",
        engine::Action::Create => "create",
        engine::Action::Delete => "delete",
        engine::Action::Undelete => "undelete",
        engine::Action::Revert => "revert",
    }
}

/// A base as the engine knows it. One whose digest is not that of its generation was never a state of this log: it becomes a
/// generation that never runs, so that the engine's own order of checks holds for it too.
fn base(base: &Base, running: &str) -> u64 {
    let same_generation = running
        .parse::<Base>()
        .is_ok_and(|now| now.generation() == base.generation());
    if same_generation && !base.matches(running) {
        u64::MAX
    } else {
        base.generation()
    }
}

/// A change of a running log, in the engine's words. `from` is this replica and the caller's connection.
pub(super) fn request(
    change: Change,
    running: &str,
    from: (String, Option<u64>),
) -> Result<Request, HostError> {
    let base = |seen: &Base| base(seen, running);
    Ok(match change {
        Change::Configure {
            document,
            base: seen,
            confirm_within: None,
        } => Request::Configure {
            next: document,
            base: Some(base(&seen)),
        },
        Change::Configure {
            document,
            base: seen,
            confirm_within: Some(within),
        } => Request::OnProbation {
            next: document,
            base: Some(base(&seen)),
            within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            from,
        },
        Change::Rotate {
            name,
            base: seen,
            force,
        } => Request::Rotate {
            name,
            base: seen.as_ref().map(base),
            force,
        },
        Change::Plan { name, base: seen } => Request::PlanShard {
            name,
            base: seen.as_ref().map(base),
        },
        Change::Freeze { now } => Request::Freeze { now },
        Change::Unfreeze => Request::Unfreeze,
        other => {
            return Err(HostError::Internal(format!(
                "not a change that this server knows: {other:?}"
            )));
        }
    })
}
