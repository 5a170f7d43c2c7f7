//! Text to a tree in which every key and value knows its line and column. YAML 1.2 core schema; JSON is a subset of it.
//!
//! Bounded whatever the text: its size, its depth, and no aliases, so that the tree is never larger than the text. A broken
//! text still gives the tree of what came before the break, so that its other mistakes can be reported too.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use serde_saphyr::granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, Span, StrInput};

use crate::finding::{Finding, Problem, join, quote};

/// Longest document, in bytes.
pub const MAX_BYTES: usize = 4 << 20;
/// Deepest nesting of lists and mappings; a valid document needs four.
pub const MAX_DEPTH: usize = 16;
/// Findings of one document that are reported; a text with more is not a document with mistakes but something else.
pub const MAX_FINDINGS: usize = 100;

/// A position in the text, both 1-based; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

impl Mark {
    pub(crate) const START: Self = Self { line: 1, column: 1 };

    pub(crate) fn on(self, mut finding: Finding) -> Finding {
        finding.line = Some(self.line);
        finding.column = Some(self.column);
        finding
    }
}

impl From<Span> for Mark {
    fn from(span: Span) -> Self {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            line: number(span.start.line()).max(1),
            column: number(span.start.col()).saturating_add(1),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Mark,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// Spelled as in the text.
    Integer(String),
    /// Spelled as in the text.
    Float(String),
    String(String),
    List(Vec<Node>),
    /// In the order of the text; keys are unique.
    Map(Vec<Entry>),
    /// Something that was reported already and has no value.
    Refused,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Mark,
    pub(crate) node: Node,
}

impl Node {
    /// The position of what `pointer` names: the value of a key that exists, else the nearest place that contains it.
    pub(crate) fn find(&self, pointer: &str) -> Mark {
        let mut node = self;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &node.value {
                Value::Map(entries) => entries
                    .iter()
                    .find(|entry| entry.key == step)
                    .map(|entry| &entry.node),
                Value::List(items) => step
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index)),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.at
    }
}

/// The part of a document that could be read.
pub(crate) struct Document {
    /// The tree, or the part of it before the break.
    pub(crate) root: Node,
    /// Problems of the text itself: syntax, duplicate keys, aliases.
    pub(crate) findings: Vec<Finding>,
    /// The text ends or breaks before the document does: what is missing in the tree may be in the text.
    pub(crate) partial: bool,
}

/// Reads a document; `Err` when there is nothing to look at.
pub(crate) fn read(text: &str) -> Result<Document, Finding> {
    if text.len() > MAX_BYTES {
        let problem = Problem::new(
            "too-large",
            format!(
                "the document has {} bytes, at most {MAX_BYTES} are read",
                text.len()
            ),
        );
        return Err(Mark::START.on(problem.at("")));
    }
    let mut options = Options::default();
    options.emit_comments = false;
    // Aliases are reported one by one, whether they resolve or not.
    options.emit_unresolved_aliases = true;
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader {
        parser,
        path: String::new(),
        depth: 0,
        findings: Vec::new(),
        stopped: false,
    };
    let root = reader.document();
    match root {
        Some(root) => Ok(Document {
            root,
            partial: reader.stopped,
            findings: reader.findings,
        }),
        None => Err(reader.findings.pop().unwrap_or_else(|| {
            let problem = Problem::new("empty-document", "the document is empty")
                .hint("`log: NAME` is the shortest valid one");
            Mark::START.on(problem.at(""))
        })),
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// JSON pointer of the node being read.
    path: String,
    depth: usize,
    findings: Vec<Finding>,
    /// Nothing more can be read.
    stopped: bool,
}

impl<'a> Reader<'a> {
    fn report(&mut self, problem: Problem, at: Mark) {
        self.findings.push(at.on(problem.at(self.path.clone())));
        self.stopped |= self.findings.len() >= MAX_FINDINGS;
    }

    /// The next event that matters; `None` once nothing more can be read.
    fn next(&mut self) -> Option<(Event<'a>, Mark)> {
        while !self.stopped {
            match self.parser.next_event() {
                None => self.stopped = true,
                Some(Ok((
                    Event::StreamStart | Event::DocumentStart(..) | Event::Anchor(..),
                    _,
                ))) => {}
                Some(Ok((event, span))) => return Some((event, span.into())),
                Some(Err(error)) => {
                    let at = Span::empty(*error.marker()).into();
                    let problem = match error.kind() {
                        // The parser's own limit, met while it looks ahead.
                        ErrorKind::RecursionLimitExceeded => too_deep(),
                        kind => Problem::new("syntax", format!("not valid YAML or JSON: {kind}")),
                    };
                    self.report(problem, at);
                    self.stopped = true;
                }
            }
        }
        None
    }

    fn document(&mut self) -> Option<Node> {
        let (event, at) = self.next()?;
        if matches!(event, Event::StreamEnd | Event::DocumentEnd) {
            return None;
        }
        let root = self.node(event, at);
        while let Some((event, at)) = self.next() {
            match event {
                Event::DocumentEnd => {}
                Event::StreamEnd => break,
                _ => {
                    self.report(
                        Problem::new("several-documents", "the text holds more than one document")
                            .hint("keep one, without `---`"),
                        at,
                    );
                    self.stopped = true;
                }
            }
        }
        Some(root)
    }

    fn node(&mut self, event: Event<'a>, at: Mark) -> Node {
        if event.anchor_id().is_some() {
            self.report(
                Problem::new("yaml-alias", "anchors and aliases are not read")
                    .hint("write the value out"),
                at,
            );
        }
        if event.tag().is_some() {
            self.report(
                Problem::new("yaml-tag", "tags are not read")
                    .hint("remove it; quotes make a value text"),
                at,
            );
        }
        let value = match event {
            Event::Scalar(text, ScalarStyle::Plain, ..) => plain(&text),
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::SequenceStart(..) | Event::MappingStart(..) if self.depth == MAX_DEPTH => {
                self.report(too_deep(), at);
                self.stopped = true;
                Value::Refused
            }
            Event::SequenceStart(..) => self.nested(Self::list),
            Event::MappingStart(..) => self.nested(Self::map),
            _ => {
                self.report(
                    Problem::new("yaml-alias", "anchors and aliases are not read")
                        .hint("write the value out"),
                    at,
                );
                Value::Refused
            }
        };
        Node { at, value }
    }

    fn nested(&mut self, read: impl FnOnce(&mut Self) -> Value) -> Value {
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    /// A node one step further down, with its place in the path.
    fn child(&mut self, step: &str, event: Event<'a>, at: Mark) -> Node {
        let here = self.path.len();
        self.path = join(&self.path, step);
        let node = self.node(event, at);
        self.path.truncate(here);
        node
    }

    fn list(&mut self) -> Value {
        let mut items = Vec::new();
        while let Some((event, at)) = self.next() {
            if event == Event::SequenceEnd {
                break;
            }
            items.push(self.child(&items.len().to_string(), event, at));
        }
        Value::List(items)
    }

    fn map(&mut self) -> Value {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, Mark> = HashMap::new();
        while let Some((event, at)) = self.next() {
            if event == Event::MappingEnd {
                break;
            }
            let key = match &event {
                Event::Scalar(text, ..) => text.clone().into_owned(),
                _ => {
                    self.node(event, at);
                    self.report(Problem::new("wrong-type", "a key is text"), at);
                    if let Some((event, at)) = self.next() {
                        self.node(event, at);
                    }
                    continue;
                }
            };
            // Looks for tags and anchors on the key.
            self.node(event, at);
            let Some((event, value_at)) = self.next() else {
                break;
            };
            let node = self.child(&key, event, value_at);
            match seen.entry(key.clone()) {
                Slot::Vacant(slot) => {
                    slot.insert(at);
                    entries.push(Entry { key, at, node });
                }
                Slot::Occupied(first) => {
                    let message = format!(
                        "{} is here twice, first in line {}",
                        quote(&key),
                        first.get().line
                    );
                    let finding = Problem::new("duplicate-key", message)
                        .hint("keep one of them")
                        .at(join(&self.path, &key));
                    self.findings.push(at.on(finding));
                    self.stopped |= self.findings.len() >= MAX_FINDINGS;
                }
            }
        }
        Value::Map(entries)
    }
}

fn too_deep() -> Problem {
    Problem::new("too-deep", format!("nested more than {MAX_DEPTH} deep"))
}

/// YAML 1.2 core schema (10.3.2).
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(text.to_owned()),
        _ => {}
    }
    let digits = |text: &str, radix| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let prefixed = text.strip_prefix("0o").is_some_and(|rest| digits(rest, 8))
        || text.strip_prefix("0x").is_some_and(|rest| digits(rest, 16));
    if digits(unsigned, 10) || prefixed {
        return Value::Integer(text.to_owned());
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let number = (digits(whole, 10) || whole.is_empty() && !fraction.is_empty())
        && (fraction.is_empty() || digits(fraction, 10))
        && digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent), 10);
    if number || matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        Value::Float(text.to_owned())
    } else {
        Value::String(text.to_owned())
    }
}

/// Whether the text, written without quotes, is read as just this string.
pub(crate) fn is_plain_string(text: &str) -> bool {
    matches!(plain(text), Value::String(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> &'static str {
        match plain(text) {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Integer(_) => "int",
            Value::Float(_) => "float",
            _ => "str",
        }
    }

    #[test]
    fn core_schema_scalars() {
        for text in ["0", "-12", "+7", "007", "0o17", "0xff", "0xDEADbeef"] {
            assert_eq!(kind(text), "int", "{text}");
        }
        for text in [
            "1.", ".5", "-.5", "1.5e3", "2026e1", "1E+9", ".inf", "-.INF", ".nan",
        ] {
            assert_eq!(kind(text), "float", "{text}");
        }
        for text in [
            "2026a", ".", "-", "+", "e1", ".e1", "0o8", "0xg", "1.2.3", "1e", "0o", "- 1", "nan",
            "yes", "tRue",
        ] {
            assert_eq!(kind(text), "str", "{text}");
        }
        for text in ["", "~", "null"] {
            assert_eq!(kind(text), "null", "{text}");
        }
    }

    #[test]
    fn positions_are_of_the_value() {
        let document = read("log: argon\nshards:\n  - name: \"2026a\"\n    state:  active\n")
            .ok()
            .unwrap();
        let at = |pointer: &str| {
            let mark = document.root.find(pointer);
            (mark.line, mark.column)
        };
        assert_eq!(at("/log"), (1, 6));
        assert_eq!(at("/shards/0/name"), (3, 11));
        assert_eq!(at("/shards/0/state"), (4, 13));
        assert_eq!(at("/shards/0/absent"), at("/shards/0"));
        assert_eq!(at("/shards/7"), at("/shards"));
        assert_eq!(at("/nothing/here"), at(""));
    }
}
