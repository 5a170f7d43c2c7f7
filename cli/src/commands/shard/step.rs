//! `logctl shard plan|rotate|freeze|unfreeze`: single steps, made on top of what runs now.

use clap::Subcommand;
use clap_complete::ArgValueCompleter;
use wire::routes::Name;
use wire::{
    FreezeRequest, LogStatus, PlanRequest, RotateRequest, ShardState, UnfreezeRequest, codes,
};

use logconfig::{ShardConfig, Span};

use super::announce::{self, AnnounceArgs, Until};
use crate::client::Call;
use crate::commands::change::{self, ChangeArgs, Consent, Trial};
use crate::commands::{Server, Session, log_name};
use crate::complete;
use crate::error::Error;
use crate::report::Outcome;

/// A change that needs no document.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ShardStep {
    /// Plan the next shard: it gets its origin and key now, and opens at a later rotation
    ///
    /// With --announce, the shard's key is published: the command plans a shard only if there is none, or none of that name. It writes
    /// the trusted root of Sigstore's clients with the key, runs the command that publishes it, and waits until the published one has
    /// the key. If the time runs out (--timeout), it says what it waits for and exits with 7; the same command continues, also on
    /// another machine. A log with rotate.requireAnnounced then rotates by itself when it is due.
    #[command(after_help = "Examples:
  logctl shard plan --yes
  logctl shard plan --announce --exec ./publish.sh --seen-at root.json --yes")]
    Plan {
        /// Name of the shard; by default made from the configured template
        name: Option<String>,
        /// Show what the command would change, and stop
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        announce: AnnounceArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Remove a planned shard, which never opens. A shard planned again under the same name has the same origin and key
    #[command(after_help = "Example:
  logctl shard unplan 2026c --yes")]
    Unplan {
        /// Name of the planned shard
        #[arg(add = ArgValueCompleter::new(complete::planned_shards))]
        name: String,
        /// Show what the command would change, and stop
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Freeze the active shard and open the next one, in one step
    ///
    /// If the configuration has a policy of witnesses, enough of them must know the shard that opens: plan it first, give its
    /// key to their operators, then rotate.
    ///
    /// With --announce, the shard's key is published before the shard opens, as by `shard plan --announce`; then the command waits
    /// until the key has been seen for --settle, so that clients have fetched it, looks once more, and rotates. If the time runs out
    /// (--timeout), it says what it waits for and exits with 7; the same command continues, also on another machine. Name the shard in a
    /// job that runs again and again: without a name, a run after the rotation announces the next shard.
    #[command(after_help = "Examples:
  logctl shard rotate --yes
  logctl shard rotate 2026c --announce --exec ./publish.sh --seen-at root.json
  logctl shard rotate 2026c --force --yes   # too few witnesses know it yet")]
    Rotate {
        /// Shard to open: a planned one or a new name; by default the oldest planned one
        #[arg(add = ArgValueCompleter::new(complete::planned_shards))]
        name: Option<String>,
        /// Show what the command would change, and stop
        #[arg(long)]
        dry_run: bool,
        /// Open the shard even if too few witnesses or secondaries know it (it is not published until they do), or if its key has
        /// to be announced and was not
        #[arg(long, conflicts_with = "announce")]
        force: bool,
        /// With --announce: how long the key has been seen before the rotation, in which clients fetch it [default: rotate.settle of
        /// the configuration, or 7d]
        #[arg(long, value_name = "TIME", requires = "announce")]
        settle: Option<Span>,
        #[command(flatten)]
        announce: AnnounceArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Freeze the whole log: it accepts no writes until it is unfrozen; the same as `log freeze`
    ///
    /// To freeze a shard for good and open the next one, use `shard rotate`.
    #[command(after_help = "Example:
  logctl shard freeze --yes")]
    Freeze {
        /// Do not wait for promised work
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Unfreeze the log: it accepts writes again, in the same shard; the same as `log unfreeze`
    #[command(after_help = "Example:
  logctl shard unfreeze --yes")]
    Unfreeze {
        #[command(flatten)]
        change: ChangeArgs,
    },
}

impl ShardStep {
    /// The subcommand's name as it is typed.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Self::Plan { .. } => "plan",
            Self::Unplan { .. } => "unplan",
            Self::Rotate { .. } => "rotate",
            Self::Freeze { .. } => "freeze",
            Self::Unfreeze { .. } => "unfreeze",
        }
    }

    pub(super) fn change(&self) -> &ChangeArgs {
        match self {
            Self::Plan { change, .. }
            | Self::Unplan { change, .. }
            | Self::Rotate { change, .. }
            | Self::Freeze { change, .. }
            | Self::Unfreeze { change } => change,
        }
    }
}

/// A step as it is asked for.
pub(in crate::commands) struct Step {
    call: Call,
    verb: &'static str,
    /// The question to somebody who can see the state of the log.
    question: Box<dyn FnOnce(&LogStatus) -> String>,
    /// Whether it changes the shards, so that it is shown first.
    moves_shards: bool,
    /// Whether it means the next shard, which is another one after each rotation.
    means_next: bool,
}

impl Step {
    fn plan(log: &str, name: Option<String>) -> Result<Self, Error> {
        let question = match &name {
            Some(name) => format!("plan shard {name} of {log}?"),
            None => format!("plan the next shard of {log}?"),
        };
        Ok(Self {
            verb: "plan",
            moves_shards: true,
            means_next: name.is_none(),
            call: Call::new(Name::PlanShard, log, &PlanRequest { name })?,
            question: Box::new(move |_| question),
        })
    }

    fn rotate(log: &str, name: Option<String>, force: bool) -> Result<Self, Error> {
        let request = RotateRequest {
            name,
            force,
            settle: None,
        };
        let call = Call::new(Name::RotateShard, log, &request)?;
        let name = request.name;
        Ok(Self {
            call,
            verb: "rotate",
            moves_shards: true,
            means_next: name.is_none(),
            question: Box::new(move |status| rotates(name.as_deref(), status)),
        })
    }

    pub(in crate::commands) fn freeze(log: &str, now: bool) -> Result<Self, Error> {
        let waits = if now {
            " without waiting for promised work"
        } else {
            ""
        };
        let question = format!("freeze {log}{waits}? It will take no writes until it is unfrozen.");
        let call = Call::new(Name::FreezeLog, log, &FreezeRequest { now })?;
        Ok(Self::of_intake(call, "freeze", question))
    }

    pub(in crate::commands) fn unfreeze(log: &str) -> Result<Self, Error> {
        let call = Call::new(Name::UnfreezeLog, log, &UnfreezeRequest {})?;
        Ok(Self::of_intake(
            call,
            "unfreeze",
            format!("unfreeze {log}?"),
        ))
    }

    fn of_intake(call: Call, verb: &'static str, question: String) -> Self {
        Self {
            call,
            verb,
            question: Box::new(move |_| question),
            moves_shards: false,
            means_next: false,
        }
    }
}

pub(super) async fn run(session: &Session<'_>, step: ShardStep) -> Result<Outcome, Error> {
    let step = match step {
        ShardStep::Plan { name, announce, .. } if announce.announce => {
            return announce::run(session, name, announce, Until::Seen).await;
        }
        ShardStep::Rotate {
            name,
            settle,
            announce,
            ..
        } if announce.announce => {
            return announce::run(session, name, announce, Until::Rotated(settle)).await;
        }
        ShardStep::Plan { announce, .. } if announce.is_meant() => return Err(unannounced()),
        ShardStep::Rotate {
            announce, settle, ..
        } if settle.is_some() || announce.is_meant() => return Err(unannounced()),
        other => other,
    };
    let server = session.server()?;
    let log = server.log().await?;
    let (step, dry_run) = match step {
        ShardStep::Plan { name, dry_run, .. } => (Step::plan(&log, name)?, dry_run),
        ShardStep::Rotate {
            name,
            dry_run,
            force,
            ..
        } => (Step::rotate(&log, name, force)?, dry_run),
        ShardStep::Freeze { now, .. } => (Step::freeze(&log, now)?, false),
        ShardStep::Unfreeze { .. } => (Step::unfreeze(&log)?, false),
        // A change of the document, and none of these.
        ShardStep::Unplan { name, dry_run, .. } => return unplan(session, &name, dry_run).await,
    };
    carry_out(session, &server, log, step, dry_run).await
}

/// The parser asks for --announce as well, but not beside --dry-run, which excludes it.
fn unannounced() -> Error {
    Error::Usage {
        message: "a flag that belongs to --announce is given without it".to_owned(),
        hint: "--announce cannot be tried with --dry-run: leave out one or the other".to_owned(),
    }
}

/// Runs `log freeze|unfreeze`, whose argument may name the log.
pub(in crate::commands) async fn of_log(
    session: &Session<'_>,
    name: Option<String>,
    step: impl FnOnce(&str) -> Result<Step, Error>,
) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = match name {
        Some(name) => log_name(&name)?,
        None => server.log().await?,
    };
    let step = step(&log)?;
    carry_out(session, &server, log, step, false).await
}

async fn carry_out(
    session: &Session<'_>,
    server: &Server,
    log: String,
    step: Step,
    dry_run: bool,
) -> Result<Outcome, Error> {
    let Step {
        call,
        verb,
        question,
        moves_shards,
        means_next,
    } = step;
    // The user decides on the preview, so it must still be true when the change is applied. With `--yes` nothing was shown.
    let (question, seen) = if session.ui.will_ask() {
        let status = server.admin.log(&log, server.deadline).await?;
        (question(&status), Some(status.etag))
    } else {
        let seen = match means_next && !dry_run {
            true => Some(decided_on(server, &log, &call).await?),
            false => None,
        };
        (format!("{verb} {log}?"), seen)
    };
    let consent = Consent {
        log,
        base: seen.filter(|_| moves_shards),
        preview: dry_run || (moves_shards && session.ui.will_ask()),
        question: Some(question),
        typed: None,
        trial: Trial {
            dry_run,
            ..Trial::default()
        },
    };
    change::carry_out(session, server, call, consent).await
}

/// Removes a planned shard: applies the running document without it.
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
                    "shard {name} is {}, and only a planned one can be removed",
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
    let call = Call::new(Name::PutConfig, &log, &next)?;
    let consent = Consent {
        question: Some(format!("remove the planned shard {name} of {log}?")),
        base: Some(running.etag),
        typed: None,
        preview: true,
        trial: Trial {
            dry_run,
            ..Trial::default()
        },
        log,
    };
    change::carry_out(session, &server, call, consent).await
}

/// The entity tag for a step without a name in a run without questions. A caller that may rotate but not read learns it from a
/// preview.
async fn decided_on(server: &Server, log: &str, call: &Call) -> Result<String, Error> {
    match server.admin.log(log, server.deadline).await {
        Ok(status) => Ok(status.etag),
        Err(Error::Problem(problem)) if problem.code == codes::FORBIDDEN => {
            let preview = server.admin.preview(call, None, server.deadline);
            Ok(format!("g{}", preview.await?.base_generation))
        }
        Err(error) => Err(error),
    }
}

/// The question before a rotation, with the shards that it freezes and opens.
fn rotates(name: Option<&str>, status: &LogStatus) -> String {
    let log = &status.log;
    let find = |state| {
        status
            .shards
            .iter()
            .find(|shard| shard.state == state)
            .map(|shard| shard.name.as_str())
    };
    let opens = name.or(find(ShardState::Planned)).unwrap_or("the next one");
    match find(ShardState::Active) {
        Some(active) => {
            format!("rotate {log}: freeze shard {active} for good and open {opens}?")
        }
        None => format!("rotate {log}: open {opens}?"),
    }
}
