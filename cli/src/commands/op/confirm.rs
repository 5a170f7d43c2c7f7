//! `logctl op confirm ID`: keeps a change that would be reverted.

use crate::commands::change::{self, Made};
use crate::commands::{Session, audit_receipt};
use crate::error::Error;
use crate::report::Outcome;

pub(super) async fn run(session: &Session<'_>, id: &str) -> Result<Outcome, Error> {
    let id = super::checked(id)?;
    let server = session.server()?;
    let id = &*super::whole(&server, id).await?;
    session.ui.stand(
        "the change may or may not have been confirmed",
        format!("`logctl op confirm {id}` again is safe"),
    );
    let key = session.key()?;
    let phase = session.ui.phase(&format!("confirming operation {id}"));
    let pins = audit_receipt::before(session, &server).await?;
    // A token that may not read operations can still confirm one.
    let before = server.admin.operation(id, server.deadline).await.ok();
    let operation = change::confirm(&server, id, session.asked(&key), server.deadline).await?;
    drop(phase);
    if before.is_some_and(|before| before.state == wire::OperationState::Done) {
        session
            .ui
            .note(&format!("operation {id} is already confirmed"));
    }
    if operation.state != wire::OperationState::Reverted {
        session.ui.made(
            format!("operation {id} was confirmed"),
            format!("`logctl op show {id}` shows it; to confirm it again is safe"),
        );
    }
    let mut made = Made::from(operation);
    made.check_receipt(session, &server, pins).await;
    made.converge(session, &server, server.deadline).await?;
    made.outcome(false)
}
