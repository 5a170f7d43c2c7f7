//! Decided changes as operations, and how far the replicas are with them.
//!
//! What must never happen: an operation called done that a live replica does not run.

use engine::{HistoryRecord, Log};
use server_admin::HostError;
use wire::{Action, Operation, OperationState, Replica};

use super::{EngineHost, convert};

/// The most operations in one answer.
pub(super) const OPERATIONS: usize = 100;

impl EngineHost {
    /// The live replicas, with the generation they run of `log`. For this process, its own state is newer than its heartbeat.
    pub(super) async fn live(&self, log: Option<&Log>) -> Result<Vec<Replica>, HostError> {
        let replicas = self.engine.replicas(log.map(Log::name)).await;
        let replicas = replicas.map_err(|e| HostError::Unavailable(e.to_string()))?;
        Ok(replicas
            .into_iter()
            .map(convert::replica)
            .map(|replica| match log {
                Some(log) if replica.id == self.engine.replica_id() => Replica {
                    generation: Some(log.generation()),
                    ..replica
                },
                _ => replica,
            })
            .collect())
    }

    /// The decided changes of one log as operations, newest first, each with its time in milliseconds.
    pub(super) async fn decided(
        &self,
        log: &Log,
        one: Option<&str>,
    ) -> Result<Vec<(u64, Operation)>, HostError> {
        let unavailable = |e: store::StoreError| HostError::Unavailable(e.to_string());
        let records = match one {
            Some(id) => log
                .operation(id)
                .await
                .map_err(unavailable)?
                .into_iter()
                .collect(),
            None => log.history().await.map_err(unavailable)?,
        };
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let replicas = self.live(Some(log)).await?;
        let differences = match (&records[..], one) {
            ([record], Some(_)) => log.changed_by(record).await.map_err(unavailable)?,
            _ => Vec::new(),
        };
        let complete = |record: HistoryRecord| {
            let time = record.time_ms;
            let mut operation = convert::operation(record, log.name());
            operation.differences = differences.iter().cloned().map(Into::into).collect();
            operation.audit_index = self.audit.index(&operation.id);
            operation.replicas.clone_from(&replicas);
            operation.state = state(&operation);
            (time, operation)
        };
        let mut operations = Vec::new();
        for (time, operation) in records.into_iter().take(OPERATIONS).map(complete) {
            // Only settings are ever on probation.
            let operation = match operation.action {
                Action::Configure => self.tried(log, operation).await?,
                _ => operation,
            };
            operations.push((time, operation));
        }
        Ok(operations)
    }
}

/// Whether every live replica runs the operation's generation; one that does not serve the log yet does not.
pub(super) fn state(operation: &Operation) -> OperationState {
    let behind = |replica: &Replica| {
        replica
            .generation
            .is_none_or(|runs| runs < operation.generation)
    };
    if operation.replicas.iter().any(behind) {
        OperationState::Decided
    } else {
        OperationState::Done
    }
}
