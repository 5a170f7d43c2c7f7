//! The end of a command: the result or the error is printed, and the exit code follows from it.
//!
//! What must never happen: a change that was made is reported as one that changed nothing, or its request is forgotten before somebody
//! could read how it ended.

use std::io::{self, Write};
use std::process::ExitCode;

use super::Ui;
use crate::error::Error;
use crate::manner::Form;
use crate::report::{self, Outcome};
use crate::unfinished::RequestFile;
use crate::{exit, render};

/// A change that was made, and whose answer is not printed yet.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) state: String,
    pub(super) hint: String,
    /// The request that is kept until then, so that the same command continues it.
    pub(super) request: Option<(RequestFile, String)>,
}

impl Ui {
    /// Prints the result or the error, and returns the exit code.
    pub fn finish(&self, result: Result<Outcome, Error>) -> ExitCode {
        let made = self.made.take();
        let result = result.map_err(|error| match &made {
            Some(made) => made.before(error),
            None => error,
        });
        let text = self.text(&result);
        let unwritten = match (print(&mut io::stdout(), &text), made) {
            // A reader that closed the pipe (`| head`) has read what it needs, unless it was gone before the first byte.
            (Ok(()) | Err(Unprinted::Cut), made) => {
                if let Some((place, key)) = made.and_then(|made| made.request)
                    && is_over(&result)
                {
                    place.end(&key);
                }
                None
            }
            (Err(Unprinted::Failed(source)), Some(Made { state, hint, .. })) => {
                Some(Error::AnswerLost {
                    state,
                    hint,
                    source,
                })
            }
            (Err(Unprinted::Failed(source)), None) => (source.kind() != io::ErrorKind::BrokenPipe)
                .then(|| Error::Write {
                    what: "standard output".into(),
                    source,
                }),
        };
        let trouble = match result {
            Ok(outcome) => outcome.trouble,
            Err(error) => Some(error),
        };
        // The outcome for the log matters more than the fate of its report.
        match trouble.or(unwritten) {
            Some(error) => {
                self.tell(&render::error(&error, self.err));
                ExitCode::from(exit::row(&error).exit)
            }
            None => ExitCode::from(exit::DONE),
        }
    }

    /// The result or the error, in the form that was asked for.
    fn text(&self, result: &Result<Outcome, Error>) -> String {
        let scope = self.scope.borrow();
        let advice = result
            .as_ref()
            .map_or(&[][..], |outcome| outcome.report.advice());
        let completed = |mut document: serde_json::Value| {
            if let Some(error) = document.get_mut("error") {
                scope.complete_all(error);
            }
            scope.complete_fields(&mut document, advice);
            document
        };
        match (self.manner.output.form(), result) {
            (Form::Table, Ok(outcome)) => {
                render::page(&scope.complete_page(outcome.report.page()), self.out)
            }
            (Form::Json, Ok(outcome)) => format!("{:#}\n", completed(outcome.json())),
            (Form::Json, Err(error)) => {
                format!("{:#}\n", completed(report::error_document(error)))
            }
            (Form::Jsonl, Ok(outcome)) => outcome
                .json_lines()
                .into_iter()
                .map(|line| format!("{}\n", completed(line)))
                .collect(),
            (Form::Jsonl, Err(error)) => {
                format!("{}\n", completed(report::error_document(error)))
            }
            (Form::Name, Ok(outcome)) => outcome
                .names()
                .iter()
                .map(|name| render::clean(name) + "\n")
                .collect(),
            (Form::Table | Form::Name, Err(_)) => String::new(),
        }
    }
}

impl Made {
    /// An error that came after the change. Its own hint could say that nothing was changed.
    fn before(&self, error: Error) -> Error {
        match error {
            // These speak of the change themselves.
            Error::Interrupted { .. }
            | Error::Trail { .. }
            | Error::Waits { .. }
            | Error::NothingPublished { .. }
            | Error::Publishing { .. }
            | Error::Bug(_) => error,
            error => Error::AfterChange {
                state: self.state.clone(),
                hint: self.hint.clone(),
                source: Box::new(error),
            },
        }
    }
}

/// Whether the change has ended and its caller knows how: then the same command makes a new one.
fn is_over(result: &Result<Outcome, Error>) -> bool {
    match result {
        Ok(outcome) => matches!(
            outcome.trouble,
            None | Some(Error::RolledBack { .. } | Error::NotMade { .. })
        ),
        Err(_) => false,
    }
}

/// Why a text was not printed to its end.
enum Unprinted {
    /// The reader went away after it had read something.
    Cut,
    Failed(io::Error),
}

fn print(stream: &mut dyn Write, text: &str) -> Result<(), Unprinted> {
    let mut rest = text.as_bytes();
    let mut begun = false;
    while !rest.is_empty() {
        // Flushed each time: what is only in a buffer has reached nobody.
        let written = stream.write(rest).and_then(|count| {
            stream.flush()?;
            Ok(count)
        });
        match written {
            Ok(0) => return Err(Unprinted::Failed(io::ErrorKind::WriteZero.into())),
            Ok(count) => {
                begun = true;
                rest = rest.get(count..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if begun && error.kind() == io::ErrorKind::BrokenPipe => {
                return Err(Unprinted::Cut);
            }
            Err(error) => return Err(Unprinted::Failed(error)),
        }
    }
    Ok(())
}
