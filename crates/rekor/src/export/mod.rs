//! The files that tell Sigstore's clients of a log: TrustedRoot, SigningConfig, ClientTrustConfig, and the monitor's
//! configuration.
//!
//! Equal input makes equal bytes, so that a file under version control changes only when the log does. What must never happen: a file makes
//! a client refuse entries that the log has signed. So a key is valid without an end and from before its first signature, ids are whole,
//! and no service starts in the future.

mod monitor;
mod published;
mod signing_config;
mod trusted_root;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tlog::VerifierKey;

pub use monitor::monitor_config;
pub use published::Published;
pub use signing_config::{SigningConfig, WriteUrl};
pub use trusted_root::TrustedRoot;

/// The DER of an Ed25519 key's `SubjectPublicKeyInfo` up to its 32 bytes (RFC 8410).
const ED25519_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const CLIENT_TRUST_CONFIG: &str = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json";

/// Why a file cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// An origin that is more than a host name; clients compare it with the host of a URL.
    #[error("the origin {0} is not a bare host name")]
    Origin(String),
    /// Two shards with one key; clients reject such a file.
    #[error("the shards {0} and {1} have the same key")]
    SameKey(String, String),
    /// A time that no calendar can express.
    #[error("{0} is not a time in milliseconds since the Unix epoch")]
    Time(u64),
    /// A write URL that clients cannot use.
    #[error("the URL {0} must begin with https:// or http://, name a host, and not end in a slash")]
    Url(String),
    /// Two write URLs for one version of the API.
    #[error("version {0} of the API has two write URLs")]
    TwoUrls(u8),
    /// A version of the API that no client knows.
    #[error("there is no version {0} of the API")]
    Version(u8),
    /// The operator of the log has no name.
    #[error("the operator must have a name")]
    Operator,
    /// A service that starts later than now: some clients use it at once.
    #[error("the service {url} starts in the future, at {start}")]
    Future {
        /// The URL of the service.
        url: String,
        /// When the service starts, as the file says.
        start: String,
    },
    /// The file to merge with is not of its kind.
    #[error("the file to merge with is not a {kind}: {reason}")]
    Merge {
        /// The expected kind of the file.
        kind: &'static str,
        /// Why it is not of that kind.
        reason: String,
    },
}

/// A part of an otherwise correct file that some client rejects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// The trusted root has no certificate authority.
    #[error("the trusted root has no certificate authority: sigstore-python rejects it")]
    NoAuthority,
    /// No certificate transparency log.
    #[error("the trusted root has no certificate transparency log: sigstore-python rejects it")]
    NoCtLog,
    /// No URL of a certificate authority.
    #[error("the signing config has no URL of a certificate authority: sigstore-python rejects it")]
    NoAuthorityUrl,
    /// Another log's entry that some client cannot read.
    #[error("the entry of the log {log}, which was merged, {flaw}")]
    Foreign {
        /// The log's URL, as far as it has one.
        log: String,
        /// The fault of its entry.
        flaw: &'static str,
    },
}

/// A shard, as the files describe it to clients.
#[derive(Clone, Copy, Debug)]
pub struct Shard<'a> {
    /// Its key; the key's name is the shard's origin, a bare host name.
    pub key: &'a VerifierKey,
    /// Since when its key is valid, no later than its first signature: milliseconds since the Unix epoch.
    pub valid_from: u64,
}

impl Shard<'_> {
    fn host(&self) -> Result<&str, ExportError> {
        let host = self.key.name();
        let bare = host
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'.' || c == b'-');
        if bare {
            Ok(host)
        } else {
            Err(ExportError::Origin(host.to_owned()))
        }
    }

    fn url(&self) -> Result<String, ExportError> {
        Ok(format!("https://{}", self.host()?))
    }

    /// The public key as `SubjectPublicKeyInfo`, DER, and the name of its kind.
    fn public_key(&self) -> (Vec<u8>, &'static str) {
        if self.key.is_ecdsa() {
            return (self.key.bytes().to_vec(), "PKIX_ECDSA_P256_SHA_256");
        }
        ([&ED25519_PREFIX, self.key.bytes()].concat(), "PKIX_ED25519")
    }

    /// The public key as PEM, one file for each shard.
    pub fn pem(&self) -> String {
        let mut pem = String::new();
        crate::pem::encode("PUBLIC KEY", &self.public_key().0, &mut pem);
        pem
    }
}

/// When something began to be valid, to the second below. Nothing is ever given an end.
fn start(milliseconds: u64) -> Result<String, ExportError> {
    let seconds = i64::try_from(milliseconds / 1000).ok();
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    Ok(time.ok_or(ExportError::Time(milliseconds))?.to_string())
}

/// A TrustedRoot and a SigningConfig in one file.
pub fn client_trust_config(root: &TrustedRoot, config: &SigningConfig) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct File<'a> {
        media_type: &'static str,
        trusted_root: &'a TrustedRoot,
        signing_config: &'a SigningConfig,
    }
    pretty(&File {
        media_type: CLIENT_TRUST_CONFIG,
        trusted_root: root,
        signing_config: config,
    })
}

/// The two parts of a ClientTrustConfig, each to be merged by itself.
///
/// # Errors
/// [`ExportError::Merge`] for any other file.
pub fn split_client_trust_config(text: &str) -> Result<(&str, &str), ExportError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct File<'a> {
        media_type: String,
        #[serde(borrow)]
        trusted_root: &'a RawValue,
        #[serde(borrow)]
        signing_config: &'a RawValue,
    }
    let file: File<'_> = read("ClientTrustConfig", text)?;
    media_type(
        "ClientTrustConfig",
        &file.media_type,
        &[CLIENT_TRUST_CONFIG],
    )?;
    Ok((file.trusted_root.get(), file.signing_config.get()))
}

fn pretty(file: &impl Serialize) -> String {
    // These types have string keys only, and nothing in them fails to serialize.
    let mut text = serde_json::to_string_pretty(file).unwrap_or_default();
    text.push('\n');
    text
}

fn read<'a, T: Deserialize<'a>>(kind: &'static str, text: &'a str) -> Result<T, ExportError> {
    serde_json::from_str(text).map_err(|error| ExportError::Merge {
        kind,
        reason: error.to_string(),
    })
}

fn media_type(kind: &'static str, found: &str, known: &[&str]) -> Result<(), ExportError> {
    if known.contains(&found) {
        return Ok(());
    }
    Err(ExportError::Merge {
        kind,
        reason: format!("its media type is {found}"),
    })
}
