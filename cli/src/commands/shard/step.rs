//! `logctl shard plan|rotate|freeze|unfreeze`: single steps, made on top of what runs now.

use admin_api::{
    FreezeRequest, LogStatus, PlanRequest, RotateRequest, ShardState, UnfreezeRequest,
};

use crate::client::Write;
use crate::commands::Session;
use crate::commands::change::{self, Plan};
use crate::error::Error;
use crate::report::Outcome;
use crate::request::Step;

pub(in crate::commands) async fn run(session: &Session<'_>, step: Step) -> Result<Outcome, Error> {
    let dry_run = step.dry_run();
    let server = session.server()?;
    let log = server.log().await?;
    let moves_shards = matches!(step, Step::Plan { .. } | Step::Rotate { .. });
    // Who is asked decides on what is shown, so that must still be true then. Who said yes beforehand has seen nothing.
    let (question, seen) = if session.ui.will_ask() {
        let status = server.admin.log(&log, server.deadline).await?;
        (question(&step, &status), Some(status.etag))
    } else {
        (format!("{} {log}?", step.verb()), None)
    };
    let plan = Plan {
        write: match step {
            Step::Plan { name, .. } => Write::Plan(PlanRequest { name }),
            Step::Rotate { name, force, .. } => Write::Rotate(RotateRequest { name, force }),
            Step::Freeze { now } => Write::Freeze(FreezeRequest { now }),
            Step::Unfreeze => Write::Unfreeze(UnfreezeRequest {}),
        },
        log,
        base: seen.filter(|_| moves_shards),
        preview: dry_run || (moves_shards && session.ui.will_ask()),
        question,
        typed: None,
        dry_run,
    };
    change::carry_out(session, &server, plan).await
}

fn question(step: &Step, status: &LogStatus) -> String {
    let log = &status.log;
    let find = |state| {
        status
            .shards
            .iter()
            .find(|shard| shard.state == state)
            .map(|shard| shard.name.as_str())
    };
    match step {
        Step::Plan {
            name: Some(name), ..
        } => format!("plan shard {name} of {log}?"),
        Step::Plan { name: None, .. } => format!("plan the next shard of {log}?"),
        Step::Rotate { name, .. } => {
            let opens = name
                .as_deref()
                .or(find(ShardState::Planned))
                .unwrap_or("the next one");
            match find(ShardState::Active) {
                Some(active) => {
                    format!("rotate {log}: freeze shard {active} for good and open {opens}?")
                }
                None => format!("rotate {log}: open {opens}?"),
            }
        }
        Step::Freeze { now: false } => {
            format!("freeze {log}? It will take no writes until it is unfrozen.")
        }
        Step::Freeze { now: true } => format!(
            "freeze {log} without waiting for promised work? It will take no writes until it is unfrozen."
        ),
        Step::Unfreeze => format!("let {log} take writes again?"),
    }
}
