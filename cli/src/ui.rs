//! The only module that prints, asks and draws.
//!
//! What must never happen: anything but the one document on standard output with `-o json`; a question that nobody can answer; a progress
//! bar in a file.

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::Error;
use crate::exit;
use crate::manner::{ColorWhen, Form, Manner};
use crate::render::{self, Look};
use crate::report::{self, Outcome, Page};

/// How this run talks.
#[derive(Debug)]
pub struct Ui {
    manner: Manner,
    out: Look,
    err: Look,
    /// Standard input and standard error are both a terminal, and asking was not forbidden.
    can_ask: bool,
    draws: bool,
    standing: RefCell<Standing>,
    place: RefCell<Option<Place>>,
    /// Another program has the terminal, and Ctrl-C is for it.
    away: Cell<bool>,
}

/// The context that changes are made in.
#[derive(Clone, Debug)]
struct Place {
    name: String,
    protected: bool,
}

/// The unfinished state that Ctrl-C would leave behind now.
#[derive(Clone, Debug)]
struct Standing {
    state: String,
    resume: String,
    key: Option<String>,
}

/// A phase of the work that has not ended; over when dropped.
#[derive(Debug)]
pub struct Phase(Option<ProgressBar>);

impl Ui {
    /// Reads the flags, the environment and the terminal once.
    pub fn new(manner: Manner, spelled: &str) -> Self {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let width = width(out || err);
        Self {
            out: Look {
                width,
                color: color(manner.color, out),
            },
            err: Look {
                width,
                color: color(manner.color, err),
            },
            can_ask: io::stdin().is_terminal() && err && !manner.no_input,
            draws: err,
            standing: RefCell::new(Standing {
                state: "nothing was changed".into(),
                resume: format!("run `{spelled}` again when you are ready"),
                key: None,
            }),
            place: RefCell::new(None),
            away: Cell::new(false),
            manner,
        }
    }

    /// Whether [`Ui::confirm`] will ask.
    pub(crate) fn will_ask(&self) -> bool {
        let protected = self
            .place
            .borrow()
            .as_ref()
            .is_some_and(|place| place.protected);
        (!self.manner.yes || protected) && self.manner.confirm.is_none() && self.can_ask
    }

    /// Notes the context that changes are made in from now on.
    pub(crate) fn enter(&self, name: &str, protected: bool) {
        *self.place.borrow_mut() = Some(Place {
            name: name.to_owned(),
            protected,
        });
    }

    /// Whether a program reads standard output.
    pub(crate) fn is_scripted(&self) -> bool {
        self.manner.output.form() != Form::Table
    }

    /// Whether every question is answered already.
    pub(crate) fn says_yes(&self) -> bool {
        self.manner.yes
    }

    /// Notes what Ctrl-C would leave behind from now on.
    pub fn stand(&self, state: &str, resume: impl Into<String>) {
        *self.standing.borrow_mut() = Standing {
            state: state.to_owned(),
            resume: resume.into(),
            key: None,
        };
    }

    /// As [`Ui::stand`], while a request with this idempotency key is under way.
    pub(crate) fn stand_sent(&self, state: &str, resume: impl Into<String>, key: &str) {
        self.stand(state, resume);
        self.standing.borrow_mut().key = Some(key.to_owned());
    }

    /// Leaves the terminal to another program, or takes it back.
    pub(crate) fn away(&self, away: bool) {
        self.away.set(away);
    }

    /// Whether another program has the terminal.
    pub(crate) fn is_away(&self) -> bool {
        self.away.get()
    }

    /// The situation after Ctrl-C.
    pub fn interrupted(&self) -> Error {
        if self.can_ask {
            // An unanswered question has hidden the cursor.
            let _ = Term::stderr().show_cursor();
        }
        let Standing { state, resume, key } = self.standing.borrow().clone();
        Error::Interrupted { state, resume, key }
    }

    /// Shows a page on standard error: context for a question, or for whoever reads the CI log.
    pub(crate) fn show(&self, page: &Page) {
        let _ = write_all(&mut io::stderr(), &render::page(page, self.err));
    }

    /// Asks, if somebody can answer. `--yes` answers for them, except in a protected context; `--confirm` does in every context that it
    /// names.
    pub(crate) fn confirm(&self, question: &str) -> Result<(), Error> {
        let place = self.place.borrow().clone();
        if let Some(named) = &self.manner.confirm {
            return match place {
                Some(place) if place.name == *named => Ok(()),
                place => Err(Error::OtherContext {
                    named: named.clone(),
                    used: place.map(|place| place.name),
                }),
            };
        }
        let protected = place.filter(|place| place.protected);
        if self.manner.yes && protected.is_none() {
            return Ok(());
        }
        if !self.can_ask {
            let question = format!("\"{question}\"");
            return Err(match protected {
                Some(Place { name: context, .. }) => Error::Protected { question, context },
                None => Error::Unconfirmed { question },
            });
        }
        let question = self.fitting(&render::clean(question));
        let said = match protected {
            Some(Place { name, .. }) => {
                self.show(&Page::new().text(question));
                let prompt = format!("{name} is protected: type its name to go ahead");
                typed(&self.fitting(&prompt), &name)
            }
            None => dialoguer::Confirm::new()
                .with_prompt(question)
                .default(false)
                .wait_for_newline(true)
                .interact_on_opt(&Term::stderr())
                .map(|answer| answer == Some(true)),
        };
        self.answered(said)
    }

    fn answered(&self, said: dialoguer::Result<bool>) -> Result<(), Error> {
        match said {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Declined),
            Err(dialoguer::Error::IO(error)) if error.kind() == io::ErrorKind::Interrupted => {
                Err(self.interrupted())
            }
            Err(dialoguer::Error::IO(source)) => Err(Error::Read {
                what: "the terminal".into(),
                source,
            }),
        }
    }

    /// A question that fits on a line; a longer one is shown above, since a prompt that wraps is drawn wrong.
    fn fitting(&self, question: &str) -> String {
        const ANSWER: usize = 8;
        let width = self.err.width.map_or(usize::MAX, usize::from);
        if console::measure_text_width(question) + ANSWER <= width {
            return question.to_owned();
        }
        self.show(&Page::new().text(question));
        "go ahead?".to_owned()
    }

    /// Says something that does not change the outcome but should be known.
    pub(crate) fn warn(&self, text: &str) {
        let _ = write_all(&mut io::stderr(), &render::remark(true, text, self.err));
    }

    /// Says something that is good to know.
    pub(crate) fn note(&self, text: &str) {
        let _ = write_all(&mut io::stderr(), &render::remark(false, text, self.err));
    }

    /// Asks for `word` to be typed, which nobody does by accident. `--yes` and `--confirm` answer here as in [`Ui::confirm`]; a protected
    /// context asks for its own name first.
    pub(crate) fn confirm_typed(&self, question: &str, word: &str) -> Result<(), Error> {
        let protected = matches!(
            *self.place.borrow(),
            Some(Place {
                protected: true,
                ..
            })
        );
        if !self.will_ask() || protected {
            self.confirm(question)?;
        }
        if !self.will_ask() {
            return Ok(());
        }
        self.show(&Page::new().text(render::clean(question)));
        let prompt = render::clean(&format!("type {word} to go ahead"));
        self.answered(typed(&self.fitting(&prompt), word))
    }

    /// Asks a person what only a person can answer: `None` when nobody is there. `--yes` and `--confirm` do
    /// not answer it.
    pub(crate) fn ask(&self, question: &str) -> Result<Option<bool>, Error> {
        if !self.can_ask || self.manner.yes || self.manner.confirm.is_some() {
            return Ok(None);
        }
        match self.confirm(question) {
            Ok(()) => Ok(Some(true)),
            Err(Error::Declined) => Ok(Some(false)),
            Err(error) => Err(error),
        }
    }

    /// Prints one plain line of progress on standard error, for output that cannot show a bar.
    pub(crate) fn line(&self, text: &str) {
        let _ = write_all(&mut io::stderr(), &format!("{}\n", render::clean(text)));
    }

    /// Begins a phase: a spinner on a terminal, elsewhere one plain line.
    pub fn phase(&self, text: &str) -> Phase {
        let text = render::clean(text);
        if !self.draws {
            let _ = write_all(&mut io::stderr(), &format!("{text}\n"));
            return Phase(None);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        // The default is a bar, also where nothing is known to count.
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_message(text);
        bar.enable_steady_tick(Duration::from_millis(100));
        Phase(Some(bar))
    }

    /// Prints the result or the error, and returns the exit code.
    pub fn finish(&self, result: Result<Outcome, Error>) -> ExitCode {
        let text = match (self.manner.output.form(), &result) {
            (Form::Table, Ok(outcome)) => render::page(outcome.report.page(), self.out),
            (Form::Json, Ok(outcome)) => format!("{:#}\n", outcome.json()),
            (Form::Json, Err(error)) => format!("{:#}\n", report::error_document(error)),
            (Form::Jsonl, Ok(outcome)) => outcome
                .json_lines()
                .iter()
                .map(|line| format!("{line}\n"))
                .collect(),
            (Form::Jsonl, Err(error)) => format!("{}\n", report::error_document(error)),
            (Form::Name, Ok(outcome)) => outcome
                .names()
                .iter()
                .map(|name| render::clean(name) + "\n")
                .collect(),
            (Form::Table | Form::Name, Err(_)) => String::new(),
        };
        let unwritten = match write_all(&mut io::stdout(), &text) {
            // A reader that closed the pipe (`| head`) has read what it needs.
            Err(source) if source.kind() != io::ErrorKind::BrokenPipe => Some(Error::Write {
                what: "standard output".into(),
                source,
            }),
            _ => None,
        };
        let trouble = match result {
            Ok(outcome) => outcome.trouble,
            Err(error) => Some(error),
        };
        // The outcome for the log matters more than the fate of its report.
        match trouble.or(unwritten) {
            Some(error) => {
                let _ = write_all(&mut io::stderr(), &render::error(&error, self.err));
                ExitCode::from(exit::row(&error).exit)
            }
            None => ExitCode::from(exit::DONE),
        }
    }
}

/// Whether the word was typed.
fn typed(prompt: &str, word: &str) -> dialoguer::Result<bool> {
    dialoguer::Input::<String>::new()
        .with_prompt(prompt)
        .allow_empty(true)
        .report(false)
        .interact_text_on(&Term::stderr())
        .map(|typed| typed == word)
}

impl Phase {
    /// How many steps there are, from when that is known.
    pub fn total(&self, steps: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(steps);
            if let Ok(style) = ProgressStyle::with_template(
                "{spinner} {wide_msg} [{bar:20}] {human_pos}/{human_len}",
            ) {
                bar.set_style(style);
            }
        }
    }

    /// How many bytes there are, from when that is known.
    pub(crate) fn bytes(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(bytes);
            if let Ok(style) = ProgressStyle::with_template(
                "{spinner} {wide_msg} [{bar:20}] {binary_bytes}/{binary_total_bytes}",
            ) {
                bar.set_style(style);
            }
        }
    }

    /// Whether it is shown on a terminal.
    pub(crate) fn is_drawn(&self) -> bool {
        self.0.is_some()
    }

    /// How many are done.
    pub fn position(&self, done: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(done);
        }
    }

    /// The current phase, on a terminal.
    pub fn update(&self, text: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(render::clean(text));
        }
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Prints clap's output: help, version, or a refusal; still as one document with `-o json`.
pub fn usage(program: &str, error: &clap::Error, extra: Option<&str>, form: Form) -> ExitCode {
    use clap::error::ErrorKind;

    let plain = error.render().to_string();
    let asked = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let code = if asked { exit::DONE } else { exit::USAGE };
    if matches!(form, Form::Json | Form::Jsonl) {
        let document = if asked {
            serde_json::json!({ "apiVersion": report::API_VERSION, "kind": "Help", "text": plain })
        } else {
            // The first paragraph: `error: …` and its list.
            let paragraph: Vec<&str> = plain
                .lines()
                .take_while(|line| !line.is_empty())
                .map(str::trim)
                .collect();
            let message = paragraph.join(" ");
            let tip = plain
                .lines()
                .find_map(|line| line.trim_start().strip_prefix("tip: "));
            let help = format!("`{program} --help` lists the commands and options");
            report::usage_document(
                message.strip_prefix("error: ").unwrap_or(&message),
                extra.or(tip).unwrap_or(&help),
            )
        };
        let text = match form {
            Form::Jsonl => format!("{document}\n"),
            _ => format!("{document:#}\n"),
        };
        let _ = write_all(&mut io::stdout(), &text);
        return ExitCode::from(code);
    }
    let terminal = if asked {
        io::stdout().is_terminal()
    } else {
        io::stderr().is_terminal()
    };
    let mut text = if color(ColorWhen::Auto, terminal) {
        error.render().ansi().to_string()
    } else {
        plain
    };
    if let Some(extra) = extra {
        text.push_str(&format!("\nhint: {extra}\n"));
    }
    let _ = if asked {
        write_all(&mut io::stdout(), &text)
    } else {
        write_all(&mut io::stderr(), &text)
    };
    ExitCode::from(code)
}

fn write_all(stream: &mut dyn Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

/// Flag, then NO_COLOR, then CLICOLOR_FORCE, then the terminal.
fn color(when: ColorWhen, terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    match when {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        ColorWhen::Auto if set("NO_COLOR").is_some() => false,
        ColorWhen::Auto if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        ColorWhen::Auto => terminal && set("TERM").is_none_or(|term| term != "dumb"),
    }
}

/// COLUMNS, then the terminal's width; unlimited in a pipe.
fn width(terminal: bool) -> Option<u16> {
    let columns = std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|width| *width >= 20);
    columns.or_else(|| {
        if terminal {
            Term::stdout().size_checked().map(|(_, width)| width)
        } else {
            None
        }
    })
}
