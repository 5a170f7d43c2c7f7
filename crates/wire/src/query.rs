//! Query parameters. Unknown ones are refused.

use logconfig::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tlog::GlobalIndex;

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
    /// List the deleted logs instead of the others.
    #[serde(default)]
    pub deleted: bool,
}

/// The parameter of lists over several logs: `?log=NAME`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// Only elements of this log; of every log when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// The parameters of `GET logs/{log}/config`: `?generation=N`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigQuery {
    /// The generation whose document is returned; the running one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// The longest reason, in characters.
pub const MAX_REASON: usize = 500;

/// The parameter of changes that have no preview: `?reason=TEXT`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonQuery {
    /// The reason, in the caller's own words, for the audit trail and the history. At most 500 characters on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub reason: Option<String>,
}

/// The parameter of changes that have a preview and take no reason: `?dryRun=true`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PreviewQuery {
    /// Check the request, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// The parameters of changes that have a preview: `?dryRun=true&reason=TEXT`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct WriteQuery {
    /// Compute the effect of the change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// The reason, in the caller's own words, for the audit trail and the history. At most 500 characters on one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub reason: Option<String>,
}

/// The parameters of `PUT logs/{log}/config`: `?dryRun=true&confirmWithin=10m&reason=TEXT`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ConfigureQuery {
    /// Compute the effect of the change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Revert the change automatically unless it is confirmed within this time: 1s to 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_within: Option<Span>,
    /// The reason, in the caller's own words, for the audit trail and the history. At most 500 characters on one line.
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
    #[schemars(with = "Option<u64>")]
    pub before: Option<GlobalIndex>,
    /// Number of entries, 1 to 1000; 100 when absent.
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
    /// Time to look back, 1m to 7d; 24h when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Span>,
}
