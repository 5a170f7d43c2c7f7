//! Signed notes as an outsider opens them: `signed_note` checks the signatures, `tlog_tiles` reads the checkpoint.

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};
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
    pub size: u64,
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

/// When the cosigner with this key (C2SP tlog-cosignature, type 0x04) signed a checkpoint, seconds since the Unix epoch; nothing
/// where it has not.
///
/// # Errors
/// A malformed key or note, or a signature of this key that is wrong.
pub fn cosigned(note: &[u8], vkey: &str) -> Result<Option<u64>> {
    let mut parts = vkey.splitn(3, '+');
    let (Some(name), Some(id), Some(material)) = (parts.next(), parts.next(), parts.next()) else {
        bail!("verifier key {vkey:?}")
    };
    let material = STANDARD.decode(material)?;
    let (Some(4), Ok(key)) = (material.first(), <[u8; 32]>::try_from(&material[1..])) else {
        bail!("{vkey:?} is not the key of a cosigner")
    };
    let digest = Sha256::new()
        .chain_update(name)
        .chain_update(b"\n")
        .chain_update(&material)
        .finalize();
    let hex: String = digest[..4]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    ensure!(hex == id, "{vkey:?} has another id");
    let key = VerifyingKey::from_bytes(&key)?;
    let note = std::str::from_utf8(note)?;
    let (text, lines) = note
        .rsplit_once("\n\n")
        .context("a note has a blank line")?;
    let mut found = None;
    for line in lines.lines() {
        let rest = line.strip_prefix("\u{2014} ").context("a signature line")?;
        let (by, signature) = rest.split_once(' ').context("a signature line")?;
        let bytes = STANDARD.decode(signature)?;
        if by != name || bytes.get(..4) != Some(&digest[..4]) {
            continue;
        }
        let (time, signature) = bytes[4..].split_first_chunk::<8>().context("a time")?;
        let time = u64::from_be_bytes(*time);
        let message = format!("cosignature/v1\ntime {time}\n{text}\n");
        let signature = Signature::from_slice(signature)?;
        key.verify_strict(message.as_bytes(), &signature)
            .with_context(|| format!("the cosignature of {name}"))?;
        found = Some(time);
    }
    Ok(found)
}

/// The content of a seal: the final tree of a shard and the shard that follows it.
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
