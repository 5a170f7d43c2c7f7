//! Checks the files that settings name: documents, certificates, tokens, sockets, the key-encryption key.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use engine::{Kek, KeyError, SignError};
use plane_http::read_pair;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use store::Sqlite;

use super::{Problem, Read};
use crate::error::Error;
use crate::settings::secondary::SecondarySettings;
use crate::settings::{KekSource, LONGEST_SOCKET};

/// The remedy for a key-encryption key that cannot be read. Another key opens nothing, so no new one may be made in its place.
pub(crate) fn kek_remedy(error: &KeyError) -> &'static str {
    match error {
        KeyError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            "put the file back from its copy: no other key opens the keys in the stores; for a new log, `logd init` makes one"
        }
        KeyError::File { .. } => "let the user that runs the server read it, and nobody else",
        KeyError::Unset(_) => "set it where the server runs; it may be unset where you check",
        KeyError::Malformed(_) => {
            "`file` under [kek] names the key itself, one line of 44 characters, as `logd init` wrote it; put it back from its copy, never make another in its place"
        }
        _ => "make it readable for the user that runs the server, and for nobody else",
    }
}

/// Checks the files that settings name.
pub(super) struct Files<'a> {
    pub(super) text: &'a str,
    pub(super) folder: &'a Path,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl Files<'_> {
    /// `path` is as it is written: relative to the file's folder.
    fn problem(&mut self, path: &Path, what: String, remedy: impl Into<String>) {
        let written = path.display().to_string();
        let quoted = [format!("\"{written}\""), format!("'{written}'")];
        let line = self.text.lines().position(|line| {
            !line.trim_start().starts_with('#') && quoted.iter().any(|quoted| line.contains(quoted))
        });
        self.problems.push(Problem {
            line: line.map(|at| at + 1),
            what,
            remedy: remedy.into(),
        });
    }

    fn full(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    pub(super) fn settings(&mut self, read: &Read) {
        let settings = &read.settings;
        for path in &settings.create {
            self.configuration(path);
        }
        if let Some(files) = &settings.data.tls {
            self.pair(&files.cert, &files.key);
        }
        let admin = &settings.admin;
        if let Some(files) = &admin.tls {
            self.pair(&files.cert, &files.key);
            files
                .client_ca
                .iter()
                .for_each(|path| self.authorities(path));
        }
        admin.tokens.iter().for_each(|path| self.tokens(path));
        admin.socket.iter().for_each(|path| self.socket(path));
        admin.issuers().for_each(|path| self.authorities(path));
        settings
            .peers
            .ca
            .iter()
            .for_each(|path| self.authorities(path));
        let buckets = settings.buckets.values();
        buckets
            .filter_map(|one| one.ca.as_ref())
            .for_each(|path| self.authorities(path));
        if read.has.contains("stores") {
            self.parent(&settings.stores.coordination, "the coordination store");
            self.parent(&settings.stores.objects, "the objects' folder");
        }
        if read.has.contains("kek") {
            self.kek(&settings.kek, &settings.stores.coordination);
        }
        for path in settings
            .nodes
            .values()
            .filter_map(|node| node.path.as_ref())
        {
            self.parent(path, "the storage node's folder");
        }
        let listeners = [
            Some(settings.data.listen),
            admin.listen,
            settings.metrics.as_ref().map(|metrics| metrics.listen),
        ];
        let mut seen = BTreeSet::new();
        for address in listeners
            .into_iter()
            .flatten()
            .filter(|address| address.port() != 0)
        {
            if !seen.insert(address) {
                let written = PathBuf::from(address.to_string());
                let what = format!("{address} is used by two listeners");
                self.problem(&written, what, "give each listener a port of its own");
            }
        }
    }

    pub(super) fn secondary(&mut self, settings: &SecondarySettings) {
        if let Some(files) = &settings.tls {
            self.pair(&files.cert, &files.key);
        }
        self.parent(&settings.dir, "the secondary's folder");
        if let Some(key) = &settings.key {
            let full = self.full(key);
            if let Err(error) = engine::read_secret(&full) {
                let remedy = format!(
                    "`logd secondary key --file {} --name NAME` makes one",
                    full.display()
                );
                self.problem(key, error.to_string(), remedy);
            }
        }
    }

    fn configuration(&mut self, path: &Path) {
        let full = self.full(path);
        match std::fs::read_to_string(&full) {
            Err(error) => self.unreadable(path, &error),
            Ok(text) => {
                for finding in logconfig::parse(&text).err().into_iter().flatten() {
                    let what = format!("{}:{finding}", full.display());
                    self.problem(
                        path,
                        what,
                        "`logctl config validate FILE` shows it with its hint",
                    );
                }
            }
        }
    }

    fn unreadable(&mut self, path: &Path, error: &std::io::Error) {
        let full = self.full(path);
        let remedy = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "make it, or name the one that is there; paths are relative to the settings file"
            }
            std::io::ErrorKind::PermissionDenied => "let the user that runs the server read it",
            _ => "see the message of the operating system",
        };
        self.problem(path, format!("{}: {error}", full.display()), remedy);
    }

    fn pair(&mut self, cert: &Path, key: &Path) {
        let (full, secret) = (self.full(cert), self.full(key));
        let mut readable = true;
        for path in [cert, key] {
            if let Err(error) = std::fs::File::open(self.full(path)) {
                self.unreadable(path, &error);
                readable = false;
            }
        }
        if !readable {
            return;
        }
        if let Err(error) = read_pair(&full, &secret).map_err(Error::from) {
            let remedy =
                "the two files hold a PEM chain, the server's certificate first, and its key";
            self.problem(cert, error.to_string(), remedy);
        }
        let mode = std::fs::metadata(&secret).map_or(0, |m| m.permissions().mode() & 0o7777);
        if mode & 0o007 != 0 {
            let what = format!(
                "{} can be read by everybody (mode {mode:04o})",
                secret.display()
            );
            let remedy = format!(
                "`chmod 600 {}`, and replace the key if others had it",
                secret.display()
            );
            self.problem(key, what, remedy);
        }
    }

    fn authorities(&mut self, path: &Path) {
        let full = self.full(path);
        let mut all = match std::fs::read(&full) {
            Err(error) => return self.unreadable(path, &error),
            Ok(text) => CertificateDer::pem_slice_iter(&text)
                .map(|one| one.map(drop).map_err(|e| e.to_string()))
                .collect::<Vec<_>>(),
        };
        if all.is_empty() {
            all.push(Err("no certificate in it".to_owned()));
        }
        for error in all.into_iter().filter_map(Result::err) {
            let what = format!("{}: {error}", full.display());
            self.problem(path, what, "put the authorities' certificates into it, PEM");
        }
    }

    fn tokens(&mut self, path: &Path) {
        let full = self.full(path);
        if let Err(error) = std::fs::File::open(&full) {
            return self.unreadable(path, &error);
        }
        if let Err(error) = server_admin::Access::new(ambient::Ambient::system()).with_tokens(&full)
        {
            let remedy = "each [[token]] has name, hash, expires and scopes, and only its owner may write the file";
            self.problem(path, error.to_string(), remedy);
        }
    }

    fn socket(&mut self, path: &Path) {
        let full = self.full(path);
        let full = std::path::absolute(&full).unwrap_or(full);
        if full.as_os_str().len() > LONGEST_SOCKET {
            let what = format!(
                "{} is longer than the path of a Unix socket can be ({} bytes)",
                full.display(),
                LONGEST_SOCKET
            );
            self.problem(
                path,
                what,
                "name a shorter one, such as /run/logd/admin.sock",
            );
        }
        self.parent(path, "the socket");
    }

    /// Checks a path at which the server will create a file.
    fn parent(&mut self, path: &Path, what: &str) {
        let full = self.full(path);
        if full.exists() {
            return;
        }
        let parent = match full.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if !parent.is_dir() {
            let text = format!("{what} cannot be made: {} is no folder", parent.display());
            let remedy = format!(
                "`mkdir -p {}`, for the user that runs the server",
                parent.display()
            );
            self.problem(path, text, remedy);
        }
    }

    fn kek(&mut self, source: &KekSource, coordination: &Path) {
        match source {
            KekSource::Env(name) => match Kek::from_env(name) {
                Err(error) => {
                    let remedy = kek_remedy(&error);
                    self.problem(Path::new(name), error.to_string(), remedy);
                }
                Ok(kek) => self.opens(&kek, Path::new(name), coordination),
            },
            KekSource::File(path) => {
                let full = self.full(path);
                match Kek::from_file(&full) {
                    Err(error) => self.problem(path, error.to_string(), kek_remedy(&error)),
                    Ok(kek) => self.opens(&kek, path, coordination),
                }
            }
        }
    }

    /// Whether the key is that of the stores, where there are any: a server that is started with another one is halted.
    fn opens(&mut self, kek: &Kek, named: &Path, coordination: &Path) {
        let coordination = self.full(coordination);
        if !coordination.is_file() {
            return;
        }
        let look = || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().ok()?;
            let store = Sqlite::open_to_read(&coordination).ok()?;
            runtime.block_on(engine::kek_opens(kek, &store)).err()
        };
        // The settings may be checked inside a runtime, which has no room for another one on its thread.
        let opened = std::thread::scope(|scope| scope.spawn(look).join());
        // What else is wrong with the stores, `fsck` says.
        if let Ok(Some(error @ SignError::Replication { .. })) = opened {
            let remedy = "put the right key back from its copy; never make another in its place";
            self.problem(named, error.to_string(), remedy);
        }
    }
}
