//! The files that are generated from a program's definition and checked in: completion scripts and manual pages.
//!
//! What must never happen: output depends on the environment, the terminal or the time. Then the check that the checked-in files are
//! current would fail for some people only.

use std::io;
use std::path::{Path, PathBuf};

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::exit;

/// Shells with a completion script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// Completions for GNU Bash
    Bash,
    /// Completions for the Z shell
    Zsh,
    /// Completions for the fish shell
    Fish,
}

/// A program that has generated files.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The name as it is typed.
    pub name: &'static str,
    /// Makes the definition of its command line.
    pub command: fn() -> clap::Command,
    /// Its exit codes and what they mean.
    exits: &'static [(u8, &'static str)],
}

/// `logctl`, whose files are generated here.
pub const LOGCTL: Program = Program::new("logctl", crate::command);

impl Program {
    /// A program with the exit codes of `logctl`.
    #[must_use]
    pub const fn new(name: &'static str, command: fn() -> clap::Command) -> Self {
        Self {
            name,
            command,
            exits: &exit::MEANINGS,
        }
    }

    /// A program that uses only these of the exit codes.
    #[must_use]
    pub const fn with_exits(self, exits: &'static [(u8, &'static str)]) -> Self {
        Self { exits, ..self }
    }

    /// The completion script of a shell.
    #[must_use]
    pub fn completions(&self, shell: Shell) -> Vec<u8> {
        let shell = match shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Zsh => clap_complete::Shell::Zsh,
            Shell::Fish => clap_complete::Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut (self.command)(), self.name, &mut script);
        script
    }

    /// All manual pages, with their file names (`logctl-shard.1`), sorted.
    ///
    /// # Errors
    /// When a page cannot be written to memory.
    pub fn man_pages(&self) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut root = (self.command)();
        root.build();
        let mut pages = Vec::new();
        self.add_pages(&root, &mut pages)?;
        pages.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(pages)
    }

    fn add_pages(
        &self,
        command: &clap::Command,
        pages: &mut Vec<(String, Vec<u8>)>,
    ) -> io::Result<()> {
        let man = Man::new(command.clone()).manual(self.name).source(format!(
            "{} {}",
            self.name,
            env!("CARGO_PKG_VERSION")
        ));
        let mut page = Vec::new();
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        if command.has_subcommands() {
            man.render_subcommands_section(&mut page)?;
        }
        page.extend(examples(command).into_bytes());
        let last = if command.get_name() == self.name {
            exit_status(self.exits)
        } else {
            see_also(self.name)
        };
        page.extend(last.into_bytes());
        pages.push((man.get_filename(), page));
        for subcommand in command
            .get_subcommands()
            .filter(|subcommand| !subcommand.is_hide_set())
        {
            self.add_pages(subcommand, pages)?;
        }
        Ok(())
    }

    /// Every generated file, with its path from the repository's root.
    ///
    /// # Errors
    /// Those of [`Program::man_pages`].
    pub fn files(&self) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let scripts = [
            (Shell::Bash, format!("{}.bash", self.name)),
            (Shell::Zsh, format!("_{}", self.name)),
            (Shell::Fish, format!("{}.fish", self.name)),
        ];
        let mut files: Vec<_> = scripts
            .into_iter()
            .map(|(shell, name)| (Path::new("completions").join(name), self.completions(shell)))
            .collect();
        files.extend(
            self.man_pages()?
                .into_iter()
                .map(|(name, page)| (Path::new("man").join(name), page)),
        );
        Ok(files)
    }
}

/// The examples of the help text, line by line as they are typed.
fn examples(command: &clap::Command) -> String {
    let help = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in help.lines().filter_map(|line| line.strip_prefix("  ")) {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.to_roff()
}

fn exit_status(exits: &[(u8, &str)]) -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in exits {
        roff.control("TP", [])
            .text([bold(code.to_string())])
            .text([roman(*meaning)]);
    }
    roff.to_roff()
}

/// The page that has the exit codes.
fn see_also(name: &str) -> String {
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"])
        .text([bold(name), roman("(1), for the exit status")]);
    roff.to_roff()
}
