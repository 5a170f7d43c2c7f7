//! TrustedRoot: whose signatures clients accept.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ExportError, Shard, Warning, media_type, pretty, read, start};
use crate::base64;

const KIND: &str = "TrustedRoot";
/// The only media type that all clients read.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";
const OTHER_MEDIA_TYPES: [&str; 2] = [
    "application/vnd.dev.sigstore.trustedroot.v0.1+json",
    "application/vnd.dev.sigstore.trustedroot.v0.2+json",
];

/// A TrustedRoot with all shards of a log, those last that are planned last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustedRoot {
    media_type: String,
    #[serde(default)]
    tlogs: Vec<Value>,
    #[serde(default)]
    certificate_authorities: Vec<Value>,
    #[serde(default)]
    ctlogs: Vec<Value>,
    #[serde(default)]
    timestamp_authorities: Vec<Value>,
}

impl TrustedRoot {
    /// The TrustedRoot of a log's shards, given oldest first. Everything in a file to merge with stays, except the entries of these shards,
    /// which are recognised by their ids or keys; other logs come first.
    ///
    /// # Errors
    /// [`ExportError`] says what of the shards or of the file is wrong.
    pub fn new(shards: &[Shard<'_>], merge: Option<&str>) -> Result<Self, ExportError> {
        let mut root = match merge {
            Some(text) => read(KIND, text)?,
            None => Self {
                media_type: MEDIA_TYPE.to_owned(),
                tlogs: Vec::new(),
                certificate_authorities: Vec::new(),
                ctlogs: Vec::new(),
                timestamp_authorities: Vec::new(),
            },
        };
        if root.media_type != MEDIA_TYPE {
            media_type(KIND, &root.media_type, &OTHER_MEDIA_TYPES)?;
            MEDIA_TYPE.clone_into(&mut root.media_type);
        }
        for (number, shard) in shards.iter().enumerate() {
            let same = shards[..number]
                .iter()
                .find(|other| other.key.bytes() == shard.key.bytes());
            if let Some(other) = same {
                return Err(ExportError::SameKey(
                    other.key.name().to_owned(),
                    shard.key.name().to_owned(),
                ));
            }
            let (mut tlog, id, key) = (tlog(shard)?, shard.key.log_id().0, shard.public_key().0);
            root.tlogs.retain(|foreign| {
                let is = |pointer, ours: &[u8]| {
                    bytes(foreign, pointer).is_some_and(|theirs| theirs == ours)
                };
                let ours = is("/logId/keyId", &id) || is("/publicKey/rawBytes", &key);
                if ours
                    && let Some(known) = started(foreign).filter(|at| started(&tlog) > Some(*at))
                {
                    // A log that was restored no longer knows when it was made.
                    tlog["publicKey"]["validFor"]["start"] = known.to_string().into();
                }
                !ours
            });
            root.tlogs.push(tlog);
        }
        Ok(root)
    }

    /// The entries of the logs whose signatures clients accept.
    pub(super) fn tlogs(&self) -> &[Value] {
        &self.tlogs
    }

    /// The file's text, JSON.
    pub fn to_json(&self) -> String {
        pretty(self)
    }

    /// Warnings about parts that some client rejects and that the log does not make itself.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if self.certificate_authorities.is_empty() {
            warnings.push(Warning::NoAuthority);
        }
        if self.ctlogs.is_empty() {
            warnings.push(Warning::NoCtLog);
        }
        for (number, log) in self.tlogs.iter().enumerate() {
            let url = log
                .pointer("/baseUrl")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let key = |log: &Value| bytes(log, "/publicKey/rawBytes");
            let flaws = [
                (
                    !url.contains("://"),
                    "has a URL without a scheme: cosign rejects it",
                ),
                (
                    log.get("checkpointKeyId").is_some(),
                    "has a checkpointKeyId: sigstore-js 5 rejects it",
                ),
                (
                    log.pointer("/publicKey/validFor/start").is_none(),
                    "has no validFor.start for its key: cosign rejects it",
                ),
                (
                    self.tlogs[..number]
                        .iter()
                        .any(|other| key(other) == key(log)),
                    "has the same key as another one: sigstore-rust rejects it",
                ),
                (
                    bytes(log, "/logId/keyId").is_none_or(|id| id.len() != 32),
                    "has a log id that is not of 32 bytes",
                ),
            ];
            let found = flaws.into_iter().filter(|(wrong, _)| *wrong);
            warnings.extend(found.map(|(_, flaw)| Warning::Foreign {
                log: url.to_owned(),
                flaw,
            }));
        }
        warnings
    }
}

/// Since when the key of an entry is valid.
pub(super) fn started(tlog: &Value) -> Option<Timestamp> {
    let start = tlog.pointer("/publicKey/validFor/start")?;
    start.as_str()?.parse().ok()
}

fn tlog(shard: &Shard<'_>) -> Result<Value, ExportError> {
    let (key, details) = shard.public_key();
    let mut raw_bytes = String::new();
    base64::encode(&key, &mut raw_bytes);
    Ok(json!({
        "baseUrl": shard.url()?,
        "hashAlgorithm": "SHA2_256",
        "logId": {"keyId": shard.key.log_id().to_base64()},
        "publicKey": {
            "keyDetails": details,
            "rawBytes": raw_bytes,
            "validFor": {"start": start(shard.valid_from)?},
        },
    }))
}

/// A field in base64, decoded.
pub(super) fn bytes(log: &Value, pointer: &str) -> Option<Vec<u8>> {
    base64::decode_any(log.pointer(pointer)?.as_str()?)
}
