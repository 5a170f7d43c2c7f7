//! `logctl whoami`: the caller, as the server sees it.

use admin_api::WhoAmI;
use serde::Serialize;

use super::Session;
use crate::error::Error;
use crate::report::{Block, Outcome, Page, Present};

#[derive(Debug, Serialize)]
struct Caller {
    /// The endpoint that was asked.
    endpoint: String,
    caller: WhoAmI,
}

pub(super) async fn run(session: &Session<'_>) -> Result<Outcome, Error> {
    let server = session.server()?;
    let caller = server.admin.whoami(server.deadline).await?;
    Outcome::done(&Caller {
        endpoint: server.admin.address(),
        caller,
    })
}

impl Present for Caller {
    const KIND: &'static str = "Caller";
    const NAME: &'static str = "/caller/actor";

    fn page(&self) -> Page {
        Page::new().with(Block::Fields(vec![
            ("server", self.endpoint.as_str().into()),
            ("you are", self.caller.actor.as_str().into()),
            ("you may", self.caller.permissions.join(", ").into()),
        ]))
    }
}
