//! The command line, turned into a plain [`Command`]; nothing behind this module knows clap.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use logconfig::{LogName, Span};

use crate::error::Error;
use crate::life::Sources;
use crate::restore::RestoreArgs;
use crate::settings::{Bounds, Logging, Metrics, NO_ADDRESS, SecondarySettings, read_text};

/// What the command line asks `logd` to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Serve one log from one directory.
    Dev(Dev),
    /// Serve what a settings file says.
    Serve {
        config: PathBuf,
        /// The drain time; the settings' one if absent.
        drain: Option<Span>,
        /// The form of log lines on standard error.
        format: LogFormat,
    },
    Fsck {
        /// The stores to check.
        stores: Stores,
        /// The form of the report on standard output.
        output: FsckOutput,
    },
    /// Copy the coordination store.
    Backup {
        /// The stores whose coordination store is copied.
        stores: Stores,
        /// A new file, or a folder.
        to: PathBuf,
        /// The form of the report on standard output.
        output: FsckOutput,
    },
    /// Run one program of the merge.
    Merge {
        /// The program to run.
        program: engine::Program,
        /// Do the work that is there, and end.
        once: bool,
        /// The stores to work on.
        stores: Stores,
        /// The form of log lines on standard error.
        format: LogFormat,
    },
    /// End the wait for the old secondaries after a change.
    HandOver {
        log: String,
        /// End it although they have not taken the change.
        force: bool,
        /// The stores to work on.
        stores: Stores,
        /// The form of log lines on standard error.
        format: LogFormat,
    },
    /// Serve what `distribute` pushed.
    Frontend(FrontendOptions),
    /// Make a folder with all that a server needs.
    Init(Init),
    /// List all that is wrong with a settings file.
    ConfigCheck {
        /// The settings file to check.
        file: PathBuf,
        /// The form of the report on standard output.
        output: FsckOutput,
    },
    /// Print the commented example of a settings file.
    ConfigExample,
    /// Copy logs and cosign what was verified.
    Secondary {
        /// How it is set up.
        from: SecondaryFrom,
        /// How long a stop continues to serve.
        drain: Option<Span>,
        /// The form of log lines on standard error.
        format: LogFormat,
    },
    /// Rebuild a lost log.
    Restore {
        /// What, from where, to where.
        args: RestoreArgs,
        /// The form of log lines on standard error.
        format: LogFormat,
    },
    /// Make or show a secondary's key.
    SecondaryKey {
        file: PathBuf,
        /// Make one of this name.
        name: Option<String>,
    },
}

/// Where a secondary's settings are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecondaryFrom {
    Config(PathBuf),
    /// On the command line.
    Flags {
        dir: PathBuf,
        /// The address that logs and readers connect to.
        listen: SocketAddr,
        /// The logs' replication keys.
        logs: Vec<String>,
        /// Metrics listener, if any.
        metrics: Option<SocketAddr>,
    },
}

impl SecondaryFrom {
    /// The settings, checked, and where they come from.
    pub(crate) fn settings(&self) -> Result<(SecondarySettings, Sources), Error> {
        match self.clone() {
            Self::Config(path) => {
                let text = read_text(&path)?;
                let settings = SecondarySettings::parse(&text, &path)?;
                let check = |text: &str, path: &Path| {
                    SecondarySettings::parse(text, path).map(|settings| settings.hot())
                };
                let sources = Sources::file(&path, &text, &settings.hot(), check);
                Ok((settings, sources))
            }
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
                    log: Logging::default(),
                };
                match settings.wrong() {
                    None => Ok((settings, Sources::default())),
                    Some((_, problem)) => Err(Error::Usage(
                        Cli::command().error(clap::error::ErrorKind::ValueValidation, problem),
                    )),
                }
            }
        }
    }
}

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
    /// The programs of the merge that it runs.
    pub(crate) merge: Vec<engine::Program>,
    /// How long a stop continues to serve.
    pub(crate) drain: Option<Span>,
    /// The form of log lines on standard error.
    pub(crate) format: LogFormat,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Init {
    pub(crate) dir: PathBuf,
    pub(crate) origin: String,
    /// Its name; the origin's last part where it is not said.
    pub(crate) log: Option<LogName>,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) yes: bool,
}

/// Where the stores are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stores {
    /// In a directory of `logd dev`.
    Dir(PathBuf),
    /// Where a settings file says.
    Config(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrontendOptions {
    pub(crate) dir: PathBuf,
    /// Port 0 for any free one.
    pub(crate) listen: SocketAddr,
    /// Certificate chain and key; plain HTTP without.
    pub(crate) tls: Option<(PathBuf, PathBuf)>,
    /// How long a stop continues to serve.
    pub(crate) drain: Option<Span>,
    /// The form of log lines on standard error.
    pub(crate) format: LogFormat,
}

/// The form of a command's report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FsckOutput {
    /// A table for people.
    #[default]
    Table,
    /// One JSON document on standard output.
    Json,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines of text for people.
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
    /// Serve a log named `dev` from one directory, with everything it needs made there
    ///
    /// Prints one line on standard output when it serves. A second `logd dev` on the same directory serves the same log beside
    /// the first.
    #[command(
        after_help = "Example:\n  logd dev --dir ./dev\n  LOGCTL_CONFIG=./dev/logctl.toml logctl shard list"
    )]
    Dev(DevArgs),
    /// Make a new folder with all that a server needs: settings, keys, a first operator, and the log
    ///
    /// The folder must be empty or absent. Both listeners are on the loopback address unless you say otherwise; the admin endpoint always
    /// has TLS and asks for a token. Ends with the next two commands.
    #[command(
        after_help = "Example:\n  logd init /var/lib/logd --origin log.example.org/argon\n  logd serve --config /var/lib/logd/logd.toml"
    )]
    Init(InitArgs),
    /// Serve what a settings file says
    #[command(
        after_help = "Example:\n  logd init /var/lib/logd --origin log.example.org/argon\n  logd serve --config /var/lib/logd/logd.toml"
    )]
    Serve(ServeArgs),
    /// Check that everything in the stores follows from the order and leads to what was signed
    ///
    /// Only reads; the server may run meanwhile. Exits with 0 when all is well, and with 12 when something is wrong.
    #[command(
        after_help = "Example:\n  logd fsck --dir ./dev\n  logd fsck --config logd.toml -o json"
    )]
    Fsck(FsckArgs),
    /// Copy the coordination store, as it is at one moment; the server may run meanwhile
    ///
    /// The copy is one file of mode 0600, whole by itself. It holds the configurations, the order and the sealed keys; not in it are
    /// the objects, which any program can copy afterwards, and the key-encryption key. An existing file is never replaced. A copy may
    /// be put back only where nothing was signed since it was made: a server that is started on an older one halts.
    #[command(after_help = "Example:
  logd backup --dir ./dev --to /var/backups/logd\n  logd backup --config logd.toml --to ./coordination.db -o json")]
    Backup(BackupArgs),
    /// Run one program of the merge in a process of its own
    ///
    /// `logd serve` runs all four itself, except those that [merge] programs of its settings file leaves out. They know of each
    /// other only what is in the stores, so each may run alone, one after the other or all at once, and any of them twice.
    #[command(
        after_help = "Example:\n  logd merge integrate --once --config logd.toml\n  logd merge publish --config logd.toml"
    )]
    Merge(MergeArgs),
    /// End the wait for the old secondaries after a change, when they are lost
    ///
    /// A change of `merge.secondaries` or `merge.backupQuorum` binds the old quorum too, until that holds the manifest that names
    /// the change: else a restore from the old secondaries alone would not notice that entries are missing. Where they are lost for
    /// good, publication waits. This ends the wait. Without `--force` it only says what would be given up, and fails. The
    /// server may run meanwhile. Bring the old secondaries back instead where you can: an empty one under the same name and key
    /// will do.
    #[command(
        after_help = "Example:\n  logd hand-over --log argon --config logd.toml\n  logd hand-over --log argon --config logd.toml --force"
    )]
    HandOver(HandOverArgs),
    /// Serve a folder that `distribute` pushed to, read-only: checkpoints, tiles, entry bundles, seals
    ///
    /// Prints one line on standard output when it serves. It needs no key and no store; a static file server does as well, where
    /// it sends the same headers.
    #[command(after_help = "Example:\n  logd frontend --dir /srv/cdn --listen 127.0.0.1:7090")]
    Frontend(FrontendArgs),
    /// Copy logs: recompute every root from the entries, make them durable, then cosign (C2SP tlog-mirror)
    ///
    /// Prints one line on standard output when it serves, with its public key for the log's `merge.secondaries`. It takes
    /// entries only of the logs named, each by its replication key, which `logctl merge status` of that log shows.
    #[command(
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true,
        after_help = "Example:\n  install -d -m 0700 ams\n  logd secondary key --file ./ams/mirror.key --name ams.example.org\n  logd secondary --dir ./ams --listen 127.0.0.1:7080 --log VKEY"
    )]
    Secondary(SecondaryArgs),
    /// Rebuild a lost log from its secondaries, into a new folder
    ///
    /// Every root is computed again from the entries and compared with what the secondaries have cosigned. Of N secondaries with a
    /// backupQuorum of q, N-q+1 must answer: then one of them has everything that was published. The log keeps the same
    /// origins, keys and start indexes. What was acknowledged and not published yet may be lost.
    #[command(
        after_help = "Example:\n  logd restore --log log.example.org/argon --kek ./kek --from https://ams.example.org --from https://fra.example.org --dir ./new\n  logd fsck --dir ./new"
    )]
    Restore(RestoreCommand),
    /// About the settings file
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
}

/// A program of the merge, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProgramArg {
    /// Integrate what is ordered
    #[value(alias = "fetch")]
    Integrate,
    /// Copy to the secondaries
    #[value(alias = "backup")]
    Replicate,
    /// Publish what the backup quorum has verified
    #[value(alias = "sth")]
    Publish,
    /// Push to the frontends
    #[value(alias = "dist")]
    Distribute,
}

impl From<ProgramArg> for engine::Program {
    fn from(program: ProgramArg) -> Self {
        match program {
            ProgramArg::Integrate => Self::Integrate,
            ProgramArg::Replicate => Self::Replicate,
            ProgramArg::Publish => Self::Publish,
            ProgramArg::Distribute => Self::Distribute,
        }
    }
}

#[derive(Debug, Args)]
struct MergeArgs {
    /// The program of the merge to run
    #[arg(value_enum, value_name = "PROGRAM")]
    program: ProgramArg,
    /// Do the waiting work once, report it, and exit
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    stores: StoresArgs,
    /// Form of the log lines on standard error
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Debug, Args)]
struct HandOverArgs {
    /// Name of the log that waits
    #[arg(long, value_name = "NAME")]
    log: String,
    /// Give up what the command lists without this flag
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    stores: StoresArgs,
    /// Form of the log lines on standard error
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Debug, Args)]
struct FrontendArgs {
    /// The folder to serve
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Address for readers (port 0: any free one)
    #[arg(long, value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:7090")]
    listen: SocketAddr,
    /// Certificate chain, PEM; plain HTTP without it
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The certificate's key, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// How long SIGTERM leaves it serving while /readyz says 503, for load balancers to notice; not at all unless given
    #[arg(long, value_name = "TIME")]
    drain: Option<Span>,
    /// Form of the log lines on standard error
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Print a commented settings file
    Example,
    /// List all that is wrong with a settings file, and with the files that it names
    ///
    /// Exits with 0 when nothing is, and with 6 otherwise. Changes nothing.
    #[command(
        after_help = "Example:\n  logd config check /var/lib/logd/logd.toml\n  logd config check logd.toml -o json"
    )]
    Check {
        /// The file of `logd serve` or of `logd secondary`
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Form of the report on standard output
        #[arg(short, long, value_enum, default_value_t)]
        output: FsckOutput,
    },
}

/// An address to listen on.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| match text.parse::<IpAddr>() {
        Ok(ip) => format!("it has no port: write {}", SocketAddr::new(ip, 7070)),
        Err(_) => NO_ADDRESS.to_owned(),
    })
}

/// An address that clients must know before the server runs.
fn known_address(text: &str) -> Result<SocketAddr, String> {
    let address = address(text)?;
    match address.port() {
        0 => Err(
            "port 0 is another one at each start: choose one that clients can be told".to_owned(),
        ),
        _ => Ok(address),
    }
}

#[derive(Debug, Args)]
struct InitArgs {
    /// The folder, absent or empty
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// What the log's checkpoints begin with, a schema-less URL: log.example.org/argon
    #[arg(long, value_name = "ORIGIN")]
    origin: String,
    /// The log's name in addresses and commands; the origin's last part unless given
    #[arg(long, value_name = "NAME")]
    log: Option<LogName>,
    /// Address for writers and readers
    #[arg(long, value_name = "ADDRESS", value_parser = known_address, default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Address of the admin endpoint, TLS
    #[arg(long, value_name = "ADDRESS", value_parser = known_address, default_value = "127.0.0.1:7071")]
    admin: SocketAddr,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

#[derive(Debug, Args)]
struct DevArgs {
    /// Where everything is kept; created when absent
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Address for writers and readers (port 0: any free one)
    #[arg(long, value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Address of the admin endpoint, TLS (port 0: any free one)
    #[arg(long, value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:7071")]
    admin: SocketAddr,
    /// Loopback address of the Prometheus metrics; none unless given
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    metrics: Option<SocketAddr>,
    /// Programs of the merge that it runs; the others run beside it, see `logd merge`
    #[arg(
        long,
        value_enum,
        value_name = "PROGRAMS",
        value_delimiter = ',',
        num_args = 0..=1,
        default_values = ["integrate", "replicate", "publish", "distribute"]
    )]
    merge: Vec<ProgramArg>,
    /// How long SIGTERM leaves it serving while /readyz says 503, for load balancers to notice; not at all unless given
    #[arg(long, value_name = "TIME")]
    drain: Option<Span>,
    /// Form of the log lines on standard error
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Debug, Args)]
struct ServeArgs {
    /// The settings file, TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How long SIGTERM leaves it serving while /readyz says 503, for load balancers to notice; instead of limits.drain (5s)
    #[arg(long, value_name = "TIME")]
    drain: Option<Span>,
    /// Form of the log lines on standard error
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
    #[arg(long, value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:7080")]
    listen: SocketAddr,
    /// Replication key of a log to copy; may be given many times
    #[arg(long, value_name = "VKEY")]
    log: Vec<String>,
    /// How long SIGTERM leaves it serving while /readyz says 503, for load balancers to notice; not at all unless given
    #[arg(long, value_name = "TIME")]
    drain: Option<Span>,
    /// Loopback address of the Prometheus metrics; none unless given
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    metrics: Option<SocketAddr>,
    /// Form of the log lines on standard error
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Debug, Args)]
struct RestoreCommand {
    /// The log's origin, without a shard
    #[arg(long, value_name = "ORIGIN")]
    log: String,
    /// Where a secondary is, https://HOST or http://HOST; once for each
    #[arg(long, value_name = "URL", required = true)]
    from: Vec<String>,
    /// The key-encryption key of the lost server, mode 0600
    #[arg(long, value_name = "FILE")]
    kek: PathBuf,
    /// The new folder: coordination.db, objects and kek are made in it
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Restore although published entries may be missing; the report says so
    #[arg(long)]
    force: bool,
    /// PEM: the authorities behind the secondaries' HTTPS, instead of the platform's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Form of the log lines on standard error
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

impl From<RestoreCommand> for Command {
    fn from(args: RestoreCommand) -> Self {
        Self::Restore {
            format: args.log_format,
            args: RestoreArgs {
                origin: args.log,
                from: args.from,
                kek: args.kek,
                dir: args.dir,
                force: args.force,
                ca: args.ca,
            },
        }
    }
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
            drain: args.drain,
            format: args.log_format,
        }
    }
}

#[derive(Debug, Args)]
struct FsckArgs {
    #[command(flatten)]
    stores: StoresArgs,
    /// Form of the report on standard output
    #[arg(short, long, value_enum, default_value_t)]
    output: FsckOutput,
}

#[derive(Debug, Args)]
struct BackupArgs {
    #[command(flatten)]
    stores: StoresArgs,
    /// A new file; in an existing folder, one that is named after the time
    #[arg(long, value_name = "PATH")]
    to: PathBuf,
    /// Form of the report on standard output
    #[arg(short, long, value_enum, default_value_t)]
    output: FsckOutput,
}

#[derive(Debug, Args)]
struct StoresArgs {
    /// A directory of `logd dev`
    #[arg(
        long,
        value_name = "DIR",
        required_unless_present = "config",
        conflicts_with = "config"
    )]
    dir: Option<PathBuf>,
    /// A settings file of `logd serve`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl From<StoresArgs> for Stores {
    fn from(args: StoresArgs) -> Self {
        // clap has made sure of one of them.
        match (args.dir, args.config) {
            (_, Some(config)) => Self::Config(config),
            (dir, None) => Self::Dir(dir.unwrap_or_default()),
        }
    }
}

impl Stores {
    /// The settings file that says where they are.
    pub(crate) fn settings(&self) -> PathBuf {
        match self {
            Self::Dir(dir) => dir.join("logd.toml"),
            Self::Config(path) => path.clone(),
        }
    }
}

impl From<Cli> for Command {
    fn from(cli: Cli) -> Self {
        match cli.verb {
            Verb::Dev(DevArgs {
                dir,
                listen,
                admin,
                metrics,
                merge,
                drain,
                log_format,
            }) => Self::Dev(Dev {
                dir,
                listen,
                admin,
                metrics,
                merge: merge.into_iter().map(Into::into).collect(),
                drain,
                format: log_format,
            }),
            Verb::Serve(ServeArgs {
                config,
                drain,
                log_format,
            }) => Self::Serve {
                config,
                drain,
                format: log_format,
            },
            Verb::Fsck(FsckArgs { stores, output }) => Self::Fsck {
                stores: stores.into(),
                output,
            },
            Verb::Backup(BackupArgs { stores, to, output }) => Self::Backup {
                stores: stores.into(),
                to,
                output,
            },
            Verb::Merge(MergeArgs {
                program,
                once,
                stores,
                log_format,
            }) => Self::Merge {
                program: program.into(),
                once,
                stores: stores.into(),
                format: log_format,
            },
            Verb::HandOver(HandOverArgs {
                log,
                force,
                stores,
                log_format,
            }) => Self::HandOver {
                log,
                force,
                stores: stores.into(),
                format: log_format,
            },
            Verb::Frontend(FrontendArgs {
                dir,
                listen,
                cert,
                key,
                drain,
                log_format,
            }) => Self::Frontend(FrontendOptions {
                dir,
                listen,
                tls: cert.zip(key),
                drain,
                format: log_format,
            }),
            Verb::Secondary(args) => args.into(),
            Verb::Restore(args) => args.into(),
            Verb::Init(InitArgs {
                dir,
                origin,
                log,
                listen,
                admin,
                yes,
            }) => Self::Init(Init {
                dir,
                origin,
                log,
                listen,
                admin,
                yes,
            }),
            Verb::Config { verb } => match verb {
                ConfigVerb::Example => Self::ConfigExample,
                ConfigVerb::Check { file, output } => Self::ConfigCheck { file, output },
            },
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

    /// Every help text, as it looks on a terminal of 110 columns.
    #[test]
    fn every_help() {
        fn each(command: &mut clap::Command, path: &str) {
            let name = format!("help_{}", path.replace(' ', "_"));
            insta::assert_snapshot!(name, command.render_long_help().to_string());
            let others = command.get_subcommands_mut();
            for inner in others.filter(|inner| inner.get_name() != "help") {
                let path = format!("{path} {}", inner.get_name());
                each(inner, path.trim());
            }
        }
        let mut logd = Cli::command().term_width(110);
        logd.build();
        each(&mut logd, "");
    }

    #[test]
    fn dev_has_the_documented_defaults() {
        let Command::Dev(dev) = parse("logd dev --dir d").unwrap() else {
            panic!("not dev")
        };
        assert_eq!(dev.listen.to_string(), "127.0.0.1:7070");
        assert_eq!(dev.admin.to_string(), "127.0.0.1:7071");
        assert_eq!((dev.metrics, dev.format), (None, LogFormat::Text));
        assert_eq!(dev.merge, engine::Program::ALL);
        let merge = |line: &str| match parse(line).unwrap() {
            Command::Dev(dev) => dev.merge,
            other => panic!("{other:?}"),
        };
        let some = [engine::Program::Publish, engine::Program::Distribute];
        assert_eq!(merge("logd dev --dir d --merge publish,distribute"), some);
        let earlier = merge("logd dev --dir d --merge fetch,backup,sth,dist");
        assert_eq!(earlier, engine::Program::ALL);
        assert_eq!(merge("logd dev --dir d --merge"), []);
    }

    #[test]
    fn an_address_has_a_port_and_the_message_shows_it() {
        let said = |line: &str| match parse(line) {
            Err(usage) => usage.to_string(),
            Ok(command) => panic!("{line}: {command:?}"),
        };
        for (given, expected) in [
            ("127.0.0.1", "write 127.0.0.1:7070"),
            ("::1", "write [::1]:7070"),
            ("localhost:7070", "such as 127.0.0.1:7070"),
        ] {
            let said = said(&format!("logd dev --dir d --listen {given}"));
            assert!(said.contains(expected), "{said}");
        }
        let said = said("logd init d --origin example.org/a --listen 127.0.0.1:0");
        assert!(said.contains("port 0"), "{said}");
    }

    #[test]
    fn what_is_not_understood_is_usage() {
        for line in [
            "logd",
            "logd dev",
            "logd serve",
            "logd dev --dir d --listen nowhere",
            "logd init d --origin example.org/a --listen 127.0.0.1:0",
            "logd init d --origin example.org/a --admin 127.0.0.1:0",
            "logd dev --dir d --log-format xml",
            "logd devv",
            "logd fsck",
            "logd fsck --dir d --config c",
            "logd backup --dir d",
            "logd backup --to b",
            "logd merge --once --dir d",
            "logd merge fetch",
            "logd merge integrate",
            "logd dev --dir d --merge integrate,merge",
            "logd frontend",
            "logd frontend --dir d --cert c",
            "logd secondary",
            "logd secondary --dir d --config c",
            "logd secondary --config c --log x",
            "logd secondary key",
            "logd restore --log x --kek k --dir d",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
