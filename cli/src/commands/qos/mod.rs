//! `logctl qos`: tiers, tenants and the tokens of writers. They are parts of the log's document, so each change is an edit of the
//! running one, made with its entity tag, on the way of every other change.

mod edit;
mod list;
mod set;
mod show;
mod simulate;

use super::Session;
use crate::error::Error;
use crate::report::Outcome;
use crate::request::QosRequest;

pub(super) async fn run(session: &Session<'_>, request: QosRequest) -> Result<Outcome, Error> {
    let server = session.server()?;
    if !server.capabilities().await.qos {
        return Err(Error::Unsupported {
            address: server.admin.address(),
            what: "tiers and tenants",
        });
    }
    match request {
        QosRequest::List => list::run(session).await,
        QosRequest::Show { name } => show::run(session, &name).await,
        QosRequest::Set {
            edit,
            dry_run,
            confirm_within,
        } => set::run(session, edit, dry_run, confirm_within).await,
        QosRequest::Simulate { file, since } => simulate::run(session, &file, since).await,
    }
}
