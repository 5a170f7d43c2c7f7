//! What tests of secondaries and witnesses share.

use std::path::Path;

use anyhow::{Context as _, Result};
use tests::auditor::{Auditor, Shard};
use tests::process::{Logd, logctl, logctl_with};
use tests::secondary::{Secondary, StartSecondary};

use crate::Done;

/// The key that the log `dev` speaks to secondaries with.
pub(crate) fn replication_key(logd: &Logd) -> Result<String> {
    let answer = logd.http().get("/dev/replication-key", &[])?;
    Ok(answer.expect_status(200)?.text().trim().to_owned())
}

/// Changes the configuration of the log `dev`: secondaries by name, address and key, the quorum, and more lines.
pub(crate) fn configure(
    logd: &Logd,
    secondaries: &[(&str, String, String)],
    quorum: u32,
    more: &str,
) -> Done {
    let at = &logd.directory;
    let file = at.join("next.yaml");
    let path = file.to_str().context("a path of a test is UTF-8")?;
    logctl(at, &["shard", "--create-config", path, "--force"])?.expect_code(0)?;
    let text = std::fs::read_to_string(&file)?;
    let mut merge =
        format!("merge:\n  checkpointInterval: 50ms\n  backupQuorum: {quorum}\n  secondaries:\n");
    for (name, address, vkey) in secondaries {
        merge.push_str(&format!(
            "    - {{name: {name}, url: \"http://{address}\", vkey: \"{vkey}\"}}\n"
        ));
    }
    let mut kept = String::new();
    let mut skipping = false;
    for line in text.lines() {
        let top = !line.starts_with([' ', '#']) && !line.is_empty();
        if top {
            skipping = line.starts_with("merge:") || line.starts_with("witnesses:");
        }
        if !skipping {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    std::fs::write(&file, format!("{kept}{merge}{more}"))?;
    logctl_with(at, &["shard", "--use-config", path, "--yes"], "", &[])?.expect_code(0)?;
    Ok(())
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
