//! `logctl shard export`.

use crate::commands::Session;
use crate::error::Error;
use crate::report::Outcome;

pub(in crate::commands) async fn run(session: &Session<'_>) -> Result<Outcome, Error> {
    let _ = (session, ());
    Err(crate::commands::later("shard export"))
}
