//! The server itself: its replicas, its diagnostics, its capabilities, and the caller's identity.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The result of a check: an element of `GET diagnostics`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// The check: `clock`, `disk`, `key-permissions`, `store-latency`, `tls-expiry`, `replicas`, `checkpoint-age`.
    pub check: String,
    /// The log concerned, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Severity of the finding.
    pub severity: Severity,
    /// The measured value, for a person: `42 GiB free`.
    pub measured: String,
    /// The remedy; present unless the severity is `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Severity of a finding of `GET diagnostics`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The check found nothing wrong.
    #[default]
    Ok,
    /// Will become a problem.
    Warning,
    /// Is a problem now.
    Critical,
}

/// `GET diagnostics`: the checks that this replica made of itself and its stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostics {
    /// The server's clock, RFC 3339 with milliseconds: compare it with yours.
    pub time: String,
    /// The replica that answers.
    pub replica: String,
    /// All checks, with their results.
    pub checks: Vec<Diagnosis>,
}

/// A server process that shares the stores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// 16 hex digits, new at each start of the process.
    pub id: String,
    /// Host name and process id, for a person.
    pub label: String,
    /// The newest slot format that it understands.
    pub format: u32,
    /// The generation of the log that it runs; absent in lists over all logs, or if it does not serve the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Seconds since its last heartbeat.
    pub age_seconds: u64,
}

/// The answer to `GET replicas?log=NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replicas {
    /// The replicas with a recent heartbeat.
    pub replicas: Vec<Replica>,
    /// The replicas whose heartbeats ended within the last hour without a clean stop.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<Replica>,
}

/// The answer to `GET whoami`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WhoAmI {
    /// The caller's name in the audit trail: `uid:0`, `token:ci`.
    pub actor: String,
    /// The caller's permissions, as `resource:verb:log` with `*` for any.
    pub permissions: Vec<String>,
    /// The server's program and version: `logd 0.1.0`; absent when it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The server's capabilities beyond the basics.
    #[serde(default = "Capabilities::unlisted")]
    pub capabilities: Capabilities,
}

/// Features of a server beyond shards, rotation and `merge.checkpointInterval`, which documents and requests may use. A server that
/// does not list them is assumed to have all but `announce`, which is newer than the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Capabilities {
    /// Tiers, tenants and tokens of writers: `qos` in a document, `GET logs/{log}/qos`.
    pub qos: bool,
    /// Storage nodes, secondaries, a backup quorum, frontends: `merge` in a document.
    pub merge: bool,
    /// A policy of witnesses: `witnesses` in a document.
    pub witnesses: bool,
    /// Changes that are reverted unless somebody confirms them: `?confirmWithin=`.
    pub probation: bool,
    /// Shards with keys of `ecdsa-p256`, and origins that are host names: `key` and `originForm` in a document.
    pub ecdsa: bool,
    /// A front for Sigstore's clients: `rekor` in a document.
    pub rekor: bool,
    /// Records of announced keys: `POST logs/{log}/announcements`, `rotate.requireAnnounced` and `rotate.settle` in a document.
    #[serde(default = "no")]
    pub announce: bool,
}

fn no() -> bool {
    false
}

impl Capabilities {
    /// The capabilities of a server that lists none.
    fn unlisted() -> Self {
        Self {
            announce: false,
            ..Self::default()
        }
    }
}

impl Default for Capabilities {
    fn default() -> Self {
        Self {
            qos: true,
            merge: true,
            witnesses: true,
            probation: true,
            ecdsa: true,
            rekor: true,
            announce: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_says_so_records_announced_keys() {
        let can = |capabilities: &str| {
            let text = format!(r#"{{"actor": "uid:0", "permissions": []{capabilities}}}"#);
            let who: WhoAmI = serde_json::from_str(&text).unwrap();
            (who.capabilities.announce, who.capabilities.rekor)
        };
        assert_eq!(can(""), (false, true));
        assert_eq!(can(r#", "capabilities": {"rekor": true}"#), (false, true));
        assert_eq!(can(r#", "capabilities": {"announce": true}"#), (true, true));
    }
}
