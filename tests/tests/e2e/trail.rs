//! The audit trail as seen by users that keep pins: a restored backup, another past and another server are noticed and named.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::process::{Logd, Ran, logctl_with};

use crate::{Done, folder};

/// An operator with pins of his own.
struct Operator<'a> {
    server: &'a Path,
    state: &'a Path,
}

impl Operator<'_> {
    fn runs(&self, line: &str) -> Result<Ran> {
        let words: Vec<&str> = line.split(' ').collect();
        let state: &OsStr = self.state.as_os_str();
        logctl_with(self.server, &words, "", &[("XDG_STATE_HOME", state)])
    }

    fn does(&self, line: &str) -> Result<Value> {
        self.runs(&format!("{line} -o json"))?
            .expect_code(0)
            .with_context(|| line.to_owned())?
            .json()
    }

    /// The code of the error that the line ends in, which is about the trail.
    fn objects(&self, line: &str) -> Result<Value> {
        let ran = self
            .runs(&format!("{line} -o json"))?
            .expect_code(12)
            .with_context(|| line.to_owned())?;
        Ok(ran.json()?["error"].clone())
    }
}

/// Copies a folder, but for its sockets.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &to)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

#[test]
fn every_change_is_proven_and_the_whole_trail_verifies() -> Done {
    let folder = folder()?;
    let (server, state) = (folder.path().join("server"), folder.path().join("state"));
    let logd = Logd::start(&server)?;
    let operator = Operator {
        server: &server,
        state: &state,
    };
    let first = operator.runs("shard rotate --yes")?.expect_code(0)?;
    ensure!(first.stderr.contains("first contact"), "{first:?}");
    for round in 1..4 {
        let ran = operator.does("shard rotate --yes")?;
        let audit = &ran["operation"]["audit"];
        ensure!(audit["proof"].is_array(), "round {round}: {ran}");
        let index = ran["operation"]["auditIndex"]
            .as_u64()
            .context("an index")?;
        // The proof is about the entry that the list shows.
        let list = operator.does(&format!("audit list --before {} --limit 1", index + 1))?;
        let entry = &list["entries"][0];
        ensure!(entry["operation"] == ran["operation"]["id"], "{list}");
        ensure!(
            entry["kind"] == "intent" && entry["action"] == "rotate",
            "{list}"
        );
    }
    let verified = operator.does("audit verify")?;
    ensure!(verified["verified"] == true, "{verified}");
    ensure!(verified["pins"][0]["contained"] == true, "{verified}");
    let entries = verified["entries"].as_u64().context("a number")?;
    let size = operator.does("audit list --limit 1")?["size"].clone();
    ensure!(size == entries, "{entries} verified of {size}");
    drop(logd);
    Ok(())
}

#[test]
fn a_rewritten_trail_is_noticed_and_named() -> Done {
    let folder = folder()?;
    let at = |name: &str| folder.path().join(name);
    let (server, backup) = (at("server"), at("backup"));
    let (mine, theirs) = (at("mine"), at("theirs"));
    let me = Operator {
        server: &server,
        state: &mine,
    };
    let somebody = Operator {
        server: &server,
        state: &theirs,
    };
    let logd = Logd::start(&server)?;
    me.does("shard rotate --yes")?;
    logd.settled()?;
    ensure!(logd.terminate()?.success(), "stops");
    copy(&server, &backup)?;

    // Later changes, which a restored backup makes unhappen.
    let logd = Logd::start(&server)?;
    for _ in 0..3 {
        me.does("shard rotate --yes")?;
    }
    let pinned = me.does("audit verify")?["entries"].clone();
    logd.settled()?;
    ensure!(logd.terminate()?.success(), "stops");
    fs::remove_dir_all(&server)?;
    copy(&backup, &server)?;

    let logd = Logd::start(&server)?;
    let error = me.objects("audit verify")?;
    ensure!(error["code"] == "audit-shorter", "{error}");
    ensure!(error["pinned"]["size"] == pinned, "{error}");
    // A trail that has lost entries is not pinned instead of them.
    let error = me.objects("audit verify --repin --yes")?;
    ensure!(error["code"] == "audit-shorter", "{error}");
    // Another past grows longer than what was pinned: the tiles no longer lead from one to the other.
    while somebody.does("audit verify")?["entries"].as_u64() <= pinned.as_u64() {
        somebody.does("shard rotate --yes")?;
    }
    let error = me.objects("shard rotate --yes")?;
    ensure!(error["code"] == "audit-rewritten", "{error}");
    ensure!(
        error["served"]["size"].as_u64() > pinned.as_u64(),
        "{error}"
    );
    let error = me.objects("audit verify")?;
    ensure!(error["code"] == "audit-rewritten", "{error}");
    // An operator who knows the reason gives it and continues.
    me.does("audit verify --repin --yes")?;
    me.does("shard rotate --yes")?;
    ensure!(logd.terminate()?.success(), "stops");

    // Another server under the same address.
    fs::remove_dir_all(&server)?;
    let logd = Logd::start(&server)?;
    let error = me.objects("shard rotate --yes")?;
    ensure!(error["code"] == "audit-key-changed", "{error}");
    drop(logd);
    Ok(())
}
