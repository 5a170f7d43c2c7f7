//! Cosignatures of witnesses (C2SP tlog-witness), as the configuration's policy asks for them.
//!
//! The position is durable and the checkpoint signed before a witness is asked. Until the policy is satisfied readers keep the
//! checkpoint that they have: it is replaced only by one with enough cosignatures, and there is never another root for a size.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use logconfig::WitnessConfig;
use tlog::mirror::{AddCheckpoint, SIZE_TYPE};
use tlog::{Note, PolicyWitness, TreeSize};
use tokio::time::Instant;

use crate::peers::Peers;
use crate::program::Trouble;
use crate::running::Running;
use crate::shard::Shard;
use mirror::Tiles;
use mirror::{PeerError, PeerRequest};

/// How often a witness may answer that it has another size before it counts as failed.
const TRIES: usize = 3;
/// The longest answer of a witness.
const ANSWER: usize = 64 << 10;
/// Once enough have cosigned, the others have this long: a checkpoint is better with more of them.
const GRACE: Duration = Duration::from_millis(20);

/// Why a witness does not cosign: a word for metrics, and the rest.
struct Failure(&'static str, String);

/// `POST add-checkpoint` to a witness or a mirror.
pub(crate) fn submission(url: &str, body: Bytes, timeout: Duration) -> PeerRequest {
    PeerRequest {
        url: format!("{}/add-checkpoint", url.trim_end_matches('/')),
        body: Some(("text/plain; charset=utf-8", body)),
        timeout,
        most: ANSWER,
        life: None,
    }
}

/// A checkpoint with cosignatures.
pub(crate) struct Cosigned {
    /// The checkpoint with all cosignatures that arrived.
    pub(crate) note: String,
    /// Why they are fewer than `witnesses.policy` asks for, if they are.
    pub(crate) lacking: Option<Trouble>,
}

/// The checkpoint with the cosignatures that `witnesses.policy` asks for, or why it does not have them. `note` is signed by the shard
/// and carries the cosignatures of its secondaries.
pub(crate) async fn cosign(
    running: &Running,
    peers: &Peers,
    shard: &Shard,
    note: String,
) -> Result<Cosigned, Trouble> {
    let whole = |note| Cosigned {
        note,
        lacking: None,
    };
    let Some(witnesses) = running.witnesses_of(shard, &note) else {
        return Ok(whole(note));
    };
    let policy = witnesses
        .policy()
        .map_err(|e| Trouble::new(format!("witnesses.policy: {e}")))?;
    if policy.is_none() {
        return Ok(whole(note));
    }
    let bad = |e: tlog::NoteError| Trouble::new(format!("shard {}: {e}", shard.name));
    let parsed = Note::parse(&note).map_err(bad)?;
    let text = parsed.text;
    let mut lines: Vec<Option<String>> = vec![None; policy.witnesses.len()];
    let mut cosigned: Vec<bool> = policy
        .witnesses
        .iter()
        .map(|witness| matches!(witness.key.find(&parsed), Ok(Some(_))))
        .collect();
    let timeout = witnesses.timeout.duration();
    let deadline = Instant::now() + timeout;
    let mut until = deadline;
    let mut asked: FuturesUnordered<_> = policy
        .witnesses
        .iter()
        .enumerate()
        .filter(|(at, _)| !cosigned[*at])
        .map(|(at, witness)| {
            let note = &note;
            async move {
                (
                    at,
                    ask(running, peers, shard, witness, text, note, timeout).await,
                )
            }
        })
        .collect();
    let mut why = Vec::new();
    while let Ok(Some((at, answer))) = tokio::time::timeout_at(until, asked.next()).await {
        match answer {
            Ok(line) => {
                lines[at] = Some(line);
                cosigned[at] = true;
                if policy.satisfied(|at| cosigned[at]) {
                    until = until.min(Instant::now() + GRACE);
                }
            }
            Err(Failure(_, text)) => why.push(format!("{}: {text}", policy.witnesses[at].name)),
        }
    }
    drop(asked);
    let enough = policy.satisfied(|at| cosigned[at]);
    for (at, witness) in policy.witnesses.iter().enumerate() {
        let answered = why
            .iter()
            .any(|text| text.starts_with(&format!("{}: ", witness.name)));
        if !cosigned[at] && !answered && Instant::now() >= deadline {
            fail(
                &running.ledger.name,
                peers,
                witness,
                &Failure("timeout", format!("no answer within {timeout:?}")),
            );
            why.push(format!("{}: no answer within {timeout:?}", witness.name));
        }
    }
    let lacking = (!enough).then(|| {
        Trouble::new(format!(
            "shard {}: too few witnesses cosign its checkpoint ({})",
            shard.name,
            why.join("; ")
        ))
    });
    let note = tlog::attach(&note, lines.iter().flatten().map(String::as_str)).map_err(bad)?;
    Ok(Cosigned { note, lacking })
}

impl Running {
    /// The witnesses of a checkpoint: those of the configuration that the last of its entries was ordered under. If the configuration
    /// changed right after that entry, those of the new one, so that a lost witness can be replaced without another entry.
    fn witnesses_of(&self, shard: &Shard, note: &str) -> Option<Arc<WitnessConfig>> {
        let size = Note::parse(note)
            .and_then(|note| tlog::Checkpoint::parse(note.text))
            .map_or(TreeSize::ZERO, |checkpoint| TreeSize::new(checkpoint.size));
        let state = self.ledger.state();
        let mut shards = state.shards.iter();
        let at = shards.find(|at| at.identity.name == *shard.name)?;
        self.eras.load().witnesses(at.start()? + size)
    }
}

fn fail(log: &str, peers: &Peers, witness: &PolicyWitness, Failure(reason, text): &Failure) {
    peers.witness(&witness.name, |counts| {
        *counts.failures.entry(reason).or_default() += 1;
        if counts.trouble.as_ref() != Some(text) {
            tracing::warn!(
                log,
                witness = witness.name,
                why = text,
                "a witness does not cosign"
            );
        }
        counts.trouble = Some(text.clone());
    });
}

/// Asks one witness, and counts the outcome.
async fn ask(
    running: &Running,
    peers: &Peers,
    shard: &Shard,
    witness: &PolicyWitness,
    text: &str,
    note: &str,
    timeout: Duration,
) -> Result<String, Failure> {
    let began = Instant::now();
    let answer = converse(running, peers, shard, witness, text, note, timeout).await;
    match &answer {
        Ok(_) => peers.witness(&witness.name, |counts| {
            counts.seconds.observe(began.elapsed().as_secs_f64());
            counts.trouble = None;
        }),
        Err(failure) => fail(&running.ledger.name, peers, witness, failure),
    }
    answer
}

async fn converse(
    running: &Running,
    peers: &Peers,
    shard: &Shard,
    witness: &PolicyWitness,
    text: &str,
    note: &str,
    timeout: Duration,
) -> Result<String, Failure> {
    let Some(url) = &witness.url else {
        return Err(Failure("url", "the policy names no URL for it".into()));
    };
    let size = tlog::Checkpoint::parse(text)
        .map(|checkpoint| TreeSize::new(checkpoint.size))
        .map_err(|e| Failure("checkpoint", e.to_string()))?;
    let memory = (url.clone(), shard.name.to_string());
    let known = || {
        let sizes = peers.witnessed.lock();
        let sizes = sizes.unwrap_or_else(PoisonError::into_inner);
        sizes.get(&memory).copied().unwrap_or_default()
    };
    let learn = |size: TreeSize| {
        let sizes = peers.witnessed.lock();
        sizes
            .unwrap_or_else(PoisonError::into_inner)
            .insert(memory.clone(), size);
    };
    let folder = format!("{}/{}", running.ledger.name, shard.name);
    let tiles = Tiles {
        objects: &*running.objects.store,
        folder: &folder,
    };
    for _ in 0..TRIES {
        let old = known();
        if old > size {
            learn(TreeSize::ZERO);
            return Err(Failure(
                "ahead",
                format!("it has cosigned size {old}, this is {size}"),
            ));
        }
        let proof = tiles
            .consistency(old, size)
            .await
            .map_err(|e| Failure("proof", e.to_string()))?;
        let body = AddCheckpoint {
            old: old.get(),
            proof,
            checkpoint: note.to_owned(),
        };
        let request = submission(url, Bytes::from(body.to_body()), timeout);
        let answer = peers.client.send(request).await.map_err(|e| {
            let reason = match e {
                PeerError::Timeout(_) => "timeout",
                PeerError::Unreachable(_) => "unreachable",
                PeerError::TooLong(_) => "answer",
            };
            Failure(reason, e.to_string())
        })?;
        match answer.status {
            200 => {
                let lines = String::from_utf8_lossy(&answer.body);
                let line = witness
                    .key
                    .pick(text, &lines)
                    .map_err(|e| Failure("signature", e.to_string()))?;
                learn(size);
                return Ok(line);
            }
            409 if answer.kind.starts_with(SIZE_TYPE) => {
                let theirs = std::str::from_utf8(&answer.body)
                    .ok()
                    .and_then(|body| body.trim_end().parse().ok())
                    .map(TreeSize::new)
                    .ok_or_else(|| Failure("answer", answer.words()))?;
                if theirs == old {
                    return Err(Failure("conflict", answer.words()));
                }
                learn(theirs);
            }
            403 | 404 => {
                return Err(Failure(
                    "unknown-log",
                    format!(
                        "{}; does it know the key of {}?",
                        answer.words(),
                        shard.name
                    ),
                ));
            }
            _ => return Err(Failure("refused", answer.words())),
        }
    }
    Err(Failure("conflict", "its size keeps changing".into()))
}
