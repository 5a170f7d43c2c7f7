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

/// The subcommands of `logctl context`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List all contexts, and mark the current one
    #[command(after_help = "Example:
  logctl context list")]
    List,
    /// Choose the current context, which is used when none is named
    #[command(after_help = "Example:
  logctl context use prod")]
    Use {
        /// Context to use from now on
        #[arg(add = ArgValueCompleter::new(complete::contexts))]
        name: String,
    },
    /// Change the keys of a context, or create it
    #[command(after_help = "Keys:
  log              log to work on
  admin            admin endpoint: unix:/PATH, https://HOST:PORT
  ca               certificate authority of the admin endpoint (PEM)
  url              address of the log for readers and writers
  url_ca           certificate authority of url (PEM)
  token_file       file with a bearer token, mode 0600
  token_command    program that prints a bearer token
  client_cert      client certificate (PEM)
  client_key       key of the client certificate (PEM), mode 0600
  oidc.audience    audience of the identity token that the server expects
  oidc.token_env   environment variable with the identity token (GitLab); by default GitHub Actions provides it
  oidc.token_file  file with the identity token
  protected        whether each change asks you to type the context's name: true, false

Examples:
  logctl context set prod admin=https://log.example.org:7071 token_file=prod.token protected=true
  logctl context set ci admin=https://log.example.org:7071 oidc.audience=https://log.example.org
  logctl context set prod log=argon token_file=")]
    Set {
        /// Context to change or create
        #[arg(add = ArgValueCompleter::new(complete::contexts))]
        name: String,
        /// Keys to set; `KEY=` removes KEY. Relative paths start from the current directory
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = settings::pair)]
        changes: Vec<(String, String)>,
    },
    /// Remove a context from the file; token and key files stay
    #[command(after_help = "Example:
  logctl context delete staging")]
    Delete {
        /// Name of the context that is removed
        #[arg(add = ArgValueCompleter::new(complete::contexts))]
        name: String,
    },
    /// Show every value in effect, and its source
    #[command(after_help = "Examples:
  logctl context show
  logctl context show prod --check      # asks the server who you are, and what you may do")]
    Show {
        /// The context; by default the one in use
        #[arg(add = ArgValueCompleter::new(complete::contexts))]
        name: Option<String>,
        /// Ask the server for your name and permissions
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
