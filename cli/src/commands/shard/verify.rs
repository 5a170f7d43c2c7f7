//! `logctl shard verify`: what readers see, checked from outside. Needs no admin endpoint, and trusts none.

use crate::commands::Session;
use crate::error::Error;
use crate::report::Outcome;

pub(in crate::commands) async fn run(
    session: &Session<'_>,
    names: Vec<String>,
    url: Option<String>,
) -> Result<Outcome, Error> {
    let _ = (session, names, url);
    Err(Error::Bug("the auditor is missing".into()))
}
