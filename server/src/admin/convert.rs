//! Engine types to wire types. Pure.

use engine::{
    Applied, ChangeError, ChangeOutcome, HistoryRecord, Inclusion, Receipt, ReplicaInfo, Status,
    Unrecorded,
};
use order::Generation;
use server_admin::HostError;
use store::StoreError;
use wire::{
    Action, Announced, AuditReceipt, HistoryItem, LogCondition, LogStatus, Operation,
    OperationState, Replica, SearchIndex, Seen, Shard, ShardState, Watermarks,
};

use crate::indexes::View;
use crate::rfc3339::rfc3339;

pub(super) fn status(status: Status, url: Option<String>) -> LogStatus {
    LogStatus {
        condition: match status.condition {
            engine::Condition::Open => LogCondition::Open,
            engine::Condition::Closing => LogCondition::Closing,
            engine::Condition::Frozen => LogCondition::Frozen,
            engine::Condition::Halted => LogCondition::Halted,
        },
        reason: status.reason,
        generation: status.generation.get(),
        etag: status.etag,
        watermarks: Watermarks {
            ordered: status.watermarks.ordered,
            integrated: status.watermarks.integrated,
            published: status.watermarks.published,
        },
        published_at: status.published_at.map(rfc3339),
        shards: status.shards.into_iter().map(shard).collect(),
        url,
        search_index: None,
        log: status.log,
    }
}

pub(super) fn search_index(view: View) -> SearchIndex {
    SearchIndex {
        position: view.position,
        lag: view.lag,
        behind_seconds: view.behind.as_secs(),
        trouble: view.trouble,
    }
}

fn shard(shard: engine::ShardView) -> Shard {
    Shard {
        name: shard.name,
        state: match shard.state {
            logconfig::ShardState::Planned => ShardState::Planned,
            logconfig::ShardState::Active => ShardState::Active,
            logconfig::ShardState::Frozen => ShardState::Frozen,
        },
        tree_id: shard.tree_id.to_string(),
        origin: shard.origin,
        vkey: shard.vkey,
        ecdsa_vkey: shard.ecdsa_vkey,
        imported_vkey: shard.imported_vkey,
        imported_since: shard.imported_since.map(rfc3339),
        start_index: shard.start_index,
        length: shard.length,
        published: shard.published,
        root_hash: shard.root.map(|root| root.to_string()),
        announced: shard.announced.and_then(announced),
    }
}

fn announced(record: logconfig::Announced) -> Option<Announced> {
    let since = record.since()?.to_string();
    let seen = record.seen.into_iter().map(|seen| Seen {
        at: seen.at,
        since: seen.since,
    });
    Some(Announced {
        since,
        seen: seen.collect(),
    })
}

pub(super) fn action(action: engine::Action) -> Action {
    match action {
        engine::Action::Configure => Action::Configure,
        engine::Action::Rotate => Action::Rotate,
        engine::Action::Plan => Action::Plan,
        engine::Action::Freeze => Action::Freeze,
        engine::Action::Unfreeze => Action::Unfreeze,
        engine::Action::Create => Action::Create,
        engine::Action::Delete => Action::Delete,
        engine::Action::Undelete => Action::Undelete,
        engine::Action::Revert => Action::Revert,
    }
}

pub(super) fn applied(applied: Applied, log: &str, actor: String) -> Operation {
    Operation {
        id: applied.operation,
        log: log.to_owned(),
        action: action(applied.action),
        state: match applied.outcome {
            ChangeOutcome::Unchanged => OperationState::Unchanged,
            ChangeOutcome::Planned => OperationState::Planned,
            ChangeOutcome::Decided => OperationState::Decided,
        },
        base_generation: applied.base_generation.get(),
        generation: applied.generation.get(),
        etag: applied.etag,
        decided_at: applied.time_ms.map(rfc3339),
        at_index: applied.at_index,
        actor: Some(actor),
        differences: applied.differences.into_iter().map(Into::into).collect(),
        checkpoint: applied.checkpoint,
        warnings: applied.warnings.into_iter().map(Into::into).collect(),
        ..Operation::default()
    }
}

/// A decided change as an operation.
pub(super) fn operation(record: HistoryRecord, log: &str) -> Operation {
    Operation {
        id: record.operation,
        log: log.to_owned(),
        action: action(record.action),
        state: OperationState::Decided,
        base_generation: record.base.get(),
        generation: record.generation.get(),
        etag: record.etag,
        decided_at: Some(rfc3339(record.time_ms)),
        at_index: Some(record.at_index),
        actor: Some(record.actor),
        reason: record.reason,
        ..Operation::default()
    }
}

pub(super) fn history(record: HistoryRecord) -> HistoryItem {
    HistoryItem {
        generation: record.generation.get(),
        action: action(record.action),
        time: rfc3339(record.time_ms),
        slot: record.slot.get(),
        at_index: record.at_index,
        operation: record.operation,
        actor: Some(record.actor),
        summary: record.summary,
        etag: Some(record.etag),
        reason: record.reason,
        takes_back: None,
        differences: None,
    }
}

pub(super) fn replica(replica: ReplicaInfo) -> Replica {
    Replica {
        id: replica.id,
        label: replica.label,
        format: replica.format,
        generation: replica.generation.map(Generation::get),
        age_seconds: replica.age.as_secs(),
    }
}

pub(super) fn change_error(error: ChangeError) -> HostError {
    match error {
        ChangeError::Invalid(findings) => {
            HostError::Invalid(findings.into_iter().map(Into::into).collect())
        }
        ChangeError::Stale {
            current_etag,
            changed_by,
            changed_at_ms,
            differences,
        } => HostError::Stale {
            current_etag,
            changed_by,
            changed_at: changed_at_ms.map(rfc3339),
            differences: differences.into_iter().map(Into::into).collect(),
        },
        ChangeError::Conflict(why) => HostError::Conflict(why),
        ChangeError::Unverified(found) => HostError::Unverified(Box::new((*found).into())),
        ChangeError::KeyReused { operation } => HostError::KeyReused {
            operation: Some(operation),
        },
        ChangeError::Halted { reason } => HostError::Halted(reason),
        ChangeError::Full(where_) => HostError::Full(where_),
        ChangeError::Unknown { operation } => HostError::UnknownOutcome { operation },
        ChangeError::Store(error) => unavailable(error),
        ChangeError::Unrecorded(error) => unrecorded(error),
    }
}

pub(super) fn unrecorded(error: Unrecorded) -> HostError {
    match error {
        Unrecorded::Full(place) => HostError::Full(place),
        Unrecorded::Halted(_) => HostError::Halted(error.to_string()),
        Unrecorded::Other(_) => HostError::Unavailable(error.to_string()),
    }
}

pub(super) fn unavailable(error: StoreError) -> HostError {
    HostError::Unavailable(error.to_string())
}

pub(super) fn receipt(receipt: Receipt) -> AuditReceipt {
    let Inclusion {
        shard,
        leaf_index,
        proof,
        checkpoint,
        vkey,
        ..
    } = receipt.inclusion;
    AuditReceipt {
        index: receipt.index,
        shard: shard.to_string(),
        leaf_index,
        entry: receipt.entry,
        proof: proof.iter().map(ToString::to_string).collect(),
        checkpoint,
        vkey,
    }
}
