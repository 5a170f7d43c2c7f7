//! `logctl op wait ID`: continues the wait of a command that was interrupted or timed out.

use crate::commands::{Session, change};
use crate::error::Error;
use crate::report::Outcome;

pub(super) async fn run(session: &Session<'_>, id: &str) -> Result<Outcome, Error> {
    let id = super::checked(id)?;
    let server = session.server()?;
    let id = &*super::whole(&server, id).await?;
    let operation = server.admin.operation(id, server.deadline).await?;
    change::report(session, &server, server.deadline, operation, false).await
}
