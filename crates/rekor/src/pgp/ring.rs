//! Keys with their identities and subkeys: how they are written, and which signatures of artifacts they make.

use aws_lc_rs::digest::Context;

use super::key::{Key, Unverified};
use super::packet::{self, Malformed};
use super::read::{self, Checks};
use super::signature::{self, Detached, Signature};
use super::{PgpError, armor, email};

const LABEL: &str = "PGP PUBLIC KEY BLOCK";
const ARMORED: &[u8] = b"-----BEGIN PGP";
const ARMOR_END: &[u8] = b"-----END PGP";
/// The most signatures that a request's keys may have inside, of those that are verified.
const MAX_CHECKS: usize = 128;

/// The bytes of keys, without armor.
#[derive(Debug)]
pub(crate) struct KeyBlocks {
    pub(super) blocks: Vec<Vec<u8>>,
    is_armored: bool,
}

impl KeyBlocks {
    /// Reads bytes, or any number of armors; text after the last one is ignored.
    ///
    /// # Errors
    /// When an armor has something else, or nothing is there.
    pub(crate) fn decode(sent: &[u8]) -> Result<Self, PgpError> {
        if sent.len() < ARMORED.len() {
            return Err(PgpError::ShortKey);
        }
        if !sent.starts_with(ARMORED) {
            return Ok(Self {
                blocks: vec![sent.to_vec()],
                is_armored: false,
            });
        }
        let (mut blocks, mut rest, mut from) = (Vec::new(), sent, sent);
        while let Some((line, next)) = armor::line(rest) {
            rest = next;
            if !line.starts_with(ARMOR_END) {
                continue;
            }
            let text = &from[..from.len() - rest.len()];
            from = rest;
            match armor::decode(text).map_err(PgpError::Key)? {
                Some(block) if block.label == LABEL.as_bytes() => blocks.push(block.bytes),
                Some(_) => return Err(PgpError::KeyType),
                None => return Err(PgpError::Key("invalid data: armor invalid")),
            }
        }
        match blocks.is_empty() {
            true => Err(PgpError::NoKey),
            false => Ok(Self {
                blocks,
                is_armored: true,
            }),
        }
    }
}

/// Keys that could be read, each with an identity that it signed itself.
#[derive(Debug)]
pub(crate) struct Ring<'a>(Vec<Entity<'a>>);

#[derive(Debug)]
pub(super) struct Entity<'a> {
    pub(super) key: Key<'a>,
    pub(super) revocations: Vec<Signature<'a>>,
    pub(super) identities: Vec<Identity<'a>>,
    pub(super) subkeys: Vec<Subkey<'a>>,
}

/// A name, and the signatures of the key and of others over it.
#[derive(Debug)]
pub(super) struct Identity<'a> {
    pub(super) name: &'a [u8],
    pub(super) signatures: Vec<Signature<'a>>,
    /// The index, in `signatures`, of the latest one by the key itself.
    pub(super) own: Option<usize>,
    /// The indexes, in `signatures`, of the key's own revocations.
    pub(super) revocations: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct Subkey<'a> {
    pub(super) key: Key<'a>,
    /// The latest signature by which the primary key binds this subkey to itself.
    pub(super) binding: Signature<'a>,
    pub(super) revocations: Vec<Signature<'a>>,
}

impl<'a> Ring<'a> {
    /// Reads keys and checks the signatures that hold their parts together.
    ///
    /// # Errors
    /// When one of them cannot be read, or a signature by it is wrong.
    pub(crate) fn read(blocks: &'a KeyBlocks) -> Result<Self, PgpError> {
        Self::checked(blocks, &Checks::new(MAX_CHECKS))
    }

    /// The keys as Rekor logs them if all signatures inside of them are right; none is verified. Whoever searches for a key proves nothing by
    /// it, and no entry has a key with a wrong signature.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub(crate) fn unverified(blocks: &KeyBlocks) -> Result<String, PgpError> {
        let ring = Ring::checked(blocks, &Checks::counting(MAX_CHECKS))?;
        Ok(ring.canonical())
    }

    fn checked(blocks: &'a KeyBlocks, checks: &Checks) -> Result<Self, PgpError> {
        let mut entities = Vec::new();
        for block in &blocks.blocks {
            let found = read::entities(block, checks, &mut entities);
            found.map_err(|Malformed(reason)| match blocks.is_armored {
                true => PgpError::Key(reason),
                false => PgpError::BinaryKey(reason),
            })?;
        }
        match entities.is_empty() {
            true => Err(PgpError::NoKey),
            false => Ok(Self(entities)),
        }
    }

    /// The keys as Rekor logs them. Rekor writes the names of a key in any order; here they stay in the order in which they were sent.
    pub(crate) fn canonical(&self) -> String {
        let mut out = Vec::new();
        for entity in &self.0 {
            packet::write(packet::PUBLIC_KEY, &[entity.key.body], &mut out);
            let signatures = |signatures: &[Signature<'_>], out: &mut Vec<u8>| {
                signatures.iter().for_each(|it| it.write(out));
            };
            signatures(&entity.revocations, &mut out);
            for identity in &entity.identities {
                packet::write(packet::USER_ID, &[identity.name], &mut out);
                signatures(&identity.signatures, &mut out);
            }
            for subkey in &entity.subkeys {
                packet::write(packet::PUBLIC_SUBKEY, &[subkey.key.body], &mut out);
                signatures(&subkey.revocations, &mut out);
                subkey.binding.write(&mut out);
            }
        }
        armor::encode(LABEL, &out)
    }

    /// The email addresses in the names of the keys.
    pub(crate) fn emails(&self) -> Vec<&str> {
        let names = self.0.iter().flat_map(|entity| &entity.identities);
        names.filter_map(|it| email::of(it.name)).collect()
    }

    /// Checks that one of the keys made the signature of an artifact. Of several signatures, the first one that names one of these keys counts.
    ///
    /// # Errors
    /// When no key made it, or when the key was not valid at that time.
    pub(crate) fn verify(&self, detached: &Detached<'_>, artifact: &[u8]) -> Result<(), PgpError> {
        // Like Rekor, this uses the time of the first signature and not the current time: old signatures must stay valid.
        let mut time = None;
        for signature in detached.signatures() {
            let signature = signature?;
            let time = *time.get_or_insert(signature.created);
            let issuer = signature.issuer.ok_or(PgpError::Signature(
                "invalid data: signature doesn't have an issuer",
            ))?;
            let Some((entity, subkey)) = self.signer(issuer) else {
                continue;
            };
            let key = subkey.map_or(&entity.key, |subkey| &subkey.key);
            if !matches!(signature.kind, signature::BINARY | signature::TEXT) {
                return Err(PgpError::Unsupported("signature type"));
            }
            if signature.hash == 2 {
                return Err(PgpError::Unsupported("SHA-1 for artifacts"));
            }
            let made = key.verify(&signature, |context| {
                match signature.kind {
                    signature::TEXT => hash_lines(artifact, context),
                    _ => context.update(artifact),
                };
            });
            made.map_err(|why| match why {
                Unverified::False => PgpError::Unverified(key.kind_name()),
                Unverified::Unsupported => {
                    PgpError::Unsupported("hash function or public key type")
                }
            })?;
            return entity.check(subkey, &signature, time);
        }
        Err(PgpError::UnknownIssuer)
    }

    /// The key or subkey with this key ID, if it may sign.
    fn signer(&self, id: u64) -> Option<(&Entity<'a>, Option<&Subkey<'a>>)> {
        self.0.iter().find_map(|entity| {
            if entity.key.id == id && entity.own().is_some_and(Signature::lets_sign) {
                return Some((entity, None));
            }
            let mut subkeys = entity.subkeys.iter();
            let subkey = subkeys.find(|it| it.key.id == id && it.binding.lets_sign())?;
            Some((entity, Some(subkey)))
        })
    }
}

impl Entity<'_> {
    /// The identity that speaks for the key: of those with the fewest revocations, one that is marked as primary, then the latest.
    fn primary(&self) -> Option<&Identity<'_>> {
        let mut best = self.identities.first()?;
        for other in &self.identities[1..] {
            let rank = |it: &Identity<'_>| {
                let own = it.own();
                let fewer = std::cmp::Reverse(it.revocations.len());
                (fewer, own.map(|own| (own.is_primary, own.created)))
            };
            if rank(other) > rank(best) {
                best = other;
            }
        }
        Some(best)
    }

    /// The signature that says what the key is for, and how long.
    fn own(&self) -> Option<&Signature<'_>> {
        self.primary()?.own()
    }

    /// Checks that the key was valid at a time.
    fn check(
        &self,
        subkey: Option<&Subkey<'_>>,
        made: &Signature<'_>,
        time: u64,
    ) -> Result<(), PgpError> {
        let primary = self.primary().ok_or(PgpError::UnknownIssuer)?;
        let own = primary.own().ok_or(PgpError::UnknownIssuer)?;
        let mut signatures = vec![made, own];
        if let Some(subkey) = subkey {
            signatures.push(&subkey.binding);
            signatures.extend(subkey.binding.embedded.as_deref());
        }
        if signatures.iter().any(|it| it.has_critical_notation) {
            return Err(PgpError::CriticalNotation);
        }
        let revokes = |revocations: &[Signature<'_>]| revocations.iter().any(|it| it.revokes(time));
        let mut names = primary.revocations.iter();
        if revokes(&self.revocations)
            || subkey.is_some_and(|it| revokes(&it.revocations))
            || names.any(|at| primary.signatures[*at].revokes(time))
        {
            return Err(PgpError::Revoked);
        }
        let of_subkey = |it: &Subkey<'_>| it.binding.key_has_expired(it.key.created, time);
        if own.key_has_expired(self.key.created, time) || subkey.is_some_and(of_subkey) {
            return Err(PgpError::KeyExpired);
        }
        match signatures.iter().any(|it| it.has_expired(time)) {
            true => Err(PgpError::SignatureExpired),
            false => Ok(()),
        }
    }
}

impl<'a> Identity<'a> {
    /// The key's own latest signature of the name.
    pub(super) fn own(&self) -> Option<&Signature<'a>> {
        self.own.map(|at| &self.signatures[at])
    }
}

/// Hashes a text with CR LF as its line breaks.
fn hash_lines(text: &[u8], context: &mut Context) {
    let (mut start, mut is_after_return) = (0, false);
    for (at, byte) in text.iter().enumerate() {
        if is_after_return {
            is_after_return = false;
        } else if *byte == b'\r' {
            is_after_return = true;
        } else if *byte == b'\n' {
            context.update(&text[start..at]);
            context.update(b"\r\n");
            start = at + 1;
        }
    }
    context.update(&text[start..]);
}
