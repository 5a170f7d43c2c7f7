//! Freeze and unfreeze: decisions about the gate, which leave the configuration alone.

use config::Difference;
use tlog::Hash;

use super::{Action, Applied, Caller, ChangeError, ChangeOutcome};
use crate::log::Log;
use crate::order::commit::{CommitError, now_ms};
use crate::order::slot::{Control, Decision, Token};
use crate::order::state::{Gate, Refusal};

impl Log {
    /// Freezes: first ends admission, then decides, then waits for the final checkpoint.
    pub(super) async fn freeze(
        &self,
        now: bool,
        operation: Token,
        digest: Hash,
        caller: &Caller,
        dry: bool,
    ) -> Result<Applied, ChangeError> {
        let core = &self.core;
        if !now && !dry && core.order.state().gate == Gate::Open {
            let first = Decision {
                operation: core.tokens.make(now_ms()),
                request: digest,
                action: Action::Freeze,
                actor: caller.actor.clone(),
                control: Control::Closing,
            };
            match core.batcher.control(first).await {
                Ok(_) | Err(CommitError::Refused(Refusal::Frozen)) => {}
                Err(e) => return self.refused(e, operation).await,
            }
        }
        let mut applied = self
            .gate(
                Action::Freeze,
                Control::Freeze,
                operation,
                digest,
                caller,
                dry,
            )
            .await?;
        if !dry && applied.outcome != ChangeOutcome::Planned {
            applied.checkpoint = self.final_checkpoint().await;
        }
        Ok(applied)
    }

    async fn final_checkpoint(&self) -> Option<String> {
        let state = self.core.order.state();
        if let Some(last) = state.size.checked_sub(1) {
            let wait = self.wait_published(last);
            tokio::time::timeout(std::time::Duration::from_secs(30), wait)
                .await
                .ok()?
                .ok()?;
        }
        self.checkpoint(&state.active()?.identity.name).await.ok()?
    }

    /// Freeze or unfreeze; nothing to do when the gate is that way already.
    pub(super) async fn gate(
        &self,
        action: Action,
        control: Control,
        operation: Token,
        digest: Hash,
        caller: &Caller,
        dry: bool,
    ) -> Result<Applied, ChangeError> {
        let core = &self.core;
        let gate = core.order.state().gate;
        let wants_frozen = action == Action::Freeze;
        let mut applied = self.unchanged(operation, action);
        let already = if wants_frozen {
            matches!(gate, Gate::Frozen { .. })
        } else {
            gate == Gate::Open
        };
        if already {
            return Ok(applied);
        }
        let word = |frozen| {
            if frozen {
                "frozen".to_owned()
            } else {
                "open".to_owned()
            }
        };
        applied.differences = vec![Difference {
            subject: format!("log {}", core.name),
            before: Some(word(!wants_frozen)),
            after: Some(word(wants_frozen)),
        }];
        applied.outcome = ChangeOutcome::Planned;
        if dry {
            return Ok(applied);
        }
        let decision = Decision {
            operation,
            request: digest,
            action,
            actor: caller.actor.clone(),
            control,
        };
        match core.batcher.control(decision).await {
            Ok(placed) => {
                applied.outcome = ChangeOutcome::Decided;
                applied.time_ms = Some(placed.slot.time);
                applied.at_index = Some(placed.start);
                Ok(applied)
            }
            Err(CommitError::Refused(Refusal::Frozen)) if wants_frozen => {
                Ok(self.unchanged(operation, action))
            }
            Err(CommitError::Refused(Refusal::NotFrozen)) => Ok(self.unchanged(operation, action)),
            Err(e) => self.refused(e, operation).await,
        }
    }
}
