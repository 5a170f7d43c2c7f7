//! `logctl context`: the file of contexts, and the settings in effect.

mod list;
mod set;
mod show;

use clap::Subcommand;
use clap_complete::ArgValueCompleter;

use super::Session;
use crate::complete;
use crate::error::Error;
use crate::report::Outcome;
use crate::settings;

/// What to do with contexts.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List all contexts, and which one is used
    #[command(after_help = "Example:
  logctl context list")]
    List,
    /// Choose the context that is used when none is named
    #[command(after_help = "Example:
  logctl context use prod")]
    Use {
        /// Context to use from now on
        #[arg(add = ArgValueCompleter::new(complete::contexts))]
        name: String,
    },
    /// Change the keys of a context; make it when it is not there
    #[command(after_help = "Keys:
  log              log to work on
  admin            admin endpoint: unix:/PATH, https://HOST:PORT
  ca               certificate authority of the admin endpoint (PEM)
  url              where readers and writers reach the log
  url_ca           certificate authority of url (PEM)
  token_file       file with a bearer token, mode 0600
  token_command    program that prints a bearer token
  client_cert      client certificate (PEM)
  client_key       key of the client certificate (PEM), mode 0600
  oidc.audience    audience of the identity token that the server expects
  oidc.token_env   environment variable with the identity token (GitLab); GitHub Actions is asked when absent
  oidc.token_file  file with the identity token
  protected        each change wants the context's name typed: true, false

Examples:
  logctl context set prod admin=https://log.example.org:7071 token_file=prod.token protected=true
  logctl context set ci admin=https://log.example.org:7071 oidc.audience=https://log.example.org
  logctl context set prod log=argon token_file=")]
    Set {
        /// Context to change or make
        #[arg(add = ArgValueCompleter::new(complete::contexts))]
        name: String,
        /// What to set; `KEY=` takes KEY out. Paths start from the current directory
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = settings::pair)]
        changes: Vec<(String, String)>,
    },
    /// Take a context out of the file; token and key files stay
    #[command(after_help = "Example:
  logctl context delete staging")]
    Delete {
        /// Context to take out
        #[arg(add = ArgValueCompleter::new(complete::contexts))]
        name: String,
    },
    /// Show every value in effect, and where it came from
    #[command(after_help = "Examples:
  logctl context show
  logctl context show prod --check      # asks the server who you are, and what you may do")]
    Show {
        /// The context; the one in use when absent
        #[arg(add = ArgValueCompleter::new(complete::contexts))]
        name: Option<String>,
        /// Ask the server who you are
        #[arg(long)]
        check: bool,
    },
}

pub(super) async fn run(session: &Session<'_>, command: ContextCommand) -> Result<Outcome, Error> {
    match command {
        ContextCommand::List => list::run(session),
        ContextCommand::Use { name } => set::choose(session, &name),
        ContextCommand::Set { name, changes } => set::run(session, &name, &changes),
        ContextCommand::Delete { name } => set::delete(session, &name),
        ContextCommand::Show { name, check } => show::run(session, name, check).await,
    }
}
