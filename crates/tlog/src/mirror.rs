//! The messages to witnesses (C2SP tlog-witness) and mirrors (C2SP tlog-mirror, draft): requests and answers, as bytes.
//!
//! Both sides of each message are here, so that they cannot drift apart. Reading an unauthenticated message costs no more than its length
//! and ends in a value or a refusal; a text or package has one spelling only.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::bundle;
use crate::hash::Hash;
use crate::note::number;
use crate::tile::TILE_WIDTH;

/// The most hashes in a proof of either protocol.
pub const MAX_PROOF: usize = 63;
/// The most packages that a client puts into one request: 8,192 entries.
pub const MAX_PACKAGES: u64 = 32;
/// The longest ticket that is written or read here, bytes.
pub const MAX_TICKET: usize = 4096;
/// The longest origin, bytes.
pub const MAX_ORIGIN: usize = 1024;
/// The longest body of an add-checkpoint request: 63 hashes, and a note with 100 signatures.
pub const MAX_ADD_CHECKPOINT: usize = 64 * 1024;
/// The longest package: 256 entries of 65,535 bytes with their lengths, and a proof.
pub const MAX_PACKAGE: usize = 256 * (bundle::MAX_ENTRY + 2) + 1 + MAX_PROOF * Hash::LEN;

/// The media type of the size that a witness answers with 409.
pub const SIZE_TYPE: &str = "text/x.tlog.size";
/// The media type of [`MirrorInfo`].
pub const INFO_TYPE: &str = "text/x.tlog.mirror-info";

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The message does not have the required form.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// Something in it is longer than allowed.
    #[error("too long: {0}")]
    TooLong(&'static str),
}

use MessageError::{Malformed, TooLong};

/// The folder that a mirror serves a log under: the SHA-256 of the origin in lower-case hexadecimal digits.
pub fn origin_hash(origin: &str) -> String {
    Hash(Sha256::digest(origin).into()).to_string()
}

/// The body of `POST <prefix>/add-checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the receiver has now, as the sender believes.
    pub old: u64,
    /// Consistency from there to the checkpoint; empty when `old` is 0 or the checkpoint's size.
    pub proof: Vec<Hash>,
    /// The checkpoint, signed: not yet to be believed.
    pub checkpoint: String,
}

impl AddCheckpoint {
    /// The request's body, as bytes on the wire.
    pub fn to_body(&self) -> String {
        let mut body = format!("old {}\n", self.old);
        for hash in &self.proof {
            body.push_str(&hash.to_base64());
            body.push('\n');
        }
        body.push('\n');
        body.push_str(&self.checkpoint);
        body
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`MessageError`] if it is not one to the letter, up to the checkpoint, which is not looked into.
    pub fn parse(body: &str) -> Result<Self, MessageError> {
        let (head, checkpoint) = body
            .split_once("\n\n")
            .ok_or(Malformed("no empty line before the checkpoint"))?;
        let mut lines = head.split('\n');
        let old = lines
            .next()
            .and_then(|line| line.strip_prefix("old "))
            .and_then(|size| number(size).ok())
            .ok_or(Malformed("the first line is not `old SIZE`"))?;
        let mut proof = Vec::new();
        for line in lines {
            if proof.len() == MAX_PROOF {
                return Err(TooLong("more than 63 hashes in the proof"));
            }
            proof.push(Hash::from_base64(line).map_err(|_| Malformed("not a hash in the proof"))?);
        }
        Ok(Self {
            old,
            proof,
            checkpoint: checkpoint.to_owned(),
        })
    }
}

/// A mirror's answer with 202 and 409: where to continue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorInfo {
    /// The size of a pending checkpoint that it accepts.
    pub size: u64,
    /// The first entry that it does not have.
    pub next: u64,
    /// Its own memory, opaque: to be sent back with the next request.
    pub ticket: Vec<u8>,
}

impl MirrorInfo {
    /// The body, of type [`INFO_TYPE`].
    pub fn to_body(&self) -> String {
        format!(
            "{}\n{}\n{}\n",
            self.size,
            self.next,
            STANDARD.encode(&self.ticket)
        )
    }

    /// Reads a body.
    ///
    /// # Errors
    /// [`MessageError`] if it is not one to the letter, or the ticket is longer than [`MAX_TICKET`].
    pub fn parse(body: &str) -> Result<Self, MessageError> {
        let lines: Vec<&str> = body
            .strip_suffix('\n')
            .ok_or(Malformed("no newline at the end"))?
            .split('\n')
            .collect();
        let [size, next, ticket] = lines.as_slice() else {
            return Err(Malformed("not three lines"));
        };
        let ticket = STANDARD
            .decode(ticket)
            .map_err(|_| Malformed("the ticket is not base64"))?;
        if ticket.len() > MAX_TICKET {
            return Err(TooLong("the ticket"));
        }
        let decimal = |text: &str| number(text).map_err(|_| Malformed("not a decimal number"));
        Ok(Self {
            size: decimal(size)?,
            next: decimal(next)?,
            ticket,
        })
    }
}

/// The head of `POST <prefix>/add-entries`, before the packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntriesHead {
    /// Origin of the log that the entries belong to.
    pub origin: String,
    /// The first entry sent.
    pub start: u64,
    /// The size of the pending checkpoint that the entries lead to.
    pub end: u64,
    /// The mirror's own memory, as it gave it.
    pub ticket: Vec<u8>,
}

/// Splits off a `u16` and as many bytes; `None` while they are not all there.
fn prefixed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

impl EntriesHead {
    /// Appends the head's bytes. Nothing is appended, and the answer is `false`, where origin or ticket are too long.
    pub fn write(&self, out: &mut Vec<u8>) -> bool {
        if self.origin.len() > MAX_ORIGIN || self.ticket.len() > MAX_TICKET {
            return false;
        }
        bundle::push(out, self.origin.as_bytes());
        out.extend_from_slice(&self.start.to_be_bytes());
        out.extend_from_slice(&self.end.to_be_bytes());
        bundle::push(out, &self.ticket)
    }

    /// Reads a head from the front of what has come so far, with the number of its bytes; `None` while it is not all there.
    ///
    /// # Errors
    /// [`MessageError`] as soon as it can't become one.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>, MessageError> {
        let length = |bytes: &[u8]| {
            let head = bytes.first_chunk::<2>()?;
            Some(usize::from(u16::from_be_bytes(*head)))
        };
        if length(bytes).is_some_and(|length| length > MAX_ORIGIN) {
            return Err(TooLong("the origin"));
        }
        let Some((origin, rest)) = prefixed(bytes) else {
            return Ok(None);
        };
        let Some((start, rest)) = rest.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let Some((end, rest)) = rest.split_first_chunk::<8>() else {
            return Ok(None);
        };
        if length(rest).is_some_and(|length| length > MAX_TICKET) {
            return Err(TooLong("the ticket"));
        }
        let Some((ticket, rest)) = prefixed(rest) else {
            return Ok(None);
        };
        let origin = std::str::from_utf8(origin).map_err(|_| Malformed("the origin"))?;
        let head = Self {
            origin: origin.to_owned(),
            start: u64::from_be_bytes(*start),
            end: u64::from_be_bytes(*end),
            ticket: ticket.to_vec(),
        };
        if head.start > head.end {
            return Err(Malformed("it starts after its end"));
        }
        Ok(Some((head, bytes.len() - rest.len())))
    }
}

/// The range of a package: aligned at multiples of 256 entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// The multiple of 256 at or before its first entry: where the subtree that its proof is about starts.
    pub base: u64,
    /// The index of its first entry.
    pub start: u64,
    /// The entry after its last.
    pub end: u64,
}

impl Package {
    /// The first package from `start` on of an upload up to `end`; none if there is nothing to send.
    pub fn first(start: u64, end: u64) -> Option<Self> {
        let base = start - start % TILE_WIDTH;
        (start < end).then(|| Self {
            base,
            start,
            end: base.saturating_add(TILE_WIDTH).min(end),
        })
    }

    /// The leaves that its proof is about.
    pub fn subtree(&self) -> Range<u64> {
        self.base..self.end
    }

    /// How many entries it holds: 1 to 256.
    pub fn entries(&self) -> usize {
        (self.end - self.start) as usize
    }
}

/// The packages of an upload, in order.
pub fn packages(start: u64, end: u64) -> impl Iterator<Item = Package> {
    std::iter::successors(Package::first(start, end), move |last| {
        Package::first(last.end, end)
    })
}

/// Appends the end of a package, after its entries (written with [`bundle::push`]). Nothing is appended, and the answer is
/// `false`, for a proof of more than [`MAX_PROOF`] hashes.
pub fn push_proof(out: &mut Vec<u8>, proof: &[Hash]) -> bool {
    if proof.len() > MAX_PROOF {
        return false;
    }
    out.push(proof.len() as u8);
    proof.iter().for_each(|hash| out.extend_from_slice(&hash.0));
    true
}

/// A package as [`read_package`] finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageBytes<'a> {
    /// Its entries, each behind its length: a piece of an entry bundle.
    pub bundle: &'a [u8],
    /// The same entries without their lengths.
    pub entries: Vec<&'a [u8]>,
    /// The subtree consistency proof.
    pub proof: Vec<Hash>,
    /// How many bytes the package has in all.
    pub length: usize,
}

/// Reads a package of `count` entries from the front of what has come so far; `None` while it is not all there.
///
/// # Errors
/// [`MessageError`] if its proof is too long.
pub fn read_package(bytes: &[u8], count: usize) -> Result<Option<PackageBytes<'_>>, MessageError> {
    let mut rest = bytes;
    let mut entries = Vec::with_capacity(count.min(TILE_WIDTH as usize));
    for _ in 0..count {
        let Some((entry, tail)) = prefixed(rest) else {
            return Ok(None);
        };
        entries.push(entry);
        rest = tail;
    }
    let bundle = &bytes[..bytes.len() - rest.len()];
    let Some((hashes, rest)) = rest.split_first() else {
        return Ok(None);
    };
    let hashes = usize::from(*hashes);
    if hashes > MAX_PROOF {
        return Err(TooLong("more than 63 hashes in the proof"));
    }
    let Some((proof, rest)) = rest.split_at_checked(hashes * Hash::LEN) else {
        return Ok(None);
    };
    Ok(Some(PackageBytes {
        bundle,
        entries,
        proof: proof.as_chunks().0.iter().copied().map(Hash).collect(),
        length: bytes.len() - rest.len(),
    }))
}
