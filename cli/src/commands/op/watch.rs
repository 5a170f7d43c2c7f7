//! `logctl op watch`.

use crate::commands::Session;
use crate::error::Error;
use crate::report::Outcome;

pub(in crate::commands) async fn run(session: &Session<'_>, id: &str) -> Result<Outcome, Error> {
    let _ = (session, id);
    Err(crate::commands::later("op watch"))
}
