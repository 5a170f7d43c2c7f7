//! `logctl context`: the file of contexts, and what is in effect.

mod list;
mod set;
mod show;

use super::Session;
use crate::error::Error;
use crate::report::Outcome;
use crate::request::ContextRequest;

pub(super) async fn run(session: &Session<'_>, request: ContextRequest) -> Result<Outcome, Error> {
    match request {
        ContextRequest::List => list::run(session),
        ContextRequest::Use { name } => set::choose(session, &name),
        ContextRequest::Set { name, changes } => set::run(session, &name, &changes),
        ContextRequest::Delete { name } => set::delete(session, &name),
        ContextRequest::Show { name, check } => show::run(session, name, check).await,
    }
}
