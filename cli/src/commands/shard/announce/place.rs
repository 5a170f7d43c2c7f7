//! A place where clients get the trusted root from: a file at a URL, a repository of The Update Framework (TUF), or a local file.
//!
//! A repository is read as a client reads it, from its timestamp to the file that it names now. Its signatures are not verified: the
//! question is what is published, and clients verify it themselves. What must never happen: an endless answer is read to its end, or a URL's
//! query, which may be a secret, gets into a message or into the log.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{AGE, CACHE_CONTROL, LOCATION};
use reqwest::{StatusCode, Url};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::client::{Deadline, cause, transport};
use crate::error::Error;
use crate::settings::{Address, is_loopback};

/// The largest file that is read; a trusted root has some kilobytes.
const LARGEST: usize = 4 << 20;
/// The limit for one file.
const FILE_TIMEOUT: Duration = Duration::from_secs(20);
/// The file's name in a repository.
const TARGET: &str = "trusted_root.json";

/// A place that is looked at again and again.
#[derive(Debug)]
pub(super) struct Place {
    /// Its name for people and in the log: the URL without its query.
    pub(super) name: String,
    source: Source,
    /// Whether the source is a TUF repository, and not the file itself.
    repository: bool,
}

#[derive(Debug)]
enum Source {
    Web(reqwest::Client, Url),
    Local(PathBuf),
}

/// The text of a published file, and how old the answer is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) text: String,
    /// For how long a cache on the way has kept it, as the answer says.
    pub(super) age: Duration,
}

/// Why a file could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Miss {
    /// Whether the place answered that there is no such file.
    pub(super) absent: bool,
    /// The reason, in words for a person.
    pub(super) why: String,
}

impl Miss {
    fn new(why: impl Into<String>) -> Self {
        Self {
            absent: false,
            why: why.into(),
        }
    }

    fn absent(why: impl Into<String>) -> Self {
        Self {
            absent: true,
            why: why.into(),
        }
    }
}

impl Place {
    /// The place that an argument or a record names.
    pub(super) fn parse(text: &str, ca: Option<&Path>) -> Result<Self, Error> {
        let wrong = |why: &str| {
            Error::Usage {
            message: format!("--seen-at: {why}"),
            hint: "name the published file by its URL (https://…/trusted_root.json), a TUF repository by its address with a slash at the end, or a file by its path"
                .into(),
        }
        };
        let repository = text.ends_with('/');
        if !text.starts_with("https://") && !text.starts_with("http://") {
            let path = text.strip_prefix("file://").unwrap_or(text);
            let path = path.strip_prefix("file:").unwrap_or(path);
            let named_web = path
                .split('/')
                .next()
                .is_some_and(|word| word.contains(':'));
            if path.is_empty() || named_web {
                return Err(wrong("this is neither a URL nor a file"));
            }
            let absolute = std::path::absolute(path).map_err(|source| Error::Read {
                what: path.to_owned(),
                source,
            })?;
            // A folder is a repository, however it is written.
            let repository = repository || absolute.is_dir();
            let slash = if repository { "/" } else { "" };
            let shown = absolute.display().to_string();
            return Ok(Self {
                name: format!("file:{}{slash}", shown.trim_end_matches('/')),
                source: Source::Local(absolute),
                repository,
            });
        }
        let Ok(url) = Url::parse(text) else {
            return Err(wrong("this is not a URL"));
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("clients get the file without a password"));
        }
        let host = url.host_str().unwrap_or_default();
        if url.scheme() == "http" && !is_loopback(host) {
            return Err(wrong(
                "use https://: without it, anybody on the network could answer; only a loopback address can be used without",
            ));
        }
        let mut shown = url.clone();
        shown.set_query(None);
        shown.set_fragment(None);
        let http = transport(&Address::Url(url.as_str().to_owned()), ca, None)?;
        Ok(Self {
            name: shown.to_string(),
            repository: url.path().ends_with('/'),
            source: Source::Web(http, url),
        })
    }

    /// The published file as it is now.
    pub(super) async fn read(&self, deadline: Deadline) -> Result<Found, Miss> {
        let (bytes, age) = match self.repository {
            true => self.target(deadline).await?,
            false => {
                let read = self.get_aged(None, deadline).await;
                read.map_err(|miss| self.or_repository(miss))?
            }
        };
        let text = String::from_utf8(bytes).map_err(|_| Miss::new("it is not text"))?;
        Ok(Found { text, age })
    }

    /// Adds a note that the address may be a TUF repository, if its last part does not look like a file name.
    fn or_repository(&self, miss: Miss) -> Miss {
        let last = self.name.rsplit('/').next().unwrap_or_default();
        let why = match self.repository || last.contains('.') {
            true => miss.why,
            false => format!(
                "{}; if this is a TUF repository, add a slash at the end: {}/",
                miss.why, self.name
            ),
        };
        Miss { why, ..miss }
    }

    /// The file that the repository names now. Its age is that of the timestamp, because all other files have their version or hash in their name.
    async fn target(&self, deadline: Deadline) -> Result<(Vec<u8>, Duration), Miss> {
        let read = self.get_aged(Some("timestamp.json"), deadline).await;
        let (timestamp, age) = read.map_err(|miss| Miss {
            why: format!("timestamp.json of the TUF repository: {}", miss.why),
            ..miss
        })?;
        let timestamp = json("timestamp.json", &timestamp)?;
        let expires = timestamp.pointer("/signed/expires").and_then(Value::as_str);
        let expires = expires.and_then(|time| time.parse::<Timestamp>().ok());
        if let Some(expires) = expires.filter(|expires| *expires <= Timestamp::now()) {
            return Err(Miss::new(format!(
                "the TUF repository's timestamp expired at {expires}: clients refuse it"
            )));
        }
        let snapshot = self.named(&timestamp, "snapshot.json", deadline).await?;
        let targets = self.named(&snapshot, "targets.json", deadline).await?;
        let target = targets
            .get("signed")
            .and_then(|signed| signed.get("targets"));
        let Some(target) = target.and_then(|targets| targets.get(TARGET)) else {
            return Err(Miss::absent(format!("the TUF repository has no {TARGET}")));
        };
        let hash = target.pointer("/hashes/sha256").and_then(Value::as_str);
        let hash = hash.filter(|hash| hash.len() == 64 && hash.bytes().all(is_hex));
        let Some(hash) = hash else {
            return Err(Miss::new(format!(
                "the TUF repository names no SHA-256 of {TARGET}"
            )));
        };
        let whole = format!("targets/{hash}.{TARGET}");
        let bytes = match self.get(Some(&whole), deadline).await {
            Err(miss) if miss.absent => {
                self.get(Some(&format!("targets/{TARGET}")), deadline).await
            }
            other => other,
        };
        let bytes = bytes.map_err(|miss| Miss::new(miss.why))?;
        match tlog::hex(&Sha256::digest(&bytes)) == hash.to_ascii_lowercase() {
            true => Ok((bytes, age)),
            false => Err(Miss::new(format!(
                "{TARGET} is not the file that the TUF repository names"
            ))),
        }
    }

    /// Metadata in the version that other metadata names, or without a version in its name.
    async fn named(&self, parent: &Value, name: &str, deadline: Deadline) -> Result<Value, Miss> {
        let meta = parent.get("signed").and_then(|signed| signed.get("meta"));
        let version = meta
            .and_then(|meta| meta.get(name))
            .and_then(|meta| meta.get("version"))
            .and_then(Value::as_u64);
        let Some(version) = version else {
            return Err(Miss::new(format!("the TUF repository names no {name}")));
        };
        match self.metadata(&format!("{version}.{name}"), deadline).await {
            Err(miss) if miss.absent => {
                let found = self.metadata(name, deadline).await;
                found.map_err(|miss| Miss::new(miss.why))
            }
            other => other,
        }
    }

    async fn metadata(&self, name: &str, deadline: Deadline) -> Result<Value, Miss> {
        json(name, &self.get(Some(name), deadline).await?)
    }

    async fn get(&self, below: Option<&str>, deadline: Deadline) -> Result<Vec<u8>, Miss> {
        Ok(self.get_aged(below, deadline).await?.0)
    }

    /// A file below the source, or the source itself, and its age.
    async fn get_aged(
        &self,
        below: Option<&str>,
        deadline: Deadline,
    ) -> Result<(Vec<u8>, Duration), Miss> {
        match &self.source {
            Source::Local(path) => {
                let path = below.map_or_else(|| path.clone(), |below| path.join(below));
                let reading = tokio::task::spawn_blocking(move || local(&path));
                let read = reading.await.unwrap_or_else(|error| Err(error.into()));
                let bytes = bounded(read.map_err(|error| Miss {
                    absent: error.kind() == std::io::ErrorKind::NotFound,
                    why: error.to_string(),
                })?)?;
                Ok((bytes, Duration::ZERO))
            }
            Source::Web(http, url) => {
                let url = match below {
                    Some(below) => url.join(below).map_err(|e| Miss::new(e.to_string()))?,
                    None => url.clone(),
                };
                web(http, url, deadline).await
            }
        }
    }
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

fn local(path: &Path) -> std::io::Result<Vec<u8>> {
    // Opening a pipe that nobody writes to would never return.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(LARGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn bounded(bytes: Vec<u8>) -> Result<Vec<u8>, Miss> {
    match bytes.len() > LARGEST {
        true => Err(Miss::new(format!("it is larger than {LARGEST} bytes"))),
        false => Ok(bytes),
    }
}

fn json(name: &str, bytes: &[u8]) -> Result<Value, Miss> {
    serde_json::from_slice(bytes).map_err(|_| Miss::new(format!("{name} is not JSON")))
}

/// The target of a redirection, without its query.
fn leads_to(answer: &reqwest::Response) -> Option<Url> {
    let location = answer.headers().get(LOCATION)?.to_str().ok()?;
    let mut url = answer.url().join(location).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    let is_plain = url.username().is_empty() && url.password().is_none();
    is_plain.then_some(url)
}

async fn web(
    http: &reqwest::Client,
    url: Url,
    deadline: Deadline,
) -> Result<(Vec<u8>, Duration), Miss> {
    let passing = |error: reqwest::Error| Miss::new(cause(&error.without_url()));
    let limit = FILE_TIMEOUT.min(deadline.left());
    // A cache that honors this header asks its source.
    let request = http.get(url).header(CACHE_CONTROL, "no-cache");
    let answer = request.timeout(limit).send().await;
    let mut answer = answer.map_err(passing)?;
    let age = answer.headers().get(AGE);
    let age = age.and_then(|age| age.to_str().ok()?.trim().parse().ok());
    let age = Duration::from_secs(age.unwrap_or(0));
    let status = answer.status();
    match status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Miss::absent(status.to_string())),
        status if status.is_redirection() => {
            return Err(Miss::new(match leads_to(&answer) {
                Some(url) => format!("{status}: it redirects to {url}; use that address"),
                None => format!(
                    "{status}: it redirects elsewhere; use the address that it redirects to"
                ),
            }));
        }
        status => return Err(Miss::new(status.to_string())),
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(passing)? {
        bytes.extend_from_slice(&chunk);
        bytes = bounded(bytes)?;
    }
    Ok((bytes, age))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MINUTE: Duration = Duration::from_secs(60);

    async fn read(place: &Place) -> Result<String, Miss> {
        let read = place.read(Deadline::after(MINUTE)).await;
        read.map(|read| read.text)
    }

    #[test]
    fn names_have_no_secrets() {
        let name = |text: &str| Place::parse(text, None).map(|place| place.name);
        assert_eq!(
            name("https://example.org/a.json?signature=s3cret#x").unwrap(),
            "https://example.org/a.json"
        );
        assert_eq!(
            name("http://127.0.0.1:1/a").unwrap(),
            "http://127.0.0.1:1/a"
        );
        assert_eq!(name("/srv/a.json").unwrap(), "file:/srv/a.json");
        assert_eq!(name("file:/srv/tuf/").unwrap(), "file:/srv/tuf/");
        assert_eq!(name("file:///srv/a.json").unwrap(), "file:/srv/a.json");
        // A record can be named as a place.
        for text in ["/srv/a.json", "file:/srv/tuf/", "https://example.org/"] {
            let once = name(text).unwrap();
            assert_eq!(name(&once).unwrap(), once);
        }
        for wrong in [
            "",
            "https://",
            "https://u:s3cret@example.org/a",
            "http://example.org/a",
            "ftp://example.org/a",
        ] {
            let error = name(wrong).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_file_is_there_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let place = Place::parse(path.to_str().unwrap(), None).unwrap();
        assert!(read(&place).await.unwrap_err().absent);
        std::fs::write(&path, "x").unwrap();
        assert_eq!(read(&place).await.unwrap(), "x");
        std::fs::write(&path, vec![b'x'; LARGEST + 1]).unwrap();
        assert!(read(&place).await.unwrap_err().why.contains("larger"));
        std::fs::write(&path, [0xff]).unwrap();
        assert!(!read(&place).await.unwrap_err().absent);
    }

    /// A user who leaves out the slash is told what is missing.
    #[tokio::test]
    async fn a_repository_without_its_slash_is_noticed() {
        let miss = |name: &str| {
            let place = Place::parse(name, None).unwrap();
            place.or_repository(Miss::absent("404 Not Found")).why
        };
        for name in ["https://example.org/tuf", "/nowhere/tuf"] {
            let why = miss(name);
            assert!(
                why.contains("add a slash at the end: ") && why.ends_with("/tuf/"),
                "{why}"
            );
        }
        for name in ["https://example.org/root.json", "https://example.org"] {
            assert_eq!(miss(name), "404 Not Found");
        }
    }

    /// A repository with one version; each step may be spoilt.
    #[tokio::test]
    async fn a_repository_is_read_from_its_timestamp() {
        let folder = tempfile::tempdir().unwrap();
        // A folder needs no slash.
        let text = folder.path().display().to_string();
        let place = Place::parse(&text, None).unwrap();
        assert_eq!(place.name, format!("file:{text}/"));
        let write = |name: &str, value: &Value| {
            std::fs::write(folder.path().join(name), value.to_string()).unwrap();
        };
        assert!(read(&place).await.unwrap_err().absent);
        let expires = |time: &str, version: u64| json!({"signed": {"expires": time, "meta": {"snapshot.json": {"version": version}}}});
        write("timestamp.json", &expires("2999-01-01T00:00:00Z", 3));
        // A publication that is half done is not an absent one: nothing may be published over it.
        assert!(!read(&place).await.unwrap_err().absent);
        write(
            "3.snapshot.json",
            &json!({"signed": {"meta": {"targets.json": {"version": 2}}}}),
        );
        write("targets.json", &json!({"signed": {"targets": {}}}));
        assert!(read(&place).await.unwrap_err().absent);
        let hash = tlog::hex(&Sha256::digest(b"root"));
        let targets = json!({"signed": {"targets": {TARGET: {"hashes": {"sha256": hash}}}}});
        write("2.targets.json", &targets);
        assert!(!read(&place).await.unwrap_err().absent);
        std::fs::create_dir(folder.path().join("targets")).unwrap();
        let file = folder.path().join(format!("targets/{hash}.{TARGET}"));
        std::fs::write(&file, "other").unwrap();
        assert!(read(&place).await.unwrap_err().why.contains("not the file"));
        std::fs::write(&file, "root").unwrap();
        assert_eq!(read(&place).await.unwrap(), "root");
        write("timestamp.json", &expires("2020-01-01T00:00:00Z", 3));
        assert!(read(&place).await.unwrap_err().why.contains("expired"));
    }
}
