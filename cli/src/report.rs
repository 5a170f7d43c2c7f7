//! The result of a command, as a value: `Serialize` for scripts, a [`Page`] for people. Nothing here prints.
//!
//! What must never happen: the page has something that the value lacks, or the value lacks something that a script needs.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::exit;

/// The version of every document on standard output.
pub(crate) const API_VERSION: &str = "logctl/v1";

/// The result of a command, for people and for programs.
pub trait Present: Serialize {
    /// The `kind` of its JSON document.
    const KIND: &'static str;
    /// For a list: the field that holds its elements. `-o jsonl` prints one of them a line, `-o name` their names.
    const LIST: Option<&'static str> = None;
    /// JSON pointer from an element, or from the document when it is no list, to its name. Without one, `-o name` prints
    /// nothing.
    const NAME: &'static str = "";
    /// The fields whose texts may name commands: those of the server or of this program, never a user's.
    const ADVICE: &'static [&'static str] = &[];
    /// Whether the name is one that other commands know.
    fn is_named(&self) -> bool {
        true
    }
    /// The page that people see.
    fn page(&self) -> Page;
}

/// A result that no longer knows its type.
#[derive(Debug)]
pub(crate) struct Report {
    kind: &'static str,
    list: Option<&'static str>,
    name: &'static str,
    advice: &'static [&'static str],
    value: Value,
    page: Page,
}

/// A result, and possibly a situation that it ended in anyway (applied, but not everywhere).
#[derive(Debug)]
pub struct Outcome {
    pub(crate) report: Report,
    /// An error that occurred although there is a result.
    pub(crate) trouble: Option<Error>,
}

/// The output for people: blocks, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub(crate) blocks: Vec<Block>,
}

/// A part of a page.
#[derive(Clone, Debug)]
pub enum Block {
    /// A line or a paragraph.
    Text(String),
    /// Exactly these bytes: a document, a script.
    Verbatim(String),
    /// Rows of cells under a heading for each column.
    Table {
        /// The headings, in capitals.
        header: Vec<&'static str>,
        /// The rows, as long as the header.
        rows: Vec<Vec<Cell>>,
        /// How many of the last columns may be left out, rightmost first, where there is no room. JSON has them all.
        spare: usize,
    },
    /// Names and values, one pair a line.
    Fields(Vec<(&'static str, Cell)>),
}

/// A cell: text and its meaning.
#[derive(Clone, Debug)]
pub struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
    /// Whether the cell is aligned to the right, like a number.
    pub(crate) right: bool,
    /// Whether these are a user's words, which are shown as they are.
    pub(crate) quoted: bool,
}

/// The meaning of a cell, from which its colour follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Neither good nor bad; without a colour.
    Plain,
    /// As it should be, in use.
    Good,
    /// It comes later: planned, or asked for.
    Next,
    /// It is out of use.
    Past,
    /// An operator should check it.
    Bad,
}

impl Cell {
    /// A cell with a meaning.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
            right: false,
            quoted: false,
        }
    }

    /// The cell, aligned to the right.
    #[must_use]
    pub fn at_right(self) -> Self {
        Self {
            right: true,
            ..self
        }
    }

    /// The cell, with a user's words: no command in it is completed.
    #[must_use]
    pub fn quoted(self) -> Self {
        Self {
            quoted: true,
            ..self
        }
    }

    /// A cell with a number, or `-` for none.
    pub fn number(number: Option<impl ToString>) -> Self {
        Self {
            text: number.map_or_else(|| "-".into(), |n| n.to_string()),
            tone: Tone::Plain,
            right: true,
            quoted: false,
        }
    }

    /// A cell with a text, or `-` for none.
    pub fn maybe(text: Option<&str>) -> Self {
        text.unwrap_or("-").into()
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

impl Page {
    /// A page without any blocks.
    pub fn new() -> Self {
        Self::default()
    }

    /// A table, or a hint when there is nothing to list.
    pub(crate) fn listing(table: Block, none: &str) -> Self {
        match &table {
            Block::Table { rows, .. } if rows.is_empty() => Self::new().text(none),
            _ => Self::new().with(table),
        }
    }

    /// Adds one more block.
    pub fn with(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }

    /// Adds one more paragraph.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.with(Block::Text(text.into()))
    }

    /// Adds another page after it.
    pub(crate) fn then(mut self, page: Self) -> Self {
        self.blocks.extend(page.blocks);
        self
    }
}

impl Report {
    pub(crate) fn of<T: Present>(result: &T) -> Result<Self, Error> {
        let value = serde_json::to_value(result)
            .map_err(|error| Error::Bug(format!("cannot write the result as JSON: {error}")))?;
        Ok(Self {
            kind: T::KIND,
            list: T::LIST,
            name: if result.is_named() { T::NAME } else { "" },
            advice: T::ADVICE,
            value,
            page: result.page(),
        })
    }

    /// A document that is its own JSON form and already says its version and kind.
    pub(crate) fn document(value: Value, page: Page) -> Self {
        Self {
            kind: "",
            list: None,
            name: "",
            advice: &[],
            value,
            page,
        }
    }

    pub(crate) fn page(&self) -> &Page {
        &self.page
    }

    /// The fields whose texts may name commands.
    pub(crate) fn advice(&self) -> &'static [&'static str] {
        self.advice
    }

    /// The elements of a list, else the document itself.
    fn elements(&self) -> &[Value] {
        match self.list.and_then(|field| self.value.get(field)) {
            Some(Value::Array(elements)) => elements,
            Some(_) => &[],
            None => std::slice::from_ref(&self.value),
        }
    }

    /// The name of each element; none where an element has none.
    fn names(&self) -> impl Iterator<Item = String> {
        let name = |element: &Value| match element.pointer(self.name)? {
            Value::String(name) => Some(name.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        self.elements().iter().filter_map(name)
    }
}

impl Outcome {
    /// A result without trouble.
    pub fn done<T: Present>(result: &T) -> Result<Self, Error> {
        Self::with_trouble(result, None)
    }

    /// A result that may have ended in a situation.
    pub fn with_trouble<T: Present>(result: &T, trouble: Option<Error>) -> Result<Self, Error> {
        Ok(Self {
            report: Report::of(result)?,
            trouble,
        })
    }

    /// Adds a field at the top, which `-o name` also prints, and replaces the page.
    pub fn with(mut self, pointer: &'static str, value: Value, page: Page) -> Self {
        if let Value::Object(fields) = &mut self.report.value {
            fields.insert(pointer.trim_start_matches('/').to_owned(), value);
        }
        self.report.name = pointer;
        self.report.page = page;
        self
    }

    /// The one document that `-o json` prints.
    pub(crate) fn json(&self) -> Value {
        let mut document = Map::new();
        if !self.report.kind.is_empty() {
            document.insert("apiVersion".into(), API_VERSION.into());
            document.insert("kind".into(), self.report.kind.into());
        }
        match &self.report.value {
            Value::Object(fields) => document.extend(fields.clone()),
            other => {
                document.insert("value".into(), other.clone());
            }
        }
        if let Some(error) = &self.trouble {
            document.insert("error".into(), error_json(error));
        }
        Value::Object(document)
    }
}

impl Outcome {
    /// The output of `-o jsonl`: the elements of a list, one a line, or the one document. An error is a separate line, of kind `Error`.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        if self.report.list.is_none() {
            return vec![self.json()];
        }
        let ended = self.trouble.as_ref().map(error_document);
        self.report
            .elements()
            .iter()
            .cloned()
            .chain(ended)
            .collect()
    }

    /// The output of `-o name`, one name a line.
    pub(crate) fn names(&self) -> Vec<String> {
        self.report.names().collect()
    }
}

/// The document for an outcome that has no result.
pub(crate) fn error_document(error: &Error) -> Value {
    json!({ "apiVersion": API_VERSION, "kind": "Error", "error": error_json(error) })
}

/// The document for a command line that clap refused.
pub(crate) fn usage_document(message: &str, hint: &str) -> Value {
    json!({ "apiVersion": API_VERSION, "kind": "Error",
        "error": { "exitCode": exit::USAGE, "code": "usage", "message": message, "hint": hint, "findings": [] } })
}

fn error_json(error: &Error) -> Value {
    let row = exit::row(error);
    let mut fields = Map::new();
    fields.insert("exitCode".into(), row.exit.into());
    fields.insert("code".into(), row.code.into());
    fields.insert("message".into(), error.to_string().into());
    fields.insert("hint".into(), row.hint.into());
    let mut findings = json!([]);
    match error {
        Error::Invalid { findings: all, .. } => findings = json!(all),
        Error::Problem(problem) => {
            findings = json!(problem.findings);
            fields.insert("problem".into(), json!(problem));
        }
        Error::Stale(stale) => {
            fields.insert("baseEtag".into(), json!(stale.base));
            fields.insert("currentEtag".into(), json!(stale.current));
            fields.insert("changedBy".into(), json!(stale.changed_by));
            fields.insert("changedAt".into(), json!(stale.changed_at));
            fields.insert("moved".into(), json!(stale.moved));
        }
        Error::Trail {
            evidence: Some(evidence),
            ..
        } => {
            fields.insert("pinned".into(), json!(evidence.0));
            fields.insert("served".into(), json!(evidence.1));
        }
        Error::NotConverged {
            operation, lagging, ..
        } => {
            fields.insert("operation".into(), json!(operation));
            fields.insert("lagging".into(), json!(lagging));
        }
        Error::Waits { log, shard, .. } => {
            fields.insert("log".into(), json!(log));
            fields.insert("shard".into(), json!(shard));
        }
        Error::TimedOut { operation, .. } => {
            fields.insert("operation".into(), json!(operation));
        }
        Error::OutcomeUnknown { operation, key, .. } => {
            fields.insert("operation".into(), json!(operation));
            fields.insert("idempotencyKey".into(), json!(key));
        }
        Error::Interrupted { key: Some(key), .. } => {
            fields.insert("idempotencyKey".into(), json!(key));
        }
        _ => {}
    }
    fields.insert("findings".into(), findings);
    Value::Object(fields)
}
