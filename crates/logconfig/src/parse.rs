//! Text to a configuration, or everything that is wrong with the text.
//!
//! Three passes, each of which continues after a mistake: the text to a tree ([`crate::tree`]), the tree against the schema
//! ([`crate::check`]), the document as a whole ([`LogConfig::validate`], [`change`]).

use crate::change::{DocumentChange, change};
use crate::check::{Checked, check};
use crate::finding::{Finding, Problem, join};
use crate::model::LogConfig;
use crate::schema::schema_ref;
use crate::tree::{self, Mark};

/// Reads a YAML or JSON document, strictly.
///
/// Defaults are filled in, except that a document without `shards` has none: see [`LogConfig::with_first_shard`].
///
/// # Errors
/// All findings in the order of the text, with lines and columns, at most about a hundred: never an empty list.
pub fn parse(text: &str) -> Result<LogConfig, Vec<Finding>> {
    let validate = |config: &LogConfig, _: &Checked| match config.validate() {
        findings if findings.is_empty() => Ok(()),
        findings => Err(findings),
    };
    examine(text, validate).map(|(config, ())| config)
}

/// [`parse`] and [`change`] in one, for a document that is to follow what runs: all findings at once, those of the text and
/// those of the change, each with line and column.
///
/// # Errors
/// As [`parse`] and [`change`].
pub fn parse_change(
    text: &str,
    running: &LogConfig,
) -> Result<(LogConfig, DocumentChange), Vec<Finding>> {
    examine(text, |config, checked| {
        // Shards are compared by name; where names are wrong, only the document itself can be judged.
        if checked.is_anonymous() {
            Err(config.validate())
        } else {
            change(running, config)
        }
    })
}

/// The three passes; `judge` is the last.
fn examine<T>(
    text: &str,
    judge: impl FnOnce(&LogConfig, &Checked) -> Result<T, Vec<Finding>>,
) -> Result<(LogConfig, T), Vec<Finding>> {
    let document = tree::read(text).map_err(|finding| vec![finding])?;
    let mut findings = document.findings;
    let mut checked = check(&document.root, schema_ref(), document.partial);
    findings.append(&mut checked.findings);
    let judged = match read(std::mem::take(&mut checked.value)) {
        // Half a document cannot be judged as a whole.
        Ok(_) if document.partial => Err(Vec::new()),
        Ok(config) => judge(&config, &checked).map(|judgement| (config, judgement)),
        Err(finding) => Err(vec![finding]),
    };
    let whole = match judged {
        Ok(good) if findings.is_empty() => return Ok(good),
        Ok(_) => Vec::new(),
        Err(whole) => whole,
    };
    let sound = |finding: &Finding| {
        let elsewhere: &[&str] = match finding.code {
            // The order of shards rests on the states of all.
            "shards-reordered" => &["/shards"],
            "unknown-tier" => &["/qos/tiers"],
            "unused-tier" => &["/qos/tenants"],
            "delay-too-short" => &["/merge/checkpointInterval"],
            "bad-storage-quorum" => &["/merge/storage/nodes"],
            "bad-backup-quorum" => &["/merge/secondaries"],
            _ => &[],
        };
        let mut rests_on = elsewhere.iter().copied().chain([finding.pointer.as_str()]);
        !rests_on.any(|pointer| checked.is_damaged(pointer))
    };
    let located = |finding: Finding| document.root.find(&finding.pointer).on(finding);
    findings.extend(whole.into_iter().filter(sound).map(located));
    if findings.is_empty() {
        findings
            .push(Mark::START.on(Problem::new("unreadable", "the document cannot be read").at("")));
    }
    Err(in_order(findings))
}

fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| (finding.line, finding.column));
    let more = findings.len().saturating_sub(tree::MAX_FINDINGS);
    if more > 0 {
        findings.truncate(tree::MAX_FINDINGS);
        let last = findings.last().and_then(|finding| {
            Some(Mark {
                line: finding.line?,
                column: finding.column?,
            })
        });
        let problem = Problem::new(
            "too-many-findings",
            format!("{more} or more other findings follow"),
        )
        .at("");
        findings.push(last.unwrap_or(Mark::START).on(problem));
    }
    findings
}

/// A tree that passed the schema fits the model; if the two ever disagree, the document is refused rather than misread.
fn read(mut value: serde_json::Value) -> Result<LogConfig, Finding> {
    // A shard without a key of its own gets the log's.
    if let Some(key) = value.get("key").cloned()
        && let Some(shards) = value.get_mut("shards").and_then(|list| list.as_array_mut())
    {
        for shard in shards.iter_mut().filter_map(|shard| shard.as_object_mut()) {
            shard.entry("key").or_insert_with(|| key.clone());
        }
    }
    let mut config: LogConfig = serde_path_to_error::deserialize(value).map_err(|error| {
        use serde_path_to_error::Segment;
        let pointer = error
            .path()
            .iter()
            .fold(String::new(), |pointer, segment| match segment {
                Segment::Seq { index } => join(&pointer, &index.to_string()),
                Segment::Map { key } => join(&pointer, key),
                Segment::Enum { .. } | Segment::Unknown => pointer,
            });
        Problem::new("unreadable", error.inner().to_string()).at(pointer)
    })?;
    config.fill_origin();
    Ok(config)
}

/// Gives findings about the document in `text` their lines and columns, by their pointers. For findings that were made
/// elsewhere, about the configuration that the text was read to. Those that have a position keep it.
pub fn locate(text: &str, findings: &mut [Finding]) {
    let Ok(document) = tree::read(text) else {
        return;
    };
    for finding in findings.iter_mut().filter(|finding| finding.line.is_none()) {
        let mark = document.root.find(&finding.pointer);
        finding.line = Some(mark.line);
        finding.column = Some(mark.column);
    }
}
