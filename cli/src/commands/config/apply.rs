//! `logctl config apply`.

use std::time::Duration;

use crate::commands::Session;
use crate::error::Error;
use crate::report::Outcome;
use crate::request::File;

pub(in crate::commands) async fn run(
    session: &Session<'_>,
    file: File,
    confirm_within: Option<Duration>,
) -> Result<Outcome, Error> {
    let _ = (session, (file, confirm_within));
    Err(crate::commands::later("config apply"))
}
