//! Refuses requests that do not fit into a row or a slot, before anything is written, and in a preview too.

use logconfig::{Algorithm, Finding, LogConfig, ShardName, Written};

use crate::control::{Author, ChangeError};
use crate::document::MAX_DOCUMENT;
use order::Limits;
use store::record;

/// The longest name of a caller, bytes. It is in the slot, in the history and in the state.
pub(crate) const MAX_ACTOR: usize = 512;
/// The longest reason of a change, bytes.
const MAX_REASON: usize = 2048;
/// The most that a control holds beside the shards that it plans, bytes: the names of operation and document, and actor and reason
/// with each byte escaped.
const CONTROL: usize = 6 * (MAX_ACTOR + MAX_REASON) + 1024;

/// Refuses a caller whose name is too long for the records that would bear it.
pub(crate) fn caller(caller: &Author) -> Result<(), ChangeError> {
    let size = caller.actor.len();
    if size <= MAX_ACTOR {
        return Ok(());
    }
    Err(ChangeError::Conflict(format!(
        "the caller's name has {size} bytes, at most {MAX_ACTOR} can be recorded; use a shorter name"
    )))
}

/// The part of a reason that is recorded.
pub(crate) fn reason(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(MAX_REASON));
    reason
}

/// Findings for everything that is too large in a document, and in the decision that plans shards with it.
pub(crate) fn document(next: &LogConfig, written: &Written, plan: &[ShardName]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let bytes = written.stored.len();
    if bytes > MAX_DOCUMENT {
        let parts = [
            (
                "tenants",
                "/qos/tenants",
                record::json_size(&next.qos.tenants),
            ),
            ("tiers", "/qos/tiers", record::json_size(&next.qos.tiers)),
            ("merge settings", "/merge", record::json_size(&next.merge)),
            (
                "witnesses",
                "/witnesses",
                record::json_size(&next.witnesses),
            ),
        ];
        let largest = parts.into_iter().max_by_key(|(_, _, size)| *size);
        let (what, pointer, size) = largest.unwrap_or_default();
        findings.push(Finding::new(
            "document-too-large",
            format!(
                "the document has {bytes} bytes as it is stored, at most {MAX_DOCUMENT} are kept"
            ),
            pointer.to_owned(),
            format!("make it smaller: its {what} alone have {size} bytes"),
        ));
    }
    // Name and origin, the origin again in each key, and the parts of fixed length.
    let identity = |name: &ShardName| {
        let origin = next.origin.len() + name.as_str().len();
        let kind = next.shard(name).map_or(next.key, |shard| shard.key);
        let second = match kind.algorithm {
            Algorithm::Ed25519 => 0,
            Algorithm::EcdsaP256 => origin + 164,
        };
        2 * origin + name.as_str().len() + 256 + second
    };
    let room = Limits::default().control() - CONTROL;
    let mut size = 0;
    let fit = plan.iter().take_while(|name| {
        size += identity(name);
        size <= room
    });
    let fit = fit.count();
    if fit < plan.len() {
        findings.push(Finding::new(
            "too-many-new-shards",
            format!(
                "{} new shards do not fit into one decision, {fit} of them do",
                plan.len()
            ),
            "/shards".to_owned(),
            format!("plan {fit} of them first, and the others with another change"),
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use order::slot::{Control, ShardIdentity};

    #[test]
    fn new_shards_that_fit_fit_whatever_their_names() {
        let kinds = [Algorithm::Ed25519, Algorithm::EcdsaP256];
        let sizes = [(1, 1), (200, 63)].into_iter();
        for ((origin, name), kind) in sizes.flat_map(|size| kinds.map(|kind| (size, kind))) {
            let names: Vec<ShardName> = (0..256)
                .map(|n| format!("{n:0>name$}").parse().unwrap())
                .collect();
            let log = "dev".parse().unwrap();
            let mut next = LogConfig::new(log, "o".repeat(origin), names[0].clone());
            next.key.algorithm = kind;
            next.shards[0].key = next.key;
            let written = next.written();
            let fits = |n: usize| document(&next, &written, &names[..n]).is_empty();
            let most = (1..=256).take_while(|n| fits(*n)).last().unwrap();
            assert!(most >= 30, "{most}");
            let plan = names[..most].iter().map(|name| {
                let origin = next.shard_origin(name.as_str());
                ShardIdentity {
                    imported: None,
                    name: name.to_string(),
                    tree_id: u64::MAX,
                    vkey: format!("{origin}+01234567+{}", "k".repeat(44)),
                    ecdsa: (kind == Algorithm::EcdsaP256)
                        .then(|| format!("{origin}+01234567+{}", "k".repeat(124))),
                    origin,
                }
            });
            let control = Control::Reconfigure {
                base: order::Generation::new(u64::MAX),
                document: tlog::Hash([0; 32]),
                plan: plan.collect(),
                open: Some("n".repeat(63)),
            };
            let size = record::json_size(&control) + 6 * (MAX_ACTOR + MAX_REASON) + 512;
            assert!(size <= Limits::default().control(), "{most}: {size}");
        }
    }
}
