//! `logctl shard --create-config --from`.

use crate::commands::Session;
use crate::error::Error;
use crate::report::Outcome;
use crate::request::File;

pub(in crate::commands) async fn run(
    session: &Session<'_>,
    file: File,
    force: bool,
    log: String,
    from: &str,
) -> Result<Outcome, Error> {
    let _ = (session, (file, force, log, from));
    Err(crate::commands::later("shard --create-config --from"))
}
