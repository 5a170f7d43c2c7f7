//! Reads keys with their identities and subkeys (RFC 9580 section 10.1), and decides which of their parts count.

use std::cell::Cell;

use aws_lc_rs::digest::Context;

use super::key::{Key, Unverified};
use super::packet::{self, Malformed, Packet, Reader};
use super::ring::{Entity, Identity, Subkey};
use super::signature::{self, Read, Signature};

/// How many more signatures a key may have, and whether they are verified.
pub(super) struct Checks {
    left: Cell<usize>,
    verifies: bool,
}

impl Checks {
    pub(super) fn new(most: usize) -> Self {
        Self {
            left: Cell::new(most),
            verifies: true,
        }
    }

    /// Counts signatures, and takes each for a right one.
    pub(super) fn counting(most: usize) -> Self {
        Self {
            left: Cell::new(most),
            verifies: false,
        }
    }

    fn verify(
        &self,
        key: &Key<'_>,
        signature: &Signature<'_>,
        signed: impl FnOnce(&mut Context),
    ) -> Result<(), Malformed> {
        let left = self.left.get().checked_sub(1);
        let left = left.ok_or(Malformed("invalid data: too many signatures"))?;
        self.left.set(left);
        if !self.verifies {
            return Ok(());
        }
        key.verify(signature, signed).map_err(|why| match why {
            Unverified::False => Malformed("invalid data: self-signature invalid"),
            Unverified::Unsupported => Malformed("unsupported feature: self-signature"),
        })
    }
}

/// A packet of a key, as far as it is understood.
enum Part<'a> {
    Key(Key<'a>),
    Subkey(Key<'a>),
    Name(&'a [u8]),
    Signature(Box<Signature<'a>>),
    /// A packet that is not used. It ends the signatures before it.
    Other,
}

struct Packets<'a> {
    reader: Reader<'a>,
    /// A packet that was read and put back, since its reader had no use for it.
    held: Option<Part<'a>>,
}

impl<'a> Packets<'a> {
    fn next(&mut self) -> Result<Option<Part<'a>>, Malformed> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        while let Some(Packet { tag, body }) = self.reader.packet()? {
            let part = match tag {
                packet::PUBLIC_KEY => Part::Key(Key::parse(body)?),
                packet::PUBLIC_SUBKEY => Part::Subkey(Key::parse(body)?),
                packet::USER_ID => Part::Name(body),
                packet::USER_ATTRIBUTE => {
                    let mut parts = Reader(body);
                    while !parts.0.is_empty() {
                        signature::subpacket(&mut parts)?;
                    }
                    Part::Other
                }
                packet::PADDING => Part::Other,
                packet::SIGNATURE => match Signature::parse(body)? {
                    Read::Understood(signature) => Part::Signature(Box::new(signature)),
                    Read::Unknown => continue,
                },
                packet::TRUST | packet::UNCRITICAL.. => continue,
                packet::MARKER if body == packet::MARK => continue,
                _ => return Err(Malformed("unsupported feature: packet type")),
            };
            return Ok(Some(part));
        }
        Ok(None)
    }

    /// The next signature; `None` if another packet comes first.
    fn signature(&mut self) -> Result<Option<Signature<'a>>, Malformed> {
        match self.next()? {
            Some(Part::Signature(signature)) => Ok(Some(*signature)),
            other => {
                self.held = other;
                Ok(None)
            }
        }
    }
}

/// Reads all keys of a block and checks the signatures that hold their parts together.
pub(super) fn entities<'a>(
    block: &'a [u8],
    checks: &Checks,
    found: &mut Vec<Entity<'a>>,
) -> Result<(), Malformed> {
    let mut packets = Packets {
        reader: Reader(block),
        held: None,
    };
    while let Some(first) = packets.next()? {
        let Part::Key(key) = first else {
            return Err(Malformed(
                "invalid data: first packet was not a public/private key",
            ));
        };
        found.push(entity(key, &mut packets, checks)?);
    }
    Ok(())
}

/// Reads the rest of a key, up to the next one.
fn entity<'a>(
    key: Key<'a>,
    packets: &mut Packets<'a>,
    checks: &Checks,
) -> Result<Entity<'a>, Malformed> {
    if !key.can_sign() {
        return Err(Malformed(
            "invalid data: primary key cannot be used for signatures",
        ));
    }
    let mut entity = Entity {
        key,
        revocations: Vec::new(),
        identities: Vec::new(),
        subkeys: Vec::new(),
    };
    while let Some(part) = packets.next()? {
        match part {
            Part::Key(_) => {
                packets.held = Some(part);
                break;
            }
            Part::Name(name) => {
                let identity = identity(&entity.key, name, packets, checks)?;
                if identity.own.is_none() && identity.revocations.is_empty() {
                    continue;
                }
                match entity.identities.iter_mut().find(|it| it.name == name) {
                    Some(there) => *there = identity,
                    None => entity.identities.push(identity),
                }
            }
            Part::Subkey(key) => {
                let subkey = subkey(&entity.key, key, packets, checks)?;
                entity.subkeys.push(subkey);
            }
            Part::Signature(signature) if signature.kind == signature::KEY_REVOCATION => {
                entity.revocations.push(*signature);
            }
            // Signatures of others over the key itself are not kept.
            Part::Signature(_) | Part::Other => {}
        }
    }
    if entity.identities.is_empty() {
        return Err(Malformed("invalid data: v4 entity without any identities"));
    }
    for revocation in &entity.revocations {
        checks.verify(&entity.key, revocation, |context| entity.key.hash(context))?;
    }
    Ok(entity)
}

fn identity<'a>(
    key: &Key<'a>,
    name: &'a [u8],
    packets: &mut Packets<'a>,
    checks: &Checks,
) -> Result<Identity<'a>, Malformed> {
    let mut identity = Identity {
        name,
        signatures: Vec::new(),
        own: None,
        revocations: Vec::new(),
    };
    while let Some(signature) = packets.signature()? {
        if !matches!(
            signature.kind,
            0x10..=0x13 | signature::CERTIFICATION_REVOCATION
        ) {
            return Err(Malformed("invalid data: user ID signature with wrong type"));
        }
        let at = identity.signatures.len();
        if signature.is_by(key.id, &key.fingerprint) {
            checks.verify(key, &signature, |context| {
                key.hash(context);
                context.update(&[0xb4]);
                let length = u32::try_from(name.len()).unwrap_or(u32::MAX);
                context.update(&length.to_be_bytes());
                context.update(name);
            })?;
            let is_latest = |own: &Signature<'_>| signature.created > own.created;
            if signature.kind == signature::CERTIFICATION_REVOCATION {
                identity.revocations.push(at);
            } else if identity.own().is_none_or(is_latest) {
                identity.own = Some(at);
            }
        }
        identity.signatures.push(signature);
    }
    Ok(identity)
}

fn subkey<'a>(
    primary: &Key<'a>,
    key: Key<'a>,
    packets: &mut Packets<'a>,
    checks: &Checks,
) -> Result<Subkey<'a>, Malformed> {
    let (mut binding, mut revocations) = (None::<Signature<'_>>, Vec::new());
    let both = |context: &mut Context| {
        primary.hash(context);
        key.hash(context);
    };
    while let Some(signature) = packets.signature()? {
        let is_revocation = match signature.kind {
            signature::SUBKEY_REVOCATION => true,
            signature::SUBKEY_BINDING => false,
            _ => return Err(Malformed("invalid data: subkey signature with wrong type")),
        };
        checks.verify(primary, &signature, both)?;
        if signature.lets_sign() {
            // Without this cross-signature, anybody could claim another person's key as a subkey.
            let answer = signature.embedded.as_deref();
            let answer = answer.ok_or(Malformed(
                "invalid data: signing subkey is missing cross-signature",
            ))?;
            checks.verify(&key, answer, both)?;
        }
        if is_revocation {
            revocations.push(signature);
        } else if binding
            .as_ref()
            .is_none_or(|it| signature.created > it.created)
        {
            binding = Some(signature);
        }
    }
    let binding = binding.ok_or(Malformed(
        "invalid data: subkey packet not followed by signature",
    ))?;
    Ok(Subkey {
        key,
        binding,
        revocations,
    })
}
