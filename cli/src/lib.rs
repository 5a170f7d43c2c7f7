//! `logctl`: changes a running transparency log.
//!
//! The way through: `cli` (parses the command line) → `commands` (do the work) → `report` (holds the result) → `render` and `ui` (show it).
//! Each step knows only its neighbours. `error` holds the situations, `exit` their exit codes, words and hints.

mod auditor;
mod auth;
mod cli;
mod client;
mod commands;
mod complete;
mod error;
mod exit;
mod file;
pub mod generate;
mod import;
mod interrupt;
pub mod kit;
mod manner;
mod numbers;
mod pins;
mod private;
mod render;
mod report;
mod scope;
mod settings;
mod top;
mod ui;
mod unfinished;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::{Cli, Global};
use crate::commands::Session;
use crate::error::Error;
use crate::report::Outcome;
use crate::ui::Ui;

/// The command's definition, for generated files and tests.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs a command line to its end. Prints the result; never panics, never calls `exit`.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(code) = complete::answered(&args) {
        return code;
    }
    let form = cli::wanted_form(&args);
    let Cli {
        global,
        command,
        spelled,
    } = match cli::parse(args) {
        Ok(cli) => cli,
        Err(mut error) => {
            drop_wrong_tip(&mut error);
            return ui::usage("logctl", &error, elsewhere(&error).as_deref(), form);
        }
    };
    let Global {
        overrides,
        timeout,
        manner,
        explain_auth,
    } = global;
    let ui = Ui::new(manner, &spelled);
    ui.works_at(&overrides, command.log_by_name());
    let session = Session::new(&ui, &overrides, timeout).with(command.change());
    let ends_itself = command.ends_itself();
    let work = commands::run(&session, command, spelled, explain_auth);
    drive(&ui, ends_itself, work)
}

/// Runs a command's work on this thread until it is done or Ctrl-C ends it, and shows the result. Work that `ends_itself` listens for
/// Ctrl-C itself.
pub fn drive(
    ui: &Ui,
    ends_itself: bool,
    work: impl Future<Output = Result<Outcome, Error>>,
) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return ui.finish(Err(Error::Bug(format!("no runtime: {error}")))),
    };
    let result = runtime.block_on(async {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                // First, so that Ctrl-C is ours before the work asks or waits for anything.
                biased;
                interrupt = tokio::signal::ctrl_c(), if !ends_itself => match interrupt {
                    // The signal was for the program that has the terminal.
                    Ok(()) if ui.is_away() => {}
                    Ok(()) => return Err(ui.interrupted()),
                    Err(error) => {
                        return Err(Error::Bug(format!("cannot listen for Ctrl-C: {error}")));
                    }
                },
                result = &mut work => return result,
            }
        }
    });
    // A read from a terminal may still be waiting; nobody wants its result.
    runtime.shutdown_background();
    ui.finish(result)
}

/// Removes clap's advice to pass an unknown option as a value: no argument of `logctl` begins with a dash, so it leads to another mistake.
fn drop_wrong_tip(error: &mut clap::Error) {
    let is_wrong = |text: &clap::builder::StyledStr| text.to_string().starts_with("to pass ");
    let suggested = error.get(ContextKind::Suggested);
    if matches!(suggested, Some(ContextValue::StyledStrs(all)) if all.iter().any(is_wrong)) {
        error.remove(ContextKind::Suggested);
    }
}

/// The command whose usage an error shows: `shard`.
fn command_of(error: &clap::Error) -> Option<String> {
    let usage = error.get(ContextKind::Usage)?.to_string();
    let words = usage.strip_prefix("Usage: logctl ")?.split_whitespace();
    let words: Vec<&str> = words
        .take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect();
    Some(words.join(" "))
}

/// The hint for a word that is a command, but not at this place.
fn elsewhere(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    if word == "help" {
        return Some(format!("`logctl help {}`", command_of(error)?));
    }
    if word == "run" {
        return Some("the load generator is a program of its own: `logload run`".into());
    }
    fn find(command: &clap::Command, path: &str, word: &str, found: &mut Vec<String>) {
        for subcommand in command.get_subcommands() {
            let path = format!("{path} {}", subcommand.get_name());
            find(subcommand, &path, word, found);
            if subcommand.get_name() == word {
                found.push(format!("`{path}`"));
            }
        }
    }
    let mut found = Vec::new();
    find(&command(), "logctl", word, &mut found);
    if found.is_empty() {
        None
    } else {
        Some(format!("did you mean {}?", found.join(" or ")))
    }
}
