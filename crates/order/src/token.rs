//! Tokens, which name batches and operations. A token is ordered at most once; that no two are the same is what makes it a name.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use serde::{Deserialize, Serialize};
use tlog::UnixMillis;

/// Names a batch or an operation: 48 bits of milliseconds since the Unix epoch, so that rows of one time lie together, then 80
/// bits that no other token has. Displays as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token([u8; 16]);

impl Token {
    /// A token from its bytes; an operation that carries an idempotency key derives its token.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes that [`Token::from_bytes`] reads.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// When it was made (meaningless for a derived token).
    pub fn made(&self) -> UnixMillis {
        let ms = self.0[..6].iter().fold(0, |ms, b| ms << 8 | u64::from(*b));
        UnixMillis::new(ms & !(1 << 47))
    }
    /// Whether it names promised work: its batch may wait for as long as its tier allows, and is not deleted because of its age.
    pub fn is_promised(&self) -> bool {
        self.0[0] & 0x80 != 0
    }
}

/// Makes tokens: 48 random bits per process, then a counter, so that making one cannot fail and no two are the same.
#[derive(Debug)]
pub struct Tokens {
    process: [u8; 6],
    counter: AtomicU32,
}

impl Tokens {
    /// Tokens with these random bytes, which no other process has.
    pub const fn new(process: [u8; 6]) -> Self {
        Self {
            process,
            counter: AtomicU32::new(0),
        }
    }
    /// A fresh token of this time.
    pub fn make(&self, now: UnixMillis) -> Token {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&now.get().to_be_bytes()[2..]);
        bytes[6..12].copy_from_slice(&self.process);
        bytes[12..].copy_from_slice(&self.counter.fetch_add(1, Relaxed).to_be_bytes());
        Token(bytes)
    }
    /// A fresh token of promised work: the first bit, which no time needs, is set, so that these sort behind all others.
    pub fn make_promised(&self, now: UnixMillis) -> Token {
        let Token(mut bytes) = self.make(now);
        bytes[0] |= 0x80;
        Token(bytes)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&tlog::hex(&self.0))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Token {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = tlog::unhex(text);
        bytes.map(Self).ok_or("expected 32 lowercase hex digits")
    }
}

impl Serialize for Token {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
