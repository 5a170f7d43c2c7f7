//! `logctl op list`.

use serde::Serialize;
use wire::{Operation, OperationState};

use crate::commands::{Session, change, log_name};
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};

#[derive(Debug, Serialize)]
struct OperationList {
    operations: Vec<Operation>,
}

pub(super) async fn run(session: &Session<'_>) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.settings.log.as_deref().map(log_name).transpose()?;
    let operations = server
        .admin
        .operations(log.as_deref(), server.deadline)
        .await?
        .operations;
    Outcome::done(&OperationList { operations })
}

impl Present for OperationList {
    const KIND: &'static str = "OperationList";
    const LIST: Option<&'static str> = Some("operations");
    const NAME: &'static str = "/id";

    fn page(&self) -> Page {
        let rows = self.operations.iter().map(|operation| {
            vec![
                operation.id.as_str().into(),
                operation.log.as_str().into(),
                change::did(operation.action).into(),
                state(operation.state),
                Cell::number(Some(operation.generation)),
                Cell::maybe(operation.decided_at.as_deref()),
                Cell::maybe(operation.actor.as_deref()),
                Cell::maybe(operation.reason.as_deref()).quoted(),
            ]
        });
        let header = vec![
            "OPERATION",
            "LOG",
            "ACTION",
            "STATE",
            "GENERATION",
            "DECIDED",
            "BY",
            "REASON",
        ];
        Page::listing(
            Block::Table {
                header,
                rows: rows.collect(),
                spare: 4,
            },
            "no change is remembered; `logctl config history` goes back to the first one",
        )
    }
}

fn state(state: OperationState) -> Cell {
    match state {
        OperationState::Unchanged => Cell::toned("unchanged", Tone::Past),
        OperationState::Planned => Cell::toned("planned", Tone::Next),
        OperationState::Decided => Cell::toned("decided", Tone::Next),
        OperationState::Done => Cell::toned("done", Tone::Good),
        OperationState::Unconfirmed => Cell::toned("unconfirmed", Tone::Bad),
        OperationState::Reverted => Cell::toned("reverted", Tone::Past),
        OperationState::Refused => Cell::toned("refused", Tone::Bad),
    }
}
