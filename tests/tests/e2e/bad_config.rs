//! Configurations that must not run, and servers that can't be asked: each with its own finding and exit code.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::process::{Logd, Ran, logctl, logctl_with};

use crate::{Done, audit, folder};

/// The next configuration, as JSON.
fn next(at: &Path) -> Result<Value> {
    logctl(at, &["shard", "--create-config", "-", "-o", "json"])?
        .expect_code(0)?
        .json()
}

/// Applies a document through standard input.
fn apply(at: &Path, document: &str) -> Result<Ran> {
    logctl_with(
        at,
        &["shard", "--use-config", "-", "--yes", "-o", "json"],
        document,
        &[],
    )
}

/// The codes of all findings.
fn codes(ran: &Ran) -> Result<Vec<String>> {
    let document = ran.json()?;
    let findings = document["error"]["findings"]
        .as_array()
        .with_context(|| format!("findings: {document}"))?;
    Ok(findings
        .iter()
        .filter_map(|finding| finding["code"].as_str())
        .map(str::to_owned)
        .collect())
}

fn refused(at: &Path, document: &str, code: &str) -> Done {
    let ran = apply(at, document)?
        .expect_code(6)
        .with_context(|| code.to_owned())?;
    let codes = codes(&ran)?;
    ensure!(
        codes.iter().any(|found| found == code),
        "expected {code}, found {codes:?}: {}",
        ran.stdout
    );
    Ok(())
}

#[test]
fn each_mistake_has_a_finding_of_its_own() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    logd.add(b"one")?;
    logctl(at, &["shard", "rotate", "--yes"])?.expect_code(0)?;
    logd.add(b"two")?;
    logd.settled()?;
    let good = next(at)?;
    let generation = good["generation"].clone();
    let change = |with: &dyn Fn(&mut Value)| {
        let mut document = good.clone();
        with(&mut document);
        document.to_string()
    };

    refused(at, &change(&|d| d["colour"] = json!("red")), "unknown-key")?;
    refused(
        at,
        &change(&|d| d["shards"][1]["state"] = json!("active")),
        "two-active-shards",
    )?;
    let swap = |d: &mut Value| {
        if let Some(shards) = d["shards"].as_array_mut() {
            shards.swap(0, 1);
        }
    };
    refused(at, &change(&swap), "shards-reordered")?;
    refused(
        at,
        &change(&|d| d["shards"][0]["key"] = json!({"algorithm": "rot13"})),
        "bad-value",
    )?;
    refused(
        at,
        &change(&|d| d["shards"][0]["length"] = json!(17)),
        "frozen-shard-changed",
    )?;
    refused(at, &change(&|d| d["log"] = json!("argon")), "other-log")?;
    refused(
        at,
        &change(&|d| d["shards"][2]["name"] = json!("api")),
        "reserved-name",
    )?;
    refused(at, "log: dev\nlog: dev\n", "duplicate-key")?;
    refused(at, "", "empty-document")?;
    // All of it at once: every finding is listed, with its place.
    let many = "apiVersion: logctl/v1\nkind: LogConfig\nlog: dev\ncolour: red\nshards: 3\n";
    let ran = apply(at, many)?.expect_code(6)?;
    let found = codes(&ran)?;
    ensure!(found.len() >= 2, "{found:?}");
    ensure!(
        ran.json()?["error"]["findings"][0]["line"].as_u64() == Some(4),
        "{}",
        ran.stdout
    );

    // The base moved: nothing is changed, and it says what did.
    let stale = change(&|d| d["merge"]["checkpointInterval"] = json!("150ms"));
    logctl(at, &["shard", "rotate", "--yes"])?.expect_code(0)?;
    let conflict = apply(at, &stale)?.expect_code(5)?.json()?;
    ensure!(conflict["error"]["code"] == "stale", "{conflict}");
    ensure!(
        conflict["error"]["problem"]["differences"]
            .as_array()
            .is_some_and(|d| !d.is_empty()),
        "{conflict}"
    );

    // The refused changes have left no trace.
    let after = next(at)?;
    ensure!(
        after["generation"].as_u64() == generation.as_u64().map(|g| g + 1),
        "{generation} then {}",
        after["generation"]
    );
    audit(&logd, [])?;
    Ok(())
}

#[test]
fn another_log_by_name_or_by_file() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let _logd = Logd::start(at)?;
    let missing = logctl(at, &["shard", "list", "--log", "argon", "-o", "json"])?;
    ensure!(missing.code == 6, "{missing:?}");
    let shard = logctl(at, &["shard", "show", "nowhere", "-o", "json"])?;
    ensure!(
        shard.code == 6 && shard.stdout.contains("nowhere"),
        "{shard:?}"
    );
    Ok(())
}

#[test]
fn a_file_is_not_overwritten_without_leave() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let _logd = Logd::start(at)?;
    let path = at.join("next.yaml");
    std::fs::write(&path, "mine")?;
    let file = path.to_str().context("UTF-8")?;
    let ran = logctl(at, &["shard", "--create-config", file, "-o", "json"])?.expect_code(2)?;
    ensure!(ran.json()?["error"]["code"] == "file-exists", "{ran:?}");
    ensure!(std::fs::read_to_string(&path)? == "mine", "untouched");
    logctl(at, &["shard", "--create-config", file, "--force"])?.expect_code(0)?;
    ensure!(
        std::fs::read_to_string(&path)?.contains("apiVersion"),
        "overwritten"
    );
    // Standard output instead: YAML for people and pipes.
    let yaml = logctl(at, &["shard", "--create-config", "-"])?
        .expect_code(0)?
        .stdout;
    ensure!(yaml == std::fs::read_to_string(&path)?, "the same document");
    let used = logctl_with(at, &["shard", "--use-config", "-", "--yes"], &yaml, &[])?;
    used.expect_code(0)?;
    Ok(())
}

#[test]
fn nothing_changes_without_consent() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    for step in [
        &["shard", "rotate"][..],
        &["shard", "freeze"],
        &["shard", "plan"],
    ] {
        let ran = logctl(at, &[step, &["-o", "json"]].concat())?.expect_code(2)?;
        ensure!(
            ran.json()?["error"]["code"] == "confirmation-required",
            "{ran:?}"
        );
    }
    let dry = logctl(at, &["shard", "rotate", "--dry-run", "-o", "json"])?
        .expect_code(0)?
        .json()?;
    ensure!(
        dry["dryRun"] == true && dry["operation"]["state"] == "planned",
        "{dry}"
    );
    ensure!(logd.shards()?.len() == 1, "nothing was changed");
    Ok(())
}

#[test]
fn a_server_that_is_not_there() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    let admin = logd.admin.clone();
    logd.kill()?;
    for command in [
        &["status"][..],
        &["shard", "list"],
        &["shard", "rotate", "--yes"],
    ] {
        let ran = logctl(at, &[command, &["-o", "json"]].concat())?.expect_code(11)?;
        let message = ran.json()?["error"]["message"].to_string();
        ensure!(message.contains("cannot reach"), "{message}");
    }
    let ran = logctl(at, &["status", "--admin", &admin, "-o", "json"])?.expect_code(11)?;
    let port = admin.rsplit(':').next().context("a port")?;
    ensure!(ran.stdout.contains(port), "says which address: {ran:?}");
    Ok(())
}

#[test]
fn a_token_that_is_missing_or_wrong() -> Done {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder()?;
    let at = folder.path();
    let _logd = Logd::start(at)?;
    let token = at.join("wrong-token");
    std::fs::write(&token, "A".repeat(43))?;
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600))?;
    let path = token.to_str().context("UTF-8")?;
    // Over TLS, where the token is what counts.
    let wrong = logctl(
        at,
        &[
            "shard",
            "list",
            "--context",
            "dev-tls",
            "--token-file",
            path,
            "-o",
            "json",
        ],
    )?;
    let wrong = wrong.expect_code(4)?.json()?;
    ensure!(wrong["error"]["code"] == "unauthenticated", "{wrong}");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644))?;
    let exposed = logctl(
        at,
        &[
            "shard",
            "list",
            "--context",
            "dev-tls",
            "--token-file",
            path,
            "-o",
            "json",
        ],
    )?;
    let exposed = exposed.expect_code(4)?.json()?;
    ensure!(exposed["error"]["code"] == "secret-exposed", "{exposed}");
    Ok(())
}

/// A key-encryption key that is one, but not the one: nothing is taken, and it is said where to look.
#[test]
fn another_key_encryption_key_is_named_as_the_cause() -> Done {
    let (folder, other) = (folder()?, folder()?);
    let at = folder.path();
    for place in [at, other.path()] {
        let logd = Logd::start(place)?;
        logd.add(b"entry")?;
        logd.settled()?;
        ensure!(logd.terminate()?.success(), "stops");
    }
    let own = std::fs::read(at.join("kek"))?;
    std::fs::write(at.join("kek"), std::fs::read(other.path().join("kek"))?)?;
    let logd = Logd::start(at)?;
    ensure!(logd.add(b"another").is_err(), "nothing is taken");
    let said = "[kek] of logd.toml names another key-encryption key";
    tests::wait::until("the cause is shown", || {
        let status = logctl(at, &["status"])?.expect_code(13)?;
        Ok(status.stdout.contains(said).then_some(()))
    })?;
    // No key is made that only this one opens.
    logctl(at, &["shard", "rotate", "--yes"])?.expect_code(13)?;
    logd.terminate()?;
    // The remedy: nothing that was acknowledged is lost.
    std::fs::write(at.join("kek"), own)?;
    let logd = Logd::start(at)?;
    logd.add(b"another")?;
    ensure!(logd.settled()? == 2, "both entries");
    audit(&logd, [])?;
    Ok(())
}
