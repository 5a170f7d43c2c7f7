//! Witnesses (C2SP tlog-witness): each cosigns only what follows from what it cosigned before, and never forgets that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use engine::PeerAnswer;
use tlog::mirror::{AddCheckpoint, SIZE_TYPE};
use tlog::{Checkpoint, Cosigner, Hash, Note, verify_consistency};

use crate::judge::Judge;

/// A witness that forgets nothing.
pub struct Witness {
    /// Its name in the policy.
    pub name: String,
    /// The machine behind its URL.
    pub host: String,
    /// The key of its cosignatures.
    pub cosigner: Cosigner,
    judge: Arc<Judge>,
    /// By origin: the newest checkpoint that it cosigned.
    newest: Mutex<BTreeMap<String, (u64, Hash)>>,
}

fn says(status: u16, body: String) -> PeerAnswer {
    PeerAnswer {
        status,
        body: body.into(),
        ..PeerAnswer::default()
    }
}

impl Witness {
    /// A witness that has seen nothing.
    pub fn new(name: String, host: String, cosigner: Cosigner, judge: Arc<Judge>) -> Self {
        Self {
            name,
            host,
            cosigner,
            judge,
            newest: Mutex::default(),
        }
    }

    /// Answers `add-checkpoint` at this second.
    pub fn answer(&self, path: &str, body: &[u8], second: u64) -> PeerAnswer {
        if path != "add-checkpoint" {
            return says(404, String::new());
        }
        self.cosign(body, second)
            .unwrap_or_else(|error| says(400, format!("{error}\n")))
    }

    fn cosign(&self, body: &[u8], second: u64) -> Result<PeerAnswer, String> {
        let body = std::str::from_utf8(body).map_err(|e| e.to_string())?;
        let request = AddCheckpoint::parse(body).map_err(|e| e.to_string())?;
        let note = Note::parse(&request.checkpoint).map_err(|e| e.to_string())?;
        let Checkpoint {
            origin, size, root, ..
        } = Checkpoint::parse(note.text).map_err(|e| e.to_string())?;
        if !note.signatures.iter().any(|line| line.name == origin) {
            return Ok(says(403, "not signed by the shard\n".to_owned()));
        }
        self.judge.signed(&request.checkpoint);
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let known = newest.get(&origin).copied();
        let old = known.map_or(0, |(size, _)| size);
        if request.old > size {
            return Err("the old size is larger than the new one".to_owned());
        }
        if request.old != old {
            let kind = SIZE_TYPE.to_owned();
            return Ok(PeerAnswer {
                kind,
                ..says(409, format!("{old}\n"))
            });
        }
        if let Some((old, before)) = known.filter(|(old, _)| *old > 0) {
            let follows = verify_consistency(old, size, &request.proof, &before, &root);
            if let Err(error) = follows {
                let what = format!(
                    "{}, {origin}: from {old} to {size} with {} hashes: {error}",
                    self.name,
                    request.proof.len()
                );
                if !self.judge.is_forked() {
                    let rule = "a witness is shown one history";
                    self.judge.object(rule, what.clone());
                }
                return Ok(says(422, format!("{what}\n")));
            }
        }
        newest.insert(origin, (size, root));
        let line = self.cosigner.cosign(note.text, second);
        line.map(|line| says(200, line)).map_err(|e| e.to_string())
    }
}
