//! `logctl config show`.

use crate::commands::Session;
use crate::error::Error;
use crate::report::Outcome;

pub(in crate::commands) async fn run(
    session: &Session<'_>,
    generation: Option<u64>,
) -> Result<Outcome, Error> {
    let _ = (session, generation);
    Err(crate::commands::later("config show"))
}
