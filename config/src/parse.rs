//! Text to a configuration, or everything that is wrong with the text.
//!
//! Three passes, each of which goes on after a mistake: the text to a tree ([`crate::tree`]), the tree against the schema
//! ([`crate::check`]), the document as a whole ([`LogConfig::validate`]).

use crate::check::check;
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
    let document = tree::read(text).map_err(|finding| vec![finding])?;
    let mut findings = document.findings;
    let mut checked = check(&document.root, schema_ref(), document.partial);
    let config = read(std::mem::take(&mut checked.value));
    let whole = match &config {
        // Of half a document nothing can be said as a whole.
        _ if document.partial => Vec::new(),
        Ok(config) => config.validate(),
        Err(finding) => vec![finding.clone()],
    };
    let whole = whole
        .into_iter()
        .filter(|finding| !checked.is_damaged(&finding.pointer));
    let whole: Vec<_> = whole
        .map(|finding| document.root.find(&finding.pointer).on(finding))
        .collect();
    findings.append(&mut checked.findings);
    findings.extend(whole);
    match config {
        Ok(config) if findings.is_empty() => Ok(config),
        Err(finding) if findings.is_empty() => Err(vec![finding]),
        _ => Err(in_order(findings)),
    }
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

/// What passed the schema fits the model; should the two ever disagree, the document is refused rather than misread.
fn read(value: serde_json::Value) -> Result<LogConfig, Finding> {
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
