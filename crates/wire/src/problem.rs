//! What is wrong: findings and problem documents (RFC 9457).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Difference;
use crate::codes;

/// The media type of [`Problem`] (RFC 9457).
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// What is wrong, where, and what to do: an element of [`Problem::findings`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Stable identifier in kebab-case; scripts compare it.
    pub code: String,
    /// What is wrong, in words for a person.
    pub message: String,
    /// JSON pointer into the document.
    pub pointer: String,
    /// 1-based, when the server parsed text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// 1-based, when the server parsed text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// What the author of the document can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl From<logconfig::Finding> for Finding {
    fn from(finding: logconfig::Finding) -> Self {
        Self {
            code: finding.code.to_string(),
            message: finding.message,
            pointer: finding.pointer,
            line: finding.line,
            column: finding.column,
            hint: finding.hint,
        }
    }
}

/// An RFC 9457 problem document: every answer with a status of 400 and up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The problem's type: `urn:logctl:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short summary of the code.
    pub title: String,
    /// The HTTP status of the answer.
    pub status: u16,
    /// Stable identifier, kebab-case; see [`codes`].
    pub code: String,
    /// This occurrence, for a person.
    pub detail: String,
    /// What the caller can do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// All findings of a refused document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// The running configuration's entity tag (stale base).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_etag: Option<String>,
    /// Who changed it last (stale base).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<String>,
    /// When (stale base), RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<String>,
    /// What moved between the base and now (stale base).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// The operation concerned, when its outcome is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

impl Problem {
    /// A problem of this code, with nothing else to say.
    pub fn new((code, status, title): codes::Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:logctl:problem:{code}"),
            title: title.to_owned(),
            status,
            code: code.to_owned(),
            detail: detail.into(),
            hint: None,
            findings: Vec::new(),
            current_etag: None,
            changed_by: None,
            changed_at: None,
            differences: Vec::new(),
            operation: None,
        }
    }
}
