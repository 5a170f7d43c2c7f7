//! Quality of service as an operator writes it: tiers (promises and shares), tenants (the tiers that writers may use) and the
//! tokens of writers. Only hashes of tokens are here; removing one revokes it.

mod compare;
mod text;
mod token;
mod validate;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use text::{
    ByteRate, ByteRateError, Percent, PercentError, Rate, RateError, Urgency, UrgencyError,
};
pub use token::{TOKEN_PREFIX, is_token_hash, token_hash, token_text};
pub use validate::{MAX_TENANTS, MAX_TIERS, MAX_TOKENS};

pub(crate) use compare::compare;

use crate::name::{TenantName, TierName};
use crate::span::Span;

/// Quality of service: tiers and tenants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(inline)]
pub struct QosConfig {
    /// Classes of writes, at most 32.
    pub tiers: Vec<TierConfig>,
    /// Writers, with the tiers that they may use; at most 1000.
    pub tenants: Vec<TenantConfig>,
}

/// One class of writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct TierConfig {
    /// Name of the tier, unique among the tiers; the answer to a write contains it.
    pub name: TierName,
    /// Promise: accepted writes are published within this time, up to 365d (absent: none).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_merge_delay: Option<Span>,
    /// Elastic work gives way so that writes are durable within this (absent: no target).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_target: Option<Span>,
    /// Share of the capacity that the floors leave, relative to the other tiers: 1 to 1000.
    #[serde(default = "one")]
    pub weight: u32,
    /// Share that the tier gets whatever the others do; all floors together at most 100%.
    #[serde(default)]
    pub floor: Percent,
    /// Entries that a tenant may send at once beyond its rate.
    #[serde(default = "burst")]
    pub burst: u64,
    /// Advice `Priority: u=N` that selects the tier, 0 most urgent: "3", "1-2" or none.
    #[serde(default)]
    pub priority: Urgency,
}

/// A writer, or a group of writers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct TenantConfig {
    /// Name of the tenant, unique among the tenants.
    pub name: TenantName,
    /// Tiers it may use; the first is for writes without advice.
    #[serde(default)]
    pub tiers: Vec<TierName>,
    /// Highest rate of entries (absent: no limit).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Highest rate of bytes (absent: no limit).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ByteRate>,
    /// Share of each tier, relative to the other tenants: 1 to 1000.
    #[serde(default = "one")]
    pub weight: u32,
    /// Whether writers without a token belong to this tenant; at most one tenant has this.
    #[serde(default)]
    pub anonymous: bool,
    /// Writers' tokens, at most 32; `logctl qos set tenant NAME --add-token` makes one.
    #[serde(default)]
    pub tokens: Vec<WriterToken>,
}

/// The hash of a token that makes its bearer a writer of the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct WriterToken {
    /// Name of the token, unique among the tenant's tokens.
    pub name: String,
    /// SHA-256 of the token's text, 64 hex digits; removing it revokes the token.
    pub sha256: String,
    /// Expiry, RFC 3339 (absent: valid until it is removed).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

const fn one() -> u32 {
    1
}

/// Default burst, in entries.
const fn burst() -> u64 {
    10_000
}

/// The tiers that come with the server, and the tenants that make them usable: one for writers without a token, and one for the
/// operator's own writers, which alone may use `critical` and has no token until the operator adds one.
impl Default for QosConfig {
    fn default() -> Self {
        let tier = |name, max_merge_delay, weight, floor, priority| TierConfig {
            name: TierName::shipped(name),
            max_merge_delay,
            latency_target: None,
            weight,
            floor: Percent::whole(floor),
            burst: burst(),
            priority,
        };
        let tenant = |name, anonymous, tiers: &[&'static str]| TenantConfig {
            name: TenantName::shipped(name),
            tiers: tiers.iter().copied().map(TierName::shipped).collect(),
            rate: None,
            bytes: None,
            weight: one(),
            anonymous,
            tokens: Vec::new(),
        };
        let seconds = |seconds| Some(Span::from_secs(seconds));
        Self {
            tiers: vec![
                tier("critical", seconds(1), 16, 5, Urgency::range(0, 0)),
                TierConfig {
                    latency_target: Some(Span::from_millis(10)),
                    ..tier("interactive", seconds(2), 8, 10, Urgency::range(1, 2))
                },
                tier("standard", seconds(60), 4, 5, Urgency::range(3, 4)),
                tier("bulk", seconds(86_400), 1, 3, Urgency::range(5, 6)),
                tier("scavenger", None, 1, 1, Urgency::range(7, 7)),
            ],
            tenants: vec![
                tenant(
                    "default",
                    true,
                    &["interactive", "standard", "bulk", "scavenger"],
                ),
                tenant(
                    "operator",
                    false,
                    &["interactive", "critical", "standard", "bulk", "scavenger"],
                ),
            ],
        }
    }
}

impl TierConfig {
    /// A tier with every setting at its default: no promise, weight 1.
    #[must_use]
    pub fn new(name: TierName) -> Self {
        Self {
            name,
            max_merge_delay: None,
            latency_target: None,
            weight: one(),
            floor: Percent::default(),
            burst: burst(),
            priority: Urgency::default(),
        }
    }
}

impl TenantConfig {
    /// A tenant that may ask for nothing yet.
    #[must_use]
    pub fn new(name: TenantName) -> Self {
        Self {
            name,
            tiers: Vec::new(),
            rate: None,
            bytes: None,
            weight: one(),
            anonymous: false,
            tokens: Vec::new(),
        }
    }
}

impl QosConfig {
    /// The tiers that no writer can reach: a tier without a `priority` cannot be asked for, and only the first tier of a tenant serves
    /// writers that ask for none.
    #[must_use]
    pub fn unreachable(&self) -> Vec<&TierName> {
        let first = |name: &TierName| {
            let mut tenants = self.tenants.iter();
            tenants.any(|tenant| tenant.tiers.first() == Some(name))
        };
        let tiers = self.tiers.iter();
        tiers
            .filter(|tier| tier.priority.bounds().is_none() && !first(&tier.name))
            .map(|tier| &tier.name)
            .collect()
    }

    /// The tier of that name.
    #[must_use]
    pub fn tier(&self, name: &TierName) -> Option<&TierConfig> {
        self.tiers.iter().find(|tier| tier.name == *name)
    }

    /// The tenant of that name.
    #[must_use]
    pub fn tenant(&self, name: &TenantName) -> Option<&TenantConfig> {
        self.tenants.iter().find(|tenant| tenant.name == *name)
    }

    /// The settings of `earlier`, but of its tokens only those that are here too, as they are here: going back never makes a
    /// token valid that was removed or has expired since.
    pub(crate) fn rolled_back(&self, earlier: &Self) -> Self {
        let mut settings = earlier.clone();
        for tenant in &mut settings.tenants {
            let now = self
                .tenant(&tenant.name)
                .map(|tenant| tenant.tokens.as_slice());
            let then = std::mem::take(&mut tenant.tokens);
            tenant.tokens = now
                .unwrap_or_default()
                .iter()
                .filter(|token| then.iter().any(|then| then.sha256 == token.sha256))
                .cloned()
                .collect();
        }
        settings
    }
}
