//! `logctl token`.

use super::Session;
use crate::error::Error;
use crate::report::Outcome;
use crate::request::TokenRequest;

pub(super) async fn run(session: &Session<'_>, request: TokenRequest) -> Result<Outcome, Error> {
    let _ = session;
    Err(super::later(request.verb()))
}
