//! `logctl config edit`: opens the running document in an editor, and applies the result as a change.
//!
//! What must never happen: text that somebody wrote is lost. It is in a file until the change is made, and a user who stops before that is
//! told its name.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use serde::Serialize;
use wire::routes::Name;
use wire::{ConfigAnswer, Finding, codes};

use crate::client::Call;
use crate::commands::change::{self, ChangeArgs, Consent, Trial};
use crate::commands::document::wire_finding;
use crate::commands::{Server, Session};
use crate::error::{Error, FindingPlace};
use crate::private;
use crate::report::{Outcome, Page, Present};

/// The beginning of each line of the header, which is removed again.
const MARK: &str = "#|";

/// There was nothing to do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Unedited {
    log: String,
    unchanged: bool,
    generation: u64,
}

/// The arguments of `logctl config edit`.
#[derive(Debug, clap::Args)]
pub(crate) struct EditArgs {
    #[command(flatten)]
    pub(super) trial: Trial,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

pub(super) async fn run(session: &Session<'_>, trial: Trial) -> Result<Outcome, Error> {
    let editor = editor(session)?;
    let server = session.server()?;
    let log = server.log().await?;
    let running = server.admin.config(&log, server.deadline).await?;
    let file = scratch(&log, &running)?;
    let result = edited(session, &server, &editor, &file, &running, trial).await;
    match draft(&file, &running.config.to_yaml(), &result, trial.dry_run) {
        // Its content runs now, or ran before.
        Draft::Done => drop(std::fs::remove_file(&file)),
        Draft::Keep(next) => {
            let path = file.display();
            session.ui.note(&format!(
                "your text is in {path}; {}",
                next.replace("FILE", &path.to_string())
            ));
        }
    }
    result
}

/// The fate of the edited file when the command ends.
#[derive(Debug, PartialEq, Eq)]
enum Draft {
    /// It was not edited, or its change is made.
    Done,
    /// The file is kept; the text says how to continue with it.
    Keep(&'static str),
}

fn draft(file: &Path, running: &str, result: &Result<Outcome, Error>, dry_run: bool) -> Draft {
    let written = std::fs::read_to_string(file).map(|text| stripped(&text));
    if written.is_ok_and(|written| written.is_empty() || written == running) {
        return Draft::Done;
    }
    let error = match result {
        Ok(outcome) => outcome.trouble.as_ref(),
        Err(error) => Some(error),
    };
    match error {
        None if dry_run => Draft::Keep("`logctl shard --use-config FILE` applies it"),
        // The change runs, even if not everywhere yet.
        None | Some(Error::NotConverged { .. }) => Draft::Done,
        Some(Error::OutcomeUnknown { .. } | Error::Interrupted { .. } | Error::TimedOut { .. }) => {
            Draft::Keep(
                "`logctl shard --use-config FILE` applies it, and does nothing where it was applied",
            )
        }
        Some(Error::Invalid { .. }) => {
            Draft::Keep("correct it, then `logctl shard --use-config FILE` applies it")
        }
        Some(_) => Draft::Keep("`logctl shard --use-config FILE` applies it"),
    }
}

async fn edited(
    session: &Session<'_>,
    server: &Server,
    editor: &str,
    file: &Path,
    running: &ConfigAnswer,
    trial: Trial,
) -> Result<Outcome, Error> {
    let log = running.config.log.as_str().to_owned();
    let mut body = running.config.to_yaml();
    let mut findings: Vec<Finding> = Vec::new();
    loop {
        put(file, &(header(&log, &findings) + &body))?;
        open(session, editor, file).await?;
        let text = std::fs::read_to_string(file).map_err(|source| Error::Read {
            what: file.display().to_string(),
            source,
        })?;
        let written = stripped(&text);
        if written == body {
            // The user wrote nothing new: neither a change, nor a correction.
            return if findings.is_empty() {
                unedited(log, running)
            } else {
                Err(Error::Invalid {
                    subject: file.display().to_string(),
                    findings: placed(findings, &text, &written),
                })
            };
        }
        body = written;
        session.ui.stand(
            "nothing was changed",
            format!("your text is in {}", file.display()),
        );
        let document = match logconfig::parse(&body) {
            Ok(document) => document,
            Err(found) => {
                findings = found.into_iter().map(wire_finding).collect();
                continue;
            }
        };
        if document.stripped() == running.config.stripped() {
            return unedited(log, running);
        }
        let call = Call::new(Name::PutConfig, &log, &document)?;
        let consent = Consent {
            question: Some(format!("apply your text to {log}?")),
            log: log.clone(),
            base: Some(running.etag.clone()),
            typed: None,
            preview: true,
            trial,
        };
        match change::carry_out(session, server, call, consent).await {
            Err(Error::Problem(problem))
                if problem.code == codes::INVALID && !problem.findings.is_empty() =>
            {
                findings = problem
                    .findings
                    .into_iter()
                    .map(|finding| located(finding, &body))
                    .collect();
            }
            other => return other,
        }
    }
}

/// A finding of the server with its place in the text.
fn located(finding: Finding, body: &str) -> Finding {
    let mut marker = [logconfig::Finding {
        code: "",
        message: String::new(),
        pointer: finding.pointer.clone(),
        line: None,
        column: None,
        hint: None,
    }];
    logconfig::locate(body, &mut marker);
    let [marker] = marker;
    Finding {
        line: marker.line,
        column: marker.column,
        ..finding
    }
}

/// Findings of the text without its header, as they stand in the file.
fn placed(findings: Vec<Finding>, file: &str, body: &str) -> Vec<Finding> {
    let above = file.lines().count().saturating_sub(body.lines().count());
    let above = u32::try_from(above).unwrap_or(0);
    let placed = findings.into_iter().map(|finding| Finding {
        line: finding.line.map(|line| line + above),
        ..finding
    });
    placed.collect()
}

fn unedited(log: String, running: &ConfigAnswer) -> Result<Outcome, Error> {
    Outcome::done(&Unedited {
        log,
        unchanged: true,
        generation: running.config.generation.unwrap_or(0),
    })
}

/// The header above the document, which is removed again.
fn header(log: &str, findings: &[Finding]) -> String {
    let mut lines = vec![
        format!("The configuration of the log {log}. Lines that begin with {MARK} are taken out."),
        "Save the file and close the editor to apply it; a file without a change changes nothing."
            .to_owned(),
    ];
    if !findings.is_empty() {
        lines.push(String::new());
        lines.push("This configuration is not valid:".to_owned());
        let above = u32::try_from(lines.len() + findings.len() + hints(findings)).unwrap_or(0);
        for finding in findings {
            let placed = Finding {
                line: finding.line.map(|line| line + above),
                ..finding.clone()
            };
            let place = FindingPlace {
                subject: "line",
                finding: &placed,
            };
            lines.push(format!("{place}: {} [{}]", finding.message, finding.code));
            lines.extend(finding.hint.iter().map(|hint| format!("    hint: {hint}")));
        }
    }
    lines
        .iter()
        .map(|line| {
            let line = crate::render::clean(&line.replace('\n', " "));
            format!("{MARK} {line}").trim_end().to_owned() + "\n"
        })
        .collect()
}

fn hints(findings: &[Finding]) -> usize {
    findings
        .iter()
        .filter(|finding| finding.hint.is_some())
        .count()
}

fn stripped(text: &str) -> String {
    text.split_inclusive('\n')
        .filter(|line| !line.starts_with(MARK))
        .collect()
}

/// $VISUAL, then $EDITOR, then `vi` on a terminal.
fn editor(session: &Session<'_>) -> Result<String, Error> {
    let set = |name: &str| {
        std::env::var(name)
            .ok()
            .filter(|value| !value.trim().is_empty())
    };
    match set("VISUAL").or_else(|| set("EDITOR")) {
        Some(editor) => Ok(editor),
        None if session.ui.will_ask() => Ok("vi".to_owned()),
        None => Err(Error::Usage {
            message: "neither VISUAL nor EDITOR names an editor".to_owned(),
            hint: "set EDITOR, or edit a file: `logctl config show > next.yaml`, then `logctl shard --use-config next.yaml`".to_owned(),
        }),
    }
}

/// A file of its own, which nobody else can read.
fn scratch(log: &str, running: &ConfigAnswer) -> Result<PathBuf, Error> {
    let folder = private::state_folder().map(|folder| folder.join("edited"));
    let folder = folder.unwrap_or_else(std::env::temp_dir);
    let name = format!("{log}-{}-{}.yaml", running.etag, std::process::id());
    let file = folder.join(name);
    let written = put(&file, "");
    if written.is_ok() {
        return Ok(file);
    }
    // Editing works even if the home folder cannot be written.
    let file = std::env::temp_dir().join(file.file_name().unwrap_or_default());
    put(&file, "").map(|()| file)
}

fn put(file: &Path, text: &str) -> Result<(), Error> {
    private::write(file, text.as_bytes()).map_err(|source| Error::Write {
        what: file.display().to_string(),
        source,
    })
}

/// Runs the editor to its end. Ctrl-C goes to the editor meanwhile.
async fn open(session: &Session<'_>, editor: &str, file: &Path) -> Result<(), Error> {
    let failed = |message: String| Error::Usage {
        message: format!("the editor `{editor}` {message}; nothing was changed"),
        hint: "set EDITOR to an editor that waits until the file is closed".to_owned(),
    };
    // Standard output is for the result.
    let out = std::io::stderr()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|source| Error::Write {
            what: "standard error".to_owned(),
            source,
        })?;
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("{editor} \"$@\""))
        .arg("sh")
        .arg(file)
        .stdout(Stdio::from(out));
    session.ui.away(true);
    let ran = tokio::task::spawn_blocking(move || command.status()).await;
    session.ui.away(false);
    match ran {
        Ok(Ok(status)) if ExitStatus::success(&status) => Ok(()),
        Ok(Ok(status)) => Err(failed(format!("ended with {status}"))),
        Ok(Err(error)) => Err(failed(format!("can't be started: {error}"))),
        Err(error) => Err(Error::Bug(format!("waiting for the editor: {error}"))),
    }
}

impl Present for Unedited {
    const KIND: &'static str = "Change";

    fn page(&self) -> Page {
        Page::new().text(format!(
            "{}: nothing to do, the document is the one of generation {}",
            self.log, self.generation
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_taken_out_and_nothing_else() {
        let finding = Finding {
            code: "unknown-key".to_owned(),
            message: "no key `stat`".to_owned(),
            pointer: "/shards/0/stat".to_owned(),
            line: Some(2),
            column: Some(5),
            hint: Some("did you mean `state`?".to_owned()),
        };
        let body = "# mine\nlog: dev\n";
        for findings in [vec![], vec![finding]] {
            let text = header("dev", &findings) + body;
            assert_eq!(stripped(&text), body);
            let above = text.lines().count() - body.lines().count();
            // The line that is named is the one in the file.
            let line = placed(findings.clone(), &text, body)
                .first()
                .and_then(|f| f.line);
            if let Some(line) = line {
                assert_eq!(line as usize, above + 2);
                assert!(
                    text.contains(&format!("line:{line}:5: no key `stat`")),
                    "{text}"
                );
            }
        }
    }
}
