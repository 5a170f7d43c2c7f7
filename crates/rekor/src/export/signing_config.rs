//! SigningConfig: where clients send what they sign.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ExportError, Warning, media_type, pretty, read, start};

const KIND: &str = "SigningConfig";
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";

/// The URL to which entries of one version of the API are sent.
#[derive(Clone, Copy, Debug)]
pub struct WriteUrl<'a> {
    /// The version: 1 or 2.
    pub version: u8,
    /// The URL in front of `/api/…`, without a slash at its end.
    pub url: &'a str,
    /// Since when it accepts entries, in milliseconds since the Unix epoch.
    pub since: u64,
}

/// A SigningConfig with a log's write URLs. A rotation changes nothing in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SigningConfig {
    media_type: String,
    #[serde(default)]
    ca_urls: Vec<Value>,
    #[serde(default)]
    oidc_urls: Vec<Value>,
    #[serde(default)]
    rekor_tlog_urls: Vec<Value>,
    #[serde(default, deserialize_with = "any")]
    rekor_tlog_config: Selector,
    #[serde(default)]
    tsa_urls: Vec<Value>,
    #[serde(default, deserialize_with = "any")]
    tsa_config: Selector,
}

/// How clients choose among services: always any one of them, because sigstore-js rejects everything else.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Selector {
    selector: &'static str,
}

impl Default for Selector {
    fn default() -> Self {
        Self { selector: "ANY" }
    }
}

fn any<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Selector, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| Selector::default())
}

impl SigningConfig {
    /// The SigningConfig of a log's write URLs, one for each version of the API, highest first. Everything in a file to merge with stays,
    /// except the transparency logs of these versions. `now` is in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`ExportError`] says what of the URLs or of the file is wrong.
    pub fn new(
        urls: &[WriteUrl<'_>],
        operator: &str,
        merge: Option<&str>,
        now: u64,
    ) -> Result<Self, ExportError> {
        if operator.is_empty() {
            return Err(ExportError::Operator);
        }
        let mut config = match merge {
            Some(text) => read(KIND, text)?,
            None => Self {
                media_type: MEDIA_TYPE.to_owned(),
                ca_urls: Vec::new(),
                oidc_urls: Vec::new(),
                rekor_tlog_urls: Vec::new(),
                rekor_tlog_config: Selector::default(),
                tsa_urls: Vec::new(),
                tsa_config: Selector::default(),
            },
        };
        media_type(KIND, &config.media_type, &[MEDIA_TYPE])?;
        let version = |service: &Value| service["majorApiVersion"].as_u64().unwrap_or_default();
        for (number, write) in urls.iter().enumerate() {
            if urls[..number]
                .iter()
                .any(|other| other.version == write.version)
            {
                return Err(ExportError::TwoUrls(write.version));
            }
            config
                .rekor_tlog_urls
                .retain(|service| version(service) != u64::from(write.version));
        }
        for write in urls {
            config.rekor_tlog_urls.push(service(write, operator)?);
        }
        config
            .rekor_tlog_urls
            .sort_by_key(|service| std::cmp::Reverse(version(service)));
        config.check_started(now)?;
        Ok(config)
    }

    /// No service may start in the future: sigstore-js uses it at once.
    fn check_started(&self, now: u64) -> Result<(), ExportError> {
        let services = [
            &self.ca_urls,
            &self.oidc_urls,
            &self.rekor_tlog_urls,
            &self.tsa_urls,
        ];
        for service in services.into_iter().flatten() {
            let Some(start) = service.pointer("/validFor/start").and_then(Value::as_str) else {
                continue;
            };
            let time: Timestamp = start.parse().map_err(|_| ExportError::Merge {
                kind: KIND,
                reason: format!("{start} is not a time"),
            })?;
            if i128::from(time.as_millisecond()) > i128::from(now) {
                let url = service["url"].as_str().unwrap_or_default().to_owned();
                return Err(ExportError::Future {
                    url,
                    start: start.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The file's text, JSON.
    pub fn to_json(&self) -> String {
        pretty(self)
    }

    /// Warnings about parts that some client rejects and that the log does not make itself.
    pub fn warnings(&self) -> Vec<Warning> {
        if self.ca_urls.is_empty() {
            return vec![Warning::NoAuthorityUrl];
        }
        Vec::new()
    }
}

fn service(write: &WriteUrl<'_>, operator: &str) -> Result<Value, ExportError> {
    if !(1..=2).contains(&write.version) {
        return Err(ExportError::Version(write.version));
    }
    let url = write.url;
    let host = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let plain = |c: char| c.is_ascii_graphic() && !['"', '?', '#', '\\'].contains(&c);
    if !host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
        || url.ends_with('/')
        || !url.chars().all(plain)
    {
        return Err(ExportError::Url(url.to_owned()));
    }
    Ok(json!({
        "majorApiVersion": write.version,
        "operator": operator,
        "url": url,
        "validFor": {"start": start(write.since)?},
    }))
}
