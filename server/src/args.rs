//! The command line, turned into a plain [`Command`]; no other module knows clap.

mod command;
mod convert;

pub(crate) use self::command::{
    Command, Dev, FrontendOptions, Init, LogFormat, ReportFormat, SecondaryFrom, Stores,
};

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use logconfig::{LogName, Span};

use crate::error::Error;
use crate::restore::RestoreArgs;
use crate::settings::NO_ADDRESS;

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
    /// Serve a log named `dev` from one directory, and make everything it needs there
    ///
    /// Prints one line on standard output when it is ready. A second `logd dev` on the same directory serves the same log beside
    /// the first.
    #[command(
        after_help = "Example:\n  logd dev --dir ./dev\n  LOGCTL_CONFIG=./dev/logctl.toml logctl shard list"
    )]
    Dev(DevArgs),
    /// Make a new folder with everything a server needs: settings, keys, a first operator, and the log
    ///
    /// The folder must be empty or absent. Both listeners are on the loopback address unless you say otherwise; the admin endpoint always
    /// has TLS and asks for a token. Prints the next two commands.
    #[command(
        after_help = "Example:\n  logd init /var/lib/logd --origin log.example.org/argon\n  logd serve --config /var/lib/logd/logd.toml"
    )]
    Init(InitArgs),
    /// Serve logs with the settings of a file
    #[command(
        after_help = "Example:\n  logd init /var/lib/logd --origin log.example.org/argon\n  logd serve --config /var/lib/logd/logd.toml"
    )]
    Serve(ServeArgs),
    /// Check that everything in the stores follows from the order and leads to what was signed
    ///
    /// Changes nothing; the server may run meanwhile. Exits with 0 when all is well, and with 12 when something is wrong.
    #[command(
        after_help = "Example:\n  logd fsck --dir ./dev\n  logd fsck --config logd.toml -o json"
    )]
    Fsck(FsckArgs),
    /// Copy the coordination store, as it is at one moment; the server may run meanwhile
    ///
    /// The copy is one complete file of mode 0600. It holds the configurations, the order and the sealed keys. It does not contain the
    /// objects, which you can copy afterwards with any program, or the key-encryption key. An existing file is never replaced. Put a copy
    /// back only if nothing was signed since it was made: a server that starts on an older copy halts.
    #[command(after_help = "Example:
  logd backup --dir ./dev --to /var/backups/logd\n  logd backup --config logd.toml --to ./coordination.db -o json")]
    Backup(BackupArgs),
    /// Run one program of the merge in a process of its own
    ///
    /// `logd serve` runs all four itself, except those that [merge] programs of its settings file leaves out. They communicate only
    /// through the stores, so they may run one after the other or all at once, and any of them twice.
    #[command(
        after_help = "Example:\n  logd merge integrate --once --config logd.toml\n  logd merge publish --config logd.toml"
    )]
    Merge(MergeArgs),
    /// End the wait for the old secondaries after a change, when they are lost
    ///
    /// After a change of `merge.secondaries` or `merge.backupQuorum`, the old quorum counts too, until it holds the manifest that
    /// names the change: otherwise a restore from the old secondaries alone would not notice that entries are missing. If they are
    /// lost for good, publication waits. This command ends the wait. Without `--force` it only states the risk, and
    /// fails. The server may run meanwhile. If you can, bring the old secondaries back instead: an empty one with the same name
    /// and key is enough.
    #[command(
        after_help = "Example:\n  logd hand-over --log argon --config logd.toml\n  logd hand-over --log argon --config logd.toml --force"
    )]
    HandOver(HandOverArgs),
    /// Rebuild the search index of a log with `rekor.v1`
    Index {
        #[command(subcommand)]
        verb: IndexVerb,
    },
    /// Serve a folder that `distribute` pushed to, read-only: checkpoints, tiles, entry bundles, seals
    ///
    /// Prints one line on standard output when it is ready. It needs no key and no store; a static file server can replace it if it
    /// sends the same headers.
    #[command(after_help = "Example:\n  logd frontend --dir /srv/cdn --listen 127.0.0.1:7090")]
    Frontend(FrontendArgs),
    /// Copy logs: recompute every root from the entries, store them durably, then cosign (C2SP tlog-mirror)
    ///
    /// Prints one line on standard output when it is ready, with its public key for the log's `merge.secondaries`. It accepts
    /// entries of the named logs only, each named by its replication key, which `logctl merge status` shows.
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
    /// origins, keys and start indexes. Entries that were acknowledged and not published yet may be lost.
    ///
    /// With --check nothing is written: every copy of every secondary is read and checked, also while the log runs. Exits with 0 when all
    /// secondaries answer, all copies are whole and a restore would work; with 12 when not; with 1 when nothing can be checked.
    #[command(
        after_help = "Example:\n  logd restore --check --log log.example.org/argon --kek ./kek --from https://ams.example.org --from https://fra.example.org\n  logd restore --log log.example.org/argon --kek ./kek --from https://ams.example.org --from https://fra.example.org --dir ./new\n  logd fsck --dir ./new"
    )]
    Restore(RestoreCommand),
    /// Check a settings file, or print an example
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
}

/// A program of the merge, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProgramArg {
    /// Integrate the ordered entries
    #[value(alias = "fetch")]
    Integrate,
    /// Copy to the secondaries
    #[value(alias = "backup")]
    Replicate,
    /// Publish the sizes that the backup quorum has verified
    #[value(alias = "sth")]
    Publish,
    /// Push to the frontends
    #[value(alias = "dist")]
    Distribute,
}

#[derive(Debug, Args)]
struct MergeArgs {
    /// The program of the merge to run
    #[arg(value_enum, value_name = "PROGRAM")]
    program: ProgramArg,
    /// Do the waiting work once, report the result, and exit
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
    /// End the wait, and accept the risk that the command states without this flag
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    stores: StoresArgs,
    /// Form of the log lines on standard error
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum IndexVerb {
    /// Remove the search index of a log and build it again from the published entries
    ///
    /// For an index that is damaged, or that belongs to another log: `logctl doctor` says so. A server builds a missing index by itself,
    /// so this only saves the time. It refuses an index that a server has open. The subjects of in-toto statements are not in the log, so
    /// a rebuilt index no longer finds entries by these subjects.
    #[command(
        after_help = "Example:\n  logd index rebuild --config logd.toml\n  logd index rebuild --log argon --config logd.toml"
    )]
    Rebuild(RebuildArgs),
}

#[derive(Debug, Args)]
struct RebuildArgs {
    /// Name of the log; by default all logs that have a search index
    #[arg(long, value_name = "NAME")]
    log: Option<String>,
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
    /// Drain time: after SIGTERM the server continues for this time while /readyz answers 503, for load balancers; by default none
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
    /// List all faults of a settings file and of the files that it names
    ///
    /// Exits with 0 when there are none, and with 6 otherwise. Changes nothing.
    #[command(
        after_help = "Example:\n  logd config check /var/lib/logd/logd.toml\n  logd config check logd.toml -o json"
    )]
    Check {
        /// The file of `logd serve` or of `logd secondary`
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Form of the report on standard output
        #[arg(short, long, value_enum, default_value_t)]
        output: ReportFormat,
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
    /// Beginning of the origins in the log's checkpoints, a schema-less URL: log.example.org/argon
    #[arg(long, value_name = "ORIGIN")]
    origin: String,
    /// The log's name in addresses and commands; by default the origin's last part
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
    /// The folder for everything; created when absent
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Address for writers and readers (port 0: any free one)
    #[arg(long, value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Address of the admin endpoint, TLS (port 0: any free one)
    #[arg(long, value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:7071")]
    admin: SocketAddr,
    /// Loopback address of the Prometheus metrics; by default none
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    metrics: Option<SocketAddr>,
    /// Make the logs `rekor` and `rekor-v1` for Sigstore's clients, which answer at /api/v2 and /api/v1 as well, and write
    /// trusted_root.json and signing_config.json
    #[arg(long)]
    rekor: bool,
    /// Programs of the merge to run; the others run in processes of their own, see `logd merge`
    #[arg(
        long,
        value_enum,
        value_name = "PROGRAMS",
        value_delimiter = ',',
        num_args = 0..=1,
        default_values = ["integrate", "replicate", "publish", "distribute"]
    )]
    merge: Vec<ProgramArg>,
    /// Drain time: after SIGTERM the server continues for this time while /readyz answers 503, for load balancers; by default none
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
    /// Drain time: after SIGTERM the server continues for this time while /readyz answers 503, for load balancers; by default limits.drain (5s)
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
    /// Storage of the secondary, a folder of its own; the key is mirror.key in it
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Address for logs and readers (port 0: any free one)
    #[arg(long, value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:7080")]
    listen: SocketAddr,
    /// Replication key of a log to copy; repeat it for more
    #[arg(long, value_name = "VKEY")]
    log: Vec<String>,
    /// Drain time: after SIGTERM the server continues for this time while /readyz answers 503, for load balancers; by default none
    #[arg(long, value_name = "TIME")]
    drain: Option<Span>,
    /// Loopback address of the Prometheus metrics; by default none
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
    /// Address of a secondary, https://HOST or http://HOST; repeat it for each
    #[arg(long, value_name = "URL", required = true)]
    from: Vec<String>,
    /// The key-encryption key of the lost server, mode 0600
    #[arg(long, value_name = "FILE")]
    kek: PathBuf,
    /// The new folder, needed without --check: coordination.db, objects and kek are made in it
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    dir: Option<PathBuf>,
    /// Read and check every copy, and write nothing
    #[arg(long, conflicts_with_all = ["dir", "force"])]
    check: bool,
    /// Restore although published entries may be missing; the report says so
    #[arg(long)]
    force: bool,
    /// Certificate authorities (PEM) for the secondaries' HTTPS, instead of the platform's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Form of the log lines on standard error
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum SecondaryVerb {
    /// Make the secondary's key, or show the public half of an existing one
    #[command(
        after_help = "Example:\n  logd secondary key --file mirror.key --name ams.example.org\n  logd secondary key --file mirror.key"
    )]
    Key {
        /// The file, mode 0600; never replaced
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Make a new key of this name: a schema-less URL that names its owner
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
}

#[derive(Debug, Args)]
struct FsckArgs {
    #[command(flatten)]
    stores: StoresArgs,
    /// Form of the report on standard output
    #[arg(short, long, value_enum, default_value_t)]
    output: ReportFormat,
}

#[derive(Debug, Args)]
struct BackupArgs {
    #[command(flatten)]
    stores: StoresArgs,
    /// A new file, or an existing folder, in which the file is named after the time
    #[arg(long, value_name = "PATH")]
    to: PathBuf,
    /// Form of the report on standard output
    #[arg(short, long, value_enum, default_value_t)]
    output: ReportFormat,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

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
            "logd restore --log x --kek k --from u",
            "logd restore --log x --kek k --from u --dir d --check",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
