//! Helpers for the tests of secondaries and witnesses.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};
use tests::auditor::{Auditor, Shard};
use tests::process::Logd;
use tests::secondary::{Secondary, StartSecondary};

use crate::Done;

/// The key that the log `dev` speaks to secondaries with.
pub(crate) fn replication_key(logd: &Logd) -> Result<String> {
    let answer = logd.http().get("/dev/replication-key", &[])?;
    Ok(answer.expect_status(200)?.text().trim().to_owned())
}

/// Changes the configuration of the log `dev`: secondaries by name, address and key, the quorum, and the witnesses' policy.
pub(crate) fn configure(
    logd: &Logd,
    secondaries: &[(&str, String, String)],
    quorum: u32,
    policy: &str,
) -> Done {
    let named: Vec<Value> = secondaries
        .iter()
        .map(|(name, address, vkey)| {
            json!({"name": name, "url": format!("http://{address}"), "vkey": vkey})
        })
        .collect();
    tests::secondary::configure(&logd.directory, |document| {
        document["merge"]["checkpointInterval"] = json!("50ms");
        document["merge"]["backupQuorum"] = json!(quorum);
        document["merge"]["secondaries"] = json!(named);
        document["witnesses"] = json!({"policy": policy, "timeout": "5s"});
    })
}

/// The copies of all opened shards, audited; answers how many entries they have together.
pub(crate) fn audit_copies(
    logd: &Logd,
    auditor: &mut Auditor,
    secondary: &Secondary,
    key: &str,
) -> Result<u64> {
    let mut entries = 0;
    for shard in logd.shards()?.iter().filter(|s| s.state != "planned") {
        let mut copy = secondary.copy(&shard.origin);
        entries += auditor
            .copy(&mut copy, shard, key, &secondary.vkey)?
            .unwrap_or(0);
    }
    Ok(entries)
}

pub(crate) fn checkpoint(logd: &Logd, shard: &Shard) -> Result<Vec<u8>> {
    let answer = logd
        .http()
        .get(&format!("/dev/{}/checkpoint", shard.name), &[])?;
    Ok(answer.expect_status(200)?.body)
}

pub(crate) fn secondary(at: &Path, name: &str, key: &str) -> Result<Secondary> {
    let dir = at.join(name);
    Secondary::key(&dir, &format!("{name}.example.org"))?;
    Secondary::start(&dir, &[key.to_owned()], &StartSecondary::default())
}
