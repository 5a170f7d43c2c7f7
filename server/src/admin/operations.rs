//! Decided changes as operations, and the progress of the replicas.
//!
//! What must never happen: an operation is reported as done although a live replica does not run it.

use std::sync::Arc;

use engine::{HistoryRecord, Log};
use server_admin::HostError;
use wire::{Action, Operation, OperationState, Replica};

use super::convert::unavailable;
use super::{EngineHost, convert};
use tlog::UnixMillis;

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
                    generation: Some(log.generation().get()),
                    ..replica
                },
                _ => replica,
            })
            .collect())
    }

    /// The decided changes of one log as operations, newest first, each with its time.
    pub(super) async fn decided(
        &self,
        log: &Log,
    ) -> Result<Vec<(UnixMillis, Operation)>, HostError> {
        let records = log.history().await.map_err(unavailable)?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let replicas = self.live(Some(log)).await?;
        // A freeze is decided in two parts, which are one operation for those who asked for it.
        let is_part = |at: usize, record: &HistoryRecord| {
            let next = at.checked_sub(1).and_then(|newer| records.get(newer));
            record.closing && next.is_some_and(|next| next.action == engine::Action::Freeze)
        };
        let whole = records.iter().enumerate();
        let whole = whole.filter(|(at, record)| !is_part(*at, record));
        let mut operations = Vec::new();
        for record in whole.map(|(_, record)| record.clone()).take(OPERATIONS) {
            let time = record.time_ms;
            operations.push((time, self.complete(log, record, &replicas).await?));
        }
        Ok(operations)
    }

    /// One decided change as an operation, with its differences.
    pub(super) async fn as_operation(
        &self,
        log: &Log,
        record: HistoryRecord,
    ) -> Result<Operation, HostError> {
        let replicas = self.live(Some(log)).await?;
        let differences = log.changed_by(&record).await.map_err(unavailable)?;
        let operation = self.complete(log, record, &replicas).await?;
        Ok(Operation {
            differences: differences.into_iter().map(Into::into).collect(),
            ..operation
        })
    }

    async fn complete(
        &self,
        log: &Log,
        record: HistoryRecord,
        replicas: &[Replica],
    ) -> Result<Operation, HostError> {
        let mut operation = convert::operation(record, log.name());
        operation.audit_index = self.audited.index(&operation.id);
        operation.replicas = replicas.to_vec();
        operation.state = state(&operation);
        match operation.action {
            // Only settings are ever on probation.
            Action::Configure => self.tried(log, operation).await,
            _ => Ok(operation),
        }
    }

    /// A decided change and its log; deleted logs too.
    pub(super) async fn record_anywhere(
        &self,
        id: &str,
    ) -> Result<Option<(Arc<Log>, HistoryRecord)>, HostError> {
        for log in self.engine.logs().into_iter().chain(self.engine.system()) {
            if let Some(record) = log.operation(id).await.map_err(unavailable)? {
                return Ok(Some((log, record)));
            }
        }
        Ok(None)
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
