//! `logctl config rollback`.

use std::time::Duration;

use crate::commands::Session;
use crate::error::Error;
use crate::report::Outcome;

pub(in crate::commands) async fn run(
    session: &Session<'_>,
    generation: Option<u64>,
    dry_run: bool,
    confirm_within: Option<Duration>,
) -> Result<Outcome, Error> {
    let _ = (session, (generation, dry_run, confirm_within));
    Err(crate::commands::later("config rollback"))
}
