//! `logctl config rollback [GENERATION]`: the settings of an earlier generation, as one more change on top of what runs.
//!
//! Shards never go back: their entries stay, and clients have seen their checkpoints. So a roll-back is a document with the earlier
//! settings and the current shards, and names those shards.

use logconfig::{LogConfig, diff, rolled_back};
use wire::routes::Name;

use crate::client::Call;
use crate::commands::change::{self, ChangeArgs, Consent, Trial};
use crate::commands::{Session, differences, wire_difference};
use crate::error::Error;
use crate::report::{Outcome, Page};

/// The arguments of `logctl config rollback`.
#[derive(Debug, clap::Args)]
pub(crate) struct RollbackArgs {
    /// The generation; the one before the running one when absent
    generation: Option<u64>,
    #[command(flatten)]
    trial: Trial,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

pub(super) async fn run(
    session: &Session<'_>,
    RollbackArgs {
        generation, trial, ..
    }: RollbackArgs,
) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let running = server.admin.config(&log, server.deadline).await?;
    let now = running.config.generation.unwrap_or(0);
    let to = match generation {
        Some(to) => to,
        None => now
            .checked_sub(1)
            .filter(|to| *to > 0)
            .ok_or_else(|| Error::Usage {
                message: format!("there is nothing before generation {now} of {log}"),
                hint: "`logctl config history` lists the generations".into(),
            })?,
    };
    if to > now {
        return Err(Error::Usage {
            message: format!("generation {to} of {log} does not exist yet; generation {now} runs"),
            hint: "`logctl config history` lists the generations".into(),
        });
    }
    let earlier = server.admin.config_at(&log, to, server.deadline).await?;
    let next = rolled_back(&running.config, &earlier.config);
    if let Some(page) = kept(&earlier.config, &running.config, to) {
        session.ui.show(&page);
    }
    let call = Call::new(Name::PutConfig, &log, &next)?;
    let consent = Consent {
        question: format!("bring back the settings of generation {to} to {log}?"),
        base: Some(running.etag),
        typed: None,
        preview: true,
        trial,
        log,
    };
    change::carry_out(session, &server, call, consent).await
}

/// The shards that differ between then and now, which stay as they are.
fn kept(earlier: &LogConfig, running: &LogConfig, to: u64) -> Option<Page> {
    let mut then = rolled_back(running, earlier);
    then.shards = earlier.shards.clone();
    let shards: Vec<_> = diff(&then, &rolled_back(running, earlier))
        .into_iter()
        .map(wire_difference)
        .collect();
    if shards.is_empty() {
        return None;
    }
    Some(
        Page::new()
            .text(format!(
                "shards never go back; these changed since generation {to} and stay as they are:"
            ))
            .with(differences(&shards)),
    )
}
