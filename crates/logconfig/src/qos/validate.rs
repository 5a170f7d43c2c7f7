//! The rules for the settings of quality of service, by themselves and with the checkpoint interval.

use std::collections::{HashMap, HashSet};

use super::{QosConfig, TenantConfig, TierConfig, is_token_hash};
use crate::check::PLACEHOLDER;
use crate::finding::{Finding, Problem, quote};
use crate::name::ShardName;
use crate::span::Span;

/// Most tiers of a log.
pub const MAX_TIERS: usize = 32;
/// Most tenants of a log.
pub const MAX_TENANTS: usize = 1000;
/// Most tokens of a tenant.
pub const MAX_TOKENS: usize = 32;
/// Highest weight of a tier or tenant.
const MAX_WEIGHT: u32 = 1000;
/// Longest `maxMergeDelay` of a tier.
const MAX_DELAY: Span = Span::from_secs(365 * 86_400);
/// Most entries that may come at once.
const MAX_BURST: u64 = 1_000_000_000;

impl QosConfig {
    /// All faults, for a log with a checkpoint every `interval`.
    pub(crate) fn validate(&self, interval: Span) -> Vec<Finding> {
        let mut findings = Vec::new();
        let report = &mut findings;
        bounds(&self.tiers, &self.tenants, report);
        for (index, tier) in self.tiers.iter().enumerate() {
            of_tier(tier, &format!("/qos/tiers/{index}"), interval, report);
        }
        self.floors(report);
        self.priorities(report);
        for (index, tenant) in self.tenants.iter().enumerate() {
            self.of_tenant(tenant, &format!("/qos/tenants/{index}"), report);
        }
        self.use_of_tiers(report);
        self.anonymous(report);
        self.tokens(report);
        findings
    }

    /// All floors together leave something to share, or just nothing.
    fn floors(&self, report: &mut Vec<Finding>) {
        let tenths: u64 = self
            .tiers
            .iter()
            .map(|tier| u64::from(tier.floor.tenths()))
            .sum();
        if tenths > 1000 {
            let message = format!(
                "the floors of the tiers add up to {}.{}%, more than there is",
                tenths / 10,
                tenths % 10
            );
            let problem = Problem::new("floors-too-high", message);
            report.push(problem.hint("lower some of them").at("/qos/tiers"));
        }
    }

    /// Each urgency asks for one tier at most.
    fn priorities(&self, report: &mut Vec<Finding>) {
        for (index, tier) in self.tiers.iter().enumerate() {
            let earlier = self.tiers.get(..index).unwrap_or_default();
            let shared = |other: &&TierConfig| {
                (0..8).any(|n| tier.priority.contains(n) && other.priority.contains(n))
            };
            if let Some(other) = earlier.iter().find(shared) {
                let message = format!(
                    "the priorities {} of {} and {} of {} overlap, so advice would mean both",
                    tier.priority, tier.name, other.priority, other.name
                );
                report.push(
                    Problem::new("priorities-overlap", message)
                        .hint("give each digit to one tier; `none` for a tier that only its deadline asks for")
                        .at(format!("/qos/tiers/{index}/priority")),
                );
            }
        }
    }

    fn of_tenant(&self, tenant: &TenantConfig, pointer: &str, report: &mut Vec<Finding>) {
        weight(tenant.weight, pointer, report);
        if tenant.tiers.is_empty() && !tenant.name.as_str().starts_with(PLACEHOLDER) {
            let problem = Problem::new(
                "tenant-without-tiers",
                format!(
                    "tenant {} may use no tier, so it could not write",
                    tenant.name
                ),
            );
            report.push(
                problem
                    .hint("list its tiers, first the one for writes without advice")
                    .at(format!("{pointer}/tiers")),
            );
        }
        let mut met = HashSet::new();
        for (index, name) in tenant.tiers.iter().enumerate() {
            let at = format!("{pointer}/tiers/{index}");
            if !met.insert(name) {
                let message = format!("tenant {} lists tier {name} twice", tenant.name);
                let problem = Problem::new("tier-listed-twice", message);
                report.push(problem.hint("keep one of them").at(at));
            } else if self.tier(name).is_none() && !self.tiers.is_empty() {
                let message = format!(
                    "tenant {} may use tier {name}, but there is none",
                    tenant.name
                );
                let known = self.tiers.iter().map(|tier| tier.name.as_str());
                let hint = match crate::text::nearest(name.as_str(), known.clone()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the tiers are {}", known.collect::<Vec<_>>().join(", ")),
                };
                report.push(Problem::new("unknown-tier", message).hint(hint).at(at));
            }
        }
    }

    fn use_of_tiers(&self, report: &mut Vec<Finding>) {
        if self.tenants.is_empty() {
            return;
        }
        let used: HashSet<_> = self
            .tenants
            .iter()
            .flat_map(|tenant| &tenant.tiers)
            .collect();
        for (index, tier) in self.tiers.iter().enumerate() {
            if !used.contains(&tier.name) {
                let problem = Problem::new(
                    "unused-tier",
                    format!("no tenant may use tier {}", tier.name),
                );
                report.push(
                    problem
                        .hint("add it to a tenant's `tiers`, or remove it")
                        .at(format!("/qos/tiers/{index}")),
                );
            }
        }
    }

    fn anonymous(&self, report: &mut Vec<Finding>) {
        let mut all = self
            .tenants
            .iter()
            .enumerate()
            .filter(|(_, tenant)| tenant.anonymous);
        let Some((_, first)) = all.next() else { return };
        for (index, tenant) in all {
            let message = format!(
                "tenant {} is anonymous, and so is {}: a writer without a token is one tenant",
                tenant.name, first.name
            );
            report.push(
                Problem::new("two-anonymous-tenants", message)
                    .hint("leave it with one of them")
                    .at(format!("/qos/tenants/{index}/anonymous")),
            );
        }
    }

    fn tokens(&self, report: &mut Vec<Finding>) {
        let mut hashes: HashMap<&str, String> = HashMap::new();
        for (tenant, pointer) in self.tenants.iter().zip(places("/qos/tenants")) {
            let mut names = HashSet::new();
            for (token, pointer) in tenant
                .tokens
                .iter()
                .zip(places(&format!("{pointer}/tokens")))
            {
                token_name(&token.name, &pointer, report);
                if !names.insert(&token.name) {
                    let message = format!(
                        "tenant {} has two tokens {}",
                        tenant.name,
                        quote(&token.name)
                    );
                    report.push(twice(message, &pointer));
                }
                if !is_token_hash(&token.sha256) {
                    // Never quoted: it may be the token itself, put in the wrong place.
                    let message = format!(
                        "the sha256 of token {} is not 64 lowercase hex digits",
                        quote(&token.name)
                    );
                    let problem = Problem::new("bad-token-hash", message);
                    let hint = "the hash of the token's text, never the token: `logctl qos set tenant NAME --add-token` makes both";
                    report.push(problem.hint(hint).at(format!("{pointer}/sha256")));
                } else if let Some(owner) = hashes.get(token.sha256.as_str()) {
                    let problem =
                        Problem::new("token-reused", format!("this token is {owner} already"));
                    report.push(
                        problem
                            .hint("each token makes its bearer one tenant; make another one")
                            .at(format!("{pointer}/sha256")),
                    );
                } else {
                    let owner = format!("that of {}, named {}", tenant.name, quote(&token.name));
                    hashes.insert(&token.sha256, owner);
                }
                expiry(token.expires.as_deref(), &pointer, report);
            }
        }
    }
}

/// Checks the number of tiers and tenants, and that names are unique.
fn bounds(tiers: &[TierConfig], tenants: &[TenantConfig], report: &mut Vec<Finding>) {
    if tiers.is_empty() {
        let problem = Problem::new("no-tiers", "there is no tier, so nothing could be written");
        let hint = "list at least one; without `qos` the log has those that come with the server";
        report.push(problem.hint(hint).at("/qos/tiers"));
    }
    if tenants.is_empty() {
        let problem = Problem::new("no-tenants", "there is no tenant, so nobody could write");
        let hint = "list at least one; `anonymous: true` is for writers without a token";
        report.push(problem.hint(hint).at("/qos/tenants"));
    }
    let mut few = |what: &str, count: usize, most: usize, pointer: &str| {
        if count > most {
            let message = format!("{count} {what}; at most {most} are allowed");
            report.push(Problem::new("too-many", message).at(pointer));
        }
    };
    few("tiers", tiers.len(), MAX_TIERS, "/qos/tiers");
    few("tenants", tenants.len(), MAX_TENANTS, "/qos/tenants");
    for (tenant, pointer) in tenants.iter().zip(places("/qos/tenants")) {
        few(
            "tokens",
            tenant.tokens.len(),
            MAX_TOKENS,
            &format!("{pointer}/tokens"),
        );
    }
    let mut seen = HashSet::new();
    for (tier, pointer) in tiers.iter().zip(places("/qos/tiers")) {
        if !seen.insert(&tier.name) {
            report.push(twice(
                format!("there are two tiers {}", tier.name),
                &pointer,
            ));
        }
    }
    let mut seen = HashSet::new();
    for (tenant, pointer) in tenants.iter().zip(places("/qos/tenants")) {
        if !seen.insert(&tenant.name) {
            report.push(twice(
                format!("there are two tenants {}", tenant.name),
                &pointer,
            ));
        }
    }
}

/// The pointers of a list's items.
fn places(list: &str) -> impl Iterator<Item = String> {
    let list = list.to_owned();
    (0usize..).map(move |index| format!("{list}/{index}"))
}

fn twice(message: String, pointer: &str) -> Finding {
    Problem::new("name-reused", message)
        .hint("rename one of them")
        .at(format!("{pointer}/name"))
}

fn weight(weight: u32, pointer: &str, report: &mut Vec<Finding>) {
    if !(1..=MAX_WEIGHT).contains(&weight) {
        let message = format!("the weight {weight} is not between 1 and {MAX_WEIGHT}");
        report.push(Problem::new("out-of-range", message).at(format!("{pointer}/weight")));
    }
}

fn of_tier(tier: &TierConfig, pointer: &str, interval: Span, report: &mut Vec<Finding>) {
    weight(tier.weight, pointer, report);
    if !(1..=MAX_BURST).contains(&tier.burst) {
        let message = format!("a burst of {} is not between 1 and {MAX_BURST}", tier.burst);
        report.push(Problem::new("out-of-range", message).at(format!("{pointer}/burst")));
    }
    let name = &tier.name;
    if let Some(delay) = tier.max_merge_delay {
        let at = format!("{pointer}/maxMergeDelay");
        if delay < interval {
            let message = format!(
                "tier {name} promises {delay}, but checkpoints come only every {interval} (merge.checkpointInterval)"
            );
            report.push(
                Problem::new("delay-too-short", message)
                    .hint("promise a longer delay, or shorten the interval")
                    .at(at),
            );
        } else if delay > MAX_DELAY {
            let message = format!("a promise of {delay} is longer than {MAX_DELAY}");
            report.push(
                Problem::new("out-of-range", message)
                    .hint("leave it out to promise nothing")
                    .at(at),
            );
        }
    }
    let Some(target) = tier.latency_target else {
        return;
    };
    let at = format!("{pointer}/latencyTarget");
    match tier.max_merge_delay {
        None => report.push(
            Problem::new(
                "target-without-promise",
                format!("tier {name} has a latencyTarget, but no maxMergeDelay"),
            )
            .hint("others slow down only for a tier that promises something: give it a maxMergeDelay")
            .at(at),
        ),
        Some(delay) if target > delay => report.push(
            Problem::new(
                "target-too-long",
                format!("the latencyTarget {target} of tier {name} is longer than its maxMergeDelay, {delay}"),
            )
            .hint("a write is durable before it is published")
            .at(at),
        ),
        Some(_) if target < Span::from_millis(1) => report.push(
            Problem::new("out-of-range", format!("{target} is shorter than 1ms")).at(at),
        ),
        Some(_) => {}
    }
}

/// A token's name has the form of the other names.
fn token_name(name: &str, pointer: &str, report: &mut Vec<Finding>) {
    use crate::name::NameError::Malformed;
    // Only the form: it is never a path segment.
    if let Err(error @ Malformed) = name.parse::<ShardName>() {
        report.push(error.problem(name).at(format!("{pointer}/name")));
    }
}

fn expiry(expires: Option<&str>, pointer: &str, report: &mut Vec<Finding>) {
    let Some(text) = expires else { return };
    if text.parse::<jiff::Timestamp>().is_err() {
        let message = format!("{} is not a time as in RFC 3339", quote(text));
        report.push(
            Problem::new("bad-value", message)
                .hint(
                    "for example 2027-01-31T00:00:00Z; leave it out for a token that never expires",
                )
                .at(format!("{pointer}/expires")),
        );
    }
}
