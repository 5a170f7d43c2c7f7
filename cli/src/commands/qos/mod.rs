//! `logctl qos`: tiers, tenants and the tokens of writers. They are parts of the log's document, so each change is an edit of the
//! running one, made with its entity tag and in the same steps as every other change.

mod edit;
mod list;
mod set;
mod show;
mod simulate;

use clap::Subcommand;
use clap_complete::ArgValueCompleter;

use super::Session;
use crate::complete;
use crate::error::Error;
use crate::report::Outcome;

pub(crate) use set::{QosSet, TenantArgs, TierArgs};
pub(crate) use simulate::SimulateArgs;

/// The subcommands of `logctl qos`.
#[derive(Debug, Subcommand)]
#[expect(
    clippy::large_enum_variant,
    reason = "made once in the life of a process"
)]
pub(crate) enum QosCommand {
    /// List the tiers and tenants of a log
    #[command(after_help = "Example:
  logctl qos list")]
    List,
    /// Show a tier or a tenant: its settings, and its queues at this moment
    #[command(after_help = "Examples:
  logctl qos show interactive
  logctl qos show default -o json")]
    Show {
        /// The tier or tenant
        #[arg(value_name = "TIER|TENANT", add = ArgValueCompleter::new(complete::qos))]
        name: String,
    },
    /// Change, add or remove a tier or a tenant, or the tokens of a tenant
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Examples:
  logctl qos set tier interactive --weight 4
  logctl qos set tenant default --rate 5000/s"
    )]
    Set(QosSet),
    /// Replay recorded writes with the settings of FILE and with the running ones, and compare
    #[command(after_help = "Examples:
  logctl config show > next.yaml     # edit it, then
  logctl qos simulate next.yaml --since 24h")]
    Simulate(SimulateArgs),
}

pub(super) async fn run(session: &Session<'_>, command: QosCommand) -> Result<Outcome, Error> {
    let server = session.server()?;
    if !server.capabilities().await.qos {
        return Err(Error::Unsupported {
            address: server.admin.address(),
            what: "tiers and tenants",
        });
    }
    match command {
        QosCommand::List => list::run(session).await,
        QosCommand::Show { name } => show::run(session, &name).await,
        QosCommand::Set(edit) => set::run(session, edit).await,
        QosCommand::Simulate(args) => simulate::run(session, args).await,
    }
}
