//! A change as it is shown, before and after.

use serde::Serialize;
use wire::{Action, Operation, OperationState, Replica};

use super::lagging;
use crate::commands::differences;
use crate::error::count;
use crate::report::{Block, Cell, Page, Present, Tone};

/// A change as it went.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changed {
    /// Whether nothing had to be done.
    pub(super) unchanged: bool,
    /// Whether this was only a preview.
    pub(super) dry_run: bool,
    /// The change as an operation.
    pub(super) operation: Operation,
    /// The change on probation that made what already runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) probation: Option<Probation>,
}

/// A change on probation, which somebody else or an earlier run made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Probation {
    /// ID of the change, for `logctl op confirm`.
    operation: String,
    /// When it is reverted, RFC 3339.
    confirm_by: Option<String>,
}

impl Probation {
    /// The probation of the operation, if it is on probation.
    pub(super) fn of(operation: Operation) -> Option<Self> {
        (operation.state == OperationState::Unconfirmed).then_some(Self {
            operation: operation.id,
            confirm_by: operation.confirm_by,
        })
    }
}

/// The effect of an operation that is not made yet: `would rotate …`.
pub(in crate::commands) fn would(operation: &Operation) -> String {
    match operation.action {
        Action::Configure => format!(
            "would go from generation {} to {}",
            operation.base_generation, operation.generation
        ),
        Action::Rotate => "would rotate".into(),
        Action::Plan => "would plan a shard".into(),
        Action::Freeze => "would freeze".into(),
        Action::Unfreeze => "would be unfrozen".into(),
        Action::Create => "would be created".into(),
        Action::Delete => "would be deleted".into(),
        Action::Undelete => "would be undeleted".into(),
        Action::Revert => "would be reverted".into(),
    }
}

/// The effect of an operation that was made: `rotated`.
pub(in crate::commands) fn did(action: Action) -> &'static str {
    match action {
        Action::Configure => "configured",
        Action::Rotate => "rotated",
        Action::Plan => "planned a shard",
        Action::Freeze => "frozen",
        Action::Unfreeze => "unfrozen",
        Action::Create => "created",
        Action::Delete => "deleted",
        Action::Undelete => "undeleted",
        Action::Revert => "reverted",
    }
}

impl Present for Changed {
    const ADVICE: &'static [&'static str] = &["warnings"];
    const KIND: &'static str = "Change";
    const NAME: &'static str = "/operation/id";

    fn is_named(&self) -> bool {
        // The ID in a preview is of an operation that does not exist.
        !self.dry_run
    }

    fn page(&self) -> Page {
        let operation = &self.operation;
        let log = &operation.log;
        if self.unchanged {
            let page = Page::new().text(format!(
                "{log}: nothing to do, generation {} already runs this",
                operation.generation
            ));
            let trial = self
                .probation
                .as_ref()
                .map(|trial| until(&trial.operation, trial.confirm_by.as_deref()));
            return page
                .then(trial.map_or_else(Page::new, |text| Page::new().text(text)))
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

/// A requested change and its result, as a page.
pub(in crate::commands) fn page(operation: &Operation) -> Page {
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
        OperationState::Reverted => "reverted",
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

/// The time by which it must be confirmed, or the result of the probation.
fn probation(operation: &Operation) -> Page {
    let id = &operation.id;
    match (operation.state, &operation.confirm_by) {
        (OperationState::Unconfirmed, by) => Page::new().text(until(id, by.as_deref())),
        (OperationState::Reverted, _) => Page::new().text(match &operation.reverted_by {
            Some(other) => format!("reverted by operation {other}"),
            None => "reverted".to_owned(),
        }),
        _ => Page::new(),
    }
}

/// How long the operation is on probation, and how to keep it.
fn until(id: &str, by: Option<&str>) -> String {
    format!(
        "on probation: reverted at {} unless confirmed over a new connection: `logctl op confirm {id}`",
        by.unwrap_or("the end of its time")
    )
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
