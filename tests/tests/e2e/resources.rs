//! The work of a CI job with logs and tokens: no terminal, JSON, every step safe to run again.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::process::Logd;

use crate::{Done, does, folder, run};

fn refused(at: &Path, line: &str, code: i32) -> Result<Value> {
    Ok(run(at, &format!("{line} -o json"), code)?.json()?["error"].clone())
}

#[test]
fn a_token_is_made_used_and_revoked() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    let file = at.join("ci.token");
    let file = file.to_str().context("UTF-8")?;
    let made = run(
        at,
        &format!(
            "token create ci --scope shard:rotate:dev,log:read:dev --expires 1h --yes -o json --out {file}"
        ),
        0,
    )?;
    let secret = fs::read_to_string(file)?.trim().to_owned();
    ensure!(secret.len() > 20, "a token's text");
    ensure!(
        fs::metadata(file)?.permissions().mode() & 0o777 == 0o600,
        "private"
    );
    ensure!(
        !made.stdout.contains(&secret) && !made.stderr.contains(&secret),
        "{made:?}"
    );
    // It may do what it was made for, in the trail under its own name, and nothing else.
    let by_token = format!("--context dev-tls --token-file {file}");
    let rotated = does(at, &format!("shard rotate --yes {by_token}"))?;
    ensure!(rotated["operation"]["actor"] == "token:ci", "{rotated}");
    refused(at, &format!("shard freeze --yes {by_token}"), 4)?;
    refused(at, &format!("token list {by_token}"), 4)?;
    // Nobody can give what he does not have.
    refused(
        at,
        &format!("token create more --scope shard:freeze:dev --yes {by_token}"),
        4,
    )?;
    let listed = run(at, "token list -o json", 0)?;
    ensure!(!listed.stdout.contains(&secret), "{listed:?}");
    let tokens = listed.json()?["tokens"].clone();
    let ci = tokens
        .as_array()
        .into_iter()
        .flatten()
        .find(|token| token["name"] == "ci");
    ensure!(
        ci.is_some_and(|token| token["revocable"] == true),
        "{tokens}"
    );
    // A name that is taken stays with its token.
    refused(at, "token create ci --scope shard:rotate:dev --yes", 5)?;
    does(at, "token revoke ci --yes")?;
    refused(at, &format!("shard rotate --yes {by_token}"), 4)?;
    refused(at, "token revoke ci --yes", 6)?;
    let trail = run(at, "audit list --limit 1000 -o json", 0)?;
    ensure!(
        trail.stdout.contains("token-create") && trail.stdout.contains("token-revoke"),
        "{trail:?}"
    );
    ensure!(
        !trail.stdout.contains(&secret) && !logd.errors().contains(&secret),
        "no secret in any record"
    );
    Ok(())
}

#[test]
fn a_log_is_created_deleted_and_there_again() -> Done {
    let folder = folder()?;
    let at = folder.path();
    let logd = Logd::start(at)?;
    let file = at.join("argon.yaml");
    let file = file.to_str().context("UTF-8")?;
    run(
        at,
        &format!("shard --create-config {file} --log argon --origin log.example.org/argon"),
        0,
    )?;
    let created = does(at, &format!("log create {file} --yes"))?;
    ensure!(created["operation"]["action"] == "create", "{created}");
    let again = does(at, &format!("log create {file} --yes"))?;
    ensure!(again["unchanged"] == true, "a re-run does nothing: {again}");
    let added = logd
        .http()
        .post("/argon/add", &[], b"one")?
        .expect_status(200)?;
    ensure!(added.text().starts_with('0'), "{}", added.text());
    let names = |line: &str| -> Result<Vec<String>> {
        Ok(run(at, line, 0)?
            .stdout
            .lines()
            .map(str::to_owned)
            .collect())
    };
    ensure!(names("log list -o name")? == ["argon", "dev"], "both");
    // Only a frozen log can be hidden.
    refused(at, "log delete argon --yes", 5)?;
    run(at, "shard freeze --yes --log argon", 0)?;
    run(at, "log delete argon --yes", 0)?;
    ensure!(names("log list -o name")? == ["dev"], "hidden");
    ensure!(
        logd.http().get("/argon/checkpoint", &[])?.status == 404,
        "hidden from readers"
    );
    run(at, "log undelete argon --yes", 0)?;
    ensure!(
        names("log list -o name")? == ["argon", "dev"],
        "there again"
    );
    run(at, "shard unfreeze --yes --log argon", 0)?;
    let added = logd
        .http()
        .post("/argon/add", &[], b"two")?
        .expect_status(200)?;
    ensure!(
        added.text().starts_with('1'),
        "goes on where it was: {}",
        added.text()
    );
    run(at, "shard verify --log argon", 0)?;
    Ok(())
}
