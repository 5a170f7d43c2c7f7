//! `logctl audit`.

use super::Session;
use crate::error::Error;
use crate::report::Outcome;
use crate::request::AuditRequest;

pub(super) async fn run(session: &Session<'_>, request: AuditRequest) -> Result<Outcome, Error> {
    let _ = session;
    Err(super::later(request.verb()))
}
