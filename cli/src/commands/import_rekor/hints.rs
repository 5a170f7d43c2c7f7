//! The next step after a refusal. Only `import rekor` knows where the entries come from, and which of them are copied.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wire::{Finding, ImportRequest, Problem, codes};

use super::copy::done;
use crate::commands::document::Document;
use crate::commands::{Server, Session};
use crate::error::{Error, SourceFault};
use crate::import::shard::OldShard;
use crate::import::source::Source;

/// Two answers of the server: the same command continues now, or only later.
const AGAIN: &str = "run the same `logctl import rekor` command again";
const WAIT: &str = "wait until then";

/// The command that deletes what was copied for a log. It names the log: no default is deleted.
pub(super) fn drop_command(log: &str) -> String {
    format!("`logctl import rekor --drop --log {log}`")
}

/// The import that was refused: the hints name its log, its source and its shards.
#[derive(Clone, Copy)]
pub(super) struct Refusal<'a> {
    pub(super) log: &'a str,
    pub(super) source: &'a Source,
    pub(super) shards: &'a [OldShard],
}

impl Refusal<'_> {
    /// The error with the next step for what the old Rekor has not signed.
    pub(super) fn explained(self, error: Error) -> Error {
        let Error::Problem(problem) = error else {
            return error;
        };
        if problem.code != codes::UNVERIFIED {
            return Error::Problem(problem);
        }
        match faulty(&problem, self.shards) {
            // The entries are all there, and their root is wrong.
            Some((shard, "")) => {
                let hint = self.source.wrong_root(shard, &drop_command(self.log));
                unverified(*problem, hint)
            }
            Some((shard, _)) => {
                let hint = self.source.not_signed(shard);
                unverified(*problem, hint)
            }
            None => Error::Problem(problem),
        }
    }

    /// As [`Refusal::explained`], where entries are copied.
    pub(super) fn after_copying(self, error: Error) -> Error {
        match self.explained(error) {
            Error::Problem(mut problem) if problem.code == codes::CONFLICT => {
                let hint = match problem.detail.contains(AGAIN) {
                    true => again(&problem.detail),
                    false => kept(self.log),
                };
                problem.hint.get_or_insert(hint);
                Error::Problem(problem)
            }
            error => error,
        }
    }
}

fn again(detail: &str) -> String {
    let wait = match detail.contains(WAIT) {
        true => "wait, and then ",
        false => "",
    };
    format!("{wait}run the same command again; what is already copied is kept and not copied again")
}

fn kept(log: &str) -> String {
    format!(
        "entries that were already copied are kept until {} removes them",
        drop_command(log)
    )
}

/// Adds the next step where an import cannot begin: earlier runs may have copied entries, or the log may exist.
pub(super) async fn unimportable(
    session: &Session<'_>,
    server: &Server,
    request: &ImportRequest,
    subject: &str,
    error: Error,
) -> Error {
    let Error::Problem(mut problem) = error else {
        return error;
    };
    let Some(config) = &request.config else {
        return Error::Problem(problem);
    };
    // Some refusals name the next command themselves.
    if problem.code != codes::CONFLICT || problem.hint.is_some() || problem.detail.contains("`log")
    {
        return Error::Problem(problem);
    }
    let log = config.log.as_str();
    // Without the document, only the import itself is asked about.
    let alone = ImportRequest {
        shards: request.shards.clone(),
        config: None,
    };
    let admin = &server.admin;
    let import = admin.preview_import(log, &alone, session.deadline()).await;
    let exists = admin.log(log, session.deadline()).await.is_ok();
    problem.hint = match import {
        Ok(progress) if !exists && done(&progress) > 0 => Some(kept(log)),
        _ if exists || problem.detail.contains(&config.origin) => Some(format!(
            "choose another `origin:` and name (`log:`) in {subject}; nothing was changed"
        )),
        _ => None,
    };
    Error::Problem(problem)
}

/// The shard that a refusal points to, in the list of the request or of its document, and the rest of the pointer.
fn faulty<'a, 'b>(problem: &'b Problem, shards: &'a [OldShard]) -> Option<(&'a OldShard, &'b str)> {
    let mut pointers = problem.findings.iter().map(|found| found.pointer.as_str());
    let below = pointers.find_map(|pointer| pointer.strip_prefix("/shards/"))?;
    let (at, rest) = below.split_once('/').unwrap_or((below, ""));
    Some((shards.get(at.parse::<usize>().ok()?)?, rest))
}

/// The error for what the old Rekor has not signed.
pub(super) fn unverified(problem: Problem, hint: String) -> Error {
    Error::Source {
        fault: SourceFault::Unverified,
        message: problem.detail,
        hint,
    }
}

/// The error for a document of another log than `--log` names.
pub(super) fn other_log(document: &Document, named: &str) -> Error {
    let finding = Finding {
        code: "other-log".to_owned(),
        message: format!(
            "the document is for the log {}, and --log names {named}",
            document.config.log
        ),
        pointer: "/log".to_owned(),
        line: None,
        column: None,
        hint: Some("choose the other log, or the other file".to_owned()),
    };
    let (line, column) = document.position(&finding.pointer);
    Error::Invalid {
        subject: document.subject.clone(),
        findings: vec![Finding {
            line,
            column,
            ..finding
        }],
    }
}

/// Refuses shards whose key is not in a trusted root: the server that answers may not be the Rekor that clients know.
pub(super) fn trusted(
    subject: &str,
    root: &str,
    shards: &[OldShard],
    source: &Source,
) -> Result<(), Error> {
    let refused = |why: String| Error::Usage {
        message: format!("{subject} is not a TrustedRoot: {why}"),
        hint: "name the trusted_root.json that your clients have".into(),
    };
    let root: serde_json::Value =
        serde_json::from_str(root).map_err(|error| refused(error.to_string()))?;
    match root["mediaType"].as_str() {
        Some(kind) if !kind.contains("trustedroot") => {
            return Err(refused(format!("its media type is {kind}")));
        }
        None if !root["tlogs"].is_array() => {
            return Err(refused("it has neither a media type nor `tlogs`".into()));
        }
        _ => {}
    }
    let tlogs = root["tlogs"].as_array().into_iter().flatten();
    let keys = tlogs.filter_map(|tlog| tlog["publicKey"]["rawBytes"].as_str());
    let keys: Vec<_> = keys.filter_map(|key| STANDARD.decode(key).ok()).collect();
    let unknown = |shard: &&OldShard| !keys.iter().any(|key| key == shard.key.bytes());
    match shards.iter().find(unknown) {
        None => Ok(()),
        Some(shard) => Err(Error::Source {
            fault: SourceFault::Unverified,
            message: format!(
                "{subject} does not contain the key of tree {} (log ID {} in a trusted root, {} in Rekor)",
                shard.tree_id,
                shard.key.log_id().to_base64(),
                tlog::hex(&shard.key.log_id().0)
            ),
            hint: format!(
                "nothing was imported; check that --from is the Rekor that your clients know, or publish that key first ({})",
                source.key_at(&shard.tree_id)
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::old;
    use super::*;
    use std::time::Duration;

    /// An operator who follows the hint must not delete hours of copying.
    #[test]
    fn a_refusal_that_passes_deletes_nothing() {
        let source = Source::new("https://rekor.example.org", None, Duration::from_secs(1));
        let source = &source.unwrap();
        let refusal = Refusal {
            log: "neon",
            source,
            shards: &[],
        };
        let hint = |detail: &str| {
            let code = (codes::CONFLICT, 409, "Conflict");
            let error = Error::Problem(Box::new(Problem::new(code, detail)));
            match refusal.after_copying(error) {
                Error::Problem(problem) => problem.hint.unwrap(),
                error => panic!("{error}"),
            }
        };
        let waits = "a drop was interrupted: the log can be created in 90 s; wait until then, and run the same `logctl import rekor` command again";
        let waits = hint(waits);
        assert!(
            waits.starts_with("wait, and then run the same command again;"),
            "{waits}"
        );
        let lacks = "only 5 of the 9 entries of tree 7 have been copied; run the same `logctl import rekor` command again";
        assert!(hint(lacks).starts_with("run the same command again;"));
        let other = "the origin log.example.org is in use";
        assert!(hint(other).contains("--drop --log neon"));
    }

    #[test]
    fn a_key_that_is_not_trusted_can_be_published_first() {
        let url = "https://rekor.example.org";
        let rekor = Source::new(url, None, Duration::from_secs(1)).unwrap();
        let check = |root: &str| trusted("root.json", root, &[old(7, 0, 3)], &rekor);
        let Err(Error::Source { hint, .. }) = check(r#"{"tlogs":[]}"#) else {
            panic!("trusted");
        };
        let key = "GET https://rekor.example.org/api/v1/log/publicKey?treeID=7";
        assert!(
            hint.contains(&format!("publish that key first ({key})")),
            "{hint}"
        );
        let bytes = STANDARD.encode(old(7, 0, 3).key.bytes());
        let root = format!(r#"{{"tlogs":[{{"publicKey":{{"rawBytes":"{bytes}"}}}}]}}"#);
        assert!(check(&root).is_ok());
        for other in [
            r#"{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogUrls":[]}"#,
            "{}",
            "no",
        ] {
            let Err(Error::Usage { message, .. }) = check(other) else {
                panic!("{other}");
            };
            assert!(
                message.starts_with("root.json is not a TrustedRoot: "),
                "{message}"
            );
        }
    }
}
