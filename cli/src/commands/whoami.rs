//! `logctl whoami`: the caller, as the server sees it.

use serde::Serialize;
use wire::WhoAmI;

use super::Session;
use crate::error::Error;
use crate::report::{Block, Outcome, Page, Present};

#[derive(Debug, Serialize)]
struct WhoAmIShown {
    /// The endpoint that was asked.
    endpoint: String,
    caller: WhoAmI,
}

pub(super) async fn run(session: &Session<'_>) -> Result<Outcome, Error> {
    let server = session.server()?;
    let caller = server.admin.whoami(server.deadline).await?;
    Outcome::done(&WhoAmIShown {
        endpoint: server.admin.address(),
        caller,
    })
}

impl Present for WhoAmIShown {
    const KIND: &'static str = "Caller";
    const NAME: &'static str = "/caller/actor";

    fn page(&self) -> Page {
        let mut fields = vec![
            ("server", self.endpoint.as_str().into()),
            ("you are", self.caller.actor.as_str().into()),
            ("you may", self.caller.permissions.join(", ").into()),
        ];
        let can = self.caller.capabilities;
        let lacks: Vec<&str> = [
            (can.qos, "tiers and tenants"),
            (can.merge, "secondaries, storage nodes and frontends"),
            (can.witnesses, "witnesses"),
            (can.probation, "changes on probation"),
            (can.ecdsa, "keys of ecdsa-p256 and host names as origins"),
            (can.rekor, "a front for Sigstore's clients"),
            (can.announce, "records of announced keys"),
        ]
        .into_iter()
        .filter_map(|(can, what)| (!can).then_some(what))
        .collect();
        if !lacks.is_empty() {
            fields.push(("it has no", lacks.join(", ").into()));
        }
        Page::new().with(Block::Fields(fields))
    }
}
