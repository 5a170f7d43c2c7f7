//! `logctl config rollback [GENERATION]`: the settings of an earlier generation, as one more change on top of the running configuration.
//!
//! Shards never go back: their entries stay, and clients have seen their checkpoints. So a roll-back is a document with the earlier
//! settings and the current shards, and names those shards.

use logconfig::{LogConfig, diff, rolled_back};
use wire::routes::Name;
use wire::{Action, ConfigAnswer, HistoryItem, OperationState, codes};

use super::earlier;
use crate::client::Call;
use crate::commands::change::{self, ChangeArgs, Consent, Trial};
use crate::commands::{Server, Session, differences, wire_difference};
use crate::error::Error;
use crate::report::{Outcome, Page};

/// The arguments of `logctl config rollback`.
#[derive(Debug, clap::Args)]
pub(crate) struct RollbackArgs {
    /// The generation; by default the newest earlier one that was not taken back
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
    let (to, earlier) = match generation {
        Some(to) if to > now => {
            return Err(Error::NotFound {
                kind: "generation",
                name: to.to_string(),
                known: Vec::new(),
            });
        }
        Some(to) => (to, server.admin.config_at(&log, to, server.deadline).await?),
        None => newest(&server, &log, &running.config, now).await?,
    };
    if generation.is_none() {
        session.ui.note(&format!(
            "generation {to} has the newest earlier settings of {log} that were not taken back"
        ));
    }
    let reason = earlier::reason(to, session.change.reason.as_deref());
    let session = &session.because(reason);
    let next = rolled_back(&running.config, &earlier.config);
    if let Some(page) = kept(&earlier.config, &running.config, to) {
        session.ui.show(&page);
    }
    let call = Call::new(Name::PutConfig, &log, &next)?;
    let consent = Consent {
        question: Some(format!(
            "bring back the settings of generation {to} to {log}?"
        )),
        base: Some(running.etag),
        typed: None,
        preview: true,
        trial,
        log,
    };
    change::carry_out(session, &server, call, consent).await
}

/// The newest generation whose settings differ from the running ones and were not taken back.
async fn newest(
    server: &Server,
    log: &str,
    running: &LogConfig,
    now: u64,
) -> Result<(u64, ConfigAnswer), Error> {
    let history = server.admin.history(log, server.deadline).await?.history;
    let mut found: Option<(u64, ConfigAnswer)> = None;
    for to in earlier::candidates(&history) {
        if found.is_some() && !earlier::sets(&history, to) {
            continue;
        }
        let earlier = match server.admin.config_at(log, to, server.deadline).await {
            // Not every log has its history from before a restore.
            Err(Error::Problem(problem)) if found.is_some() && problem.code == codes::NOT_FOUND => {
                continue;
            }
            other => other?,
        };
        let runs = rolled_back(running, &earlier.config).same_settings(running);
        match &found {
            None if runs => {}
            None => found = Some((to, earlier)),
            // Somebody went back to these settings without saying so, or chose them again.
            Some((candidate, _)) if runs => {
                if is_on_probation(server, &history).await? {
                    break;
                }
                return Err(Error::Usage {
                    message: format!(
                        "{log} runs the settings of generation {to} again, so those of generation {candidate} may have been taken back"
                    ),
                    hint: format!(
                        "look at `logctl config history`; `logctl config rollback {candidate}` brings generation {candidate} back if you mean that one"
                    ),
                });
            }
            Some(_) => {}
        }
    }
    found.ok_or_else(|| Error::Usage {
        message: format!(
            "{log} has no settings before generation {now} that were not taken back"
        ),
        hint: "`logctl config history` lists the generations; `logctl config rollback GENERATION` brings any of them back".into(),
    })
}

/// Whether the running settings wait for their confirmation: then the ones before them were never taken back.
async fn is_on_probation(server: &Server, history: &[HistoryItem]) -> Result<bool, Error> {
    let mut changes = history.iter();
    let sets = |item: &&HistoryItem| item.action == Action::Configure && !earlier::records(item);
    let Some(newest) = changes.find(sets) else {
        return Ok(false);
    };
    let operation = server
        .admin
        .operation(&newest.operation, server.deadline)
        .await?;
    Ok(operation.state == OperationState::Unconfirmed)
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
