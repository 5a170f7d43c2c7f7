//! `logctl config apply plan.json`: applies exactly the plan, or shows the changes since it was made.

use std::time::Duration;

use clap::ValueHint;
use logconfig::{MAX_PLAN_BYTES, Plan, three_way};
use wire::routes::Name;
use wire::{Problem, codes};

use crate::client::Call;
use crate::commands::change::{self, ChangeArgs, Consent, Trial};
use crate::commands::document::{read_bytes, wire_finding};
use crate::commands::{Server, Session};
use crate::error::{Error, Stale};
use crate::file::File;
use crate::report::Outcome;

/// The arguments of `logctl config apply`.
#[derive(Debug, clap::Args)]
pub(crate) struct ApplyArgs {
    /// The plan, made by `config plan`; `-` is standard input
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: File,
    /// Revert the change automatically unless it is confirmed within this time: 30s, 10m
    #[arg(long, value_name = "TIME", value_parser = change::parse_confirm_within)]
    confirm_within: Option<Duration>,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

pub(super) async fn run(
    session: &Session<'_>,
    ApplyArgs {
        file,
        confirm_within,
        change: _,
    }: ApplyArgs,
) -> Result<Outcome, Error> {
    let (subject, bytes) = read_bytes(&file, MAX_PLAN_BYTES).await?;
    let plan = Plan::decode(&bytes).map_err(|finding| Error::Invalid {
        subject: subject.clone(),
        findings: vec![wire_finding(finding)],
    })?;
    let server = session.server()?;
    let log = plan.log.as_str().to_owned();
    if let Some(other) = server.settings.log.as_ref().filter(|named| **named != log) {
        return Err(Error::Usage {
            message: format!("{subject} is a plan for {log}, not for {other}"),
            hint: format!("add `--log {log}` if you mean that log; nothing was changed"),
        });
    }
    let carried = change::carry_out(
        session,
        &server,
        Call::new(Name::PutConfig, &log, &plan.next.config)?,
        Consent {
            base: Some(plan.base.etag.clone()),
            question: Some(format!("apply {subject} to {log}?")),
            typed: None,
            preview: true,
            trial: Trial {
                dry_run: false,
                confirm_within,
            },
            log,
        },
    )
    .await;
    match carried {
        Err(Error::Problem(problem)) if problem.code == codes::STALE => {
            Err(stale(session, &server, subject, &plan, *problem).await?)
        }
        other => other,
    }
}

/// The differences between the plan's base, its result, and the running configuration.
async fn stale(
    session: &Session<'_>,
    server: &Server,
    subject: String,
    plan: &Plan,
    problem: Problem,
) -> Result<Error, Error> {
    // The person may have taken time to think.
    let running = server
        .admin
        .config(plan.log.as_str(), session.deadline())
        .await?;
    Ok(Error::Stale(Box::new(Stale {
        subject,
        base: plan.base.etag.clone(),
        current: running.etag,
        changed_by: problem.changed_by,
        changed_at: problem.changed_at,
        moved: three_way(&plan.base.config, &plan.next.config, &running.config),
    })))
}
