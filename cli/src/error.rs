//! All errors, as situations that a person can act on. Their exit codes, stable words and hints are one table, in [`crate::exit`].
//!
//! What must never happen: a token, or any other secret, in a message.

use std::fmt;
use std::io;
use std::path::PathBuf;

use logconfig::Moved;
use wire::{Finding, Operation, Problem, Replica};

use crate::pins::Seen;

/// A situation that a command may end in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Arguments that do not fit together, in a way that clap cannot check.
    #[error("{message}")]
    Usage {
        /// The mistake in the command line or in a local file.
        message: String,
        /// The next step for the user.
        hint: String,
    },
    /// A file or stream could not be read.
    #[error("cannot read {what}: {source}")]
    Read {
        /// The file, or what else was read.
        what: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A file or stream could not be written.
    #[error("cannot write {what}: {source}")]
    Write {
        /// The file, or what else was written.
        what: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A change was made, and nobody can read the answer.
    #[error("{state}, but the answer cannot be written to standard output: {source}")]
    AnswerLost {
        /// The change that was made.
        state: String,
        /// The next step for the user.
        hint: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A change was made, and a later step of the command failed.
    #[error("{state}, but a later step failed: {source}")]
    AfterChange {
        /// The change that was made.
        state: String,
        /// The next step for the user.
        hint: String,
        /// The failure of the later step, whose own hint is about a command that changed nothing.
        source: Box<Error>,
    },
    /// A file to be made already exists.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file that already exists.
        path: PathBuf,
        /// Whether the command may be told to overwrite it.
        force: bool,
    },
    /// A question, and no terminal to answer it.
    #[error("{question} needs an answer, and there is no terminal to ask on")]
    Unconfirmed {
        /// The question that nobody answered.
        question: String,
    },
    /// A change in a protected context, and no terminal to type its name.
    #[error("{question} needs the name of the context typed: `{context}` is protected")]
    Protected {
        /// The question that nobody answered.
        question: String,
        /// The context whose name must be typed.
        context: String,
    },
    /// `--confirm` names another context than the one in use.
    #[error("--confirm names {named}, but {}", used.as_ref().map_or_else(|| "no context is in use".to_owned(), |used| format!("the context in use is {used}")))]
    OtherContext {
        /// The context that `--confirm` names.
        named: String,
        /// The context in effect.
        used: Option<String>,
    },
    /// The answer to the question was no.
    #[error("declined; nothing was changed")]
    Declined,
    /// The context file does not parse, or has an impossible value.
    #[error("{place}: {message}")]
    ContextFile {
        /// `FILE`, or `FILE:LINE:COLUMN` where known.
        place: String,
        /// The fault at that place.
        message: String,
        /// The next step for the user.
        hint: String,
    },
    /// No admin address by flag, environment or file.
    #[error("no admin endpoint: {tried}")]
    NoEndpoint {
        /// The places where it was looked for.
        tried: String,
        /// A context that the user could choose.
        choose: Option<String>,
    },
    /// The log was not named and cannot be guessed.
    #[error("which log? the server has {}", list(logs))]
    WhichLog {
        /// The logs of the server.
        logs: Vec<String>,
    },
    /// A secret file that others can read.
    #[error("{} can be read by others (mode {mode:04o})", path.display())]
    SecretExposed {
        /// The file that others can read.
        path: PathBuf,
        /// The file's permission bits.
        mode: u32,
    },
    /// A secret file that holds no token.
    #[error("{} holds no token", path.display())]
    SecretEmpty {
        /// The file that should hold the token.
        path: PathBuf,
    },
    /// No token could be had, or the identity was refused.
    #[error("{message}")]
    Login {
        /// The cause, without any secret.
        message: String,
        /// The next step for the user.
        hint: String,
    },
    /// Certificate files or TLS settings.
    #[error("{what}: {message}")]
    Tls {
        /// The file or address.
        what: String,
        /// The error of the TLS library.
        message: String,
    },
    /// Nothing answers there; nothing was sent.
    #[error("cannot reach {address}: {cause}")]
    Unreachable {
        /// The endpoint's address, as it was configured.
        address: String,
        /// The innermost reason of the failure.
        cause: String,
        /// The next step for the user.
        hint: String,
    },
    /// Something answers there, but not an admin endpoint.
    #[error("{address} does not answer like an admin endpoint: {cause}")]
    Foreign {
        /// The endpoint's address, as it was configured.
        address: String,
        /// How the answer differs from one of an admin endpoint.
        cause: String,
    },
    /// The connection broke, or time ran out, after a write was sent, and a repeat did not show the outcome either.
    #[error("no answer from {address}: {cause}; the change may or may not have been made")]
    OutcomeUnknown {
        /// The endpoint's address, as it was configured.
        address: String,
        /// The fault of the connection.
        cause: String,
        /// The operation, when the server named it.
        operation: Option<String>,
        /// The request's idempotency key, if it had one.
        key: Option<String>,
        /// Whether running the command again continues the request by itself.
        kept: bool,
    },
    /// The document was refused here, before anything was sent, or by the server.
    #[error("{subject} was refused: {}", count(findings.len(), "problem"))]
    Invalid {
        /// The file whose document is refused.
        subject: String,
        /// Everything that is wrong with it.
        findings: Vec<Finding>,
    },
    /// The server refused the request.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// A file whose entries can't be read to the end.
    #[error("{message}")]
    BadEntries {
        /// The file, the place, and what is wrong there.
        message: String,
        /// The next step for the user.
        hint: String,
    },
    /// Another Rekor whose entries are imported gives something that it did not sign, or changes meanwhile.
    #[error("{message}")]
    Source {
        /// Decides the stable word and the exit code.
        fault: SourceFault,
        /// The Rekor or the file, and what is wrong.
        message: String,
        /// The next step for the user.
        hint: String,
    },
    /// The log's public address refused a write.
    #[error("{detail}")]
    WriteRefused {
        /// The status of the HTTP answer.
        status: u16,
        /// Stable, kebab-case; empty where the answer was not the log's.
        code: String,
        /// Details, in words for a person.
        detail: String,
        /// The hint: how to continue.
        resume: String,
    },
    /// The base of a plan is no longer what runs.
    #[error("{0}")]
    Stale(Box<Stale>),
    /// The change was made on probation, and nobody confirmed it.
    #[error("reverted: nobody confirmed operation {} in time, so the previous configuration runs again", operation.id)]
    RolledBack {
        /// The change that was reverted.
        operation: Box<Operation>,
    },
    /// An operation that was asked about was refused when it was asked for.
    #[error("operation {operation} was refused; nothing was changed")]
    NotMade {
        /// The id of the change that was refused.
        operation: String,
    },
    /// The audit trail is not the expected one, or is damaged.
    #[error("{message}")]
    Trail {
        /// Decides the stable word and the hint.
        fault: TrailFault,
        /// The fault, for a person.
        message: String,
        /// The pinned checkpoint, and the one that is served now.
        evidence: Option<Box<(Seen, Seen)>>,
    },
    /// Nothing has this name.
    #[error("no {kind} `{name}`")]
    NotFound {
        /// The kind of thing: `shard`, `command`.
        kind: &'static str,
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// Decided, but some replica did not follow in time.
    #[error("applied as generation {generation}, but {}", behind(lagging))]
    NotConverged {
        /// The change's id, where it is known.
        operation: Option<String>,
        /// The generation that was decided.
        generation: u64,
        /// The replicas that do not run it yet.
        lagging: Vec<Replica>,
    },
    /// Time ran out while waiting.
    #[error("not done after {seconds} s")]
    TimedOut {
        /// How long it waited.
        seconds: f64,
        /// The change's id, where it is known.
        operation: Option<String>,
    },
    /// A shard that is announced waits for what takes longer than the command may.
    #[error("shard {shard} of {log} still waits: {why}")]
    Waits {
        /// The log of the shard.
        log: String,
        /// The shard to open.
        shard: String,
        /// What it waits for.
        why: String,
        /// Whether it waits for a key that no command publishes.
        unpublished: bool,
    },
    /// Nothing is published to which the key of a shard could be added, and the command names nothing to begin with.
    #[error("shard {shard} still waits: {why}")]
    NothingPublished {
        /// The shard whose key is announced.
        shard: String,
        /// The reason why nothing may be published, with the flags that permit it.
        why: String,
    },
    /// The command that publishes a trusted root failed.
    #[error("the command of --exec {why}")]
    Publishing {
        /// How it failed, without its words.
        why: String,
    },
    /// `--exit-code`, and there is a difference.
    #[error("{}", count(*.differences, "difference"))]
    Differs {
        /// How many differences there are.
        differences: usize,
        /// Whether they are those of a file, which can be applied.
        file: bool,
    },
    /// `--explain-auth`, and something is missing.
    #[error("you lack these permissions: {}", permissions.join(", "))]
    Lacking {
        /// The permissions that the caller lacks.
        permissions: Vec<String>,
    },
    /// The server has nothing of the kind.
    #[error("the server at {address} does not support {what}")]
    Unsupported {
        /// The endpoint's address, as it was configured.
        address: String,
        /// The feature that was asked for.
        what: &'static str,
    },
    /// At least one log is halted.
    #[error("{} {} halted", logs.join(" and "), if logs.len() == 1 { "is" } else { "are" })]
    Halted {
        /// The names of the halted logs.
        logs: Vec<String>,
    },
    /// `doctor` found something that cannot wait.
    #[error("{}", count(*critical, "critical finding"))]
    Ailing {
        /// How many findings are critical.
        critical: usize,
    },
    /// The audit found something.
    #[error("verification failed: {}", count(*.findings, "finding"))]
    VerificationFailed {
        /// How many; they are in the report.
        findings: usize,
    },
    /// A file that is not a receipt, or a receipt without a known signature.
    #[error("{what} is not a valid receipt: {why}")]
    ReceiptInvalid {
        /// The file that should be a receipt.
        what: String,
        /// The fault of the receipt.
        why: String,
    },
    /// The log did not keep what it promised.
    #[error("the promise is broken: {why}")]
    PromiseBroken {
        /// How the log broke the promise.
        why: String,
    },
    /// The log may have kept the promise, so long ago that it no longer knows.
    #[error("whether the promise was kept can no longer be determined: {why}")]
    PromiseForgotten {
        /// Why the promise cannot be checked any more.
        why: String,
    },
    /// The user pressed Ctrl-C meanwhile.
    #[error("interrupted; {state}")]
    Interrupted {
        /// The state of the change, as far as it is known.
        state: String,
        /// The hint: how to continue.
        resume: String,
        /// The idempotency key of a request that was sent.
        key: Option<String>,
    },
    /// A state that should be impossible.
    #[error("{0}")]
    Bug(String),
}

/// A plan whose base is no longer the running configuration.
#[derive(Debug)]
pub struct Stale {
    pub subject: String,
    /// The entity tag that it was made from.
    pub base: String,
    /// The one that runs.
    pub current: String,
    /// The actor that changed it last.
    pub changed_by: Option<String>,
    /// When it was changed, RFC 3339.
    pub changed_at: Option<String>,
    /// The differences since the plan's base, and those that the plan would make.
    pub moved: Vec<Moved>,
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            subject,
            base,
            current,
            ..
        } = self;
        write!(f, "{subject} was made from {base}, and now {current} runs")?;
        if self.changed_by.is_some() || self.changed_at.is_some() {
            f.write_str(", changed")?;
        }
        if let Some(who) = &self.changed_by {
            write!(f, " by {who}")?;
        }
        match &self.changed_at {
            Some(when) => write!(f, " at {when}"),
            None => Ok(()),
        }
    }
}

/// The faults of another Rekor whose entries are imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceFault {
    /// A signature, a root or a key is not the right one.
    Unverified,
    /// It takes entries, or shows other trees than before.
    Changed,
}

/// The faults of an audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrailFault {
    /// The served trail does not contain the pinned one.
    Rewritten,
    /// Its key is the pinned one, and it has fewer entries than were pinned.
    Shorter,
    /// Its key is another one.
    OtherKey,
    /// A proof or a signature does not hold.
    BadProof,
    /// The file of the pins can't be understood.
    Unreadable,
}

impl Error {
    /// A fault of the trail without two checkpoints to show.
    pub(crate) fn trail(fault: TrailFault, message: String) -> Self {
        Self::Trail {
            fault,
            message,
            evidence: None,
        }
    }
}

pub(crate) use logconfig::text::count;

fn behind(lagging: &[Replica]) -> String {
    let does = match lagging.len() {
        0 => return "it is unknown which replicas run it".to_owned(),
        1 => "1 replica does".to_owned(),
        n => format!("{n} replicas do"),
    };
    format!("{does} not run it yet: {}", labels(lagging))
}

fn labels(replicas: &[Replica]) -> String {
    replicas
        .iter()
        .map(|replica| replica.label.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

/// The place of a finding, in the form that editors jump to.
pub(crate) struct FindingPlace<'a> {
    /// The file that the place is in.
    pub subject: &'a str,
    pub(crate) finding: &'a Finding,
}

impl fmt::Display for FindingPlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.finding.line, self.finding.column) {
            (Some(line), Some(column)) => write!(f, "{}:{line}:{column}", self.subject),
            (Some(line), None) => write!(f, "{}:{line}", self.subject),
            _ if self.finding.pointer.is_empty() => write!(f, "{}", self.subject),
            _ => write!(f, "{} {}", self.subject, self.finding.pointer),
        }
    }
}
