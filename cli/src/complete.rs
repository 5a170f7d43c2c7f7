//! Completion of names while a command is typed: contexts from the file; logs, shards, tiers, tenants and operations from
//! the server.
//!
//! What must never happen: a shell that hangs, a message in the middle of a line, or a login that costs something (a program started, an
//! identity token spent) because somebody pressed Tab. So there is one short limit for all of it, and on any failure nothing is offered.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, CompletionCandidate};

use crate::client::{Admin, Deadline};
use crate::commands::only_log;
use crate::error::Error;
use crate::exit;
use crate::generate::Shell;
use crate::settings::{self, Found, Login, Overrides};

/// Set by the shell's script when it asks what could come next.
const VARIABLE: &str = "LOGCTL_COMPLETE";
/// The time limit for all requests to a server; the rest of the 300 ms is for starting and printing.
const COMPLETION_TIMEOUT: Duration = Duration::from_millis(250);

/// Answers the shell, if this run is a completion request.
pub(crate) fn answered(args: &[OsString]) -> Option<ExitCode> {
    std::env::var_os(VARIABLE).filter(|shell| !shell.is_empty())?;
    let folder = std::env::current_dir().ok();
    let asked = CompleteEnv::with_factory(crate::command)
        .var(VARIABLE)
        .bin("logctl")
        .completer("logctl")
        .try_complete(args, folder.as_deref());
    match asked {
        Ok(true) => Some(ExitCode::from(exit::DONE)),
        Ok(false) => None,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {VARIABLE}: {error}");
            Some(ExitCode::from(exit::USAGE))
        }
    }
}

/// The script that makes a shell ask. It and the program belong together, so it is for reading at the shell's start
/// rather than for keeping.
pub(crate) fn script(shell: Shell) -> Result<String, Error> {
    let name = match shell {
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
    };
    let mut script = Vec::new();
    Shells::builtins()
        .completer(name)
        .ok_or_else(|| Error::Bug(format!("no completion for {name}")))?
        .write_registration(VARIABLE, "logctl", "logctl", "logctl", &mut script)
        .map_err(|error| Error::Bug(format!("cannot write the completion script: {error}")))?;
    String::from_utf8(script)
        .map_err(|error| Error::Bug(format!("generated text is not UTF-8: {error}")))
}

/// Contexts, from the file.
pub(crate) fn contexts(current: &OsStr) -> Vec<CompletionCandidate> {
    let overrides = typed(std::env::args_os());
    let names = Found::read(overrides.config.as_deref())
        .and_then(|found| found.parse())
        .map(|file| file.contexts.into_keys().collect());
    matching(current, names.unwrap_or_default())
}

/// Logs of the server.
pub(crate) fn logs(current: &OsStr) -> Vec<CompletionCandidate> {
    let names = live(async |admin, _, deadline| {
        let logs = admin.logs(deadline).await?;
        Ok(logs.into_iter().map(|log| log.log).collect())
    });
    matching(current, names)
}

/// Shards of the log.
pub(crate) fn shards(current: &OsStr) -> Vec<CompletionCandidate> {
    shards_that(current, |_| true)
}

/// Shards that a rotation could open.
pub(crate) fn planned_shards(current: &OsStr) -> Vec<CompletionCandidate> {
    shards_that(current, |state| state == wire::ShardState::Planned)
}

fn shards_that(
    current: &OsStr,
    wanted: impl Fn(wire::ShardState) -> bool,
) -> Vec<CompletionCandidate> {
    let names = live(async |admin, log, deadline| {
        let log = match log {
            Some(log) => admin.log(&log, deadline).await?,
            None => only_log(admin.logs(deadline).await?)?,
        };
        let shards = log.shards.into_iter().filter(|shard| wanted(shard.state));
        Ok(shards.map(|shard| shard.name).collect())
    });
    matching(current, names)
}

/// Tiers of the log.
pub(crate) fn tiers(current: &OsStr) -> Vec<CompletionCandidate> {
    qos_names(current, true, false)
}

/// Tenants of the log.
pub(crate) fn tenants(current: &OsStr) -> Vec<CompletionCandidate> {
    qos_names(current, false, true)
}

/// Tiers and tenants of the log.
pub(crate) fn qos(current: &OsStr) -> Vec<CompletionCandidate> {
    qos_names(current, true, true)
}

fn qos_names(current: &OsStr, tiers: bool, tenants: bool) -> Vec<CompletionCandidate> {
    let names = live(async |admin, log, deadline| {
        let log = match log {
            Some(log) => log,
            None => only_log(admin.logs(deadline).await?)?.log,
        };
        let qos = admin.config(&log, deadline).await?.config.qos;
        let tiers = qos
            .tiers
            .iter()
            .filter(|_| tiers)
            .map(|tier| tier.name.to_string());
        let tenants = qos
            .tenants
            .iter()
            .filter(|_| tenants)
            .map(|tenant| tenant.name.to_string());
        Ok(tiers.chain(tenants).collect())
    });
    matching(current, names)
}

pub(crate) fn operations(current: &OsStr) -> Vec<CompletionCandidate> {
    let names = live(async |admin, log, deadline| {
        let all = admin.operations(log.as_deref(), deadline).await?;
        Ok(all
            .operations
            .into_iter()
            .map(|operation| operation.id)
            .collect())
    });
    matching(current, names)
}

/// Names that begin with the typed text, and that a shell reads as one word.
fn matching(current: &OsStr, names: Vec<String>) -> Vec<CompletionCandidate> {
    let typed = current.to_string_lossy();
    let plain = |name: &String| {
        let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        name.starts_with(typed.as_ref()) && name.chars().all(harmless)
    };
    names
        .into_iter()
        .filter(plain)
        .map(CompletionCandidate::new)
        .collect()
}

/// Asks the server that the typed words name; nothing when that does not work at once.
fn live(
    ask: impl AsyncFnOnce(Admin, Option<String>, Deadline) -> Result<Vec<String>, Error>,
) -> Vec<String> {
    let deadline = Deadline::after(COMPLETION_TIMEOUT);
    let overrides = typed(std::env::args_os());
    let Ok(settings) = settings::resolve(&overrides) else {
        return Vec::new();
    };
    let Some(endpoint) = settings.admin else {
        return Vec::new();
    };
    if matches!(endpoint.login, Login::Command(_) | Login::Oidc(_)) {
        return Vec::new();
    }
    let (Ok(admin), Ok(runtime)) = (
        Admin::new(&endpoint),
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build(),
    ) else {
        return Vec::new();
    };
    let names = runtime.block_on(async {
        let asked = ask(admin, settings.log, deadline);
        tokio::time::timeout(deadline.left(), asked).await
    });
    // Do not wait for a name that is still being looked up.
    runtime.shutdown_background();
    match names {
        Ok(Ok(names)) => names,
        _ => Vec::new(),
    }
}

/// The options that say which server, in words that clap could not parse yet.
fn typed(args: impl IntoIterator<Item = OsString>) -> Overrides {
    let words: Vec<String> = args
        .into_iter()
        .skip_while(|word| word != "--")
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let value = |name: &str| {
        let flag = format!("--{}", name.replace('_', "-"));
        let given = words.iter().enumerate().rev().find_map(|(index, word)| {
            if *word == flag {
                // The word after it, which the shell may be asking about right now.
                return words.get(index + 1).cloned();
            }
            Some(word.strip_prefix(&flag)?.strip_prefix('=')?.to_owned())
        });
        given
            .or_else(|| std::env::var(format!("LOGCTL_{}", name.to_uppercase())).ok())
            .filter(|value| !value.is_empty())
    };
    let path = |name: &str| value(name).map(PathBuf::from);
    Overrides {
        log: value("log"),
        config: path("config"),
        context: value("context"),
        admin: value("admin"),
        ca: path("ca"),
        token_file: path("token_file"),
        environment: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_in_unfinished_lines() {
        let words = "logctl -- logctl --context=prod --log argon shard show --admin unix:/a --admin unix:/b 20";
        let found = typed(words.split(' ').map(OsString::from));
        assert_eq!(found.context.as_deref(), Some("prod"));
        assert_eq!(found.log.as_deref(), Some("argon"));
        assert_eq!(found.admin.as_deref(), Some("unix:/b"));
        let found = typed(["logctl", "--", "logctl", "--log", ""].map(OsString::from));
        assert_eq!(found.log, None);
    }

    #[test]
    fn only_harmless_words_are_offered() {
        let names = ["2026a", "2026b", "1999", "2026;rm -rf", "2026$(x)"].map(str::to_owned);
        let offered = matching(OsStr::new("2026"), names.to_vec());
        let offered: Vec<_> = offered.iter().map(|one| one.get_value()).collect();
        assert_eq!(offered, ["2026a", "2026b"]);
    }
}
