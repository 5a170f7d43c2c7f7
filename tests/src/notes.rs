//! Signed notes as an outsider opens them: `signed_note` checks the signatures, `tlog_tiles` reads the checkpoint.

use anyhow::{Context as _, Result, anyhow, ensure};
use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{Checkpoint, Hash};

/// The text of a note, once each of `vkeys` has a good signature on it.
///
/// # Errors
/// Not a note, a malformed key, a missing or a bad signature.
pub fn open(note: &[u8], vkeys: &[&str]) -> Result<String> {
    let parsed =
        Note::from_bytes(note).map_err(|e| anyhow!("{e}: {:?}", String::from_utf8_lossy(note)))?;
    for vkey in vkeys {
        let verifier =
            StandardVerifier::new(vkey).map_err(|e| anyhow!("verifier key {vkey:?}: {e}"))?;
        let known = VerifierList::new(vec![Box::new(verifier)]);
        parsed
            .verify(&known)
            .map_err(|e| anyhow!("no good signature by {vkey}: {e}"))?;
    }
    ensure!(!vkeys.is_empty(), "no key to check a note with");
    String::from_utf8(parsed.text().to_vec()).context("a note that is not UTF-8")
}

/// A checkpoint whose signature and origin were checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// The tree's size.
    pub size: u64,
    /// The tree's root.
    pub root: Hash,
}

/// Opens a checkpoint of `origin`, signed by `vkey`.
///
/// # Errors
/// A bad signature, another origin, a malformed checkpoint.
pub fn checkpoint(note: &[u8], origin: &str, vkey: &str) -> Result<Head> {
    let text = open(note, &[vkey])?;
    let parsed = Checkpoint::from_bytes(text.as_bytes())
        .map_err(|_| anyhow!("malformed checkpoint: {text:?}"))?;
    ensure!(
        parsed.origin() == origin,
        "checkpoint of {:?}, expected {origin:?}",
        parsed.origin()
    );
    Ok(Head {
        size: parsed.size(),
        root: *parsed.hash(),
    })
}

/// What a seal says: the final tree of a shard and the shard that follows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seal {
    /// Final size and root.
    pub head: Head,
    /// Origin of the shard that follows.
    pub successor_origin: String,
    /// Verifier key of the shard that follows.
    pub successor_vkey: String,
}

/// Opens the seal of `origin`: its own type line, six lines, signed by `vkey` and by the successor that it names.
///
/// # Errors
/// A bad or missing signature, another origin, a malformed text.
pub fn seal(note: &[u8], origin: &str, vkey: &str) -> Result<Seal> {
    let text = open(note, &[vkey])?;
    let lines: Vec<&str> = text.lines().collect();
    let &[kind, of, size, root, successor_origin, successor_vkey] = lines.as_slice() else {
        anyhow::bail!("a seal has six lines: {text:?}");
    };
    ensure!(kind == "logctl.dev/seal/v1", "not a seal: {kind:?}");
    ensure!(of == origin, "seal of {of:?}, expected {origin:?}");
    open(note, &[vkey, successor_vkey])?;
    let head = Head {
        size: size
            .parse()
            .with_context(|| format!("size of a seal: {size:?}"))?,
        root: Hash::parse_hash(root).map_err(|e| anyhow!("root of a seal: {e}"))?,
    };
    Ok(Seal {
        head,
        successor_origin: successor_origin.to_owned(),
        successor_vkey: successor_vkey.to_owned(),
    })
}
