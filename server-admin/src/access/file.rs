//! The file of bearer tokens: for the first token, and for operators that keep tokens by hand.
//!
//! It is TOML and may be edited by hand to revoke or narrow a token; it is read again when it changes:
//!
//! ```toml
//! [[token]]
//! name = "ci"                              # the caller is `token:ci`
//! hash = "sha256:…64 hex digits…"          # of the token's whole text
//! expires = "2027-01-31T00:00:00Z"
//! scopes = ["shard:rotate:argon", "*:read:*"]
//! ```
//!
//! What must never happen: a token's text is stored or logged, or an untrusted file admits someone. A missing, unreadable or malformed
//! file, or one that others can write, admits nobody.

use ambient::Ambient;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tlog::{hex, unhex};

use super::now;
use super::secret::{HASH_PREFIX, Kind, Secret, hash, is_name};
use crate::error::Error;
use crate::permission::Permission;
use plane_http::Stamp;

/// Makes a token and puts its hash into the token file, which is created when absent; a token of the same name is
/// replaced. The write is atomic and durable, and concurrent calls on one file don't lose each other's tokens.
///
/// Blocking: a few file operations and two syncs.
///
/// # Errors
/// The name is not one, the lifetime reaches beyond the year 9999, or the file can't be read, trusted or written.
pub fn issue(
    file: &Path,
    name: &str,
    lifetime: Duration,
    scopes: &[Permission],
    ambient: &Ambient,
) -> Result<Secret, Error> {
    if !is_name(name) {
        return Err(Error::TokenName(name.to_owned()));
    }
    let expires = now(&ambient.time)
        .checked_add(lifetime)
        .map_err(|_| Error::TokenLifetime)?;
    let secret = Secret::new(Kind::Filed, &ambient.random)?;

    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let folder = File::open(directory).map_err(Error::file(directory))?;
    folder.lock().map_err(Error::file(directory))?;
    let mut document = if file.try_exists().map_err(Error::file(file))? {
        read(file)?
    } else {
        Document::default()
    };
    document.token.retain(|entry| entry.name != name);
    document.token.push(Entry {
        name: name.to_owned(),
        hash: format!("{HASH_PREFIX}{}", hex(&hash(secret.expose()))),
        expires: expires.to_string(),
        scopes: scopes.to_vec(),
    });
    replace(file, &folder, &document)?;
    Ok(secret)
}

/// Writes the file beside its place and moves it there. The caller holds the folder's lock.
fn replace(file: &Path, folder: &File, document: &Document) -> Result<(), Error> {
    let text = toml::to_string(document).map_err(|error| Error::TokenFile {
        path: file.to_owned(),
        problem: error.to_string(),
    })?;
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let write = || {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut new = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        new.write_all(text.as_bytes())?;
        new.sync_all()
    };
    write().map_err(Error::file(&beside))?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the directory is synced right after"
    )]
    fs::rename(&beside, file).map_err(Error::file(file))?;
    folder.sync_all().map_err(Error::file(file))
}

/// The result of a login with a token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Login {
    /// The token is valid.
    Known {
        name: Arc<str>,
        scopes: Arc<[Permission]>,
    },
    /// The token was valid and has expired.
    Expired {
        name: Arc<str>,
    },
    Unknown,
}

/// The tokens of a file, as of its last change.
#[derive(Debug)]
pub(super) struct TokenFile {
    file: PathBuf,
    /// The stamp that `tokens` were read at, `None` when the file could not be read. Locked for the time of a `stat`, and
    /// of a read after a change.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stamp: Option<Stamp>,
    tokens: Arc<[Token]>,
}

#[derive(Debug)]
struct Token {
    name: Arc<str>,
    hash: [u8; 32],
    expires: Timestamp,
    scopes: Arc<[Permission]>,
}

impl TokenFile {
    /// Opens a token file; a bad one is an error at once.
    pub(super) fn open(file: PathBuf) -> Result<Self, Error> {
        let stamp = Stamp::of(&file).map_err(Error::file(&file))?;
        let tokens = load(&file)?;
        Ok(Self {
            file,
            state: Mutex::new(State {
                stamp: Some(stamp),
                tokens,
            }),
        })
    }

    /// Looks a token up. Takes the same time whichever token it equals, or none.
    pub(super) fn login(&self, text: &str, now: Timestamp) -> Login {
        let given = hash(text);
        let mut found = None;
        for token in self.current().iter() {
            if bool::from(token.hash[..].ct_eq(&given[..])) {
                found = Some(match now < token.expires {
                    true => Login::Known {
                        name: token.name.clone(),
                        scopes: token.scopes.clone(),
                    },
                    false => Login::Expired {
                        name: token.name.clone(),
                    },
                });
            }
        }
        found.unwrap_or(Login::Unknown)
    }

    /// All of them, without their hashes.
    pub(super) fn list(&self) -> Vec<wire::Token> {
        let show = |token: &Token| wire::Token {
            name: token.name.to_string(),
            scopes: token.scopes.iter().map(ToString::to_string).collect(),
            expires_at: token.expires.to_string(),
            created_by: None,
            created_at: None,
            revocable: false,
        };
        self.current().iter().map(show).collect()
    }

    fn current(&self) -> Arc<[Token]> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::of(&self.file).ok();
        if stamp.is_none() || stamp != state.stamp {
            let had = state.stamp.is_some();
            state.stamp = stamp;
            state.tokens = load(&self.file).unwrap_or_else(|error| {
                if had {
                    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    tracing::error!(%error, cause, "the token file can't be used: no token is accepted");
                }
                Arc::from([])
            });
        }
        state.tokens.clone()
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    token: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    hash: String,
    expires: String,
    scopes: Vec<Permission>,
}

/// Reads the file, unless others may write it.
fn read(file: &Path) -> Result<Document, Error> {
    let mode = fs::metadata(file)
        .map_err(Error::file(file))?
        .permissions()
        .mode()
        & 0o7777;
    if mode & 0o022 != 0 {
        return Err(Error::Exposed {
            path: file.to_owned(),
            mode,
            problem: "others than its owner may write it",
        });
    }
    let text = fs::read_to_string(file).map_err(Error::file(file))?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        // The error's own text is not used: it quotes the line, which may contain a pasted token.
        let before = error
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let problem = format!("line {line}: {}", error.message());
        Error::TokenFile {
            path: file.to_owned(),
            problem,
        }
    })
}

fn load(file: &Path) -> Result<Arc<[Token]>, Error> {
    let bad = |problem: String| Error::TokenFile {
        path: file.to_owned(),
        problem,
    };
    let entries = read(file)?.token;
    let mut tokens: Vec<Token> = Vec::with_capacity(entries.len());
    for Entry {
        name,
        hash,
        expires,
        scopes,
    } in entries
    {
        if !is_name(&name) {
            return Err(Error::TokenName(name));
        }
        if tokens.iter().any(|token| *token.name == *name) {
            return Err(bad(format!("token {name} appears twice")));
        }
        let hash = hash.strip_prefix(HASH_PREFIX).and_then(unhex);
        let hash = hash.ok_or_else(|| {
            bad(format!(
                "token {name}: hash is not sha256: and 64 hex digits"
            ))
        })?;
        let expires = expires
            .parse()
            .map_err(|error| bad(format!("token {name}: expires: {error}")))?;
        tokens.push(Token {
            name: name.into(),
            hash,
            expires,
            scopes: scopes.into(),
        });
    }
    Ok(tokens.into())
}

#[cfg(test)]
mod tests {
    use super::super::secret::PREFIX;
    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn name(login: &Login) -> Option<&str> {
        match login {
            Login::Known { name, .. } => Some(name),
            _ => None,
        }
    }

    #[test]
    fn an_issued_token_logs_in_and_its_text_is_nowhere() {
        let folder = folder();
        let file = folder.path().join("tokens.toml");
        let scopes = ["shard:rotate:argon".parse().unwrap()];
        let ci = issue(&file, "ci", YEAR, &scopes, &Ambient::unset()).unwrap();
        let tokens = TokenFile::open(file.clone()).unwrap();
        let login = tokens.login(ci.expose(), now(&Ambient::unset().time));
        assert_eq!(
            login,
            Login::Known {
                name: "ci".into(),
                scopes: Arc::from(scopes)
            }
        );
        assert_eq!(ci.expose().len(), PREFIX.len() + 64);
        assert!(
            !format!("{ci:?}{tokens:?}{}", fs::read_to_string(&file).unwrap())
                .contains(&ci.expose()[PREFIX.len()..])
        );
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let mut wrong = ci.expose().to_owned();
        let last = if wrong.pop() == Some('0') { '1' } else { '0' };
        wrong.push(last);
        assert_eq!(
            tokens.login(&wrong, now(&Ambient::unset().time)),
            Login::Unknown
        );
        assert_eq!(
            tokens.login("", now(&Ambient::unset().time)),
            Login::Unknown
        );
    }

    #[test]
    fn a_token_expires() {
        let folder = folder();
        let file = folder.path().join("tokens.toml");
        let ci = issue(&file, "ci", YEAR, &[], &Ambient::unset()).unwrap();
        let tokens = TokenFile::open(file).unwrap();
        let later = now(&Ambient::unset().time).checked_add(YEAR).unwrap();
        assert_eq!(
            tokens.login(ci.expose(), later),
            Login::Expired { name: "ci".into() }
        );
        assert!(matches!(
            issue(folder.path(), "ci", Duration::MAX, &[], &Ambient::unset()),
            Err(Error::TokenLifetime)
        ));
    }

    #[test]
    fn the_file_is_read_again_when_it_changes_and_admits_nobody_when_it_is_bad() {
        let folder = folder();
        let file = folder.path().join("tokens.toml");
        let old = issue(&file, "ci", YEAR, &[], &Ambient::unset()).unwrap();
        let tokens = TokenFile::open(file.clone()).unwrap();
        let login = |secret: &Secret| tokens.login(secret.expose(), now(&Ambient::unset().time));
        let other = issue(&file, "other", YEAR, &[], &Ambient::unset()).unwrap();
        let new = issue(&file, "ci", YEAR, &[], &Ambient::unset()).unwrap();
        assert_eq!(login(&old), Login::Unknown, "replaced");
        assert_eq!(name(&login(&new)), Some("ci"));
        assert_eq!(name(&login(&other)), Some("other"));

        let good = fs::read(&file).unwrap();
        for bad in [
            "[[token]]\n",
            "tokens = 1",
            "\u{0}",
            "[[token]]\nname='x'\nhash='sha256:0'\nexpires='now'\nscopes=[]",
        ] {
            fs::write(&file, bad).unwrap();
            assert_eq!(login(&new), Login::Unknown, "{bad}");
        }
        fs::write(&file, &good).unwrap();
        assert_eq!(name(&login(&new)), Some("ci"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o622)).unwrap();
        assert_eq!(login(&new), Login::Unknown, "writable by others");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(name(&login(&new)), Some("ci"));
        fs::remove_file(&file).unwrap();
        assert_eq!(login(&new), Login::Unknown, "gone");
        fs::write(&file, &good).unwrap();
        assert_eq!(name(&login(&new)), Some("ci"));
    }

    #[test]
    fn concurrent_issuing_loses_no_token() {
        let folder = folder();
        let file = folder.path().join("tokens.toml");
        let secrets: Vec<Secret> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|n| {
                    let file = &file;
                    scope.spawn(move || {
                        issue(file, &format!("t{n}"), YEAR, &[], &Ambient::unset()).unwrap()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let tokens = TokenFile::open(file).unwrap();
        assert!(secrets.iter().all(|secret| {
            name(&tokens.login(secret.expose(), now(&Ambient::unset().time))).is_some()
        }));
    }

    #[test]
    fn a_bad_file_or_name_is_an_error_at_once() {
        let folder = folder();
        let file = folder.path().join("tokens.toml");
        assert!(matches!(
            TokenFile::open(file.clone()),
            Err(Error::File { .. })
        ));
        for bad in ["", "A", "a b", ".a", "a\n", "ü"] {
            assert!(
                matches!(
                    issue(&file, bad, YEAR, &[], &Ambient::unset()),
                    Err(Error::TokenName(_))
                ),
                "{bad:?}"
            );
        }
        issue(&file, "ci", YEAR, &[], &Ambient::unset()).unwrap();
        let twice = fs::read_to_string(&file).unwrap().repeat(2);
        fs::write(&file, twice).unwrap();
        assert!(matches!(
            TokenFile::open(file.clone()),
            Err(Error::TokenFile { .. })
        ));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o662)).unwrap();
        assert!(matches!(
            TokenFile::open(file.clone()),
            Err(Error::Exposed { .. })
        ));
        assert!(matches!(
            issue(&file, "ci", YEAR, &[], &Ambient::unset()),
            Err(Error::Exposed { .. })
        ));
    }
}
