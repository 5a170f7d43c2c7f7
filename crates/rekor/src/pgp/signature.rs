//! Signature packets of version 4 (RFC 9580 section 5.2).

use std::borrow::Cow;

use aws_lc_rs::digest;

use super::packet::{self, Malformed, Packet, Reader};
use super::{PgpError, armor};

pub(super) const BINARY: u8 = 0x00;
pub(super) const TEXT: u8 = 0x01;
pub(super) const SUBKEY_BINDING: u8 = 0x18;
const PRIMARY_KEY_BINDING: u8 = 0x19;
pub(super) const KEY_REVOCATION: u8 = 0x20;
pub(super) const SUBKEY_REVOCATION: u8 = 0x28;
pub(super) const CERTIFICATION_REVOCATION: u8 = 0x30;

const LABEL: &str = "PGP SIGNATURE";
const MAY_SIGN: u8 = 0x02;
const COMPROMISED: u8 = 2;

/// A signature that could be read; nothing in it is verified.
#[derive(Debug)]
pub(super) struct Signature<'a> {
    pub(super) kind: u8,
    pub(super) algorithm: u8,
    pub(super) hash: u8,
    /// The part that is signed itself, from the version to the last hashed subpacket.
    hashed: &'a [u8],
    /// When it was made, in seconds since 1970.
    pub(super) created: u64,
    lifetime: Option<u64>,
    key_lifetime: Option<u64>,
    flags: Option<u8>,
    pub(super) is_primary: bool,
    pub(super) issuer: Option<u64>,
    fingerprint: Option<&'a [u8]>,
    reason: Option<u8>,
    pub(super) has_critical_notation: bool,
    /// The cross-signature: the one by which a signing subkey confirms its primary key.
    pub(super) embedded: Option<Box<Signature<'a>>>,
    unhashed: Vec<(u8, &'a [u8])>,
    /// The numbers of the signature, as they were sent.
    numbers: &'a [u8],
    /// The beginning of the digest.
    tag: &'a [u8],
    pub(super) values: [&'a [u8]; 2],
}

/// The result of reading a packet.
#[derive(Debug)]
pub(super) enum Read<T> {
    Understood(T),
    /// It uses something that Rekor does not know, and is skipped as in Rekor.
    Unknown,
}

/// Where a signature was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Packet,
    /// Inside another signature, as the cross-signature of a subkey.
    Embedded,
}

impl<'a> Signature<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Read<Self>, Malformed> {
        Self::parse_at(body, Place::Packet)
    }

    fn parse_at(body: &'a [u8], place: Place) -> Result<Read<Self>, Malformed> {
        let mut reader = Reader(body);
        match reader.byte()? {
            4 => {}
            3 | 5 | 6 => return Err(Malformed("unsupported feature: signature packet version")),
            _ => return Ok(Read::Unknown),
        }
        let [kind, algorithm, hash] = reader.array()?;
        match algorithm {
            1 | 3 | 17 | 19 | 22 | 27 => {}
            28 | 30..=34 => return Err(Malformed("unsupported feature: public key algorithm")),
            _ => return Ok(Read::Unknown),
        }
        if !matches!(hash, 2 | 8..=12 | 14) {
            return Ok(Read::Unknown);
        }
        let length = reader.short()?;
        let subpackets = reader.take(length)?;
        let mut signature = Self {
            kind,
            algorithm,
            hash,
            hashed: &body[..6 + length],
            created: 0,
            lifetime: None,
            key_lifetime: None,
            flags: None,
            is_primary: false,
            issuer: None,
            fingerprint: None,
            reason: None,
            has_critical_notation: false,
            embedded: None,
            unhashed: Vec::new(),
            numbers: &[],
            tag: &[],
            values: [&[]; 2],
        };
        let mut has_time = false;
        let mut hashed = Reader(subpackets);
        while !hashed.0.is_empty() {
            let (kind, content) = subpacket(&mut hashed)?;
            has_time |= kind & 0x7f == 2;
            if !signature.add(kind, content, place)? {
                return Ok(Read::Unknown);
            }
        }
        if !has_time {
            return Err(Malformed("invalid data: no creation time in signature"));
        }
        let length = reader.short()?;
        let mut unhashed = Reader(reader.take(length)?);
        while !unhashed.0.is_empty() {
            let (kind, content) = subpacket(&mut unhashed)?;
            signature.unhashed.push((kind, content));
            // The other unhashed subpackets are not covered by the signature, so they count for nothing.
            if matches!(kind & 0x7f, 16 | 32 | 33) && !signature.add(kind, content, place)? {
                return Ok(Read::Unknown);
            }
        }
        signature.tag = reader.take(2)?;
        signature.numbers = reader.0;
        signature.values = match algorithm {
            1 | 3 => [reader.padded()?, &[]],
            27 => [reader.take(64)?, &[]],
            _ => [reader.number()?, reader.number()?],
        };
        reader.end()?;
        Ok(Read::Understood(signature))
    }

    /// Takes what a subpacket says; false if it must be understood and is not.
    fn add(&mut self, kind: u8, content: &'a [u8], place: Place) -> Result<bool, Malformed> {
        const LENGTH: Malformed = Malformed("invalid data: subpacket with bad length");
        let four = || Some(u64::from(u32::from_be_bytes(content.try_into().ok()?)));
        let is_critical = kind & 0x80 != 0;
        match kind & 0x7f {
            2 => self.created = four().ok_or(LENGTH)?,
            3 => self.lifetime = Some(four().ok_or(LENGTH)?),
            4 if content.is_empty() => return Err(LENGTH),
            // Not to be shown to others.
            4 => return Ok(content[0] != 0),
            5 if content.len() != 2 => return Err(LENGTH),
            6 if content.last() != Some(&0) => return Err(LENGTH),
            9 => self.key_lifetime = Some(four().ok_or(LENGTH)?),
            16 => {
                let id = content.try_into().map_err(|_| LENGTH)?;
                self.issuer = Some(u64::from_be_bytes(id));
            }
            20 => {
                let mut notation = Reader(content);
                notation.take(4)?;
                let length = notation.short()? + notation.short()?;
                notation.take(length)?;
                notation.end()?;
                self.has_critical_notation |= is_critical;
            }
            25 => match content {
                [flag] => self.is_primary = *flag > 0,
                _ => return Err(LENGTH),
            },
            27 => self.flags = Some(content.first().copied().unwrap_or_default()),
            29 => self.reason = Some(*content.first().ok_or(LENGTH)?),
            32 => {
                if self.embedded.is_some() || place == Place::Embedded {
                    return Err(Malformed("invalid data: more than one embedded signature"));
                }
                match Self::parse_at(content, Place::Embedded)? {
                    Read::Understood(it) if it.kind == PRIMARY_KEY_BINDING => {
                        self.embedded = Some(Box::new(it));
                    }
                    Read::Understood(_) => {
                        return Err(Malformed(
                            "invalid data: cross-signature has unexpected type",
                        ));
                    }
                    Read::Unknown => return Ok(false),
                }
            }
            33 => {
                let (fingerprint, is_new) = fingerprint(content)?;
                let id = match is_new {
                    true => fingerprint.first_chunk(),
                    false => fingerprint.last_chunk(),
                };
                self.issuer = id.map(|id| u64::from_be_bytes(*id));
                self.fingerprint = Some(fingerprint);
            }
            35 => {
                fingerprint(content)?;
            }
            39 if !content.len().is_multiple_of(2) => return Err(LENGTH),
            5 | 6 | 11 | 21..=24 | 26 | 28 | 30 | 39 => {}
            _ => return Ok(!is_critical),
        }
        Ok(true)
    }

    /// Whether this signature allows the key that it is about to sign artifacts; it must do so explicitly.
    pub(super) fn lets_sign(&self) -> bool {
        self.flags.is_some_and(|flags| flags & MAY_SIGN != 0)
    }

    /// Whether the signature names this key as its maker.
    pub(super) fn is_by(&self, id: u64, fingerprint: &[u8]) -> bool {
        match self.fingerprint {
            Some(own) => own == fingerprint,
            None => self.issuer == Some(id),
        }
    }

    /// Whether it is no longer, or not yet, valid at a time.
    pub(super) fn has_expired(&self, time: u64) -> bool {
        has_passed(self.created, self.lifetime, time)
    }

    /// Whether the key that was made at a time is no longer, or not yet, valid by what this signature says of it.
    pub(super) fn key_has_expired(&self, made: u64, time: u64) -> bool {
        has_passed(made, self.key_lifetime, time)
    }

    /// Whether this revocation counts at a time. The revocation of a compromised key counts at any time.
    pub(super) fn revokes(&self, time: u64) -> bool {
        self.reason == Some(COMPROMISED) || !self.has_expired(time)
    }

    /// Hashes the trailer of the signed text: the hashed part of this packet and its length.
    pub(super) fn hash_end(&self, context: &mut digest::Context) {
        context.update(self.hashed);
        context.update(&[4, 0xff]);
        let length = u32::try_from(self.hashed.len()).unwrap_or(u32::MAX);
        context.update(&length.to_be_bytes());
    }

    /// Appends the packet as Rekor writes it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut unhashed = Vec::new();
        for (kind, content) in &self.unhashed {
            packet::write_length(content.len() + 1, 16_320, &mut unhashed);
            unhashed.push(*kind);
            unhashed.extend_from_slice(content);
        }
        let length = u16::try_from(unhashed.len()).unwrap_or(u16::MAX);
        let body = [
            self.hashed,
            &length.to_be_bytes(),
            &unhashed,
            self.tag,
            self.numbers,
        ];
        packet::write(packet::SIGNATURE, &body, out);
    }
}

/// Whether a time is before something was made or after the end of its life. A life of zero seconds has no end.
fn has_passed(made: u64, life: Option<u64>, time: u64) -> bool {
    made > time || life.is_some_and(|life| life > 0 && time > made + life)
}

/// The next subpacket: its type and its content.
pub(super) fn subpacket<'a>(reader: &mut Reader<'a>) -> Result<(u8, &'a [u8]), Malformed> {
    let length = match usize::from(reader.byte()?) {
        length @ ..192 => length,
        first @ 192..255 => ((first - 192) << 8) + usize::from(reader.byte()?) + 192,
        _ => reader.long()?,
    };
    match reader.take(length)? {
        [kind, content @ ..] => Ok((*kind, content)),
        [] => Err(Malformed("invalid data: zero length signature subpacket")),
    }
}

/// A fingerprint behind the version of its key, and whether that is one of the new versions.
fn fingerprint(content: &[u8]) -> Result<(&[u8], bool), Malformed> {
    match content {
        [5..=255, fingerprint @ ..] if fingerprint.len() == 32 => Ok((fingerprint, true)),
        [0..5, fingerprint @ ..] if fingerprint.len() == 20 => Ok((fingerprint, false)),
        _ => Err(Malformed("invalid data: bad fingerprint length")),
    }
}

/// A signature of an artifact, apart from it.
#[derive(Debug)]
pub(crate) struct Detached<'a> {
    bytes: Cow<'a, [u8]>,
    /// As Rekor logs it: an armor as it was sent, bytes in an armor.
    canonical: Cow<'a, [u8]>,
}

impl<'a> Detached<'a> {
    /// Reads an armor or bytes.
    ///
    /// # Errors
    /// When it is no signature.
    pub(crate) fn parse(sent: &'a [u8]) -> Result<Self, PgpError> {
        let detached = match armor::decode(sent).map_err(PgpError::Signature)? {
            Some(block) if block.label != LABEL.as_bytes() => return Err(PgpError::SignatureType),
            Some(block) => Self {
                bytes: block.bytes.into(),
                canonical: sent.into(),
            },
            None => Self {
                bytes: sent.into(),
                canonical: armor::encode(LABEL, sent).into_bytes().into(),
            },
        };
        let first = detached.signatures().next().map(|it| it.map(|_| ()));
        first.unwrap_or(Err(PgpError::Signature("EOF")))?;
        Ok(detached)
    }

    /// What the log keeps.
    pub(crate) fn into_canonical(self) -> Cow<'a, [u8]> {
        self.canonical
    }

    /// The signatures that are understood, in their order.
    pub(super) fn signatures(
        &self,
    ) -> impl Iterator<Item = Result<Signature<'_>, PgpError>> + use<'_, 'a> {
        let mut reader = Reader(&self.bytes);
        std::iter::from_fn(move || {
            loop {
                let packet = match reader.packet() {
                    Ok(packet) => packet?,
                    Err(Malformed(reason)) => {
                        reader = Reader(&[]);
                        return Some(Err(PgpError::Signature(reason)));
                    }
                };
                let Packet { tag, body } = packet;
                let read = match tag {
                    packet::TRUST => Ok(Read::Unknown),
                    packet::MARKER if body == packet::MARK => Ok(Read::Unknown),
                    packet::SIGNATURE => Signature::parse(body),
                    _ => Err(Malformed("invalid data: non signature packet found")),
                };
                match read {
                    Ok(Read::Understood(signature)) => return Some(Ok(signature)),
                    Ok(Read::Unknown) => {}
                    Err(Malformed(reason)) => return Some(Err(PgpError::Signature(reason))),
                }
            }
        })
    }
}
