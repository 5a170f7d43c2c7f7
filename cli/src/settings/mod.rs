//! The server's address and the caller's identity: flag, then environment (clap reads it), then the context file. Each value knows its
//! source.
//!
//! What must never happen: a token is sent to an address that its context does not name. So the certificate authority, the client
//! certificate and every way to log in of a context go with the context's own address only; `--admin` leaves them behind.

mod address;
mod edit;
mod file;
mod resolve;

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, ValueHint};
use clap_complete::ArgValueCompleter;

pub use address::Address;
pub(crate) use address::is_loopback;
pub(crate) use edit::{delete_context, pair, set, use_context};
pub(crate) use file::{Context, Found, default_path};
pub(crate) use resolve::resolve;

use resolve::merge;

use crate::complete;

/// The server's address and options, from flags or the environment.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Overrides {
    /// Log to work on; by default the context's, else the server's only one
    #[arg(add = ArgValueCompleter::new(complete::logs),
        long,
        global = true,
        value_name = "NAME",
        env = "LOGCTL_LOG",
        hide_env_values = true
    )]
    pub log: Option<String>,
    /// Context file; by default $XDG_CONFIG_HOME/logctl/config.toml
    #[arg(long, global = true, value_name = "FILE", env = "LOGCTL_CONFIG", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Context to use; by default the file's `current`
    #[arg(add = ArgValueCompleter::new(complete::contexts),
        long,
        global = true,
        value_name = "NAME",
        env = "LOGCTL_CONTEXT",
        hide_env_values = true
    )]
    pub context: Option<String>,
    /// Admin endpoint, instead of the context's: unix:/PATH, https://HOST:PORT
    #[arg(
        long,
        global = true,
        value_name = "ADDR",
        env = "LOGCTL_ADMIN",
        hide_env_values = true
    )]
    pub admin: Option<String>,
    /// Certificate authority of an https endpoint (PEM)
    #[arg(long, global = true, value_name = "FILE", env = "LOGCTL_CA", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub ca: Option<PathBuf>,
    /// File with the bearer token; must not be readable by others
    #[arg(long, global = true, value_name = "FILE", env = "LOGCTL_TOKEN_FILE", hide_env_values = true, value_hint = ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,
    /// Names of the values from the environment; the others were flags.
    #[arg(skip)]
    pub environment: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The context in use.
    pub(crate) context: Option<String>,
    /// Whether each change asks the user to type the context's name.
    pub(crate) protected: bool,
    /// The log, when it was named.
    pub(crate) log: Option<String>,
    pub(crate) admin: Option<Endpoint>,
    /// The log's address for readers and writers.
    pub(crate) url: Option<String>,
    /// Certificate authority of `url`.
    pub(crate) url_ca: Option<PathBuf>,
    /// The places where an endpoint was looked for, for the error message.
    pub(crate) tried: String,
    /// A context to suggest, if there are some and none is chosen.
    pub(crate) choose: Option<String>,
    /// Every value with its source, in the order of the help of `context set`.
    pub(crate) explained: Vec<Explained>,
}

/// A value with its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Explained {
    /// As in the context file.
    pub(crate) key: &'static str,
    /// As in the context file, paths resolved. Never a secret: the file holds none.
    pub(crate) value: Option<String>,
    /// `flag --log`, `environment LOGCTL_LOG`, `FILE:LINE`, `default`.
    pub(crate) source: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: Address,
    /// Certificate authority; the platform's when absent.
    pub(crate) ca: Option<PathBuf>,
    /// Certificate and key to show to the server.
    pub(crate) certificate: Option<ClientCertificate>,
    /// How to get a bearer token.
    pub(crate) login: Login,
    /// The context it belongs to, which sessions are kept for.
    pub(crate) context: String,
}

/// A client certificate's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those between it and its authority (PEM).
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// How to get a bearer token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Login {
    /// No credential is sent: the socket or the certificate identifies the caller.
    #[default]
    None,
    /// The token is in a file.
    File(PathBuf),
    /// A program prints the token.
    Command(Vec<String>),
    /// A session, for an identity token.
    Oidc(IdentityToken),
}

/// An identity token's source and audience.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdentityToken {
    pub(crate) audience: String,
    /// The source of the identity token.
    pub(crate) from: IdentitySource,
}

/// The source of an identity token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdentitySource {
    Variable(String),
    /// A file that holds the token.
    File(PathBuf),
    /// The request protocol of GitHub Actions.
    Actions,
}

impl Overrides {
    /// Notes the values that came from the environment, according to clap.
    pub fn note_environment(&mut self, matches: &ArgMatches) {
        let said =
            |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::EnvVariable);
        self.environment = matches
            .ids()
            .filter(said)
            .map(ToString::to_string)
            .collect();
    }

    /// The log that a flag names, and not the environment.
    pub(crate) fn log_flag(&self) -> Option<&str> {
        let is_flag = !self.environment.iter().any(|name| name == "log");
        self.log.as_deref().filter(|_| is_flag)
    }

    /// Its source: `flag --log`, `environment LOGCTL_LOG`.
    pub(crate) fn source(&self, key: &str) -> String {
        if self.environment.iter().any(|name| name == key) {
            format!("environment LOGCTL_{}", key.to_uppercase())
        } else {
            format!("flag --{}", key.replace('_', "-"))
        }
    }
}
