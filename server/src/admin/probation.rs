//! Changes on probation, on the wire.

use engine::{Log, Token, Trial};
use server_admin::{Caller, HostError};
use wire::{Operation, OperationState};

use super::change::as_engine;
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
        let mut answer = self.as_operation(&log, record).await?;
        if let Some(recorded) = confirmed {
            answer.audit_index = Some(recorded.intent);
            answer.audit = recorded.receipt.map(convert::receipt);
        }
        Ok(answer)
    }
}
