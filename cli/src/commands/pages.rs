//! `logctl completions`, `logctl man` and `logctl help`: texts generated from the program's own definition.

use serde::Serialize;

use crate::complete;
use crate::error::Error;
use crate::generate::{self, Shell};
use crate::report::{Block, Outcome, Page, Present};

/// The arguments of `logctl completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell to complete commands in
    #[arg(value_enum)]
    shell: Shell,
    /// Print a script that completes commands and options only, and works with later versions of logctl
    #[arg(long = "static")]
    fixed: bool,
}

/// The arguments of `logctl help`.
#[derive(Debug, clap::Args)]
pub(crate) struct HelpArgs {
    /// The command; by default logctl itself
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

/// The arguments of `logctl man`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// The command; by default logctl itself
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Completions {
    script: String,
}

#[derive(Debug, Serialize)]
struct Help {
    text: String,
}

#[derive(Debug, Serialize)]
struct ManPage {
    page: String,
}

pub(super) fn completions(
    CompletionsArgs { shell, fixed }: CompletionsArgs,
) -> Result<Outcome, Error> {
    let script = if fixed {
        text(generate::LOGCTL.completions(shell))?
    } else {
        complete::script(shell)?
    };
    Outcome::done(&Completions { script })
}

/// The commands of this name at any depth, as they are typed: `shard rotate`.
fn by_name(command: &clap::Command, above: &[&str], name: &str, found: &mut Vec<String>) {
    for one in command.get_subcommands() {
        let path: Vec<&str> = above.iter().copied().chain([one.get_name()]).collect();
        if one.get_name() == name {
            found.push(path.join(" "));
        }
        by_name(one, &path, name, found);
    }
}

/// The command that the words name. A single word that is no top-level command finds the one subcommand of that name.
fn meant(command: &clap::Command, words: &[String]) -> Result<Vec<String>, Error> {
    let words = words.to_vec();
    let [name] = words.as_slice() else {
        return Ok(words);
    };
    if command.find_subcommand(name).is_some() {
        return Ok(words);
    }
    let mut found = Vec::new();
    by_name(command, &[], name, &mut found);
    match found.as_slice() {
        [] => Ok(words),
        [only] => Ok(only.split(' ').map(str::to_owned).collect()),
        several => Err(Error::Usage {
            message: format!("{name} is the name of several commands"),
            hint: format!("name one of them whole: {}", several.join(", ")),
        }),
    }
}

pub(super) fn help(args: &HelpArgs) -> Result<Outcome, Error> {
    let mut command = crate::command();
    command.build();
    let words = &meant(&command, &args.command)?;
    let mut found = &mut command;
    for (at, word) in words.iter().enumerate() {
        let known: Vec<String> = found
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(|command| command.get_name().to_owned())
            .collect();
        found = match found.find_subcommand_mut(word) {
            Some(found) => found,
            None => {
                return Err(Error::NotFound {
                    kind: "command",
                    name: words[..=at].join(" "),
                    known: match at {
                        0 => known,
                        _ => known
                            .iter()
                            .map(|name| format!("{} {name}", words[..at].join(" ")))
                            .collect(),
                    },
                });
            }
        };
    }
    Outcome::done(&Help {
        text: found.render_long_help().to_string(),
    })
}

pub(super) fn man(args: &ManArgs) -> Result<Outcome, Error> {
    let command = &meant(&crate::command(), &args.command)?;
    let name = std::iter::once("logctl")
        .chain(command.iter().map(String::as_str))
        .collect::<Vec<_>>()
        .join("-");
    let mut pages = generate::LOGCTL
        .man_pages()
        .map_err(|error| Error::Bug(format!("cannot write the manual: {error}")))?;
    match pages
        .iter()
        .position(|(file, _)| file.strip_suffix(".1") == Some(&name))
    {
        Some(index) => Outcome::done(&ManPage {
            page: text(pages.swap_remove(index).1)?,
        }),
        None => {
            let words = |file: &str| {
                Some(
                    file.strip_suffix(".1")?
                        .strip_prefix("logctl-")?
                        .replace('-', " "),
                )
            };
            let known = pages.iter().filter_map(|(file, _)| words(file)).collect();
            Err(Error::NotFound {
                kind: "command",
                name: command.join(" "),
                known,
            })
        }
    }
}

impl Present for Help {
    const KIND: &'static str = "Help";

    fn page(&self) -> Page {
        Page::new().with(Block::Verbatim(self.text.clone()))
    }
}

fn text(bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes)
        .map_err(|error| Error::Bug(format!("generated text is not UTF-8: {error}")))
}

impl Present for Completions {
    const KIND: &'static str = "Completions";

    fn page(&self) -> Page {
        Page::new().with(Block::Verbatim(self.script.clone()))
    }
}

impl Present for ManPage {
    const KIND: &'static str = "ManPage";

    fn page(&self) -> Page {
        Page::new().with(Block::Verbatim(self.page.clone()))
    }
}
