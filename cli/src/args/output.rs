//! `-o`: the form of the result, or, for the one command that makes a file of it, that file.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ValueEnum};

use super::{Command, ConfigCommand};

/// What `-o` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// A form of the result on standard output.
    Form(OutputForm),
    /// A file for the plan that `config plan` makes.
    File(PathBuf),
}

/// Form of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// For people
    #[default]
    Table,
    /// One document, whatever the outcome
    Json,
    /// One document a line: each element of a list, else the whole result
    Jsonl,
    /// One name a line: shards, logs, operations; nothing where nothing has one
    Name,
}

impl Output {
    /// The form; a plan that goes into a file leaves standard output to people.
    pub(crate) fn form(&self) -> OutputForm {
        match self {
            Self::Form(form) => *form,
            Self::File(_) => OutputForm::default(),
        }
    }
}

/// Anything with a `.` or a `/` is a file, everything else must be a form.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutputParser;

impl TypedValueParser for OutputParser {
    type Value = Output;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Output, clap::Error> {
        if value
            .as_encoded_bytes()
            .iter()
            .any(|byte| matches!(byte, b'.' | b'/'))
        {
            return Ok(Output::File(value.into()));
        }
        EnumValueParser::<OutputForm>::new()
            .parse_ref(command, arg, value)
            .map(Output::Form)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let forms = OutputForm::value_variants();
        Some(Box::new(
            forms.iter().filter_map(ValueEnum::to_possible_value),
        ))
    }
}

/// Only `config plan` makes a file.
pub(super) fn check(output: &Output, command: &Command) -> Result<(), clap::Error> {
    let (Output::File(path), false) = (
        output,
        matches!(command, Command::Config(ConfigCommand::Plan { .. })),
    ) else {
        return Ok(());
    };
    let forms = OutputForm::value_variants()
        .iter()
        .filter_map(ValueEnum::to_possible_value)
        .map(|form| form.get_name().to_owned());
    let mut error = clap::Error::new(ErrorKind::InvalidValue)
        .with_cmd(&<super::Cli as clap::CommandFactory>::command());
    for (kind, value) in [
        (
            ContextKind::InvalidArg,
            ContextValue::String("--output <FORM>".into()),
        ),
        (
            ContextKind::InvalidValue,
            ContextValue::String(path.display().to_string()),
        ),
        (
            ContextKind::ValidValue,
            ContextValue::Strings(forms.collect()),
        ),
    ] {
        error.insert(kind, value);
    }
    Err(error)
}
