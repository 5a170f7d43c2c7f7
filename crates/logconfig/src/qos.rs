//! Quality of service as an operator writes it: tiers (what is promised, and who comes first), tenants (who may ask for what)
//! and the tokens of writers. Only hashes of tokens are here; taking one out revokes it.

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

/// What writers are promised, and who comes first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(inline)]
pub struct QosConfig {
    /// Classes of writes, at most 32.
    pub tiers: Vec<TierConfig>,
    /// Who writes, and which tiers they may ask for; at most 1000.
    pub tenants: Vec<TenantConfig>,
}

/// One class of writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct TierConfig {
    /// Unique among the tiers; the answer to a write bears it.
    pub name: TierName,
    /// Promise: accepted writes are published within this, up to 365d (absent: none).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_merge_delay: Option<Span>,
    /// Bulk work gives way so that its writes are durable within this (absent: it need not).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_target: Option<Span>,
    /// Share of what is left to share, against the other tiers: 1 to 1000.
    #[serde(default = "one")]
    pub weight: u32,
    /// Share that it gets whatever the others do; all floors together at most 100%.
    #[serde(default)]
    pub floor: Percent,
    /// Entries that a tenant may send at once beyond its rate.
    #[serde(default = "burst")]
    pub burst: u64,
    /// Advice `Priority: u=N` that asks for it, 0 most urgent: "3", "1-2" or none.
    #[serde(default)]
    pub priority: Urgency,
}

/// One party that writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct TenantConfig {
    /// Unique among the tenants.
    pub name: TenantName,
    /// Tiers it may ask for; the first is for writes without advice.
    #[serde(default)]
    pub tiers: Vec<TierName>,
    /// Most entries (absent: no limit).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Most bytes of entries (absent: no limit).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ByteRate>,
    /// Share of each tier, against the other tenants: 1 to 1000.
    #[serde(default = "one")]
    pub weight: u32,
    /// Whether writers without a token are this tenant; one tenant at most.
    #[serde(default)]
    pub anonymous: bool,
    /// What its writers show, at most 32; `logctl qos set tenant NAME --add-token` makes one.
    #[serde(default)]
    pub tokens: Vec<WriterToken>,
}

/// The hash of a secret that makes its bearer a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(inline)]
pub struct WriterToken {
    /// Unique among the tenant's tokens.
    pub name: String,
    /// SHA-256 of the token's text, 64 hex digits; taking it out revokes the token.
    pub sha256: String,
    /// Valid until then, RFC 3339 (absent: until it is taken out).
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

/// The tiers that come with the server, and the tenants that make them usable: whoever has no token, and the operator's own
/// writers, who alone may be `critical` and have no token until they are given one.
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
    /// token valid that was taken out or ran out since.
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
