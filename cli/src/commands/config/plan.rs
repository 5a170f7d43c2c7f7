//! `logctl config plan`.

use std::path::PathBuf;

use crate::commands::Session;
use crate::error::Error;
use crate::report::Outcome;
use crate::request::File;

pub(in crate::commands) async fn run(
    session: &Session<'_>,
    file: File,
    out: Option<PathBuf>,
) -> Result<Outcome, Error> {
    let _ = (session, (file, out));
    Err(crate::commands::later("config plan"))
}
