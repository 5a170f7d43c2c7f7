//! `logctl load`.

mod commits;
mod import;
mod run;

use super::Session;
use crate::error::Error;
use crate::report::Outcome;
use crate::request::LoadRequest;

pub(super) async fn run(session: &Session<'_>, request: LoadRequest) -> Result<Outcome, Error> {
    match request {
        LoadRequest::Import(request) => import::run(session, request).await,
        LoadRequest::Commits(request) => commits::run(session, request).await,
        LoadRequest::Run(request) => run::run(session, request).await,
    }
}
