//! Checks a tree against the schema: finds every unknown key, wrong type and bad value, not only the first. Wrong values are left
//! out of the result or replaced by a placeholder, so that the rest can still be judged as a whole.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Map, Value as Json};

use crate::finding::{Finding, Problem, join, quote};
use crate::name::{LogName, NameError, NodeName, ShardName, TenantName, TierName};
use crate::qos::{ByteRate, Percent, Rate, Urgency};
use crate::span::Span;
use crate::text::nearest;
use crate::tree::{Entry, MAX_FINDINGS, Mark, Node, Value};

/// The beginning of the names that replace wrong ones.
pub(crate) const PLACEHOLDER: &str = "placeholder.";

/// The result of a check.
pub(crate) struct Checked {
    /// The value without everything that is wrong.
    pub(crate) value: Json,
    pub(crate) findings: Vec<Finding>,
    /// Pointers of the values that were removed or replaced: findings about those places cannot be trusted.
    damaged: Vec<String>,
}

impl Checked {
    /// Whether a finding about `pointer` depends on a value that was removed.
    pub(crate) fn is_damaged(&self, pointer: &str) -> bool {
        let under = |above: &str, below: &str| {
            below
                .strip_prefix(above)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.damaged
            .iter()
            .any(|damaged| under(damaged, pointer) || under(pointer, damaged))
    }

    /// Whether it is uncertain which log or which shards the document means.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.damaged.iter().any(|damaged| {
            let steps: Vec<_> = damaged.split('/').skip(1).collect();
            matches!(
                steps.as_slice(),
                [] | ["log" | "shards"] | ["shards", _] | ["shards", _, "name"]
            )
        })
    }
}

/// Checks `root` against `schema` (which has no references). In a `partial` tree nothing is missing.
pub(crate) fn check(root: &Node, schema: &Json, partial: bool) -> Checked {
    let mut walk = Walk {
        root: schema,
        partial,
        findings: Vec::new(),
        damaged: Vec::new(),
    };
    let value = walk
        .node(root, schema, "")
        .unwrap_or_else(|| walk.placeholder(schema, ""));
    Checked {
        value,
        findings: walk.findings,
        damaged: walk.damaged,
    }
}

struct Walk<'a> {
    root: &'a Json,
    partial: bool,
    findings: Vec<Finding>,
    damaged: Vec<String>,
}

impl Walk<'_> {
    fn report(&mut self, problem: Problem, pointer: &str, at: Mark) {
        self.findings.push(at.on(problem.at(pointer)));
    }

    fn full(&self) -> bool {
        self.findings.len() >= MAX_FINDINGS
    }

    /// The node's value as JSON; `None` when it has none that fits, which is then reported.
    fn node(&mut self, node: &Node, schema: &Json, pointer: &str) -> Option<Json> {
        let result = match &node.value {
            Value::Refused => return self.damage(pointer),
            Value::Map(entries) if takes(schema, "object") => {
                return Some(self.map(node.at, entries, schema, pointer));
            }
            Value::List(items) if takes(schema, "array") => {
                return Some(self.list(items, schema, pointer));
            }
            Value::Null if takes(schema, "null") => Ok(Json::Null),
            Value::Bool(value) if takes(schema, "boolean") => Ok((*value).into()),
            Value::Integer(text) if takes(schema, "integer") => integer(text, schema),
            Value::String(text) if takes(schema, "string") => string(text, schema),
            other => Err(wrong_type(other, schema)),
        };
        match result {
            Ok(value) => Some(value),
            Err(problem) => {
                self.report(problem, pointer, node.at);
                self.damage(pointer)
            }
        }
    }

    fn damage(&mut self, pointer: &str) -> Option<Json> {
        self.damaged.push(pointer.to_owned());
        None
    }

    fn list(&mut self, items: &[Node], schema: &Json, pointer: &str) -> Json {
        let item_schema = schema.get("items").unwrap_or(&Json::Null);
        let mut list = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if self.full() {
                break;
            }
            let pointer = join(pointer, &index.to_string());
            // A placeholder keeps the later items at their index, so that findings about them point at them.
            let value = self
                .node(item, item_schema, &pointer)
                .unwrap_or_else(|| self.placeholder(item_schema, &pointer));
            list.push(value);
        }
        Json::Array(list)
    }

    fn map(&mut self, at: Mark, entries: &[Entry], schema: &Json, pointer: &str) -> Json {
        let mut map = Map::new();
        for entry in entries {
            if self.full() {
                break;
            }
            let pointer = join(pointer, &entry.key);
            match properties(schema).and_then(|known| known.get(&entry.key)) {
                Some(schema) => {
                    if let Some(value) = self.node(&entry.node, schema, &pointer) {
                        map.insert(entry.key.clone(), value);
                    }
                }
                None => {
                    let problem = unknown_key(&entry.key, schema, self.root);
                    self.report(problem, &pointer, entry.at);
                }
            }
        }
        self.fill(&mut map, schema, pointer, |walk, key| {
            let given = entries.iter().any(|entry| entry.key == key);
            if !given && !walk.partial {
                walk.report(
                    Problem::new("missing-key", format!("`{key}` is missing")),
                    &join(pointer, key),
                    at,
                );
            }
        });
        Json::Object(map)
    }

    /// Puts placeholders where a required key has no value.
    fn fill(
        &mut self,
        map: &mut Map<String, Json>,
        schema: &Json,
        pointer: &str,
        mut missing: impl FnMut(&mut Self, &str),
    ) {
        for key in schema
            .get("required")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
        {
            if !map.contains_key(key) {
                missing(self, key);
                let pointer = join(pointer, key);
                let value = properties(schema)
                    .and_then(|known| known.get(key))
                    .map(|schema| self.placeholder(schema, &pointer));
                map.insert(key.to_owned(), value.unwrap_or_default());
            }
        }
    }

    /// A value that fits the schema and stands for one that is wrong.
    fn placeholder(&mut self, schema: &Json, pointer: &str) -> Json {
        self.damaged.push(pointer.to_owned());
        if takes(schema, "object") {
            let mut map = Map::new();
            self.fill(&mut map, schema, pointer, |_, _| {});
            Json::Object(map)
        } else {
            // Unique, and a name: the required values are names, or texts that are judged with the whole.
            Json::String(format!("{PLACEHOLDER}{}", self.damaged.len()))
        }
    }
}

fn properties(schema: &Json) -> Option<&Map<String, Json>> {
    schema.get("properties").and_then(Json::as_object)
}

/// Whether the schema takes values of that type.
fn takes(schema: &Json, kind: &str) -> bool {
    match schema.get("type") {
        Some(Json::String(only)) => only == kind,
        Some(Json::Array(several)) => several.iter().any(|one| one == kind),
        // An enumeration of documented words has its type inside.
        _ => kind == "string" && !words(schema).is_empty(),
    }
}

/// The words of an enumeration; empty when the schema is none.
fn words(schema: &Json) -> Vec<&str> {
    let listed = schema
        .get("enum")
        .and_then(Json::as_array)
        .into_iter()
        .flatten();
    let documented = schema
        .get("oneOf")
        .and_then(Json::as_array)
        .into_iter()
        .flatten();
    let documented = documented
        .chain([schema])
        .filter_map(|one| one.get("const"));
    listed.chain(documented).filter_map(Json::as_str).collect()
}

fn wrong_type(value: &Value, schema: &Json) -> Problem {
    let expected = if takes(schema, "object") {
        "a mapping"
    } else if takes(schema, "array") {
        "a list"
    } else if takes(schema, "integer") {
        "a whole number"
    } else if takes(schema, "boolean") {
        "true or false"
    } else {
        "text"
    };
    let (found, shown) = match value {
        Value::Null => ("nothing", None),
        Value::Bool(value) => ("a truth value", Some(value.to_string())),
        Value::Integer(text) | Value::Float(text) => ("a number", Some(text.clone())),
        Value::String(text) => ("text", Some(text.clone())),
        Value::List(_) => ("a list", None),
        Value::Map(_) | Value::Refused => ("a mapping", None),
    };
    let shown = shown
        .map(|text| format!(" {}", quote(&text)))
        .unwrap_or_default();
    let problem = Problem::new(
        "wrong-type",
        format!("expected {expected}, found {found}{shown}"),
    );
    match value {
        Value::Null => problem.hint("give it a value or remove the key"),
        Value::Bool(_) | Value::Integer(_) | Value::Float(_) if expected == "text" => {
            match unit(schema) {
                Some(example) => problem.hint(format!("give it a unit, for example {example}")),
                None => problem.hint("put it in double quotes"),
            }
        }
        Value::String(text) if expected == "a whole number" && text.parse::<u64>().is_ok() => {
            problem.hint("remove the quotes")
        }
        _ => problem,
    }
}

/// An example of the value, for a schema of numbers with a unit.
fn unit(schema: &Json) -> Option<&'static str> {
    match schema.get("format").and_then(Json::as_str)? {
        "span" => Some("200ms"),
        "percent" => Some("3%"),
        "rate" => Some("5000/s"),
        "byte-rate" => Some("10MiB/s"),
        _ => None,
    }
}

/// All numbers of the model are counts.
fn integer(text: &str, schema: &Json) -> Result<Json, Problem> {
    let most = match schema.get("format").and_then(Json::as_str) {
        Some("uint32") => u64::from(u32::MAX),
        _ => u64::MAX,
    };
    let number = text.parse::<u64>().ok().filter(|number| *number <= most);
    number.map(Json::from).ok_or_else(|| {
        let message = format!("{} is not a decimal number from 0 to {most}", quote(text));
        Problem::new("bad-value", message)
    })
}

fn string(text: &str, schema: &Json) -> Result<Json, Problem> {
    let words = words(schema);
    if !words.is_empty() && !words.contains(&text) {
        let list = words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(" or ");
        let problem = Problem::new("bad-value", format!("{} is not {list}", quote(text)));
        return Err(match nearest(text, words.into_iter()) {
            Some(word) => problem.hint(format!("did you mean `{word}`?")),
            None => problem,
        });
    }
    match schema.get("format").and_then(Json::as_str) {
        Some("log-name") => named::<LogName>(text)?,
        Some("shard-name") => named::<ShardName>(text)?,
        Some("tier-name") => named::<TierName>(text)?,
        Some("tenant-name") => named::<TenantName>(text)?,
        Some("node-name") => named::<NodeName>(text)?,
        Some("span") => value::<Span>(text)?,
        Some("percent") => value::<Percent>(text)?,
        Some("rate") => value::<Rate>(text)?,
        Some("byte-rate") => value::<ByteRate>(text)?,
        Some("urgency") => value::<Urgency>(text)?,
        _ => {}
    }
    Ok(text.into())
}

fn named<T: FromStr<Err = NameError>>(text: &str) -> Result<(), Problem> {
    text.parse::<T>()
        .map(drop)
        .map_err(|error| error.problem(text))
}

fn value<T: FromStr<Err: Display>>(text: &str) -> Result<(), Problem> {
    text.parse::<T>().map(drop).map_err(|error| {
        let message = format!("{} is not valid: {error}", quote(text));
        Problem::new("bad-value", message)
    })
}

fn unknown_key(key: &str, schema: &Json, root: &Json) -> Problem {
    let problem = Problem::new("unknown-key", format!("unknown key {}", quote(key)));
    let known = || {
        properties(schema)
            .into_iter()
            .flat_map(Map::keys)
            .map(String::as_str)
    };
    if let Some(near) = nearest(key, known()) {
        return problem.hint(format!("did you mean `{near}`?"));
    }
    match elsewhere(key, root, "") {
        Some(section) if section.is_empty() => problem.hint(format!("`{key}` belongs at the top")),
        Some(section) => problem.hint(format!("`{key}` belongs in `{section}`")),
        None => problem.hint(format!(
            "known here: {}",
            known().collect::<Vec<_>>().join(", ")
        )),
    }
}

/// The section of the document that has this key, as a dotted path.
fn elsewhere(key: &str, schema: &Json, path: &str) -> Option<String> {
    let known = properties(schema).or_else(|| schema.get("items").and_then(properties))?;
    if known.contains_key(key) {
        return Some(path.to_owned());
    }
    known.iter().find_map(|(name, schema)| {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        elsewhere(key, schema, &path)
    })
}
