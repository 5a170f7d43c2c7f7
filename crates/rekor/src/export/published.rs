//! Whether a published file lets clients verify a shard. It may come from anywhere: a wrong file is an answer, not an error.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::trusted_root::{bytes, started};
use super::{Shard, TrustedRoot, split_client_trust_config};

/// What a published file says of a shard's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// Clients that have this file verify what the shard signs.
    Held,
    /// The file is sound, and does not have the key: it may be older.
    Absent,
    /// It has the key in a form that some client does not accept, or is not a TrustedRoot: the reason, in words for a person.
    Unusable(String),
}

impl Shard<'_> {
    /// Whether a TrustedRoot, or the one in a ClientTrustConfig, has this shard's key in the form in which all clients accept it, from `now`
    /// (milliseconds since the Unix epoch) for `at_least` that long.
    pub fn published_in(&self, text: &str, now: u64, at_least: Duration) -> Published {
        let inner = split_client_trust_config(text).map(|(root, _)| root);
        let root = match TrustedRoot::new(&[], Some(inner.unwrap_or(text))) {
            Ok(root) => root,
            Err(error) => return Published::Unusable(error.to_string()),
        };
        let (id, key) = (self.key.log_id().0, self.public_key().0);
        let (mut why, mut held) = (None, 0_usize);
        for entry in root.tlogs() {
            let is = |pointer, ours: &[u8]| bytes(entry, pointer).is_some_and(|b| b == ours);
            let (same_id, same_key) = (is("/logId/keyId", &id), is("/publicKey/rawBytes", &key));
            let flaw = match (same_id, same_key) {
                (false, false) => continue,
                (false, true) => {
                    let found = text_at(entry, "/logId/keyId");
                    Some(format!(
                        "the key is there under the log ID {found}, where clients look for {}",
                        self.key.log_id().to_base64()
                    ))
                }
                (true, false) => Some("another key is there under the log ID of this one".into()),
                (true, true) => self.flaw(entry, now, at_least),
            };
            match flaw {
                None => held += 1,
                Some(flaw) => why = Some(flaw),
            }
        }
        // A flaw beside a sound entry counts: some clients take the first one, and some refuse the file.
        match (why, held) {
            (Some(why), _) => Published::Unusable(why),
            (None, 0) => Published::Absent,
            (None, 1) => root
                .tlogs()
                .iter()
                .find_map(rejected)
                .map_or(Published::Held, Published::Unusable),
            (None, _) => Published::Unusable(
                "the key is there twice: some clients refuse such a file".into(),
            ),
        }
    }

    /// What makes clients refuse an entry with the right key.
    fn flaw(&self, entry: &Value, now: u64, at_least: Duration) -> Option<String> {
        let url = text_at(entry, "/baseUrl");
        let bare = ["https://", "http://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme));
        let Some(host) = bare else {
            let name = self.key.name();
            return Some(format!(
                "the key is there for {url:?}, which is no URL such as https://{name}"
            ));
        };
        let host = host.split(['/', ':']).next().unwrap_or_default();
        if host != self.key.name() {
            let origin = self.key.name();
            return Some(format!(
                "the key is there for {url:?}, and clients compare that host with the origin {origin}"
            ));
        }
        let details = text_at(entry, "/publicKey/keyDetails");
        if details != self.public_key().1 {
            return Some(format!("the key is there as {details:?}"));
        }
        let now = i64::try_from(now).ok();
        let now = now.and_then(|now| Timestamp::from_millisecond(now).ok())?;
        let Some(start) = started(entry) else {
            return Some("the key is there without validFor.start".into());
        };
        if start > now {
            return Some(format!("the key is there, valid only from {start}"));
        }
        let end = entry.pointer("/publicKey/validFor/end");
        let end = end.filter(|end| !end.is_null())?;
        let time = end.as_str().and_then(|end| end.parse::<Timestamp>().ok());
        let needed = now.checked_add(at_least).unwrap_or(Timestamp::MAX);
        match time {
            Some(end) if end > needed => None,
            _ => Some(format!("the key is there, valid only until {end}")),
        }
    }
}

/// Why a client rejects the whole file because of this entry, whichever log it describes.
fn rejected(entry: &Value) -> Option<String> {
    let url = text_at(entry, "/baseUrl");
    if !url.contains("://") {
        return Some(format!(
            "cosign rejects the file: it has a log with the URL {url:?}, without a scheme"
        ));
    }
    let unstarted = started(entry).is_none();
    unstarted
        .then(|| format!("cosign rejects the file: the key of the log {url} has no validFor.start"))
}

fn text_at<'a>(entry: &'a Value, pointer: &str) -> &'a str {
    let found = entry.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{SigningConfig, WriteUrl, client_trust_config};
    use tlog::{Signer, VerifierKey};

    const NOW: u64 = 1_700_000_000_000;
    const SETTLE: Duration = Duration::from_secs(7 * 86_400);

    fn ecdsa(host: &str) -> VerifierKey {
        let seed = [host.as_bytes()[0]; 32];
        Signer::from_p256(host, &seed).unwrap().verifier().clone()
    }

    fn shard(key: &VerifierKey) -> Shard<'_> {
        Shard {
            key,
            valid_from: NOW - 1000,
        }
    }

    fn file(keys: &[&VerifierKey]) -> String {
        let shards: Vec<_> = keys.iter().map(|key| shard(key)).collect();
        TrustedRoot::new(&shards, None).unwrap().to_json()
    }

    #[test]
    fn what_the_export_writes_is_held() {
        let [a, b] = ["a", "b"].map(|name| ecdsa(&format!("{name}.example.org")));
        let both = file(&[&a, &b]);
        assert_eq!(shard(&b).published_in(&both, NOW, SETTLE), Published::Held);
        // An older file, as a cache has it.
        assert_eq!(
            shard(&b).published_in(&file(&[&a]), NOW, SETTLE),
            Published::Absent
        );
        assert_eq!(
            shard(&b).published_in(&file(&[]), NOW, SETTLE),
            Published::Absent
        );
        let root = TrustedRoot::new(&[shard(&a), shard(&b)], None).unwrap();
        let urls = [WriteUrl {
            version: 2,
            url: "https://log.example.org",
            since: 0,
        }];
        let signing = SigningConfig::new(&urls, "example.org", None, NOW).unwrap();
        let config = client_trust_config(&root, &signing);
        assert_eq!(
            shard(&b).published_in(&config, NOW, SETTLE),
            Published::Held
        );
    }

    #[test]
    fn what_clients_would_not_accept_is_not_held() {
        let [a, b] = ["a", "b"].map(|name| ecdsa(&format!("{name}.example.org")));
        let both = file(&[&a, &b]);
        let edited = |edit: &dyn Fn(&mut Value)| {
            let mut json: Value = serde_json::from_str(&both).unwrap();
            edit(&mut json["tlogs"][1]);
            shard(&b).published_in(&json.to_string(), NOW, SETTLE)
        };
        assert_eq!(edited(&|_| {}), Published::Held);
        let end = |end: &str| {
            let end = end.to_owned();
            edited(&|log| log["publicKey"]["validFor"]["end"] = end.clone().into())
        };
        assert_eq!(end("2040-01-01T00:00:00Z"), Published::Held);
        let whole = |edit: &dyn Fn(&mut Value)| {
            let mut json: Value = serde_json::from_str(&both).unwrap();
            edit(&mut json["tlogs"]);
            shard(&b).published_in(&json.to_string(), NOW, SETTLE)
        };
        for (found, word) in [
            (
                edited(&|log| log["logId"]["keyId"] = "AAAA".into()),
                "log ID AAAA",
            ),
            (
                edited(&|log| log["publicKey"]["rawBytes"] = "AAAA".into()),
                "another key",
            ),
            (
                edited(&|log| log["baseUrl"] = "https://x.example.org".into()),
                "x.example.org",
            ),
            (edited(&|log| log["baseUrl"] = "".into()), "b.example.org"),
            (
                edited(&|log| log["publicKey"]["keyDetails"] = "PKIX_ED25519".into()),
                "PKIX_ED25519",
            ),
            (
                edited(&|log| log["publicKey"]["validFor"] = Value::Null),
                "without validFor.start",
            ),
            (
                edited(&|log| {
                    log["publicKey"]["validFor"]["start"] = "2040-01-01T00:00:00Z".into()
                }),
                "only from",
            ),
            (end("2020-01-01T00:00:00Z"), "only until"),
            // It ends before it has settled: NOW is 22:13:20 on 14 November 2023.
            (end("2023-11-21T22:13:20Z"), "only until"),
            (end("tomorrow"), "only until"),
            (end(""), "only until"),
            (
                edited(&|log| log["baseUrl"] = "b.example.org".into()),
                "no URL",
            ),
            (
                edited(&|log| log["baseUrl"] = "ftp://b.example.org".into()),
                "no URL",
            ),
            // Clients read the whole file.
            (
                whole(&|logs| {
                    let mut twin = logs[1].clone();
                    twin["publicKey"]["validFor"]["end"] = "2020-01-01T00:00:00Z".into();
                    logs.as_array_mut().unwrap().insert(0, twin);
                }),
                "only until",
            ),
            (
                whole(&|logs| {
                    let twin = logs[1].clone();
                    logs.as_array_mut().unwrap().push(twin);
                }),
                "twice",
            ),
            (
                whole(&|logs| logs[0]["baseUrl"] = "a.example.org".into()),
                "cosign rejects",
            ),
            (
                whole(&|logs| logs[0]["publicKey"]["validFor"] = Value::Null),
                "cosign rejects",
            ),
        ] {
            match found {
                Published::Unusable(why) => assert!(why.contains(word), "{why}"),
                other => panic!("{word}: {other:?}"),
            }
        }
    }

    #[test]
    fn any_other_file_is_named_and_never_believed() {
        let b = ecdsa("b.example.org");
        for text in [
            "",
            "<html>sign in</html>",
            "null",
            "{}",
            "[]",
            r#"{"mediaType": "text/plain", "tlogs": []}"#,
            r#"{"mediaType": 1}"#,
        ] {
            let found = shard(&b).published_in(text, NOW, SETTLE);
            assert!(matches!(found, Published::Unusable(_)), "{text}: {found:?}");
        }
    }
}
