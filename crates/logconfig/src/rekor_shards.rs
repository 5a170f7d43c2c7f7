//! Rekor's list of inactive shards: read to the shards of a new log, and written from those of a running one.
//!
//! Rekor itself drops keys that it does not know without a word, so that a mistyped or outdated one changes which key signs a shard. What
//! must never happen here: a key is dropped and not named.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::finding::{Finding, Problem, join, quote};
use crate::model::{LogConfig, ShardConfig, ShardState};
use crate::name::ShardName;
use crate::tree::{self, Entry, Mark, Node, Value};

/// The shards that [`read_rekor`] found in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RekorShards {
    /// Frozen shards, oldest first, each named by its tree ID.
    pub shards: Vec<ShardConfig>,
    /// Every key of the list that has no place in a [`LogConfig`], with line and column.
    pub dropped: Vec<Finding>,
}

/// Tree IDs and lengths are signed 64-bit integers there.
const MAX: u64 = i64::MAX as u64;

/// Reads the list, YAML or JSON, as `--trillian_log_server.sharding_config` has it, or the answer of `GET /api/v1/log`, which
/// names the same shards.
///
/// In the configuration, a length of 0 means unknown: Rekor overwrites what stands there when it starts. After a shard of unknown length no
/// start index is known. In the answer, 0 is the real length: such a shard is left out, because shards without entries are not imported.
///
/// # Errors
/// All findings, with lines and columns.
pub fn read_rekor(text: &str) -> Result<RekorShards, Vec<Finding>> {
    // An empty file is an empty list to Rekor.
    if text.trim().is_empty() {
        return Ok(RekorShards {
            shards: Vec::new(),
            dropped: Vec::new(),
        });
    }
    let document = tree::read(text).map_err(|finding| vec![finding])?;
    let mut reader = Reader {
        findings: document.findings,
        dropped: Vec::new(),
        ids: HashSet::new(),
        start: Some(0),
    };
    let shards = match &document.root.value {
        Value::List(items) => reader.list(items, "", &CONFIG),
        Value::Map(entries) => match entries.iter().find(|entry| entry.key == "inactiveShards") {
            Some(Entry { node, .. }) => match &node.value {
                Value::List(items) => reader.list(items, "/inactiveShards", &INFO),
                Value::Null => Vec::new(),
                _ => reader.not_a_list(node, "/inactiveShards"),
            },
            None => reader.not_a_list(&document.root, ""),
        },
        Value::Null if reader.findings.is_empty() => Vec::new(),
        _ => reader.not_a_list(&document.root, ""),
    };
    if reader.findings.is_empty() {
        Ok(RekorShards {
            shards,
            dropped: reader.dropped,
        })
    } else {
        Err(reader.findings)
    }
}

/// Writes the frozen shards of a log as Rekor's list, and the active one's tree ID, which Rekor takes as a flag, as a comment.
/// Nothing but IDs and lengths: keys never leave the server.
#[must_use]
pub fn write_rekor(config: &LogConfig) -> String {
    let mut text = format!(
        "# Inactive shards of {}, oldest first: --trillian_log_server.sharding_config\n",
        config.origin
    );
    let id = |shard: &ShardConfig| shard.tree_id.clone();
    if let Some(active) = config.active()
        && let Some(id) = id(active)
    {
        let _ = writeln!(
            text,
            "# Active shard {}: --trillian_log_server.tlog_id={id}",
            active.name
        );
    }
    let mut empty = true;
    for shard in &config.shards {
        let (ShardState::Frozen, Some(id)) = (shard.state, id(shard)) else {
            continue;
        };
        empty = false;
        // Rekor gives a shard without `signingConfig` the active shard's key.
        let _ = writeln!(text, "- treeID: {id} # {}", shard.name);
        let _ = writeln!(text, "  treeLength: {}", shard.length.unwrap_or(0));
    }
    if empty {
        text.push_str("[]\n");
    }
    text
}

/// The keys of one form of the list.
struct Form {
    id: &'static str,
    length: &'static str,
    /// The keys of the root, and of what changes with each answer and is no setting.
    root: Option<&'static str>,
    passing: &'static [&'static str],
    /// Keys that Rekor understands and a [`LogConfig`] has no place for, and why that is.
    known: &'static [(&'static str, &'static str)],
}

const CONFIG: Form = Form {
    id: "treeID",
    length: "treeLength",
    root: None,
    passing: &[],
    known: &[
        (
            "signingConfig",
            "each shard gets a key of its own here; keys are never imported",
        ),
        (
            "grpcEndpoint",
            "there is no Trillian server behind a shard here",
        ),
    ],
};

const INFO: Form = Form {
    id: "treeID",
    length: "treeSize",
    root: Some("rootHash"),
    // An import asks for it again, and verifies it.
    passing: &["signedTreeHead"],
    known: &[],
};

struct Reader {
    findings: Vec<Finding>,
    dropped: Vec<Finding>,
    ids: HashSet<u64>,
    /// Global index of the next shard's first entry, while all lengths before it are known.
    start: Option<u64>,
}

impl Reader {
    fn report(&mut self, problem: Problem, at: Mark, pointer: String) {
        if self.findings.len() < tree::MAX_FINDINGS {
            self.findings.push(at.on(problem.at(pointer)));
        }
    }

    fn not_a_list(&mut self, node: &Node, pointer: &str) -> Vec<ShardConfig> {
        // A text that is broken is reported as such.
        if self.findings.is_empty() {
            let problem = Problem::new("not-rekor", "this is not Rekor's list of shards").hint(
                "it is a list of `treeID` and `treeLength`, oldest first, without the active shard",
            );
            self.report(problem, node.at, pointer.to_owned());
        }
        Vec::new()
    }

    fn list(&mut self, items: &[Node], pointer: &str, form: &Form) -> Vec<ShardConfig> {
        let mut shards = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let pointer = join(pointer, &index.to_string());
            match &item.value {
                Value::Map(entries) => {
                    shards.extend(self.shard(item.at, entries, &pointer, form));
                }
                Value::Refused => {}
                _ => {
                    let problem = Problem::new("not-rekor", "this is not a shard")
                        .hint(format!("a shard has `{}` and `{}`", form.id, form.length));
                    self.report(problem, item.at, pointer);
                }
            }
        }
        shards
    }

    fn shard(
        &mut self,
        at: Mark,
        entries: &[Entry],
        pointer: &str,
        form: &Form,
    ) -> Option<ShardConfig> {
        let known = form.known.iter().map(|(key, _)| *key);
        let words: Vec<&str> = known.chain([form.id, form.length]).collect();
        let (mut id, mut length, mut root) = (None, Some(0), None);
        for entry in entries {
            let at = join(pointer, &entry.key);
            if entry.key == form.id {
                id = Some(self.number(&entry.node, &at, 1));
            } else if entry.key == form.length {
                length = self.number(&entry.node, &at, 0);
            } else if form.root == Some(entry.key.as_str()) {
                root = self.root(&entry.node, &at);
            } else if !form.passing.contains(&entry.key.as_str()) {
                self.drop(entry, at, form, &words);
            }
        }
        let Some(id) = id else {
            let problem = Problem::new("missing", format!("this shard has no `{}`", form.id));
            self.report(problem, at, pointer.to_owned());
            return None;
        };
        let (id, length) = (id?, length?);
        if !self.ids.insert(id) {
            let message = format!("the tree {id} is in the list twice");
            self.report(
                Problem::new("tree-reused", message).hint("each shard is one tree"),
                at,
                pointer.to_owned(),
            );
            return None;
        }
        if length == 0 && form.root.is_some() {
            let message = format!("the tree {id} is left out: it has no entries");
            let problem = Problem::new("dropped", message);
            if self.dropped.len() < tree::MAX_FINDINGS {
                self.dropped.push(at.on(problem.at(pointer.to_owned())));
            }
            return None;
        }
        let name: ShardName = id.to_string().parse().ok()?;
        let mut shard = ShardConfig::new(name, ShardState::Frozen);
        shard.tree_id = Some(id.to_string());
        shard.start_index = self.start;
        shard.length = (length > 0).then_some(length);
        shard.root_hash = root;
        self.start = self
            .start
            .zip(shard.length)
            .and_then(|(start, length)| start.checked_add(length));
        Some(shard)
    }

    /// A root hash, 64 hexadecimal digits. `None`: reported.
    fn root(&mut self, node: &Node, pointer: &str) -> Option<String> {
        let text = match &node.value {
            Value::String(text) | Value::Integer(text) => text.as_str(),
            Value::Refused => return None,
            _ => "",
        };
        let is_root = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_root {
            let message = format!(
                "{} is not a root hash of 64 hexadecimal digits",
                quote(text)
            );
            let problem = Problem::new("not-a-root", message);
            self.report(problem, node.at, pointer.to_owned());
        }
        is_root.then(|| text.to_ascii_lowercase())
    }

    /// A number from `least` up, as such or, because of its size, in quotes. `None`: reported.
    fn number(&mut self, node: &Node, pointer: &str, least: u64) -> Option<u64> {
        let text = match &node.value {
            Value::Integer(text) | Value::String(text) => text.as_str(),
            Value::Refused => return None,
            _ => "",
        };
        let number = text
            .parse::<u64>()
            .ok()
            .filter(|number| (least..=MAX).contains(number));
        if number.is_none() {
            let message = if text.is_empty() {
                "this is not a whole number".to_owned()
            } else {
                format!(
                    "{} is not a whole number from {least} to {MAX}",
                    quote(text)
                )
            };
            self.report(
                Problem::new("not-a-number", message),
                node.at,
                pointer.to_owned(),
            );
        }
        number
    }

    fn drop(&mut self, entry: &Entry, pointer: String, form: &Form, words: &[&str]) {
        if self.dropped.len() >= tree::MAX_FINDINGS {
            return;
        }
        let known = form.known.iter().find(|(key, _)| *key == entry.key);
        let problem = match (known, entry.key.as_str()) {
            (Some((key, why)), _) => Problem::new("dropped", format!("`{key}` is left out: {why}")),
            (None, "encodedPublicKey") => {
                let message = "`encodedPublicKey` is left out: Rekor ignores it since 1.3.9, and gives the shard the active shard's key";
                Problem::new("unknown-key", message)
            }
            (None, key) => {
                let message = format!(
                    "the key {} is unknown, to Rekor too, which ignores it",
                    quote(key)
                );
                let near = words
                    .iter()
                    .map(|word| (strsim::jaro(word, key), word))
                    .filter(|(similarity, _)| *similarity > 0.8)
                    .max_by(|(a, _), (b, _)| a.total_cmp(b));
                let problem = Problem::new("unknown-key", message);
                match near {
                    Some((_, word)) => problem.hint(format!("did you mean `{word}`?")),
                    None => problem,
                }
            }
        };
        self.dropped.push(entry.at.on(problem.at(pointer)));
    }
}
