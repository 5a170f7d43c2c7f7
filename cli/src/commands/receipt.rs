//! `logctl receipt verify`: checks a receipt's signature, and whether the log has kept its promise.
//!
//! What must never happen: a promise is called kept although no signed checkpoint covers its entry. The log's answer only says where the
//! entry is; the proof is computed from its tiles.

use clap::{Subcommand, ValueHint};
use serde::Serialize;
use tlog::{Hash, Note, Receipt, UnixMillis, VerifierKey};
use wire::data::{Placement, PromiseState};

use super::document::read_bytes;
use super::{LogAddress, Session, now, rfc3339};
use crate::auditor::{Source, SourceError, included, key_of};
use crate::client::Public;
use crate::error::Error;
use crate::file::File;
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};

/// The subcommands of `logctl receipt`.
#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Check a receipt, and whether the log has kept its promise
    #[command(
        after_help = "A writer that asks with `Prefer: respond-async` gets a receipt. It names the leaf hash of the entry and the time by which
it will be published, signed by the shard that was active. The exit code is 12 if the promise was not kept.

Examples:
  logctl receipt verify entry.receipt --url https://log.example.org
  logctl receipt verify entry.receipt --offline --vkey log.example.org/2026a+1f2e3d4c+AbCd..."
    )]
    Verify {
        /// The receipt; `-` is standard input
        #[arg(value_name = "FILE", value_hint = ValueHint::AnyPath)]
        file: File,
        /// A verifier key to check the signature with; by default the key that the log lists for the shard
        #[arg(long = "vkey", value_name = "KEY")]
        vkeys: Vec<String>,
        /// Address of the log for readers; by default the one in the context, else the one that the server names
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        /// Check the signature only; needs --vkey
        #[arg(long, conflicts_with = "url", requires = "vkeys")]
        offline: bool,
    },
}

/// The longest receipt read: a signed note is a few hundred bytes.
const LIMIT: usize = 64 * 1024;
/// The shortest time that a log keeps the location of a promised entry, milliseconds.
const KEPT_MS: u64 = 7 * 86_400_000;

/// The state of a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum State {
    /// The receipt is genuine; the log was not asked.
    Signed,
    /// Not published yet, before the deadline.
    Due,
    /// Covered by a published checkpoint, and ordered before the deadline.
    Kept,
    /// Missing although its deadline has passed, or too late.
    Broken,
    /// So old that the log may have kept it and deleted the location.
    Forgotten,
}

impl State {
    fn cell(self) -> Cell {
        match self {
            Self::Signed => Cell::toned("signed", Tone::Good),
            Self::Due => Cell::toned("due", Tone::Next),
            Self::Kept => Cell::toned("kept", Tone::Good),
            Self::Broken => Cell::toned("broken", Tone::Bad),
            Self::Forgotten => Cell::toned("forgotten", Tone::Plain),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    state: State,
    /// The origin of the shard that signed.
    origin: String,
    promise: String,
    leaf_hash: Hash,
    deadline: String,
    deadline_ms: u64,
    /// Whether the key came from the log itself.
    listed_key: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf_index: Option<u64>,
    /// The size of the checkpoint that covers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint_size: Option<u64>,
    /// When it was ordered, according to the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    ordered_at: Option<String>,
    /// Why it is in that state.
    why: String,
}

pub(super) async fn run(session: &Session<'_>, command: ReceiptCommand) -> Result<Outcome, Error> {
    let ReceiptCommand::Verify {
        file,
        vkeys,
        url,
        offline,
    } = command;
    let (subject, receipt) = read(&file).await?;
    let invalid = |why: String| Error::ReceiptInvalid {
        what: subject.clone(),
        why,
    };
    let unverified =
        Receipt::parse(text(&receipt).map_err(invalid)?).map_err(|e| invalid(e.to_string()))?;
    let mut given = Vec::new();
    for key in &vkeys {
        given.push(key.parse::<VerifierKey>().map_err(|error| Error::Usage {
            message: format!("`{key}` is not a verifier key: {error}"),
            hint: "`logctl shard list -o json` shows the keys of a log".into(),
        })?);
    }
    let mut public = None;
    if !offline {
        let LogAddress { url, ca, log } = session.place(url).await?;
        public = Some(Public::new(&url, ca.as_deref(), &log, session.timeout)?);
    }
    let unreachable = |error: SourceError, address: &str| Error::Unreachable {
        address: format!("{address}/{}", error.path),
        cause: error.source.to_string(),
        hint: "is logd running there? --offline checks the signature alone".into(),
    };
    let named = given.iter().find(|key| key.name() == unverified.origin);
    let key = match (named, &public) {
        (Some(key), _) => key.clone(),
        (None, Some(public)) if given.is_empty() => key_of(public, &unverified.origin)
            .await
            .map_err(|error| unreachable(error, public.address()))?
            .ok_or_else(|| {
                invalid(format!(
                    "the log lists no shard with the origin {}",
                    unverified.origin
                ))
            })?,
        (None, _) => {
            let why = format!(
                "it is by {}, and none of the keys given is that shard's",
                unverified.origin
            );
            return Err(invalid(why));
        }
    };
    let receipt = Receipt::open(&receipt, &key).map_err(|error| invalid(error.to_string()))?;
    let listed_key = named.is_none();
    let checked = match &public {
        None => Checked::new(
            &receipt,
            listed_key,
            State::Signed,
            "the signature is good; the log was not asked".into(),
        ),
        Some(public) => ask(public, &receipt, listed_key, now_ms())
            .await
            .map_err(|error| unreachable(error, public.address()))?,
    };
    let why = || checked.why.clone();
    let trouble = match checked.state {
        State::Broken => Some(Error::PromiseBroken { why: why() }),
        State::Forgotten => Some(Error::PromiseForgotten { why: why() }),
        State::Signed | State::Due | State::Kept => None,
    };
    Outcome::with_trouble(&checked, trouble)
}

fn now_ms() -> u64 {
    u64::try_from(now()).unwrap_or(0).saturating_mul(1000)
}

async fn read(file: &File) -> Result<(String, String), Error> {
    let (subject, bytes) = read_bytes(file, LIMIT).await?;
    let text = String::from_utf8(bytes).map_err(|_| Error::ReceiptInvalid {
        what: subject.clone(),
        why: "it is not text in UTF-8".into(),
    })?;
    Ok((subject, text))
}

/// The note's text, not to be believed yet: it names the key to check it with.
fn text(note: &str) -> Result<&str, String> {
    Note::parse(note)
        .map(|note| note.text)
        .map_err(|error| error.to_string())
}

/// Asks the log, and checks its answer.
async fn ask<S: Source>(
    source: &S,
    receipt: &Receipt,
    listed_key: bool,
    now_ms: u64,
) -> Result<Checked, SourceError> {
    let path = format!("promise/{}", receipt.promise);
    let over = now_ms > receipt.deadline;
    let waiting = if over { State::Broken } else { State::Due };
    let said = |state, why: &str| Checked::new(receipt, listed_key, state, why.to_owned());
    let Some(bytes) = source.get(&path).await? else {
        // A log that never knew the promise has broken it; one that kept it long ago may have deleted its record.
        let old = born(&receipt.promise).is_some_and(|born| now_ms > born.saturating_add(KEPT_MS));
        return Ok(if old {
            said(
                State::Forgotten,
                "the log remembers for 7 days where a promised entry is, and this one is older",
            )
        } else {
            said(State::Broken, "the log knows no such promise")
        });
    };
    let placement: Placement = serde_json::from_slice(&bytes).map_err(|error| {
        SourceError::new(&path, format!("not an answer about a promise: {error}"))
    })?;
    let place = (
        placement.index,
        placement.shard.clone(),
        placement.leaf_index,
    );
    let (PromiseState::Ordered | PromiseState::Published, (Some(index), Some(shard), Some(leaf))) =
        (placement.state, place)
    else {
        return Ok(said(
            waiting,
            if over {
                "its deadline has passed, and it is not ordered yet"
            } else {
                "it waits in the queue"
            },
        ));
    };
    let mut checked = said(waiting, "");
    checked.index = Some(index.get());
    checked.shard = Some(shard.to_string());
    checked.leaf_index = Some(leaf.get());
    checked.ordered_at = placement.ordered_at_ms.map(time);
    match included(source, &shard, leaf.get(), &receipt.leaf).await? {
        Ok(included) => {
            checked.checkpoint_size = Some(included.size);
            let late = placement
                .ordered_at_ms
                .is_some_and(|at| at > UnixMillis::new(receipt.deadline));
            checked.state = if late { State::Broken } else { State::Kept };
            checked.why = if late {
                "it is published, but was ordered after its time".into()
            } else if over {
                "it is under a signed checkpoint now; only the log says since when".into()
            } else {
                "it is under a signed checkpoint, in time".into()
            };
        }
        Err(why) if placement.state == PromiseState::Published => {
            checked.state = State::Broken;
            checked.why = format!("the log says that it is published, but {why}");
        }
        Err(_) if over => {
            checked.why = "its deadline has passed, and no checkpoint covers it".into()
        }
        Err(_) => checked.why = "it is ordered, and not under a checkpoint yet".into(),
    }
    Ok(checked)
}

/// When a promise was made, milliseconds since 1970. Its name begins with this time in 48 bits, of which the first marks it as a promise.
fn born(promise: &str) -> Option<u64> {
    let digits = u64::from_str_radix(promise.get(..12)?, 16).ok()?;
    Some(digits & !(1 << 47))
}

fn time(at: UnixMillis) -> String {
    rfc3339(i64::try_from(at.get() / 1000).unwrap_or(i64::MAX))
}

impl Checked {
    fn new(receipt: &Receipt, listed_key: bool, state: State, why: String) -> Self {
        Self {
            state,
            origin: receipt.origin.clone(),
            promise: receipt.promise.clone(),
            leaf_hash: receipt.leaf,
            deadline: time(UnixMillis::new(receipt.deadline)),
            deadline_ms: receipt.deadline,
            listed_key,
            index: None,
            shard: None,
            leaf_index: None,
            checkpoint_size: None,
            ordered_at: None,
            why,
        }
    }
}

impl Present for Checked {
    const KIND: &'static str = "Receipt";
    const NAME: &'static str = "/promise";

    fn page(&self) -> Page {
        let mut fields = vec![
            ("STATE", self.state.cell()),
            ("SIGNED BY", self.origin.as_str().into()),
            ("DEADLINE", self.deadline.as_str().into()),
            ("LEAF HASH", self.leaf_hash.to_string().into()),
            ("PROMISE", self.promise.as_str().into()),
        ];
        if let (Some(index), Some(shard), Some(leaf)) = (self.index, &self.shard, self.leaf_index) {
            let place = format!("{index} (leaf {leaf} of shard {shard})");
            fields.push(("INDEX", place.into()));
        }
        if let Some(size) = self.checkpoint_size {
            fields.push(("CHECKPOINT", format!("{size} entries").into()));
        }
        if let Some(ordered) = &self.ordered_at {
            fields.push(("ORDERED", ordered.as_str().into()));
        }
        let mut page = Page::new().with(Block::Fields(fields)).text(&self.why);
        if self.listed_key {
            page = page.text("The key is the one that the log lists; --vkey KEY checks against one that you trust.");
        }
        page
    }
}

#[cfg(test)]
mod tests;
