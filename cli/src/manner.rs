//! Options for output and questions: `-o`, `--color`, `--yes`, `--confirm`, `--no-input`.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::{Arg, ValueEnum};
use clap_complete::ArgValueCompleter;

use crate::complete;

/// Options for output and questions.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Manner {
    /// Answer yes to every question; a protected context needs --confirm
    #[arg(long, short = 'y', global = true)]
    pub yes: bool,
    /// Answer yes if NAME is the context in use; refuse otherwise
    #[arg(add = ArgValueCompleter::new(complete::contexts), long, global = true, value_name = "NAME")]
    pub confirm: Option<String>,
    /// Never ask; fail where an answer would be needed
    #[arg(long, global = true)]
    pub no_input: bool,
    /// Form of the result on standard output; `config plan` also accepts a file: plan.json
    #[arg(long, short = 'o', global = true, value_name = "FORM", value_parser = OutputParser, default_value = "table")]
    pub output: Output,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = ColorWhen::Auto)]
    pub color: ColorWhen,
}

/// The destination of the result, as `-o` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A form of the result on standard output.
    Form(Form),
    /// A file for the plan that `config plan` makes.
    File(PathBuf),
}

impl Default for Output {
    fn default() -> Self {
        Self::Form(Form::default())
    }
}

/// Form of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A table for people
    #[default]
    Table,
    /// One document, whatever the outcome
    Json,
    /// One document per line: each element of a list, else the whole result
    Jsonl,
    /// One name per line: shards, logs, operations; nothing if the result has no names
    Name,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal; NO_COLOR and CLICOLOR_FORCE are obeyed
    #[default]
    Auto,
    /// Always, even into a file
    Always,
    /// Never, even on a terminal
    Never,
}

impl Output {
    /// The form; a plan goes into a file, and standard output is a table.
    pub(crate) fn form(&self) -> Form {
        match self {
            Self::Form(form) => *form,
            Self::File(_) => Form::default(),
        }
    }
}

/// Anything with a `.` or a `/` is a file, everything else must be a form.
#[derive(Clone, Copy, Debug)]
struct OutputParser;

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
        EnumValueParser::<Form>::new()
            .parse_ref(command, arg, value)
            .map(Output::Form)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let forms = Form::value_variants();
        Some(Box::new(
            forms.iter().filter_map(ValueEnum::to_possible_value),
        ))
    }
}
