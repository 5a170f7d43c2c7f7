//! The documentation, checked against the programs: what a page shows is what happens, what it lists is all there is.
//!
//! `TRYCMD=overwrite cargo test -p tests --test docs` writes the outputs of today into the pages.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tests::process::{Logd, binary};
use tests::skip::skip;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

/// A page is written for one address and one year; the test has others.
struct Elsewhere {
    pairs: [(String, String); 3],
}

impl Elsewhere {
    fn new(logd: &Logd) -> Result<Self> {
        let this_year = tests::process::logctl(&logd.directory, &["shard", "list", "-o", "json"])?
            .expect_code(0)?
            .json()?["shards"][0]["name"]
            .as_str()
            .and_then(|name| name.get(..4))
            .context("the first shard is named after the year")?
            .to_owned();
        Ok(Self {
            pairs: [
                ("127.0.0.1:7070".to_owned(), logd.address.to_string()),
                ("2026".to_owned(), this_year),
                (
                    "/tmp/first".to_owned(),
                    logd.directory.to_string_lossy().into_owned(),
                ),
            ],
        })
    }

    fn there(&self, page: &str) -> String {
        let replace = |text: String, (here, there): &(String, String)| text.replace(here, there);
        self.pairs.iter().fold(page.to_owned(), replace)
    }

    fn back(&self, page: &str) -> String {
        let replace = |text: String, (here, there): &(String, String)| text.replace(there, here);
        self.pairs.iter().fold(page.to_owned(), replace)
    }
}

fn installed(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// Runs a page's commands, in its order, in one folder.
fn run(page: &str, logd: &Logd) -> Result<()> {
    let (Some(curl), Some(sed)) = (installed("curl"), installed("sed")) else {
        skip(page, "curl or sed is not installed");
        return Ok(());
    };
    let elsewhere = Elsewhere::new(logd)?;
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("page.md");
    // The folder of this name is where the commands run.
    std::fs::create_dir(folder.path().join("page.in"))?;
    std::fs::write(&copy, elsewhere.there(&read(page)?))?;
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("logctl", binary("logctl")?)
        .register_bin("curl", curl)
        .register_bin("sed", sed)
        .env(
            "LOGCTL_CONFIG",
            logd.directory.join("logctl.toml").to_string_lossy(),
        )
        .env(
            "XDG_STATE_HOME",
            folder.path().join("state").to_string_lossy(),
        )
        .env("NO_COLOR", "1")
        .case(&copy);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cases.run()));
    if std::env::var_os("TRYCMD").is_some_and(|mode| mode == "overwrite") {
        std::fs::write(
            root().join(page),
            elsewhere.back(&std::fs::read_to_string(&copy)?),
        )?;
    }
    ensure!(outcome.is_ok(), "{page} shows what is not so, see above");
    Ok(())
}

#[test]
fn the_tutorial_is_true() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let logd = Logd::start(&folder.path().join("first"))?;
    run("docs/tutorial.md", &logd)
}

/// The words in backticks in the first column of a page's tables.
fn first_column(page: &str) -> BTreeSet<String> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(word, _)| word.to_owned())
        .collect()
}

/// The first string after each occurrence of a word in a source text, where it looks like a code.
fn codes_after<'a>(source: &'a str, word: &str) -> BTreeSet<&'a str> {
    let like_a_code =
        |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    source
        .split(word)
        .skip(1)
        .filter_map(|rest| rest.split('"').nth(1))
        .filter(like_a_code)
        .collect()
}

#[test]
fn every_error_code_is_explained() -> Result<()> {
    let page = read("docs/errors.md")?;
    let explained = first_column(&page);
    let wire = read("crates/wire/src/codes.rs")?;
    let command = read("cli/src/exit.rs")?;
    let data = read("crates/wire/src/data/codes.rs")?;
    let mut missing = Vec::new();
    for (source, text, prefix) in [
        ("wire", &wire, "pub const "),
        ("logctl", &command, "Row::new("),
        ("data plane", &data, "pub const "),
    ] {
        let codes = codes_after(text, prefix);
        ensure!(codes.len() > 5, "{source}: found only {codes:?}");
        let unknown = codes.into_iter().filter(|code| !explained.contains(*code));
        missing.extend(unknown.map(|code| format!("{source}: {code}")));
    }
    ensure!(missing.is_empty(), "docs/errors.md lacks {missing:?}");
    for exit in (0..=13).chain([130]) {
        ensure!(page.contains(&format!("\n| {exit} |")), "exit code {exit}");
    }
    Ok(())
}

/// Every test that docs/features.md names is there.
#[test]
fn every_feature_is_shown_by_a_test() -> Result<()> {
    let page = read("docs/features.md")?;
    let mut rows = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
        let (Some(feature), Some(shown)) = (cells.first(), cells.last()) else {
            continue;
        };
        if shown.trim() == "shown by" || feature.contains("---") {
            continue;
        }
        rows += 1;
        let named: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        ensure!(!named.is_empty(), "no test is named: {line}");
        for name in named {
            let (file, test) = name
                .split_once("::")
                .with_context(|| format!("{name} is not FILE::TEST"))?;
            let source = read(file)?;
            ensure!(
                source.contains(&format!("fn {test}(")),
                "{file} has no test {test}: {line}"
            );
        }
    }
    ensure!(rows > 60, "only {rows} rows");
    Ok(())
}

/// The names of metrics in a text: words that begin with a prefix of ours, without what a histogram's series add.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("logd_") || word.starts_with("process_"))
        .map(|word| {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|end| word.strip_suffix(end));
            family.unwrap_or(word).to_owned()
        })
        .collect()
}

#[test]
fn the_dashboard_uses_metrics_that_there_are() -> Result<()> {
    if !root().join("docs/metrics.md").is_file() {
        skip("docs/grafana/logd.json", "there is no docs/metrics.md");
        return Ok(());
    }
    let dashboard: serde_json::Value = serde_json::from_str(&read("docs/grafana/logd.json")?)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let mut used = BTreeSet::new();
    let mut names = BTreeSet::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().context("a title")?;
        ensure!(names.insert(title), "two panels are called {title}");
        let targets = panel["targets"].as_array().context("targets")?;
        for target in targets {
            let found = metrics(target["expr"].as_str().context("an expression")?);
            ensure!(!found.is_empty(), "{title} shows no metric of logd");
            used.extend(found);
        }
    }
    let documented = metrics(
        &first_column(&read("docs/metrics.md")?)
            .into_iter()
            .collect::<Vec<_>>()
            .join(" "),
    );
    let unknown: Vec<_> = used.difference(&documented).collect();
    ensure!(
        unknown.is_empty(),
        "docs/grafana/logd.json uses {unknown:?}, which docs/metrics.md does not have"
    );
    // It shows every figure that an alarm would be about.
    for needed in [
        "logd_promise_missed_total",
        "logd_admission_total",
        "logd_commit_seconds",
        "logd_queue_entries",
    ] {
        ensure!(
            used.contains(needed),
            "the dashboard does not show {needed}"
        );
    }
    Ok(())
}

/// The first block of a page in a language.
fn block<'a>(page: &'a str, language: &str) -> Result<&'a str> {
    let fence = format!("```{language}\n");
    let (_, rest) = page.split_once(&fence).context("no such block")?;
    let (block, _) = rest.split_once("\n```").context("it has no end")?;
    Ok(block)
}

/// The guide to the plug-in from an empty project, which lies outside of this workspace: its dependency lines, its code, nothing else.
/// Build output of the workspace is used again.
#[test]
fn the_guide_compiles_from_an_empty_project() -> Result<()> {
    let page = read("docs/plugin.md")?;
    let workspace = root().canonicalize()?;
    let folder = tempfile::tempdir()?;
    let at = folder.path().canonicalize()?;
    ensure!(!at.starts_with(&workspace), "{} is outside", at.display());
    let dependencies = block(&page, "toml")?;
    ensure!(
        dependencies.contains("\"../logs/server-admin\""),
        "the guide names the crates by path"
    );
    let here = format!("\"{}/", workspace.display());
    let manifest = format!(
        "[package]\nname = \"mine\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n{}\n{}\n",
        dependencies.replace("\"../logs/", &here),
        profile(&read("Cargo.toml")?)?
    );
    // Lines that begin with `# ` are not shown on the page.
    let code: String = block(&page, "rust")?
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line).to_owned() + "\n")
        .collect();
    std::fs::create_dir(at.join("src"))?;
    std::fs::write(at.join("Cargo.toml"), manifest)?;
    std::fs::write(at.join("src/main.rs"), code)?;
    std::fs::copy(workspace.join("Cargo.lock"), at.join("Cargo.lock"))?;
    let ours = std::env::current_exe()?;
    let target = ours
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        .context("this test lies in a target folder")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let ran = std::process::Command::new(cargo)
        .args(["check", "--quiet", "--offline"])
        .current_dir(&at)
        .env("CARGO_TARGET_DIR", target)
        .output()?;
    ensure!(
        ran.status.success(),
        "docs/plugin.md: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    Ok(())
}

/// How a manifest builds for development: with the same settings what is built already is taken.
fn profile(manifest: &str) -> Result<&str> {
    let from = manifest
        .find("[profile.dev]")
        .context("there is a profile")?;
    let rest = manifest.get(from..).unwrap_or_default();
    Ok(rest.split("[profile.release]").next().unwrap_or(rest))
}

/// The unit file of the operations page, with the program of this build in the place of the installed one.
#[test]
fn the_unit_file_is_one_for_systemd() -> Result<()> {
    let unit = read("docs/operations.md")?;
    let unit = block(&unit, "ini")?;
    ensure!(unit.contains("Type=notify") && unit.contains("ExecReload="));
    let Some(verify) = installed("systemd-analyze") else {
        skip(
            "the unit file in docs/operations.md",
            "systemd-analyze is not installed",
        );
        return Ok(());
    };
    let logd = binary("logd")?.canonicalize()?;
    let installed = "/usr/local/bin/logd";
    ensure!(unit.contains(installed), "{unit}");
    let folder = tempfile::tempdir()?;
    let said = |text: &str| -> Result<String> {
        let path = folder.path().join("logd.service");
        std::fs::write(&path, text.replace(installed, &logd.display().to_string()))?;
        let ran = std::process::Command::new(&verify)
            .args(["verify", "--man=no"])
            .arg(&path)
            .output()?;
        Ok(format!(
            "{}{}",
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        ))
    };
    // It ends with 0 for a key that it does not know.
    let broken = said(&unit.replace("WatchdogSec", "WatchdgSec"))?;
    if !broken.contains("WatchdgSec") {
        skip(
            "the unit file in docs/operations.md",
            "systemd-analyze finds nothing here",
        );
        return Ok(());
    }
    let found = said(unit)?;
    ensure!(found.trim().is_empty(), "docs/operations.md: {found}");
    Ok(())
}
