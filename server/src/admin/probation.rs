//! Changes on probation, on the wire, and what `logctl doctor` says of them and of frozen logs.

use engine::{Condition, Log, Status, Token, Trial};
use server_admin::{Caller, HostError};
use wire::{Diagnosis, Operation, OperationState, Severity};

use super::change::as_engine;
use super::diagnose::found;
use super::{EngineHost, convert};
use crate::rfc3339::rfc3339;

impl EngineHost {
    /// The state of a change on probation.
    pub(super) async fn tried(
        &self,
        log: &Log,
        mut operation: Operation,
    ) -> Result<Operation, HostError> {
        let Ok(token) = operation.id.parse::<Token>() else {
            return Ok(operation);
        };
        match log.trial(token).await.map_err(convert::unavailable)? {
            Some(Trial::Pending(probation)) => {
                operation.confirm_by = Some(rfc3339(probation.until));
                if operation.state == OperationState::Done {
                    operation.state = OperationState::Unconfirmed;
                }
            }
            Some(Trial::Reverted(by)) => {
                operation.state = OperationState::Reverted;
                operation.reverted_by = Some(by);
            }
            Some(Trial::Kept) | None => {}
        }
        Ok(operation)
    }

    /// Keeps a change that was made on probation.
    pub(super) async fn confirmed(&self, id: &str, caller: Caller) -> Result<Operation, HostError> {
        let unknown = || HostError::NotFound(format!("no operation {id}"));
        let (log, record) = self.record_anywhere(id).await?.ok_or_else(unknown)?;
        let connection = caller.connection;
        let confirmed = self
            .audited
            .confirm(&log, &record, as_engine(caller), connection)
            .await
            .map_err(convert::change_error)?;
        let mut answer = match self.as_operation(&log, record.clone()).await {
            Ok(answer) => answer,
            // It is kept; the caller learns how far it is from the operation.
            Err(error) => {
                tracing::warn!(log = log.name(), operation = id, %error, "cannot read yet how far a change is");
                convert::operation(record, log.name())
            }
        };
        if let Some(recorded) = confirmed {
            answer.audit_index = Some(recorded.intent);
            answer.audit = recorded.receipt.map(convert::receipt);
        }
        Ok(answer)
    }
}

/// The findings about states of a log that somebody chose, and that should end.
pub(super) async fn checks(log: &Log, status: &Status) -> Vec<Diagnosis> {
    let frozen = (status.condition == Condition::Frozen).then(|| {
        found(
            "frozen",
            Severity::Warning,
            status
                .reason
                .clone()
                .unwrap_or_else(|| "the log is frozen".to_owned()),
            format!(
                "`logctl log unfreeze {}` lets it accept writes again; if it was restored with --force, read \"After a forced restore\" in docs/operations.md first",
                log.name()
            ),
        )
    });
    let probation = match log.on_probation().await {
        Ok(None) => None,
        Ok(Some(probation)) => {
            let (operation, until) = (probation.operation, rfc3339(probation.until));
            let now = format!(
                "`logctl config rollback --log {}` takes it back now",
                log.name()
            );
            let (state, remedy) = match &probation.reverting {
                None => (
                    format!("operation {operation} is reverted at {until} unless it is confirmed"),
                    format!("`logctl op confirm {operation}` keeps it, {now}"),
                ),
                Some(_) => (
                    format!(
                        "operation {operation} is being taken back and can no longer be confirmed: the server reverts it at {until} at the latest"
                    ),
                    now,
                ),
            };
            Some(found("probation", Severity::Warning, state, remedy))
        }
        Err(error) => Some(found(
            "probation",
            Severity::Critical,
            error.to_string(),
            "the coordination store does not answer: look at its disk",
        )),
    };
    frozen.into_iter().chain(probation).collect()
}
