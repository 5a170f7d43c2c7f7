//! `logctl op wait ID`: goes on where an interrupted or impatient command stopped.

use crate::commands::{Session, change};
use crate::error::Error;
use crate::report::Outcome;

pub(in crate::commands) async fn run(session: &Session<'_>, id: &str) -> Result<Outcome, Error> {
    if id.len() != 32
        || !id
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    {
        return Err(Error::Usage {
            message: format!(
                "`{id}` is not the id of an operation: that is 32 lowercase hexadecimal digits"
            ),
            hint: "`logctl op list` lists them".into(),
        });
    }
    let server = session.server()?;
    let operation = server.admin.operation(id, server.deadline).await?;
    change::report(session, &server, server.deadline, operation, false).await
}
