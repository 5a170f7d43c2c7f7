//! Findings and problem documents (RFC 9457).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Difference;
use crate::codes;

/// The media type of [`Problem`] (RFC 9457).
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// A fault of a document, its place and its remedy: an element of [`Problem::findings`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Stable identifier in kebab-case; scripts compare it.
    pub code: String,
    /// The fault, for a person.
    pub message: String,
    /// JSON pointer into the document.
    pub pointer: String,
    /// Line of the text, from 1, when the server parsed text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column of that line, from 1, when the server parsed text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The remedy, for the author of the document.
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
    /// Description of this occurrence, for a person.
    pub detail: String,
    /// The next step for the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether the hint is about the HTTP request, so that a client with options of its own has a better one. An older server does not say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hint_is_about_http: bool,
    /// All findings of a refused document.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// The running configuration's entity tag (stale base).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_etag: Option<String>,
    /// The actor that changed it last (stale base).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<String>,
    /// Time of the last change (stale base), RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<String>,
    /// The differences between the base and the running configuration (stale base).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// The operation concerned, when its outcome is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

impl Problem {
    /// A problem with this code and detail, and all other fields empty.
    pub fn new((code, status, title): codes::Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:logctl:problem:{code}"),
            title: title.to_owned(),
            status,
            code: code.to_owned(),
            detail: detail.into(),
            hint: None,
            hint_is_about_http: false,
            findings: Vec::new(),
            current_etag: None,
            changed_by: None,
            changed_at: None,
            differences: Vec::new(),
            operation: None,
        }
    }
}
