//! What may stand behind the `?` of a request. Unknown parameters are refused.

use logconfig::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most entries in a page of the audit trail.
pub const TRAIL_LIMIT: usize = 1000;

/// For a request that takes no parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoQuery {}

/// The parameters of `GET logs`: `?deleted=true`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogsQuery {
    /// Those that were deleted, instead of those that are there.
    #[serde(default)]
    pub deleted: bool,
}

/// The parameter of lists over several logs: `?log=NAME`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// Only what concerns this log; every log when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// The parameters of `GET logs/{log}/config`: `?generation=N`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigQuery {
    /// The document that this generation ran; the running one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// The longest reason, in characters.
pub const MAX_REASON: usize = 500;

/// The parameter of changes that have no preview: `?reason=TEXT`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonQuery {
    /// Why, in the caller's own words: for the audit trail and the history. At most 500 characters on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub reason: Option<String>,
}

/// The parameters of changes that have a preview: `?dryRun=true&reason=TEXT`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct WriteQuery {
    /// Only work out what the change would do.
    #[serde(default)]
    pub dry_run: bool,
    /// Why, in the caller's own words: for the audit trail and the history. At most 500 characters on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub reason: Option<String>,
}

/// The parameters of `PUT logs/{log}/config`: `?dryRun=true&confirmWithin=10m&reason=TEXT`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ConfigureQuery {
    /// Only work out what the change would do.
    #[serde(default)]
    pub dry_run: bool,
    /// Take the change back by itself unless it is confirmed within this time: 1s to 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_within: Option<Span>,
    /// Why, in the caller's own words: for the audit trail and the history. At most 500 characters on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub reason: Option<String>,
}

/// The parameters of `GET audit`: `?before=INDEX&limit=N&log=NAME`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrailQuery {
    /// Only entries before this index; the newest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// At most this many: 1 to 1000; 100 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<usize>,
    /// Only entries about this log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// The parameters of `POST logs/{log}/qos/simulate`: `?since=24h`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulateQuery {
    /// How far back: 1m to 7d; 24h when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Span>,
}
