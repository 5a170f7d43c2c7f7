//! The configuration as tables, and the one rule that turns advice into a grant.
//!
//! Names are interned: a tenant or tier keeps its number when the configuration changes. One that was taken out keeps its last
//! row, so that what waits in it is served as it was promised; nobody is granted it any more.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use logconfig::{QosConfig, Span, TenantConfig, TierConfig, TierName};
use sha2::{Digest as _, Sha256};
use tlog::{Hash, UnixMillis};

use super::{Advice, Granted, TenantId, TierId};

/// A tier, as the engine uses it.
#[derive(Clone, Debug, PartialEq)]
pub struct TierRule {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The promise: published within this. `None`: no promise.
    pub max_merge_delay: Option<Duration>,
    /// Bulk work slows down so that this tier's writes are durable within this.
    pub latency_target: Option<Duration>,
    /// Share of what is left to share, 1 to 1000.
    pub weight: u32,
    /// Part of everything (0 to 1) that it gets whatever the others do.
    pub floor: f64,
    /// Entries that a tenant may send at once beyond its rate.
    pub burst: u64,
    /// The urgencies that ask for it, most urgent first; `None`: advice cannot ask for it.
    pub urgency: Option<(u8, u8)>,
    /// No longer in the configuration: it only serves what waits in it.
    pub retired: bool,
}

impl TierRule {
    /// Goes before every promise: urgency 0 asks for it.
    pub fn is_critical(&self) -> bool {
        self.urgency.is_some_and(|(low, _)| low == 0)
    }

    /// Waits when tiers with a latency target need it.
    pub fn is_elastic(&self) -> bool {
        self.latency_target.is_none() && !self.is_critical()
    }
}

/// A tenant, as the engine uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantRule {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// The tiers it may ask for; the first is what a writer without advice gets.
    pub tiers: Vec<TierId>,
    /// Entries per second that it may send; `None`: no limit of its own.
    pub rate: Option<u64>,
    /// Bytes per second that it may send; `None`: no limit of its own.
    pub bytes: Option<u64>,
    /// Share within a tier, against the other tenants.
    pub weight: u32,
    /// No longer in the configuration.
    pub retired: bool,
}

#[derive(Clone, Debug)]
struct TokenRule {
    hash: [u8; 32],
    tenant: TenantId,
    name: Arc<str>,
    expires: Option<UnixMillis>,
}

/// Why a writer is no tenant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token, and this log has no tenant for writers without one.
    #[error("a writer token is required")]
    Anonymous,
    /// The token is not, or no longer, one of this log's.
    #[error("the writer token is not valid here")]
    UnknownToken,
    /// The token's time is over.
    #[error("the writer token {name} has expired")]
    Expired {
        /// The token's name in the configuration.
        name: String,
    },
}

/// The end of a token's time; a text that is not a time counts as expired: a token is never valid because its expiry cannot be read.
fn expires(text: &str) -> UnixMillis {
    let time = text.parse::<jiff::Timestamp>();
    time.map_or(UnixMillis::ZERO, |t| {
        UnixMillis::new(u64::try_from(t.as_millisecond()).unwrap_or(0))
    })
}

/// The result of advice under a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The tier that the work waits in.
    pub tier: TierId,
    /// The promise, from acceptance; `None`: none.
    pub merge_by: Option<Duration>,
}

/// One generation's tiers, tenants and writer tokens, as tables.
#[derive(Clone, Debug)]
pub struct Policy {
    tiers: Vec<TierRule>,
    tenants: Vec<TenantRule>,
    tokens: Vec<TokenRule>,
    anonymous: Option<TenantId>,
    own: TenantId,
    floors: f64,
    /// The shortest promise that can be kept: publication takes its time.
    shortest: Duration,
}

/// The most numbers of each kind that one process gives out; then those that were taken out are used again.
const MOST_TIERS: usize = 256;
const MOST_TENANTS: usize = 4096;

/// The rows of all tiers and tenants that this process has seen, by number.
#[derive(Clone, Debug, Default)]
pub struct Names {
    tiers: Vec<TierRule>,
    tenants: Vec<TenantRule>,
}

/// The number of a name: the one that it has, a new one, or, when these are exhausted, that of one that was taken out.
fn number<R>(
    rows: &[R],
    most: usize,
    named: impl Fn(&R) -> bool,
    retired: impl Fn(&R) -> bool,
) -> usize {
    let again = || {
        (rows.len() >= most)
            .then(|| rows.iter().position(retired))
            .flatten()
    };
    rows.iter()
        .position(named)
        .or_else(again)
        .unwrap_or(rows.len())
}

fn set<R>(rows: &mut Vec<R>, at: usize, row: R) -> u16 {
    match rows.get_mut(at) {
        Some(old) => *old = row,
        None => rows.push(row),
    }
    // Validation allows far fewer in a document than there are numbers.
    u16::try_from(at).unwrap_or(u16::MAX)
}

impl Names {
    /// The numbers of a tier and a tenant; the first ones for what this process has never seen.
    pub fn class(&self, tier: &str, tenant: &str) -> (TierId, TenantId) {
        let tier = self.tiers.iter().position(|t| *t.name == *tier);
        let tenant = self.tenants.iter().position(|t| *t.name == *tenant);
        let number = |at: Option<usize>| at.and_then(|at| u16::try_from(at).ok()).unwrap_or(0);
        (TierId(number(tier)), TenantId(number(tenant)))
    }

    fn tier(&mut self, tier: &TierConfig) -> TierId {
        let named = |r: &TierRule| *r.name == *tier.name.as_str();
        let at = number(&self.tiers, MOST_TIERS, named, |r| r.retired);
        let row = TierRule {
            name: tier.name.as_str().into(),
            max_merge_delay: tier.max_merge_delay.map(Span::duration),
            latency_target: tier.latency_target.map(Span::duration),
            weight: tier.weight,
            floor: tier.floor.fraction(),
            burst: tier.burst,
            urgency: tier.priority.bounds(),
            retired: false,
        };
        TierId(set(&mut self.tiers, at, row))
    }

    fn tenant(&mut self, tenant: &TenantConfig, tiers: Vec<TierId>) -> TenantId {
        let named = |r: &TenantRule| *r.name == *tenant.name.as_str();
        let at = number(&self.tenants, MOST_TENANTS, named, |r| r.retired);
        let row = TenantRule {
            name: tenant.name.as_str().into(),
            tiers,
            rate: tenant.rate.map(logconfig::Rate::per_second),
            bytes: tenant.bytes.map(logconfig::ByteRate::per_second),
            weight: tenant.weight,
            retired: false,
        };
        TenantId(set(&mut self.tenants, at, row))
    }
}

impl Policy {
    /// The rules of a document. `names` are those of the log, from generation to generation; `interval` is the time between two
    /// checkpoints, which bounds what can be promised.
    pub fn new(qos: &QosConfig, interval: Duration, names: &mut Names) -> Self {
        names.tiers.iter_mut().for_each(|t| t.retired = true);
        names.tenants.iter_mut().for_each(|t| t.retired = true);
        let tiers: Vec<(&TierName, TierId)> =
            qos.tiers.iter().map(|t| (&t.name, names.tier(t))).collect();
        let (mut tokens, mut anonymous, mut own) = (Vec::new(), None, None);
        for config in &qos.tenants {
            let named = |name| tiers.iter().find(|(n, _)| *n == name).map(|(_, id)| *id);
            let tenant = names.tenant(config, config.tiers.iter().filter_map(named).collect());
            own.get_or_insert(tenant);
            if config.anonymous {
                anonymous = Some(tenant);
            }
            tokens.extend(config.tokens.iter().filter_map(|token| {
                Some(TokenRule {
                    hash: token.sha256.parse::<Hash>().ok()?.0,
                    tenant,
                    name: token.name.as_str().into(),
                    expires: token.expires.as_deref().map(expires),
                })
            }));
        }
        Self {
            tiers: names.tiers.clone(),
            tenants: names.tenants.clone(),
            tokens,
            anonymous,
            floors: qos.tiers.iter().map(|t| t.floor.fraction()).sum(),
            own: anonymous.or(own).unwrap_or(TenantId(0)),
            // An entry that just missed a checkpoint is in the next one, which takes its time.
            shortest: 2 * interval,
        }
    }

    /// Whom a writer token stands for; `None` is a writer without one. All tokens are compared, each in constant time.
    pub fn tenant(&self, token: Option<&str>, now: UnixMillis) -> Result<TenantId, Denied> {
        let Some(token) = token else {
            return self.anonymous.ok_or(Denied::Anonymous);
        };
        let hash: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for rule in &self.tokens {
            if verify_slices_are_equal(&rule.hash, &hash).is_ok() {
                found = Some(rule);
            }
        }
        let rule = found.ok_or(Denied::UnknownToken)?;
        if rule.expires.is_some_and(|end| end <= now) {
            return Err(Denied::Expired {
                name: rule.name.to_string(),
            });
        }
        Ok(rule.tenant)
    }

    /// The tenant of the server's own writes: the anonymous one, or otherwise the first.
    pub fn own(&self) -> TenantId {
        self.own
    }

    /// Turns advice into a tier and a promise. Clamps, never refuses:
    ///
    /// - an urgency asks for the tier of that range among the tenant's, else for the nearest one (the less urgent of two);
    /// - without urgency, a wish for a delay asks for the tenant's first tier;
    /// - a delay is clamped to what is possible and to the tier's own; a tier without a promise gives none.
    pub fn grant(&self, tenant: TenantId, advice: &Advice) -> Grant {
        let tiers = self
            .tenants
            .get(tenant.index())
            .map_or(&[][..], |t| &t.tiers);
        let first = tiers.first().copied().unwrap_or(TierId(0));
        let tier = match advice.urgency {
            None => first,
            Some(urgency) => tiers
                .iter()
                .copied()
                .filter_map(|id| Some((self.distance(id, urgency)?, id)))
                .min_by_key(|(distance, _)| *distance)
                .map_or(first, |(_, id)| id),
        };
        let merge_by = self.tier(tier).max_merge_delay.map(|most| {
            advice
                .merge_by
                .map_or(most, |wish| wish.max(self.shortest).min(most))
        });
        Grant { tier, merge_by }
    }

    /// How far an urgency is from a tier's range; the less urgent side is nearer.
    fn distance(&self, tier: TierId, urgency: u8) -> Option<u8> {
        let (low, high) = self.tier(tier).urgency?;
        Some(if urgency < low {
            2 * (low - urgency) - 1
        } else if urgency > high {
            2 * (urgency - high)
        } else {
            0
        })
    }

    /// The row of a tier, retired ones included.
    pub fn tier(&self, tier: TierId) -> &TierRule {
        // Every number that was handed out has a row, in this policy and in all later ones.
        &self.tiers[tier.index()]
    }

    /// All floors together, 0 to 1.
    pub fn floors(&self) -> f64 {
        self.floors
    }

    /// All tiers, by number; those that were taken out too.
    pub fn tiers(&self) -> &[TierRule] {
        &self.tiers
    }

    /// All tenants, by number; those that were taken out too.
    pub fn tenants(&self) -> &[TenantRule] {
        &self.tenants
    }

    /// A grant in names, for the writer.
    pub fn granted(&self, grant: Grant) -> Granted {
        Granted {
            tier: Arc::clone(&self.tier(grant.tier).name),
            merge_by: grant.merge_by,
        }
    }
}
