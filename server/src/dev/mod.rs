//! `logd dev`: one directory with everything a log needs, made at the first start and kept from then on.
//!
//! Missing files are made, existing ones are checked. What must never happen: a key, certificate, token or setting that somebody else made
//! is replaced; others can read a key or token; a second server takes the socket or the contexts away from the first one while that runs.

mod cert;
mod contexts;
mod folder;
pub(crate) mod sigstore;

use std::fs::{DirBuilder, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use logconfig::{LogConfig, LogName, RotateConfig, ShardName};
use server_admin::Permission;

pub(crate) use cert::{new_key, self_signed};
pub(crate) use contexts::{reachable, write as write_contexts};
pub(crate) use folder::Marker;

use crate::args::Dev;
use crate::error::{Error, at};
use crate::settings::{LONGEST_SOCKET, Settings};

/// The name of the log.
pub(crate) const LOG: &str = "dev";
/// The first part of its checkpoints' origins.
pub(crate) const ORIGIN: &str = "localhost/dev";

/// How long the token of `admin.token` is valid; it is replaced when it is older than half of this.
const TOKEN_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

pub(crate) struct Prepared {
    pub(crate) settings: Settings,
    pub(crate) dir: PathBuf,
    /// Held while this process lives, when it is the first one on the directory.
    pub(crate) first: Option<File>,
}

/// Makes the missing files in the directory.
pub(crate) fn prepare(dev: &Dev) -> Result<Prepared, Error> {
    // A directory that exists keeps its mode: it may be somebody's home.
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dev.dir)
        .map_err(at("create", &dev.dir))?;
    let dir = dev.dir.canonicalize().map_err(at("read", &dev.dir))?;
    refuse_shared(&dir)?;
    // Before anything, even a lock file, is put into a folder that `logd dev` did not make.
    Marker::check(&dir)?;
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
    let mut marker = Marker::claim(&dir)?;
    let socket = first.is_some() && fits_socket(&dir.join("admin.sock"));
    let path = dir.join("logd.toml");
    let text = settings_text(dev, socket);
    let settings = Settings::parse(&text, &path)?;
    // Checks that may refuse come first, then files are made.
    marker.settings(&path, &text, first.is_some())?;
    make_kek(&dir.join("kek"))?;
    cert::renew(&dir.join("admin-cert.pem"), &dir.join("admin-key.pem"))?;
    make_token(&dir)?;
    Ok(Prepared {
        settings,
        dir,
        first,
    })
}

/// Refuses the root folder and the user's home: a mistyped path must not fill them with keys and stores.
fn refuse_shared(dir: &Path) -> Result<(), Error> {
    let home = std::env::var_os("HOME").and_then(|home| Path::new(&home).canonicalize().ok());
    let what = match dir.parent() {
        None => "the root folder",
        Some(_) if home.as_deref() == Some(dir) => "your home folder",
        Some(_) => return Ok(()),
    };
    Err(Error::Input {
        what: format!(
            "{} is {what}; a log needs a folder of its own, and nothing was changed",
            dir.display()
        ),
        hint: "name a new folder, for example --dir ./log".to_owned(),
    })
}

/// The log's first configuration: one open shard, named after the year.
pub(crate) fn first_config() -> Result<LogConfig, Error> {
    let name = LogName::try_from(LOG.to_owned()).map_err(|e| failed(LOG, e.to_string()))?;
    Ok(LogConfig::new(name, ORIGIN.to_owned(), first_shard(LOG)?))
}

/// The name of a log's first shard, after the year.
fn first_shard(log: &str) -> Result<ShardName, Error> {
    let year = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .year();
    logconfig::next_name(&RotateConfig::default().name, &[], year)
        .map_err(|e| failed(log, e.to_string()))
}

fn failed(log: &str, detail: String) -> Error {
    Error::Create {
        log: log.to_owned(),
        detail,
    }
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
    // The key is made before either store: their keys are sealed with the earlier key-encryption key, and a new one does not open them.
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
    let secret = |e: engine::KeyError| Error::Secret(e.to_string());
    engine::Kek::generate(&ambient::Random::system())
        .and_then(|kek| kek.write_new(path))
        .map_err(secret)
}

/// A token for everything, in a file that only its owner can read; the server keeps its hash. `logd dev` replaces its own in time; what an
/// operator did to either file stays.
fn make_token(dir: &Path) -> Result<(), Error> {
    let (hashes, token) = (dir.join("tokens.toml"), dir.join("admin.token"));
    let exists = |path: &Path| path.try_exists().map_err(at("read", path));
    if exists(&hashes)? {
        match std::fs::read_to_string(&token) {
            Ok(text) => {
                let made = token.metadata().and_then(|m| m.modified()).ok();
                let age = made.and_then(|made| made.elapsed().ok());
                let old = age.is_some_and(|age| age >= TOKEN_LIFE / 2);
                if !old || !is_hashed(&hashes, text.trim())? {
                    return Ok(());
                }
            }
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(at("read", &token)(error));
            }
            // Unless the first start was cut off between the two files, it was taken away on purpose.
            Err(_) if exists(&dir.join("logctl.toml"))? => {
                tracing::warn!(
                    "{} is not there; `logctl token create` over the socket makes another token",
                    token.display()
                );
                return Ok(());
            }
            Err(_) => {}
        }
    }
    let secret = server_admin::issue(
        &hashes,
        "dev",
        TOKEN_LIFE,
        &[Permission::everything()],
        &ambient::Ambient::system(),
    )
    .map_err(|e| Error::Secret(format!("cannot issue a token: {e}")))?;
    replace(&token, &format!("{}\n", secret.expose()), 0o600)
}

/// Whether the token named `dev` in the file of hashes is the one with this text.
fn is_hashed(hashes: &Path, token: &str) -> Result<bool, Error> {
    let text = std::fs::read_to_string(hashes).map_err(at("read", hashes))?;
    let digest = folder::digest(token);
    let known = |entry: &toml::Value| {
        entry.get("name").and_then(toml::Value::as_str) == Some("dev")
            && entry.get("hash").and_then(toml::Value::as_str) == Some(&*digest)
    };
    let document: Option<toml::Table> = text.parse().ok();
    let tokens = document
        .as_ref()
        .and_then(|all| all.get("token")?.as_array());
    Ok(tokens.is_some_and(|tokens| tokens.iter().any(known)))
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
    let programs = dev.merge.iter().map(ToString::to_string).collect();
    text(
        dev.listen,
        dev.admin,
        dev.metrics,
        programs,
        socket,
        dev.rekor,
    )
}

fn text(
    listen: SocketAddr,
    admin: SocketAddr,
    metrics: Option<SocketAddr>,
    programs: Vec<String>,
    socket: bool,
    rekor: bool,
) -> String {
    let names = sigstore::LOGS.map(|(version, name)| format!("v{version} = \"{name}\""));
    let rekor = match rekor {
        true => format!("rekor = {{ {} }}\n", names.join(", ")),
        false => String::new(),
    };
    let socket = if socket {
        "socket = \"admin.sock\"\n"
    } else {
        ""
    };
    let metrics = metrics
        .map(|address| format!("\n[metrics]\nlisten = \"{address}\"\n"))
        .unwrap_or_default();
    let programs: Vec<_> = programs.iter().map(|name| format!("\"{name}\"")).collect();
    format!(
        "# Written by `logd dev` at each start; `logd config example` explains every key.\n\n\
         [data]\nlisten = \"{listen}\"\n{rekor}\n\
         [admin]\n{socket}listen = \"{admin}\"\n\
         tls = {{ cert = \"admin-cert.pem\", key = \"admin-key.pem\" }}\ntokens = \"tokens.toml\"\n{metrics}\n\
         [stores]\ncoordination = \"coordination.db\"\nobjects = \"objects\"\n\n\
         [kek]\nfile = \"kek\"\n\n\
         [merge]\nprograms = [{}]\nfrontends = [\"frontends\"]\n\n\
         [nodes.b]\npath = \"nodes/b\"\n[nodes.c]\npath = \"nodes/c\"\n",
        programs.join(", ")
    )
}

/// Whether a settings file is, byte for byte, one that `logd dev` wrote before it marked its folders.
fn wrote_before(found: &str, path: &Path) -> bool {
    let Ok(settings) = Settings::parse(found, path) else {
        return false;
    };
    let Some(admin) = settings.admin.listen else {
        return false;
    };
    let programs = settings.merge.programs.iter();
    let programs = programs.map(|name| engine::Program::from(*name).to_string());
    let metrics = settings.metrics.as_ref().map(|metrics| metrics.listen);
    let socket = settings.admin.socket.is_some();
    found
        == text(
            settings.data.listen,
            admin,
            metrics,
            programs.collect(),
            socket,
            false,
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
            rekor: false,
            merge: engine::Program::ALL.to_vec(),
            drain: None,
            format: LogFormat::Text,
        }
    }

    #[test]
    fn the_root_folder_and_a_home_are_refused() {
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        for (dir, word) in [(Path::new("/"), "root"), (&home, "home")] {
            let refused = prepare(&dev(dir)).err().unwrap().to_string();
            assert!(refused.contains(word), "{refused}");
            assert!(!dir.join(".starting").exists());
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

    /// Every file of a folder and its content.
    fn all(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut all: Vec<_> = entries
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap_or_default()))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn a_folder_of_logd_serve_is_refused_and_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("logd.toml", "[data]\nlisten = \"127.0.0.1:7070\"\n"),
            ("kek", "theirs"),
            ("admin-cert.pem", "theirs"),
            ("admin-key.pem", "theirs"),
            ("tokens.toml", "theirs"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let before = all(folder.path());
        let refused = prepare(&dev(folder.path())).err().unwrap();
        let hint = refused.hint().unwrap_or_default().into_owned();
        assert!(matches!(refused, Error::NotDev { .. }), "{refused}");
        assert!(hint.contains("logd serve --config"), "{hint}");
        assert_eq!(all(folder.path()), before);
    }

    #[test]
    fn a_folder_from_before_there_were_markers_is_known_by_its_settings() {
        let folder = tempfile::tempdir().unwrap();
        let marker = folder.path().join(logconfig::DEV_MARKER);
        for socket in [true, false] {
            let dev = dev(folder.path());
            std::fs::write(folder.path().join("logd.toml"), settings_text(&dev, socket)).unwrap();
            let _ = std::fs::remove_file(&marker);
            prepare(&dev).unwrap();
            assert!(marker.exists());
        }
        std::fs::remove_file(&marker).unwrap();
        let settings = folder.path().join("logd.toml");
        let text = std::fs::read_to_string(&settings).unwrap();
        std::fs::write(&settings, text + "[limits]\nconnections = 5\n").unwrap();
        let refused = prepare(&dev(folder.path())).err().unwrap();
        assert!(matches!(refused, Error::NotDev { .. }), "{refused}");
    }

    #[test]
    fn what_an_operator_changed_in_a_dev_folder_stays() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let again = || prepare(&dev(dir));
        drop(again().unwrap());
        write_contexts(dir, None, dev(dir).listen, dev(dir).admin).unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();

        // The token was taken to another machine.
        let hashes = read("tokens.toml");
        std::fs::remove_file(dir.join("admin.token")).unwrap();
        drop(again().unwrap());
        assert!(!dir.join("admin.token").exists());
        assert_eq!(read("tokens.toml"), hashes);

        // An old token of theirs is not ours to renew.
        std::fs::write(dir.join("admin.token"), "theirs\n").unwrap();
        let old = std::time::SystemTime::now() - TOKEN_LIFE;
        let file = File::options().write(true).open(dir.join("admin.token"));
        file.unwrap().set_modified(old).unwrap();
        drop(again().unwrap());
        assert_eq!(
            (read("admin.token"), read("tokens.toml")),
            ("theirs\n".into(), hashes)
        );

        let settings = dir.join("logd.toml");
        std::fs::write(&settings, read("logd.toml") + "[limits]\nconnections = 5\n").unwrap();
        let before = all(dir);
        let refused = again().err().unwrap();
        assert!(matches!(refused, Error::EditedSettings { .. }), "{refused}");
        assert_eq!(all(dir), before);
    }
}
