//! The differences between two settings of quality of service, in an operator's words: `tier interactive weight: 8 -> 4`.

use super::{QosConfig, TenantConfig, TierConfig, WriterToken};
use crate::list::{Compare, Field, Named, compare_lists};

/// Compares all settings of both.
pub(crate) fn compare(a: &QosConfig, b: &QosConfig, compare: &mut Compare<'_>) {
    compare_lists("tier", &a.tiers, &b.tiers, compare);
    compare_lists("tenant", &a.tenants, &b.tenants, compare);
}

/// The text of a value, or the word for its absence.
fn or(value: Option<impl ToString>, absent: &str) -> String {
    value.map_or_else(|| absent.to_owned(), |value| value.to_string())
}

impl Named for TierConfig {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn fields(&self) -> Vec<Field> {
        vec![
            ("maxMergeDelay", or(self.max_merge_delay, "none")),
            ("latencyTarget", or(self.latency_target, "none")),
            ("weight", self.weight.to_string()),
            ("floor", self.floor.to_string()),
            ("burst", self.burst.to_string()),
            ("priority", self.priority.to_string()),
        ]
    }
}

impl Named for TenantConfig {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn fields(&self) -> Vec<Field> {
        let tiers: Vec<_> = self.tiers.iter().map(AsRef::<str>::as_ref).collect();
        let anonymous = if self.anonymous { "yes" } else { "no" };
        vec![
            (
                "tiers",
                if tiers.is_empty() {
                    "none".to_owned()
                } else {
                    tiers.join(", ")
                },
            ),
            ("rate", or(self.rate, "unlimited")),
            ("bytes", or(self.bytes, "unlimited")),
            ("weight", self.weight.to_string()),
            ("anonymous", anonymous.to_owned()),
        ]
    }

    fn whole(&self) -> String {
        let fields = self.fields().into_iter();
        let fields = fields.map(|(field, value)| format!("{field} {value}"));
        let tokens = self
            .tokens
            .iter()
            .map(|token| format!("token {} {}", token.name, token.whole()));
        fields.chain(tokens).collect::<Vec<_>>().join(", ")
    }

    fn inner(&self, other: &Self, subject: &str, compare: &mut Compare<'_>) {
        compare_lists(
            &format!("{subject} token"),
            &self.tokens,
            &other.tokens,
            compare,
        );
    }
}

impl Named for WriterToken {
    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Vec<Field> {
        vec![
            ("sha256", self.sha256.clone()),
            ("expires", or(self.expires.as_ref(), "never")),
        ]
    }

    /// Enough of the hash to distinguish two tokens of one name.
    fn whole(&self) -> String {
        let start: String = self.sha256.chars().take(8).collect();
        format!(
            "sha256 {start}…, expires {}",
            or(self.expires.as_ref(), "never")
        )
    }
}
