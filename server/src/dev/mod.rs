//! `logd dev`: one directory with everything a log needs, made at the first start and kept from then on.
//!
//! What must never happen: a key or token that others can read; a second server that takes the socket or the contexts away from
//! the living first one; a key that is made twice, which would lose the first.

mod cert;
mod contexts;

use std::fs::{DirBuilder, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{LogConfig, LogName, RotateConfig};
use server_admin::Permission;

pub(crate) use contexts::{reachable, write as write_contexts};

use crate::args::Dev;
use crate::error::{Error, at};
use crate::settings::Settings;

/// The name of the log.
pub(crate) const LOG: &str = "dev";
/// What its checkpoints' origins begin with.
pub(crate) const ORIGIN: &str = "localhost/dev";

/// The longest path a Unix socket can have, bytes.
const LONGEST_SOCKET: usize = 107;
/// How long the token of `admin.token` is good for; it is made anew when it is older than half of this.
const TOKEN_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// A prepared directory.
pub(crate) struct Prepared {
    /// What to serve.
    pub(crate) settings: Settings,
    /// Its absolute path.
    pub(crate) dir: PathBuf,
    /// Held while this process lives, when it is the first one on the directory.
    pub(crate) first: Option<File>,
}

/// Makes what is missing in the directory.
pub(crate) fn prepare(dev: &Dev) -> Result<Prepared, Error> {
    // A directory that exists keeps its mode: it may be somebody's home.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dev.dir)
        .map_err(at("create", &dev.dir))?;
    let dir = dev.dir.canonicalize().map_err(at("read", &dev.dir))?;
    // Servers that start at the same moment make keys one after the other.
    let starting = lock_file(&dir.join(".starting"))?;
    starting.lock().map_err(at("lock", dir.join(".starting")))?;
    let serving = lock_file(&dir.join(".serving"))?;
    let first = match serving.try_lock() {
        Ok(()) => Some(serving),
        Err(std::fs::TryLockError::WouldBlock) => None,
        Err(std::fs::TryLockError::Error(source)) => {
            return Err(Error::File {
                action: "lock",
                path: dir.join(".serving"),
                source,
            });
        }
    };
    let socket = first.is_some() && fits_socket(&dir.join("admin.sock"));
    make_kek(&dir.join("kek"))?;
    cert::renew(&dir.join("admin-cert.pem"), &dir.join("admin-key.pem"))?;
    make_token(&dir.join("tokens.toml"), &dir.join("admin.token"))?;
    let path = dir.join("logd.toml");
    let text = settings_text(dev, socket);
    let settings = Settings::parse(&text, &path)?;
    if first.is_some() {
        replace(&path, &text, 0o644)?;
    }
    Ok(Prepared {
        settings,
        dir,
        first,
    })
}

/// The log's first configuration: one open shard, named after the year.
pub(crate) fn first_config() -> Result<LogConfig, Error> {
    let failed = |detail: String| Error::Create {
        log: LOG.to_owned(),
        detail,
    };
    let name = LogName::try_from(LOG.to_owned()).map_err(|e| failed(e.to_string()))?;
    let year = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .year();
    let shard = config::next_name(&RotateConfig::default().name, &[], year)
        .map_err(|e| failed(e.to_string()))?;
    Ok(LogConfig::new(name, ORIGIN.to_owned(), shard))
}

/// Whether a Unix socket can be bound at `path`.
fn fits_socket(path: &Path) -> bool {
    path.as_os_str().as_bytes().len() <= LONGEST_SOCKET
}

fn lock_file(path: &Path) -> Result<File, Error> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(at("create", path))
}

fn make_kek(path: &Path) -> Result<(), Error> {
    if path.try_exists().map_err(at("read", path))? {
        return Ok(());
    }
    // The key is made before either store: what is in them is sealed with one that was here, which a new one does not open.
    for store in ["coordination.db", "objects"] {
        let store = path.with_file_name(store);
        if store.try_exists().map_err(at("read", &store))? {
            return Err(Error::Secret(format!(
                "{} is missing, and {} is there: the log's keys are sealed with it, and a new one would not open them; put the file back",
                path.display(),
                store.display()
            )));
        }
    }
    let secret = |e: log::shard::keys::KeyError| Error::Secret(e.to_string());
    log::Kek::generate()
        .and_then(|kek| kek.write_new(path))
        .map_err(secret)
}

/// A token for everything, in a file that only its owner can read; the server keeps its hash.
fn make_token(hashes: &Path, token: &Path) -> Result<(), Error> {
    let age = token
        .metadata()
        .and_then(|m| m.modified())
        .ok()
        .and_then(|made| made.elapsed().ok());
    if hashes.exists() && age.is_some_and(|age| age < TOKEN_LIFE / 2) {
        return Ok(());
    }
    let secret = server_admin::issue(hashes, "dev", TOKEN_LIFE, &[Permission::everything()])
        .map_err(|e| Error::Secret(format!("cannot issue a token: {e}")))?;
    replace(token, &format!("{}\n", secret.expose()), 0o600)
}

/// Writes a file beside its place and moves it there, so that no reader sees half of it.
pub(crate) fn replace(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let write = || {
        // A leftover of a start that was killed would keep its own mode.
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::options()
            .create_new(true)
            .write(true)
            .mode(mode)
            .open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the folder is synced right after"
        )]
        std::fs::rename(&beside, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(at("write", path))
}

/// The settings that `logd serve` needs to serve the same directory.
fn settings_text(dev: &Dev, socket: bool) -> String {
    let socket = if socket {
        "socket = \"admin.sock\"\n"
    } else {
        ""
    };
    let metrics = dev
        .metrics
        .map(|address| format!("\n[metrics]\nlisten = \"{address}\"\n"))
        .unwrap_or_default();
    let programs = dev.merge.iter().map(|program| format!("\"{program}\""));
    let programs: Vec<_> = programs.collect();
    format!(
        "# Written by `logd dev` at each start; `logd config example` explains every key.\n\n\
         [data]\nlisten = \"{}\"\n\n\
         [admin]\n{socket}listen = \"{}\"\n\
         tls = {{ cert = \"admin-cert.pem\", key = \"admin-key.pem\" }}\ntokens = \"tokens.toml\"\n{metrics}\n\
         [stores]\ncoordination = \"coordination.db\"\nobjects = \"objects\"\n\n\
         [kek]\nfile = \"kek\"\n\n\
         [merge]\nprograms = [{}]\nfrontends = [\"frontends\"]\n\n\
         [nodes.b]\npath = \"nodes/b\"\n[nodes.c]\npath = \"nodes/c\"\n",
        dev.listen,
        dev.admin,
        programs.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::args::LogFormat;

    fn dev(dir: &Path) -> Dev {
        let free = "127.0.0.1:0".parse().unwrap();
        Dev {
            dir: dir.to_owned(),
            listen: free,
            admin: free,
            metrics: Some(free),
            merge: log::Program::ALL.to_vec(),
            format: LogFormat::Text,
        }
    }

    #[test]
    fn a_directory_is_made_once_and_its_secrets_stay() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("a/b");
        let first = prepare(&dev(&dir)).unwrap();
        assert!(first.first.is_some() && first.settings.admin.socket.is_some());
        let mode = |name: &str| std::fs::metadata(dir.join(name)).unwrap().mode() & 0o777;
        assert_eq!(mode("."), 0o700);
        for secret in ["kek", "admin.token", "admin-key.pem", "tokens.toml"] {
            assert_eq!(mode(secret), 0o600, "{secret}");
        }
        let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
        let before: Vec<_> = ["kek", "admin.token", "admin-cert.pem", "tokens.toml"]
            .map(read)
            .into();
        assert!(
            Settings::read(&dir.join("logd.toml"))
                .unwrap()
                .metrics
                .is_some()
        );

        // Another server beside it: no socket, and nothing is written.
        let settings = read("logd.toml");
        let second = prepare(&Dev {
            metrics: None,
            ..dev(&dir)
        })
        .unwrap();
        assert!(second.first.is_none() && second.settings.admin.socket.is_none());
        assert_eq!(read("logd.toml"), settings);

        drop(first);
        drop(second);
        // The key-encryption key of a log is not made twice.
        std::fs::create_dir(dir.join("objects")).unwrap();
        std::fs::copy(dir.join("kek"), dir.join("kept")).unwrap();
        std::fs::remove_file(dir.join("kek")).unwrap();
        let refused = prepare(&dev(&dir)).err().map(|e| e.to_string());
        assert!(refused.unwrap().contains("put the file back"));
        std::fs::copy(dir.join("kept"), dir.join("kek")).unwrap();
        assert!(prepare(&dev(&dir)).unwrap().first.is_some());
        let after: Vec<_> = ["kek", "admin.token", "admin-cert.pem", "tokens.toml"]
            .map(read)
            .into();
        assert_eq!(before, after);
    }

    #[test]
    fn a_long_path_has_no_socket() {
        let folder = tempfile::tempdir().unwrap();
        let prepared = prepare(&dev(&folder.path().join("x".repeat(120)))).unwrap();
        assert!(prepared.settings.admin.socket.is_none());
    }
}
