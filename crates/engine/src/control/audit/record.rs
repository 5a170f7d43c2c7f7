//! The entries of the audit trail: JSON, one object each. Never a secret.

use order::Generation;
use serde::{Deserialize, Serialize};
use tlog::{GlobalIndex, Hash};

/// An entry of the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// A request for a change.
    Intent(Intent),
    /// The outcome of an intent.
    Outcome(Outcome),
    /// Something that is no change of a log.
    Event(Event),
}

/// A request for a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Id of the operation: 32 hex digits.
    pub operation: String,
    /// The log to change.
    pub log: String,
    /// The action that is asked for.
    pub action: String,
    /// The caller who asks for the change.
    pub actor: String,
    /// SHA-256 of the request.
    pub request: Hash,
    /// The reason, in the caller's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The server process that was asked.
    pub replica: String,
    /// When it was asked for, RFC 3339.
    pub time: String,
}

/// The outcome of an intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Id of the operation: 32 hex digits.
    pub operation: String,
    /// The log it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The intent's index in the system log.
    pub intent: GlobalIndex,
    /// The outcome in one word.
    pub result: Verdict,
    /// The generation after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// The reason, if the result needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When the outcome was known, RFC 3339.
    pub time: String,
}

/// An outcome in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The change was decided, and runs.
    Decided,
    /// The requested state already ran.
    Unchanged,
    /// Refused; nothing was changed.
    Refused,
    /// Not decided: found out after its process was gone.
    NotDecided,
    /// The outcome is unknown.
    Unknown,
}

/// Something that is no change of a log: a failed login, a token made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// The action that was made or tried.
    pub action: String,
    /// The caller that did it.
    pub actor: String,
    /// The log that it concerns, if it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Details, for a person.
    pub detail: String,
    /// The server process that saw it.
    pub replica: String,
    /// When it happened, RFC 3339.
    pub time: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_and_say_their_kind() {
        let intent = Intent {
            operation: "00".repeat(16),
            log: "dev".into(),
            action: "rotate".into(),
            actor: "uid:0".into(),
            request: Hash([7; 32]),
            reason: Some("the disk is full".into()),
            replica: "r".into(),
            time: "2026-11-28T12:00:00Z".into(),
        };
        let outcome = Outcome {
            operation: intent.operation.clone(),
            log: Some("dev".into()),
            intent: GlobalIndex::new(3),
            result: Verdict::NotDecided,
            generation: None,
            detail: None,
            time: "2026-11-28T12:00:00Z".into(),
        };
        let event = Event {
            action: "login-failed".into(),
            actor: "anonymous".into(),
            log: None,
            detail: "unknown token".into(),
            replica: "r".into(),
            time: "2026-11-28T12:00:00Z".into(),
        };
        for (record, kind) in [
            (Record::Intent(intent), "intent"),
            (Record::Outcome(outcome), "outcome"),
            (Record::Event(event), "event"),
        ] {
            let json = serde_json::to_value(&record).unwrap();
            assert_eq!(json["kind"], kind);
            assert_eq!(serde_json::from_value::<Record>(json).unwrap(), record);
        }
    }
}
