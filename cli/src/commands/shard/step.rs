//! `logctl shard plan|rotate|freeze|unfreeze`: single steps, made on top of what runs now.

use wire::{
    FreezeRequest, LogStatus, PlanRequest, RotateRequest, ShardState, UnfreezeRequest, codes,
};

use logconfig::ShardConfig;

use crate::client::Write;
use crate::commands::change::{self, Plan};
use crate::commands::{Server, Session, log_name};
use crate::error::Error;
use crate::report::Outcome;
use crate::request::Step;

pub(in crate::commands) async fn run(session: &Session<'_>, step: Step) -> Result<Outcome, Error> {
    if let Step::Unplan { name, dry_run } = step {
        return unplan(session, &name, dry_run).await;
    }
    let server = session.server()?;
    let log = server.log().await?;
    carry_out(session, &server, log, step).await
}

/// `log freeze|unfreeze`: the log may be named by the command's own word.
pub(in crate::commands) async fn gate(
    session: &Session<'_>,
    name: Option<String>,
    step: Step,
) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = match name {
        Some(name) => log_name(&name)?,
        None => server.log().await?,
    };
    carry_out(session, &server, log, step).await
}

async fn carry_out(
    session: &Session<'_>,
    server: &Server,
    log: String,
    step: Step,
) -> Result<Outcome, Error> {
    let dry_run = step.dry_run();
    let moves_shards = matches!(step, Step::Plan { .. } | Step::Rotate { .. });
    // The person decides on what is shown, so that must still be true when it is applied. With `--yes` nothing was shown.
    let (question, seen) = if session.ui.will_ask() {
        let status = server.admin.log(&log, server.deadline).await?;
        (question(&step, &status), Some(status.etag))
    } else {
        let seen = match &step {
            // A name is good once; "the next one" means another shard after each rotation.
            Step::Plan { name: None, .. } | Step::Rotate { name: None, .. } if !dry_run => {
                Some(decided_on(server, &log, &step).await?)
            }
            _ => None,
        };
        (format!("{} {log}?", step.verb()), seen)
    };
    let plan = Plan {
        write: write(step),
        log,
        base: seen.filter(|_| moves_shards),
        preview: dry_run || (moves_shards && session.ui.will_ask()),
        question,
        typed: None,
        dry_run,
    };
    change::carry_out(session, server, plan).await
}

/// A planned shard is taken back: the running document without it.
async fn unplan(session: &Session<'_>, name: &str, dry_run: bool) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let running = server.admin.config(&log, server.deadline).await?;
    let mut next = running.config;
    let planned = |shard: &ShardConfig| shard.state == logconfig::ShardState::Planned;
    match next.shards.iter().find(|shard| shard.name.as_str() == name) {
        Some(shard) if planned(shard) => {}
        Some(shard) => {
            return Err(Error::Usage {
                message: format!(
                    "shard {name} is {}, and only a planned one can be taken back",
                    shard.state
                ),
                hint: "`logctl shard list` shows which are planned".into(),
            });
        }
        None => {
            let known = next.shards.iter().filter(|shard| planned(shard));
            return Err(Error::NotFound {
                kind: "planned shard",
                name: name.to_owned(),
                known: known.map(|shard| shard.name.to_string()).collect(),
            });
        }
    }
    next.shards.retain(|shard| shard.name.as_str() != name);
    let plan = Plan {
        question: format!("take the planned shard {name} of {log} back?"),
        write: Write::configure(next),
        base: Some(running.etag),
        typed: None,
        preview: true,
        dry_run,
        log,
    };
    change::carry_out(session, &server, plan).await
}

fn write(step: Step) -> Write {
    match step {
        Step::Plan { name, .. } => Write::Plan(PlanRequest { name }),
        Step::Rotate { name, force, .. } => Write::Rotate(RotateRequest { name, force }),
        Step::Freeze { now } => Write::Freeze(FreezeRequest { now }),
        // A change of the document, which is made elsewhere.
        Step::Unplan { .. } | Step::Unfreeze => Write::Unfreeze(UnfreezeRequest {}),
    }
}

/// The state that a step without a name is decided on, for a job that nobody asks. A caller who may rotate and not read learns
/// it from a preview.
async fn decided_on(server: &Server, log: &str, step: &Step) -> Result<String, Error> {
    match server.admin.log(log, server.deadline).await {
        Ok(status) => Ok(status.etag),
        Err(Error::Problem(problem)) if problem.code == codes::FORBIDDEN => {
            let write = write(step.clone());
            let preview = server.admin.preview(log, &write, None, server.deadline);
            Ok(format!("g{}", preview.await?.base_generation))
        }
        Err(error) => Err(error),
    }
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
        Step::Unplan { name, .. } => format!("take the planned shard {name} of {log} back?"),
        Step::Unfreeze => format!("let {log} take writes again?"),
    }
}
