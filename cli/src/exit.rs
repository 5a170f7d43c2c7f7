//! The one table from a situation to its exit code, stable word and hint.
//!
//! What must never happen: a situation has no next step, or one word has two exit codes.

mod trail;

use wire::{Problem, codes};

use crate::error::{Error, SourceFault};

/// Done, or nothing to do.
pub(crate) const DONE: u8 = 0;
/// A bug, here or in the server.
pub(crate) const BUG: u8 = 1;
/// Wrong usage, including local files.
pub(crate) const USAGE: u8 = 2;
/// Differences exist (`--exit-code` only).
pub(crate) const DIFFERS: u8 = 3;
/// Not authenticated or not allowed.
pub(crate) const DENIED: u8 = 4;
/// Conflict: the base has changed, or the condition of the log does not allow the change.
pub(crate) const CONFLICT: u8 = 5;
pub(crate) const REFUSED: u8 = 6;
/// Timed out; the change is still running.
pub(crate) const TIMEOUT: u8 = 7;
/// Outcome unknown or not printed; safe to run again.
pub(crate) const UNKNOWN: u8 = 8;
/// Applied, but a replica does not run it yet.
pub(crate) const LAGGING: u8 = 9;
/// The change ran, and was reverted.
pub(crate) const ROLLED_BACK: u8 = 10;
pub(crate) const UNREACHABLE: u8 = 11;
pub(crate) const UNVERIFIED: u8 = 12;
/// Halted, full or overloaded.
pub(crate) const HALTED: u8 = 13;
/// Interrupted, or declined at the question.
pub(crate) const INTERRUPTED: u8 = 130;

/// The meaning of each code, for the manual.
pub(crate) const MEANINGS: [(u8, &str); 15] = [
    (DONE, "Done, or nothing to do."),
    (BUG, "A bug, here or in the server."),
    (
        USAGE,
        "Wrong usage: the command line, a local file, or a question without a terminal to answer it.",
    ),
    (
        DIFFERS,
        "There are differences (config diff --exit-code only).",
    ),
    (DENIED, "Not authenticated or not allowed."),
    (
        CONFLICT,
        "Conflict: the configuration has changed since the file was made, the condition of the log does not allow the change, or the Rekor that is imported has changed meanwhile.",
    ),
    (REFUSED, "Refused by validation, or not found."),
    (
        TIMEOUT,
        "Timed out; the change is still running: logctl op wait ID. With --announce: the same command continues.",
    ),
    (
        UNKNOWN,
        "The outcome is unknown, or a change was made and a later step failed, such as printing the answer; running the same command again within an hour continues the same request; logctl import continues with --resume.",
    ),
    (LAGGING, "Applied, but a replica does not run it yet."),
    (
        ROLLED_BACK,
        "Reverted: nobody confirmed the change in time.",
    ),
    (
        UNREACHABLE,
        "The server, or the Rekor that is imported, cannot be reached.",
    ),
    (
        UNVERIFIED,
        "Verification failed: answers contradict each other, an imported entry is not what the old Rekor signed, or the audit trail was rewritten.",
    ),
    (
        HALTED,
        "The log is halted, its store is full, the server is overloaded, or doctor found something critical.",
    ),
    (INTERRUPTED, "Interrupted, or the answer was no."),
];

/// The exit code, word and hint of a situation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) exit: u8,
    pub(crate) code: String,
    /// The next step for the user.
    pub(crate) hint: String,
}

impl Row {
    fn new(exit: u8, code: &str, hint: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.to_owned(),
            hint: hint.into(),
        }
    }
}

pub(crate) fn row(error: &Error) -> Row {
    match error {
        Error::Usage { hint, .. } => Row::new(USAGE, "usage", hint),
        Error::Read { .. } => Row::new(
            USAGE,
            "cannot-read",
            "check the path and its permissions; nothing was changed",
        ),
        Error::Write { .. } => Row::new(
            USAGE,
            "cannot-write",
            "check the path, its permissions and the free space",
        ),
        Error::AnswerLost { hint, .. } => Row::new(UNKNOWN, "answer-lost", hint),
        Error::AfterChange { hint, .. } => Row::new(UNKNOWN, "after-change", hint),
        Error::Exists { force, .. } => Row::new(
            USAGE,
            "file-exists",
            if *force {
                "add --force to overwrite it, or name another file"
            } else {
                "name another file; nothing was changed"
            },
        ),
        Error::Unconfirmed { .. } => Row::new(
            USAGE,
            "confirmation-required",
            "add --yes to confirm; nothing was changed",
        ),
        Error::Protected { context, .. } => Row::new(
            USAGE,
            "confirmation-required",
            format!("`--confirm {context}` confirms it (--yes is not enough); nothing was changed"),
        ),
        Error::OtherContext { named, .. } => Row::new(
            USAGE,
            "other-context",
            format!("add `--context {named}` if you mean that context; nothing was changed"),
        ),
        Error::Declined => Row::new(
            INTERRUPTED,
            "declined",
            "run the command again when you are ready",
        ),
        Error::ContextFile { hint, .. } => Row::new(USAGE, "context", hint),
        Error::NoEndpoint {
            choose: Some(name), ..
        } => Row::new(
            USAGE,
            "context",
            format!(
                "`logctl context use {name}` chooses that one; `--context NAME` selects one for a single command"
            ),
        ),
        Error::NoEndpoint { .. } => Row::new(
            USAGE,
            "context",
            "set LOGCTL_CONFIG to the logctl.toml that the server wrote, or name the endpoint with --admin",
        ),
        Error::WhichLog { .. } => Row::new(USAGE, "which-log", "name it with --log NAME"),
        Error::SecretExposed { path, .. } => Row::new(
            DENIED,
            "secret-exposed",
            format!(
                "run `chmod 600 {}`, and replace the token if others may have read it",
                path.display()
            ),
        ),
        Error::SecretEmpty { .. } => {
            Row::new(DENIED, "secret-empty", "put the token into it, on one line")
        }
        Error::Login { hint, .. } => Row::new(DENIED, "login", hint),
        Error::Tls { .. } => Row::new(
            USAGE,
            "tls",
            "check the certificate files that the context names (`ca`, `client_cert`, `client_key`) or --ca",
        ),
        Error::Unreachable { hint, .. } => Row::new(UNREACHABLE, "unreachable", hint),
        Error::Foreign { .. } => Row::new(
            UNREACHABLE,
            "not-an-admin-endpoint",
            "check the address: the admin endpoint has its own, it is not the one that writers use",
        ),
        Error::OutcomeUnknown {
            operation,
            key,
            kept,
            ..
        } => Row::new(
            UNKNOWN,
            codes::UNKNOWN_OUTCOME,
            again(operation.as_deref(), key.as_deref(), *kept),
        ),
        Error::Invalid { .. } => Row::new(
            REFUSED,
            codes::INVALID,
            "correct the document and run the command again; nothing was changed",
        ),
        Error::Problem(problem) => problem_row(problem),
        Error::BadEntries { hint, .. } => Row::new(REFUSED, "bad-entries", hint),
        Error::Source { fault, hint, .. } => match fault {
            SourceFault::Unverified => Row::new(UNVERIFIED, codes::UNVERIFIED, hint),
            SourceFault::Changed => Row::new(CONFLICT, "source-changed", hint),
        },
        Error::WriteRefused {
            status,
            code,
            resume,
            ..
        } => write_row(*status, code, resume),
        Error::Stale(_) => Row::new(
            CONFLICT,
            codes::STALE,
            "make the plan again from the running configuration: `logctl config show > FILE`, your change in it, then `logctl config plan FILE -o plan.json`; nothing was changed",
        ),
        Error::RolledBack { operation } => Row::new(
            ROLLED_BACK,
            "rolled-back",
            format!(
                "find out why; `logctl config rollback {} --log {} --confirm-within 10m` tries the same settings again, and `logctl op confirm ID` keeps them",
                operation.generation, operation.log
            ),
        ),
        Error::NotMade { .. } => Row::new(
            REFUSED,
            "refused",
            "`logctl audit list` says why it was refused; correct that, and ask for it again",
        ),
        Error::Trail { fault, .. } => trail::row(*fault),
        Error::NotFound { kind, name, known } => {
            Row::new(REFUSED, codes::NOT_FOUND, suggestion(kind, name, known))
        }
        Error::NotConverged { operation, .. } => Row::new(
            LAGGING,
            "not-converged",
            match operation {
                Some(id) => {
                    format!(
                        "`logctl op wait {id}` continues to wait; `logctl status` shows the replicas"
                    )
                }
                None => {
                    "run the command again to continue waiting; `logctl status` shows the replicas"
                        .into()
                }
            },
        ),
        Error::TimedOut { operation, .. } => Row::new(
            TIMEOUT,
            "timeout",
            match operation {
                Some(id) => format!("it is still running: `logctl op wait {id}` continues to wait"),
                None => {
                    "it is still running: `logctl op list` shows it; --timeout waits longer".into()
                }
            },
        ),
        Error::Waits {
            log,
            shard,
            unpublished: true,
            ..
        } => Row::new(
            TIMEOUT,
            "announcing",
            format!(
                "no command publishes the key of shard {shard}: add --exec COMMAND, or write the trusted root with `logctl shard export --format trusted-root --merge FILE --log {log}` and publish it yourself; then run the same command again to continue"
            ),
        ),
        Error::Waits { log, shard, .. } => Row::new(
            TIMEOUT,
            "announcing",
            format!(
                "run the same command again later, for shard {shard}: it continues; `logctl shard list --log {log}` shows since when the key has been seen"
            ),
        ),
        Error::NothingPublished { .. } => {
            let hint = "add --merge FILE or --new-root; nothing was rotated";
            Row::new(USAGE, "nothing-published", hint)
        }
        Error::Publishing { .. } => Row::new(
            USAGE,
            "publishing",
            "nothing was rotated; find out why, and run the same command again: it continues",
        ),
        Error::Differs { file, .. } => Row::new(
            DIFFERS,
            "differs",
            if *file {
                "`logctl shard --use-config FILE` applies it"
            } else {
                "`logctl config rollback GENERATION` brings the settings of an earlier generation back"
            },
        ),
        Error::Lacking { .. } => Row::new(
            DENIED,
            codes::FORBIDDEN,
            "ask the log's operator for these permissions; nothing was run",
        ),
        Error::Unsupported { .. } => Row::new(
            REFUSED,
            codes::UNSUPPORTED,
            "`logctl whoami` lists the capabilities of this server; nothing was changed",
        ),
        Error::Halted { .. } => Row::new(
            HALTED,
            codes::HALTED,
            "follow the reason above; `logctl doctor` checks the rest, and `logd fsck`, which changes nothing, checks the stores",
        ),
        Error::Ailing { .. } => Row::new(
            HALTED,
            "critical-findings",
            "each finding above has a remedy; run `logctl doctor` again afterwards",
        ),
        Error::VerificationFailed { .. } => Row::new(
            UNVERIFIED,
            "verification-failed",
            "keep the findings, stop writing to this log, and run `logd fsck` on its stores",
        ),
        Error::ReceiptInvalid { .. } => Row::new(
            UNVERIFIED,
            "receipt-invalid",
            "check that it is the file that the writer got, and name the shard's key with --vkey",
        ),
        Error::PromiseBroken { .. } => Row::new(
            UNVERIFIED,
            "promise-broken",
            "keep the receipt: it proves the promise; ask the log's operator",
        ),
        Error::PromiseForgotten { .. } => Row::new(
            UNKNOWN,
            "promise-forgotten",
            "look for the leaf hash in the log's tiles; verify the next receipt within 7 days",
        ),
        Error::Interrupted { resume, .. } => Row::new(INTERRUPTED, "interrupted", resume),
        Error::Bug(_) => Row::new(
            BUG,
            "bug",
            "please report this, with the command that led to it",
        ),
    }
}

/// The hint after a change whose outcome is unknown.
pub(crate) fn again(operation: Option<&str>, key: Option<&str>, kept: bool) -> String {
    let look = match operation {
        Some(id) => format!("`logctl op wait {id}` follows it"),
        None => "`logctl op list` shows whether it was made".to_owned(),
    };
    match key {
        Some(key) if kept => format!(
            "{look}; run the same command again within an hour to continue this request (idempotency key {key}): it is not made twice"
        ),
        Some(key) => format!(
            "{look}; run the same command again with `--idempotency-key {key}` to continue this request: it is not made twice"
        ),
        None => format!("{look}; check before you run the command again"),
    }
}

fn problem_row(problem: &Problem) -> Row {
    let (exit, hint) = match problem.code.as_str() {
        codes::UNAUTHENTICATED => (
            DENIED,
            "name the file with your token: LOGCTL_TOKEN_FILE, or `token_file` in the context; `logctl context show` shows the settings in effect",
        ),
        codes::FORBIDDEN => (DENIED, "ask the log's operator for the right to do this"),
        codes::BROWSER_REFUSED => (
            DENIED,
            "do not send the request through a browser or a proxy that looks like one",
        ),
        codes::NOT_FOUND => (
            REFUSED,
            "`logctl status`, `logctl shard list` and `logctl op list` list the existing ones",
        ),
        codes::STALE => (
            CONFLICT,
            "look at the differences, write the running configuration to a file (`logctl config show > FILE`) and make your change in it again; nothing was changed",
        ),
        codes::CONFLICT => (
            CONFLICT,
            "`logctl status` shows the log's condition; nothing was changed",
        ),
        codes::INVALID => (
            REFUSED,
            "correct it and run the command again; nothing was changed",
        ),
        codes::UNVERIFIED => (
            UNVERIFIED,
            "readers see none of the imported entries; `logctl import rekor --drop --log NAME` deletes them",
        ),
        codes::KEY_REUSED => (
            REFUSED,
            "this key is that of another request: leave --idempotency-key out, or name a new one; nothing was changed",
        ),
        codes::PRECONDITION_REQUIRED => (
            USAGE,
            "name the base of the change: --if-match TAG (`logctl api GET logs/NAME/config -o name` prints it); nothing was changed",
        ),
        codes::BAD_REQUEST | codes::METHOD_NOT_ALLOWED | codes::UNSUPPORTED_MEDIA_TYPE => (
            USAGE,
            "`logctl api GET openapi.json` describes each request; nothing was changed",
        ),
        codes::TOO_LARGE => (REFUSED, "make the document smaller; nothing was changed"),
        codes::UNSUPPORTED => (
            REFUSED,
            "this server cannot do that at all; nothing was changed",
        ),
        codes::UNAVAILABLE => (
            UNREACHABLE,
            "run the command again in a moment; nothing was changed",
        ),
        codes::TOO_MANY => (
            HALTED,
            "wait a little and run the command again; nothing was changed",
        ),
        codes::HALTED => (HALTED, "run `logd fsck` on its stores before anything else"),
        codes::FULL => (
            HALTED,
            "free some space on the store and run the command again",
        ),
        codes::UNKNOWN_OUTCOME => (
            UNKNOWN,
            "look with `logctl status` and `logctl op list`; running the same command again is safe",
        ),
        _ => (
            BUG,
            "please report this, with the command that led to it and the server's log",
        ),
    };
    // The server's hint is better, unless it is about HTTP.
    let about_http = problem.hint_is_about_http
        || [
            codes::STALE,
            codes::PRECONDITION_REQUIRED,
            codes::BAD_REQUEST,
        ]
        .contains(&problem.code.as_str());
    let specific = match problem.findings.as_slice() {
        [only] => only.hint.as_ref(),
        _ => None,
    };
    let theirs = specific.or(problem.hint.as_ref()).filter(|_| !about_http);
    Row::new(exit, &problem.code, theirs.map_or(hint, String::as_str))
}

/// The statuses of the data plane: 409 is about the log's condition, 429 and 503 about its load.
fn write_row(status: u16, code: &str, resume: &str) -> Row {
    let code = if code.is_empty() {
        "write-refused"
    } else {
        code
    };
    match status {
        401 | 403 => Row::new(
            DENIED,
            code,
            format!("name the file with a writer's token: --writer-token-file FILE; {resume}"),
        ),
        409 | 410 => Row::new(
            CONFLICT,
            code,
            format!("`logctl status` shows the log's condition; {resume}"),
        ),
        429 | 503 | 507 => Row::new(
            HALTED,
            code,
            format!("`logctl status` shows the state of the log; {resume}"),
        ),
        500 => Row::new(UNKNOWN, code, resume),
        501 => Row::new(REFUSED, code, "this server does not have that"),
        400..=499 => Row::new(REFUSED, code, format!("correct it, and {resume}")),
        _ => Row::new(UNREACHABLE, code, resume),
    }
}

fn suggestion(kind: &str, name: &str, known: &[String]) -> String {
    match logconfig::text::nearest(name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => match kind {
            "planned shard" => {
                "no shard is planned; `logctl shard list` shows all of them".to_owned()
            }
            "operation that begins with" => {
                "`logctl op list` lists them, the newest hundred".to_owned()
            }
            "generation" => "`logctl config history` lists the generations".to_owned(),
            "upload" => format!(
                "the server keeps the position of an upload for at least 7 days: look for its entries in the log before you import them again; if none of it was ever accepted, `--upload {name}` begins it"
            ),
            kind => format!("there is no {kind}"),
        },
        None => format!("there is: {}", known.join(", ")),
    }
}
