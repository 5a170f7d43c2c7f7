//! The command line, turned into a plain [`Command`]; nothing behind this module knows clap.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};

use crate::error::Error;
use crate::settings::{Bounds, Metrics, SecondarySettings};

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Serve one log from one directory.
    Dev(Dev),
    /// Serve what a settings file says.
    Serve {
        /// The settings file.
        config: PathBuf,
        /// How to log.
        format: LogFormat,
    },
    /// Check the stores.
    Fsck {
        /// Which.
        stores: Stores,
        /// How to report.
        output: FsckOutput,
    },
    /// Print the commented example of a settings file.
    ConfigExample,
    /// Copy logs and cosign what was verified.
    Secondary {
        /// How it is set up.
        from: SecondaryFrom,
        /// How to log.
        format: LogFormat,
    },
    /// Make or show a secondary's key.
    SecondaryKey {
        /// Where it is.
        file: PathBuf,
        /// Make one of this name.
        name: Option<String>,
    },
}

/// Where a secondary's settings are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecondaryFrom {
    /// In a file.
    Config(PathBuf),
    /// On the command line.
    Flags {
        /// Its storage.
        dir: PathBuf,
        /// Where it listens.
        listen: SocketAddr,
        /// The logs' replication keys.
        logs: Vec<String>,
        /// Metrics listener, if any.
        metrics: Option<SocketAddr>,
    },
}

impl SecondaryFrom {
    /// The settings, checked.
    pub(crate) fn settings(&self) -> Result<SecondarySettings, Error> {
        match self.clone() {
            Self::Config(path) => Ok(SecondarySettings::read(&path)?),
            Self::Flags {
                dir,
                listen,
                logs,
                metrics,
            } => {
                let settings = SecondarySettings {
                    listen,
                    tls: None,
                    dir,
                    key: None,
                    logs,
                    metrics: metrics.map(|listen| Metrics { listen }),
                    bounds: Bounds::default(),
                };
                match settings.wrong() {
                    None => Ok(settings),
                    Some((_, problem)) => Err(Error::Usage(
                        Cli::command().error(clap::error::ErrorKind::ValueValidation, problem),
                    )),
                }
            }
        }
    }
}

/// `logd dev`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dev {
    /// Where everything is kept.
    pub(crate) dir: PathBuf,
    /// Data plane; port 0 for any free one.
    pub(crate) listen: SocketAddr,
    /// Admin endpoint; port 0 for any free one.
    pub(crate) admin: SocketAddr,
    /// Metrics listener, if any.
    pub(crate) metrics: Option<SocketAddr>,
    /// How to log.
    pub(crate) format: LogFormat,
}

/// Where the stores are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stores {
    /// In a directory of `logd dev`.
    Dir(PathBuf),
    /// Where a settings file says.
    Config(PathBuf),
}

/// How `fsck` reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FsckOutput {
    /// For people.
    #[default]
    Table,
    /// One JSON document.
    Json,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Reads the command line of this process.
pub(crate) fn parse() -> Result<Command, Error> {
    Cli::try_parse().map(Command::from).map_err(Error::Usage)
}

/// A transparency-log server: append-only Merkle logs that anyone can audit.
#[derive(Debug, Parser)]
#[command(name = "logd", version, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve a log named `dev` out of one directory, with everything it needs made there
    ///
    /// Prints one line on standard output when it serves. A second `logd dev` on the same directory serves the same log beside
    /// the first.
    #[command(
        after_help = "Example:\n  logd dev --dir ./dev\n  LOGCTL_CONFIG=./dev/logctl.toml logctl shard list"
    )]
    Dev(DevArgs),
    /// Serve what a settings file says
    #[command(
        after_help = "Example:\n  logd config example > logd.toml\n  logd serve --config logd.toml"
    )]
    Serve(ServeArgs),
    /// Check that everything in the stores follows from the order and leads to what was signed
    ///
    /// Only reads; the server may run meanwhile. Exits with 0 when all is well, and with 12 when something is wrong.
    #[command(
        after_help = "Example:\n  logd fsck --dir ./dev\n  logd fsck --config logd.toml -o json"
    )]
    Fsck(FsckArgs),
    /// Copy logs: recompute every root from the entries, make them durable, then cosign (C2SP tlog-mirror)
    ///
    /// Prints one line on standard output when it serves, with its public key for the log's `merge.secondaries`. It takes
    /// entries only of the logs named, each by its replication key, which `logctl merge status` of that log shows.
    #[command(
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true,
        after_help = "Example:\n  logd secondary key --file ./ams/mirror.key --name ams.example.org\n  logd secondary --dir ./ams --listen 127.0.0.1:7080 --log VKEY"
    )]
    Secondary(SecondaryArgs),
    /// About the settings file
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Print a commented settings file
    Example,
}

#[derive(Debug, Args)]
struct DevArgs {
    /// Where everything is kept; created when absent
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Address for writers and readers (port 0: any free one)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Address of the admin endpoint, TLS (port 0: any free one)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7071")]
    admin: SocketAddr,
    /// Loopback address of the Prometheus metrics; none unless given
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// How log lines on standard error look
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// The settings file, TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How log lines on standard error look
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Debug, Args)]
struct SecondaryArgs {
    #[command(subcommand)]
    verb: Option<SecondaryVerb>,
    /// A settings file, TOML: listen, tls, dir, key, logs, metrics, limits
    #[arg(long, value_name = "FILE", required_unless_present = "dir", conflicts_with_all = ["dir", "listen", "log", "metrics"])]
    config: Option<PathBuf>,
    /// Its storage, a folder of its own; its key is mirror.key in it
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Address for logs and readers (port 0: any free one)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7080")]
    listen: SocketAddr,
    /// Replication key of a log to copy; may be given many times
    #[arg(long, value_name = "VKEY")]
    log: Vec<String>,
    /// Loopback address of the Prometheus metrics; none unless given
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    /// How log lines on standard error look
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum SecondaryVerb {
    /// Make the secondary's key, or show the public half of the one that is there
    #[command(
        after_help = "Example:\n  logd secondary key --file mirror.key --name ams.example.org\n  logd secondary key --file mirror.key"
    )]
    Key {
        /// The file, mode 0600; never replaced
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Make a new key of this name: a schema-less URL that says whose it is
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
}

impl From<SecondaryArgs> for Command {
    fn from(args: SecondaryArgs) -> Self {
        if let Some(SecondaryVerb::Key { file, name }) = args.verb {
            return Self::SecondaryKey { file, name };
        }
        // clap has made sure of one of them.
        let from = match (args.config, args.dir) {
            (Some(config), _) => SecondaryFrom::Config(config),
            (None, dir) => SecondaryFrom::Flags {
                dir: dir.unwrap_or_default(),
                listen: args.listen,
                logs: args.log,
                metrics: args.metrics,
            },
        };
        Self::Secondary {
            from,
            format: args.log_format,
        }
    }
}

#[derive(Debug, Args)]
struct FsckArgs {
    /// A directory of `logd dev`
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "config",
        conflicts_with = "config"
    )]
    dir: Option<PathBuf>,
    /// A settings file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How to report
    #[arg(short, long, value_enum, default_value_t)]
    output: FsckOutput,
}

impl From<Cli> for Command {
    fn from(cli: Cli) -> Self {
        match cli.verb {
            Verb::Dev(DevArgs {
                dir,
                listen,
                admin,
                metrics,
                log_format,
            }) => Self::Dev(Dev {
                dir,
                listen,
                admin,
                metrics,
                format: log_format,
            }),
            Verb::Serve(ServeArgs { config, log_format }) => Self::Serve {
                config,
                format: log_format,
            },
            Verb::Fsck(FsckArgs {
                dir,
                config,
                output,
            }) => {
                // clap has made sure of one of them.
                let stores = match (dir, config) {
                    (_, Some(config)) => Stores::Config(config),
                    (dir, None) => Stores::Dir(dir.unwrap_or_default()),
                };
                Self::Fsck { stores, output }
            }
            Verb::Secondary(args) => args.into(),
            Verb::Config {
                verb: ConfigVerb::Example,
            } => Self::ConfigExample,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(Command::from)
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn dev_has_the_documented_defaults() {
        let Command::Dev(dev) = parse("logd dev --dir d").unwrap() else {
            panic!("not dev")
        };
        assert_eq!(dev.listen.to_string(), "127.0.0.1:7070");
        assert_eq!(dev.admin.to_string(), "127.0.0.1:7071");
        assert_eq!((dev.metrics, dev.format), (None, LogFormat::Text));
    }

    #[test]
    fn what_is_not_understood_is_usage() {
        for line in [
            "logd",
            "logd dev",
            "logd serve",
            "logd dev --dir d --listen nowhere",
            "logd dev --dir d --log-format xml",
            "logd devv",
            "logd fsck",
            "logd fsck --dir d --config c",
            "logd secondary",
            "logd secondary --dir d --config c",
            "logd secondary --config c --log x",
            "logd secondary key",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
