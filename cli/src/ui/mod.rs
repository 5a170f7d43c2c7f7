//! The only module that prints, asks and draws.
//!
//! What must never happen: anything but the one document on standard output with `-o json`; a question that nobody can answer; a progress
//! bar in a file.

mod ending;
mod phase;
mod question;
mod usage;

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::Error;
use crate::manner::{ColorWhen, Form, Manner};
use crate::render::{self, Look};
use crate::report::Page;
use crate::scope::Scope;
use crate::settings::Overrides;
use crate::unfinished::RequestFile;

use ending::Made;
pub use phase::Phase;
pub use usage::usage;

/// The terminal, and the options for output and questions.
#[derive(Debug)]
pub struct Ui {
    manner: Manner,
    out: Look,
    err: Look,
    /// Standard input and standard error are both a terminal, and asking was not forbidden.
    can_ask: bool,
    draws: bool,
    standing: RefCell<Standing>,
    place: RefCell<Option<ChangeContext>>,
    scope: RefCell<Scope>,
    made: RefCell<Option<Made>>,
    /// Another program has the terminal, and Ctrl-C is for it.
    away: Cell<bool>,
}

/// The context that changes are made in.
#[derive(Clone, Debug)]
struct ChangeContext {
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
            scope: RefCell::default(),
            made: RefCell::default(),
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
        *self.place.borrow_mut() = Some(ChangeContext {
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

    /// Notes the server and the log that the command line names: the commands in hints name them as well.
    pub(crate) fn works_at(&self, overrides: &Overrides, log: Option<String>) {
        *self.scope.borrow_mut() = Scope::of(overrides, log);
    }

    /// Notes the log of a request. `settings` is the one in effect without a flag or an argument.
    pub(crate) fn works_on(&self, log: &str, settings: Option<&str>) {
        self.scope.borrow_mut().works_on(log, settings);
    }

    /// Notes that something was changed: if the answer can't be printed, the error says so, and `hint` what to do.
    pub(crate) fn made(&self, state: String, hint: String) {
        let request = self.made.take().and_then(|made| made.request);
        *self.made.borrow_mut() = Some(Made {
            state,
            hint,
            request,
        });
    }

    /// As [`Ui::made`], for a request that is kept until its answer is printed.
    pub(crate) fn made_as(&self, state: String, hint: String, kept: RequestFile, key: &str) {
        self.made(state, hint);
        if let Some(made) = &mut *self.made.borrow_mut() {
            made.request = Some((kept, key.to_owned()));
        }
    }

    /// Notes that a step of the command was made, and forgets its request: the rest of the command sees that it was made.
    pub(crate) fn stepped(&self, state: String, hint: &str) {
        if let Some((kept, key)) = self.made.take().and_then(|made| made.request) {
            kept.end(&key);
        }
        self.made(state, hint.to_owned());
    }

    /// Whether something was changed.
    pub(crate) fn has_made(&self) -> bool {
        self.made.borrow().is_some()
    }

    /// Writes a text for people, with the commands in it completed.
    fn tell(&self, text: &str) {
        let text = self.scope.borrow().complete(text);
        let _ = write_all(&mut io::stderr(), &text);
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
            // Whatever was drawn may have hidden the cursor.
            let _ = Term::stderr().show_cursor();
        }
        let Standing { state, resume, key } = self.standing.borrow().clone();
        Error::Interrupted { state, resume, key }
    }

    /// Shows a page on standard error: context for a question, or for whoever reads the CI log.
    pub(crate) fn show(&self, page: &Page) {
        let page = self.scope.borrow().complete_page(page);
        let _ = write_all(&mut io::stderr(), &render::page(&page, self.err));
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
                Some(ChangeContext { name: context, .. }) => Error::Protected { question, context },
                None => Error::Unconfirmed { question },
            });
        }
        let text = self.fitting(&render::clean(question));
        let said = match protected {
            Some(ChangeContext { name, .. }) => {
                self.show(&Page::new().text(text));
                let prompt = format!("{name} is protected: type its name to go ahead");
                typed(&self.fitting(&prompt), &name)
            }
            None => question::line(&format!("{text} [y/N]"), true)
                .map(|answer| answer.is_some_and(|answer| is_yes(&answer))),
        };
        self.answered(said)
    }

    /// As [`Ui::confirm`], for a change that only a protected context asks about.
    pub(crate) fn confirm_if_protected(&self, question: &str) -> Result<(), Error> {
        let protected = self
            .place
            .borrow()
            .as_ref()
            .is_some_and(|place| place.protected);
        if protected || self.manner.confirm.is_some() {
            return self.confirm(question);
        }
        Ok(())
    }

    fn answered(&self, said: io::Result<bool>) -> Result<(), Error> {
        match said {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Declined),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(self.interrupted()),
            Err(source) => Err(Error::Read {
                what: "the terminal".into(),
                source,
            }),
        }
    }

    /// A question that fits on a line; a longer one is shown above, since a prompt that wraps is drawn wrong.
    fn fitting(&self, question: &str) -> String {
        // ` [y/N]: ` and a `y`.
        const ANSWER: usize = 10;
        let width = self.err.width.map_or(usize::MAX, usize::from);
        if console::measure_text_width(question) + ANSWER <= width {
            return question.to_owned();
        }
        self.show(&Page::new().text(question));
        "go ahead?".to_owned()
    }

    /// Prints a warning that does not change the outcome.
    pub(crate) fn warn(&self, text: &str) {
        self.tell(&render::remark(true, text, self.err));
    }

    /// Says something that is good to know.
    pub(crate) fn note(&self, text: &str) {
        self.tell(&render::remark(false, text, self.err));
    }

    /// Asks the user to type `word`, which nobody does by accident. `--yes` and `--confirm` answer here as in [`Ui::confirm`]; a protected
    /// context asks for its own name first.
    pub(crate) fn confirm_typed(&self, question: &str, word: &str) -> Result<(), Error> {
        let protected = matches!(
            *self.place.borrow(),
            Some(ChangeContext {
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
}

/// Whether the word was typed.
fn typed(prompt: &str, word: &str) -> io::Result<bool> {
    question::line(prompt, false).map(|typed| typed.is_some_and(|typed| typed == word))
}

/// Whether an answer is a yes. Everything else is a no, an empty line among it.
fn is_yes(answer: &str) -> bool {
    let answer = answer.trim();
    ["y", "yes"]
        .iter()
        .any(|yes| answer.eq_ignore_ascii_case(yes))
}

/// Says something during an exchange with a server, which knows no terminal.
pub(crate) fn aside(text: &str) {
    let look = Look {
        width: None,
        color: color(ColorWhen::Auto, io::stderr().is_terminal()),
    };
    let _ = write_all(&mut io::stderr(), &render::remark(false, text, look));
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
