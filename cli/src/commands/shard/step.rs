//! `logctl shard plan|rotate|freeze|unfreeze`: single steps, made on top of what runs now.

use clap::Subcommand;
use clap_complete::ArgValueCompleter;
use wire::routes::Name;
use wire::{
    FreezeRequest, LogStatus, PlanRequest, RotateRequest, ShardState, UnfreezeRequest, codes,
};

use logconfig::ShardConfig;

use crate::client::Call;
use crate::commands::change::{self, ChangeArgs, Consent, Trial};
use crate::commands::{Server, Session, log_name};
use crate::complete;
use crate::error::Error;
use crate::report::Outcome;

/// A change that needs no document.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Step {
    /// Give the next shard its origin and key, to open at a later rotation
    #[command(after_help = "Example:
  logctl shard plan --yes")]
    Plan {
        /// Name of the shard; by the configured template when absent
        name: Option<String>,
        /// Show what would be done
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Take a planned shard back: it never opens. Planned again, it has the same origin and key
    #[command(after_help = "Example:
  logctl shard unplan 2026c --yes")]
    Unplan {
        /// Name of the planned shard
        #[arg(add = ArgValueCompleter::new(complete::planned_shards))]
        name: String,
        /// Show what would be done
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Freeze the active shard and open the next one, in one step
    ///
    /// Where the configuration has a policy of witnesses, enough of them must know the shard that opens: plan it first, give its
    /// key to their operators, then rotate.
    #[command(after_help = "Examples:
  logctl shard rotate --yes
  logctl shard rotate 2026c --force --yes     # although too few witnesses or secondaries know it yet")]
    Rotate {
        /// Shard to open: a planned one or a new name; the oldest planned one when absent
        #[arg(add = ArgValueCompleter::new(complete::planned_shards))]
        name: Option<String>,
        /// Show what would be done
        #[arg(long)]
        dry_run: bool,
        /// Open the shard although too few witnesses or secondaries know it: it is not published until they do
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Freeze the whole log: it takes no writes until it is unfrozen; the same as `log freeze`
    ///
    /// A shard is frozen for good, and the next one opened, by `shard rotate`.
    #[command(after_help = "Example:
  logctl shard freeze --yes")]
    Freeze {
        /// Do not wait for promised work
        #[arg(long)]
        now: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Let the frozen log take writes again, in the same shard; the same as `log unfreeze`
    #[command(after_help = "Example:
  logctl shard unfreeze --yes")]
    Unfreeze {
        #[command(flatten)]
        change: ChangeArgs,
    },
}

impl Step {
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

    /// Whether only a preview is wanted.
    fn dry_run(&self) -> bool {
        matches!(
            self,
            Self::Plan { dry_run: true, .. }
                | Self::Unplan { dry_run: true, .. }
                | Self::Rotate { dry_run: true, .. }
        )
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

pub(super) async fn run(session: &Session<'_>, step: Step) -> Result<Outcome, Error> {
    if let Step::Unplan { name, dry_run, .. } = step {
        return unplan(session, &name, dry_run).await;
    }
    let server = session.server()?;
    let log = server.log().await?;
    carry_out(session, &server, log, step).await
}

/// `log freeze|unfreeze`: the log may be named by the command's own word.
pub(in crate::commands) async fn of_log(
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
    let call = request(&step, &log)?;
    let dry_run = step.dry_run();
    let moves_shards = matches!(step, Step::Plan { .. } | Step::Rotate { .. });
    // The user decides on the preview, so it must still be true when the change is applied. With `--yes` nothing was shown.
    let (question, seen) = if session.ui.will_ask() {
        let status = server.admin.log(&log, server.deadline).await?;
        (question(&step, &status), Some(status.etag))
    } else {
        let seen = match &step {
            // A name is good once; "the next one" means another shard after each rotation.
            Step::Plan { name: None, .. } | Step::Rotate { name: None, .. } if !dry_run => {
                Some(decided_on(server, &log, &call).await?)
            }
            _ => None,
        };
        (format!("{} {log}?", step.verb()), seen)
    };
    let consent = Consent {
        log,
        base: seen.filter(|_| moves_shards),
        preview: dry_run || (moves_shards && session.ui.will_ask()),
        question,
        typed: None,
        trial: Trial {
            dry_run,
            ..Trial::default()
        },
    };
    change::carry_out(session, server, call, consent).await
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
    let call = Call::new(Name::PutConfig, &log, &next)?;
    let consent = Consent {
        question: format!("take the planned shard {name} of {log} back?"),
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

/// The request that makes a step, as the wire knows it.
fn request(step: &Step, log: &str) -> Result<Call, Error> {
    match step.clone() {
        Step::Plan { name, .. } => Call::new(Name::PlanShard, log, &PlanRequest { name }),
        Step::Rotate { name, force, .. } => {
            Call::new(Name::RotateShard, log, &RotateRequest { name, force })
        }
        Step::Freeze { now, .. } => Call::new(Name::FreezeLog, log, &FreezeRequest { now }),
        // A change of the document, which is made elsewhere.
        Step::Unplan { .. } | Step::Unfreeze { .. } => {
            Call::new(Name::UnfreezeLog, log, &UnfreezeRequest {})
        }
    }
}

/// The state on which a step without a name is decided, for a job without questions. A caller that may rotate but not read learns it from a
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
        Step::Freeze { now: false, .. } => {
            format!("freeze {log}? It will take no writes until it is unfrozen.")
        }
        Step::Freeze { now: true, .. } => format!(
            "freeze {log} without waiting for promised work? It will take no writes until it is unfrozen."
        ),
        Step::Unplan { name, .. } => format!("take the planned shard {name} of {log} back?"),
        Step::Unfreeze { .. } => format!("let {log} take writes again?"),
    }
}
