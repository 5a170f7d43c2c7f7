//! `logctl log`.

use super::Session;
use crate::error::Error;
use crate::report::Outcome;
use crate::request::LogRequest;

pub(super) async fn run(session: &Session<'_>, request: LogRequest) -> Result<Outcome, Error> {
    let _ = session;
    Err(super::later(request.verb()))
}
