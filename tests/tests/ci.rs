//! The jobs that docs/ci.md shows, run with the shells that CI systems use, against a `logctl` that fails: the job must fail, and
//! nothing after the failure may run.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// How CI systems run a script in a file.
const SHELLS: [(&str, &[&str]); 4] = [
    ("GitHub Actions without `shell`", &["bash", "-e"]),
    (
        "GitHub Actions with `shell: bash`",
        &["bash", "--noprofile", "--norc", "-eo", "pipefail"],
    ),
    (
        "GitLab with bash",
        &["bash", "-c", "set -eo pipefail; . \"$0\""],
    ),
    ("GitLab with another sh", &["sh", "-e"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(path: &str) -> Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| path.to_owned())
}

/// A job: its name, and its scripts in their order.
type Job = (String, Vec<String>);

/// The code blocks of a language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = page.split(&fence).skip(1);
    let ends = blocks.filter_map(|rest| rest.split_once("\n```"));
    ends.map(|(block, _)| block.to_owned()).collect()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The commands of each step of GitHub Actions, or the `script` of each job of GitLab.
fn scripts(yaml: &str) -> Vec<String> {
    let lines: Vec<&str> = yaml.lines().collect();
    let mut scripts = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let rest = &lines[at + 1..];
        let deeper = rest.iter().take_while(|next| indent(next) > indent(line));
        match line.trim_start().trim_start_matches("- ").split_once(": ") {
            Some(("run", "|")) => scripts.push(
                deeper
                    .map(|l| l.trim_start())
                    .collect::<Vec<_>>()
                    .join("\n"),
            ),
            Some(("run", command)) => scripts.push(command.to_owned()),
            _ if line.trim() == "script:" => {
                let commands = deeper.map(|l| l.trim_start().trim_start_matches("- "));
                scripts.push(commands.collect::<Vec<_>>().join("\n"));
            }
            _ => {}
        }
    }
    scripts
}

fn jobs() -> Result<Vec<Job>> {
    let text = page("docs/ci.md")?;
    let mut jobs = Vec::new();
    for (n, block) in blocks(&text, "yaml").iter().enumerate() {
        jobs.push((format!("yaml {n}"), scripts(block)));
    }
    for (n, block) in blocks(&text, "sh").iter().enumerate() {
        jobs.push((format!("sh {n}"), vec![block.clone()]));
    }
    jobs.retain(|(_, scripts)| scripts.iter().any(|script| script.contains("logctl ")));
    Ok(jobs)
}

/// Programs for a job: a `logctl` that notes each call and fails at one of them; nothing is installed.
fn programs(folder: &Path) -> Result<()> {
    let write = |name: &str, text: &str| -> Result<()> {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(())
    };
    write(
        "logctl",
        "echo \"$*\" >> \"$CALLS\"\necho '{\"operation\":{\"id\":\"op\"}}'\n\
         if [ \"$(wc -l < \"$CALLS\")\" -eq \"$FAILS_AT\" ]; then echo 'error: no' >&2; exit 5; fi",
    )?;
    write("install", "exit 0")?;
    write("jq", "echo op")
}

/// Runs a job's scripts until one fails. Answers whether the job is green, and the calls of `logctl`.
fn run(scripts: &[String], shell: &[&str], fails_at: usize) -> Result<(bool, Vec<String>)> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    programs(at)?;
    let calls = at.join("calls");
    std::fs::write(&calls, "")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let (program, arguments) = shell.split_first().context("a shell")?;
    let mut green = true;
    for (n, script) in scripts.iter().enumerate() {
        let file = at.join(format!("script-{n}"));
        std::fs::write(&file, script)?;
        let ran = Command::new(program)
            .args(arguments)
            .arg(&file)
            .current_dir(at)
            .env("PATH", format!("{}:{path}", at.display()))
            .env("CALLS", &calls)
            .env("FAILS_AT", fails_at.to_string())
            .output()?;
        if !ran.status.success() {
            green = false;
            break;
        }
    }
    let calls = std::fs::read_to_string(&calls)?;
    Ok((green, calls.lines().map(str::to_owned).collect()))
}

#[test]
fn a_job_fails_where_logctl_fails() -> Result<()> {
    let jobs = jobs()?;
    ensure!(jobs.len() >= 4, "found only {jobs:?}");
    for (name, scripts) in &jobs {
        for (system, shell) in SHELLS {
            let (green, calls) = run(scripts, shell, 0)?;
            ensure!(green && !calls.is_empty(), "{name}, {system}: {calls:?}");
            for fails_at in 1..=calls.len() {
                let (green, called) = run(scripts, shell, fails_at)?;
                ensure!(
                    !green,
                    "{name}, {system}: `logctl {}` fails, and the job is green",
                    calls[fails_at - 1]
                );
                ensure!(
                    called == calls[..fails_at],
                    "{name}, {system}: it continues after a failure: {called:?}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn a_pipe_would_be_found() -> Result<()> {
    let piped = ["logctl shard rotate --yes | tee rotation.json".to_owned()];
    let (green, _) = run(&piped, SHELLS[0].1, 1)?;
    ensure!(green, "this is what the page warns of");
    Ok(())
}

#[test]
fn no_page_shows_a_pipe_that_hides_a_failure() -> Result<()> {
    for path in [
        "README.md",
        "docs/ci.md",
        "docs/operations.md",
        "docs/tutorial.md",
        "docs/errors.md",
    ] {
        let text = page(path)?;
        for language in ["sh", "yaml", "console"] {
            for block in blocks(&text, language) {
                let piped = block.lines().find(|line| {
                    let command = line.split(" # ").next().unwrap_or_default();
                    (command.contains("logctl ") || command.contains("logd "))
                        && command.contains(" | ")
                });
                ensure!(piped.is_none(), "{path}: {piped:?}");
            }
        }
    }
    Ok(())
}
