//! `logctl op show ID`: one change, without waiting for anything.

use serde::Serialize;
use wire::Operation;

use crate::commands::{Session, change};
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Page, Present};
use tlog::GlobalIndex;

#[derive(Debug, Serialize)]
struct Shown {
    operation: Operation,
}

pub(super) async fn run(session: &Session<'_>, id: &str) -> Result<Outcome, Error> {
    let id = super::checked(id)?;
    let server = session.server()?;
    let id = &*super::whole(&server, id).await?;
    let operation = server.admin.operation(id, server.deadline).await?;
    Outcome::done(&Shown { operation })
}

impl Present for Shown {
    const ADVICE: &'static [&'static str] = &["warnings"];
    const KIND: &'static str = "Operation";
    const NAME: &'static str = "/operation/id";

    fn page(&self) -> Page {
        let operation = &self.operation;
        let about = Page::new().with(Block::Fields(vec![
            ("operation", operation.id.as_str().into()),
            ("log", operation.log.as_str().into()),
            ("action", change::did(operation.action).into()),
            ("by", Cell::maybe(operation.actor.as_deref())),
            ("decided", Cell::maybe(operation.decided_at.as_deref())),
            ("reason", Cell::maybe(operation.reason.as_deref()).quoted()),
            (
                "audit index",
                left(operation.audit_index.map(GlobalIndex::get)),
            ),
        ]));
        about.then(change::page(operation))
    }
}

/// A number in a column of texts.
fn left(number: Option<u64>) -> Cell {
    Cell {
        right: false,
        ..Cell::number(number)
    }
}
