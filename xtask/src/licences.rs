//! `deny.toml`: by `cargo deny` where it is installed, else the two parts that matter most, read from the same file:
//! banned crates, and licences outside the list.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::run::{cargo, output, root, succeeds};

#[derive(Deserialize)]
struct Deny {
    graph: Graph,
    bans: Bans,
    licenses: Licenses,
}

#[derive(Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    #[serde(rename = "crate")]
    name: String,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

/// Whether the dependencies are as `deny.toml` wants them.
pub(crate) fn check() -> Result<bool> {
    let deny = cargo()
        .args(["deny", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if deny {
        return succeeds(cargo().args([
            "deny",
            "--offline",
            "check",
            "bans",
            "licenses",
            "sources",
        ]));
    }
    println!("cargo deny is not installed: checking bans, licences and sources of deny.toml here");
    let deny: Deny =
        toml::from_str(&std::fs::read_to_string(root().join("deny.toml"))?).context("deny.toml")?;
    let target = deny
        .graph
        .targets
        .first()
        .context("deny.toml names a target")?;
    // The graph that is really built: features resolved, tests and build scripts included.
    let mut tree = cargo();
    tree.args([
        "tree",
        "--workspace",
        "--locked",
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--no-dedupe",
    ]);
    tree.args(["--target", target, "--format", "{p}|{l}|{r}"]);
    let tree = output(&mut tree)?;
    // An empty line stands between the trees of two crates of the workspace.
    let mut packages: Vec<&str> = tree.lines().filter(|line| !line.is_empty()).collect();
    packages.sort_unstable();
    packages.dedup();
    let mut good = true;
    for package in &packages {
        if let Err(error) = judge(package, &deny) {
            println!("{error:#}");
            good = false;
        }
    }
    println!("{} packages checked", packages.len());
    Ok(good)
}

/// One line of `cargo tree`: `name v1.2.3 (where from)|licence|repository`.
fn judge(package: &str, deny: &Deny) -> Result<()> {
    let mut fields = package.split('|');
    let (id, licence) = (
        fields.next().unwrap_or_default(),
        fields.next().unwrap_or_default(),
    );
    let name = id.split(' ').next().unwrap_or_default();
    if deny.bans.deny.iter().any(|banned| banned.name == name) {
        bail!("{name} is banned by deny.toml: `cargo tree -i {name}` shows who wants it");
    }
    if id.contains("(http") || id.contains("(git") || id.contains("(registry") {
        bail!("{id} does not come from crates.io");
    }
    let allowed = |id: &str| deny.licenses.allow.iter().any(|allowed| allowed == id);
    match allows(licence, &allowed) {
        Some(true) => Ok(()),
        Some(false) => bail!("{id}: licence {licence:?} is not in deny.toml's list"),
        None => bail!("{id}: licence {licence:?} is not understood"),
    }
}

/// Whether a licence expression (SPDX, or the old `A/B`) can be met with allowed licences; nothing when it is malformed.
fn allows(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let value = either(&words, &mut at, allowed)?;
    (at == words.len()).then_some(value)
}

fn either(words: &[&str], at: &mut usize, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut value = both(words, at, allowed)?;
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        value |= both(words, at, allowed)?;
    }
    Some(value)
}

fn both(words: &[&str], at: &mut usize, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut value = one(words, at, allowed)?;
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        value &= one(words, at, allowed)?;
    }
    Some(value)
}

fn one(words: &[&str], at: &mut usize, allowed: &dyn Fn(&str) -> bool) -> Option<bool> {
    let word = *words.get(*at)?;
    *at += 1;
    if word == "(" {
        let value = either(words, at, allowed)?;
        (words.get(*at) == Some(&")")).then(|| *at += 1)?;
        return Some(value);
    }
    if matches!(word, ")" | "OR" | "AND" | "WITH") {
        return None;
    }
    if words.get(*at) == Some(&"WITH") {
        let exception = words.get(*at + 1)?;
        *at += 2;
        return Some(allowed(&format!("{word} WITH {exception}")));
    }
    Some(allowed(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(expression: &str) -> Option<bool> {
        allows(expression, &|id| {
            ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].contains(&id)
        })
    }

    #[test]
    fn expressions() {
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0/MIT",
            "(MIT OR GPL-3.0) AND Apache-2.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert_eq!(met(good), Some(true), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT AND GPL-3.0) OR (GPL-3.0 AND MIT)",
            "MIT WITH other",
        ] {
            assert_eq!(met(bad), Some(false), "{bad}");
        }
        for malformed in ["", "MIT OR", "(MIT", "MIT)", "MIT MIT", "AND"] {
            assert_eq!(met(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn packages() {
        let text = "[graph]\ntargets = ['x']\n[bans]\ndeny = [{ crate = 'ring' }]\n[licenses]\nallow = ['MIT']\n";
        let deny: Deny = toml::from_str(text).unwrap();
        assert!(judge("serde v1.0.0|MIT OR Apache-2.0|https://x", &deny).is_ok());
        assert!(judge("ring v0.17.0|MIT|https://x", &deny).is_err());
        assert!(judge("other v1.0.0|GPL-3.0|https://x", &deny).is_err());
        assert!(
            judge(
                "other v1.0.0 (https://example.org/other?rev=1)|MIT|https://x",
                &deny
            )
            .is_err()
        );
        assert!(judge("none v1.0.0||", &deny).is_err());
    }
}
