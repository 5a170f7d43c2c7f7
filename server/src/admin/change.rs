//! A change on its way in, and its answer on its way out.
//!
//! What must never happen: an answer that is lost because its proof is late, or because the replicas can't be read just then. A change
//! that is decided is reported as decided.

use engine::{Applied, ChangeOutcome, Log, Recorded, Request};
use logconfig::ShardName;
use order::Generation;
use server_admin::{Base, Caller, Change, HostError};
use wire::{AnnounceRequest, FreezeRequest, Operation, PlanRequest, RotateRequest};

use super::operations::state;
use super::{EngineHost, convert};

impl EngineHost {
    /// The answer to a change, with the receipt of its intent and how far the replicas are.
    pub(super) async fn answer(
        &self,
        log: &str,
        actor: String,
        (applied, recorded): (Applied, Recorded),
    ) -> Operation {
        let decided = applied.outcome == ChangeOutcome::Decided;
        let mut answer = convert::applied(applied, log, actor);
        answer.audit_index = Some(recorded.intent);
        answer.audit = recorded.receipt.map(convert::receipt);
        if let Ok(found) = self.find_any(log) {
            match self.progress(&found, answer.clone(), decided).await {
                Ok(far) => answer = far,
                Err(error) => {
                    tracing::warn!(log, operation = answer.id, %error, "cannot read yet how far a change is")
                }
            }
        }
        tracing::info!(log, operation = answer.id, action = ?answer.action, state = ?answer.state,
            generation = answer.generation, actor = answer.actor, "changed");
        answer
    }

    /// The answer to a change, with how far the replicas are.
    async fn progress(
        &self,
        log: &Log,
        mut answer: Operation,
        decided: bool,
    ) -> Result<Operation, HostError> {
        answer.replicas = self.live(Some(log)).await?;
        if decided {
            answer.state = state(&answer);
            answer = self.tried(log, answer).await?;
        }
        Ok(answer)
    }
}

pub(super) fn as_engine(caller: Caller) -> engine::Author {
    engine::Author {
        actor: caller.actor,
        idempotency_key: caller.idempotency_key,
        reason: caller.reason,
    }
}

/// A base as the engine knows it. One whose digest is not that of its generation was never a state of this log: it becomes a
/// generation that never runs, so that the engine's own order of checks holds for it too.
fn base(base: &Base, running: &str) -> Generation {
    let same_generation = running
        .parse::<Base>()
        .is_ok_and(|now| now.generation() == base.generation());
    let never = same_generation && !base.matches(running);
    Generation::new(if never { u64::MAX } else { base.generation() })
}

/// A name that the endpoint found well formed.
fn shard_name(name: Option<String>) -> Result<Option<ShardName>, HostError> {
    name.map(ShardName::try_from)
        .transpose()
        .map_err(|error| HostError::Internal(error.to_string()))
}

/// A change of a log, in the engine's words. `from` is this replica and the caller's connection.
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
            request:
                RotateRequest {
                    name,
                    settle: Some(settle),
                    ..
                },
            base: seen,
        } => Request::RotateAnnounced {
            name: shard_name(name)?,
            base: seen.as_ref().map(base),
            settle,
        },
        Change::Rotate {
            request: RotateRequest { name, force, .. },
            base: seen,
        } => Request::Rotate {
            name: shard_name(name)?,
            base: seen.as_ref().map(base),
            force,
        },
        Change::Announce(AnnounceRequest {
            shard,
            key,
            seen_at,
            gone,
        }) => Request::Announce {
            shard: ShardName::try_from(shard)
                .map_err(|error| HostError::Internal(error.to_string()))?,
            key,
            seen_at,
            gone,
        },
        Change::Plan {
            request: PlanRequest { name },
            base: seen,
        } => Request::PlanShard {
            name: shard_name(name)?,
            base: seen.as_ref().map(base),
        },
        Change::Freeze(FreezeRequest { now }) => Request::Freeze { now },
        Change::Unfreeze => Request::Unfreeze,
        Change::Delete => Request::Delete,
        Change::Undelete => Request::Undelete,
        other => {
            return Err(HostError::Internal(format!(
                "not a change that this server knows: {other:?}"
            )));
        }
    })
}
