//! `logd init`: a new folder with everything that a production server needs to start, and the first log in it.
//!
//! What must never happen: an existing file is replaced; a failure leaves a half-made folder behind; a listener that
//! other machines reach is opened without a flag that asks for it.

use ambient::Ambient;
use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io::{BufRead as _, IsTerminal as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use logconfig::{LogConfig, LogName, RotateConfig};
use server_admin::Permission;

use crate::args::Init;
use crate::dev::{self, reachable, replace};
use crate::error::{Error, at};
use crate::run;
use crate::settings::Settings;

/// How long the certificate is valid.
const CERTIFICATE_LIFE: Duration = Duration::from_secs(730 * 24 * 3600);
/// How long the first operator's token is valid.
const TOKEN_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// The first operator, in `tokens.toml` and in the audit trail.
const OPERATOR: &str = "operator";
/// Common name of the certificate.
const CERTIFICATE_NAME: &str = "logd admin endpoint";
/// Held while the folder is made.
const LOCK: &str = ".init";

/// Makes the folder and the log, and prints the next commands.
pub(crate) async fn run(init: Init) -> Result<(), Error> {
    let plan = Plan::of(init)?;
    plan.confirm()?;
    let ours = !plan.init.dir.exists();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&plan.init.dir)
        .map_err(at("create", &plan.init.dir))?;
    let dir = plan
        .init
        .dir
        .canonicalize()
        .map_err(at("read", &plan.init.dir))?;
    let lock = dir.join(LOCK);
    // Fails if another process is doing the same.
    let _held = File::create_new(&lock).map_err(at("create", &lock))?;
    let made = match empty(&dir) {
        Ok(()) => plan.make(&dir).await,
        Err(error) => {
            let _ = std::fs::remove_file(&lock);
            return Err(error);
        }
    };
    if made.is_err() {
        // `init` made all of it: the folder was empty.
        clear(&dir);
    }
    let _ = std::fs::remove_file(&lock);
    if made.is_err() && ours {
        // Only an empty one is removed.
        let _ = std::fs::remove_dir(&dir);
    }
    made?;
    run::print(&plan.next(&dir))
}

/// Refuses a folder that has something in it.
fn empty(dir: &Path) -> Result<(), Error> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(at("read", dir)(source)),
    };
    let mut found = BTreeSet::new();
    for entry in entries {
        let name = entry.map_err(at("read", dir))?.file_name();
        if name != LOCK {
            found.insert(name.to_string_lossy().into_owned());
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::NotEmpty {
        dir: dir.to_owned(),
        found: found.into_iter().collect::<Vec<_>>().join(", "),
    })
}

fn clear(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let _ = match path.is_dir() {
            true => std::fs::remove_dir_all(&path),
            false => std::fs::remove_file(&path),
        };
    }
}

/// The files that will be made.
struct Plan {
    init: Init,
    config: LogConfig,
}

impl Plan {
    fn of(init: Init) -> Result<Self, Error> {
        empty(&init.dir)?;
        let name = match &init.log {
            Some(name) => name.clone(),
            None => {
                let last = init.origin.rsplit('/').next().unwrap_or_default();
                last.parse::<LogName>().map_err(|error| Error::Input {
                    what: format!(
                        "the last part of the origin, {last:?}, cannot be the log's name: {error}"
                    ),
                    hint: "choose one with --log NAME, for example --log main".to_owned(),
                })?
            }
        };
        let failed = |detail: String| Error::Create {
            log: name.to_string(),
            detail,
        };
        let year = jiff::Timestamp::now()
            .to_zoned(jiff::tz::TimeZone::UTC)
            .year();
        let shard = logconfig::next_name(&RotateConfig::default().name, &[], year)
            .map_err(|e| failed(e.to_string()))?;
        let config = LogConfig::new(name.clone(), init.origin.clone(), shard);
        // Checked before anything is made.
        let findings = config.validate();
        if let Some(first) = findings.first() {
            let list: Vec<&str> = findings.iter().map(|f| f.message.as_str()).collect();
            let hint = match first.pointer.as_str() {
                "/log" => Some("choose another name with --log NAME, for example --log main"),
                _ => first.hint.as_deref(),
            };
            return Err(Error::Input {
                what: list.join("\n  "),
                hint: hint.unwrap_or("nothing was made").to_owned(),
            });
        }
        Ok(Self { init, config })
    }

    /// Prints what will be made, and asks if there is a terminal.
    fn confirm(&self) -> Result<(), Error> {
        if self.init.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Error::Unconfirmed);
        }
        let Init {
            dir, listen, admin, ..
        } = &self.init;
        run::print(&format!(
            "makes in {}: logd.toml, kek, admin-cert.pem, admin-key.pem, tokens.toml, operator.token, logctl.toml, the stores\n\
             and the log {} with the origin {}\n\
             writers and readers: http://{listen}; operators: https://{admin}\n\
             go ahead? [y/N] ",
            dir.display(),
            self.config.log,
            self.init.origin
        ))?;
        let mut answer = String::new();
        let read = std::io::stdin().lock().read_line(&mut answer);
        read.map_err(|source| Error::System {
            what: "cannot read the answer",
            source,
        })?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Error::Unconfirmed),
        }
    }

    async fn make(&self, dir: &Path) -> Result<(), Error> {
        let secret = |e: engine::KeyError| Error::Secret(e.to_string());
        let ambient = Ambient::system();
        let kek = engine::Kek::generate(&ambient.random).map_err(secret)?;
        kek.write_new(&dir.join("kek")).map_err(secret)?;
        let pair = dev::new_key(&dir.join("admin-key.pem"))?;
        let pem = dev::self_signed(&self.names(), CERTIFICATE_NAME, CERTIFICATE_LIFE, &pair)?;
        replace(&dir.join("admin-cert.pem"), &pem, 0o644)?;
        let tokens = dir.join("tokens.toml");
        let everything = [Permission::everything()];
        let token = server_admin::issue(&tokens, OPERATOR, TOKEN_LIFE, &everything, &ambient)
            .map_err(|e| Error::Secret(format!("cannot issue a token: {e}")))?;
        let text = format!("{}\n", token.expose());
        replace(&dir.join("operator.token"), &text, 0o600)?;
        replace(&dir.join("logctl.toml"), &self.contexts(), 0o600)?;
        let path = dir.join("logd.toml");
        let text = self.settings();
        let settings = Settings::parse(&text, &path)?;
        replace(&path, &text, 0o644)?;
        // The log now and not at the first start: a server that creates logs could create one in the place of a lost one.
        let engine = run::open_engine(&settings, run::merge_options(&settings)?, "init").await?;
        let created = run::create(&engine, self.config.clone()).await;
        engine.shutdown().await;
        created
    }

    /// The names in the certificate: this machine, its name, and the address that operators use.
    fn names(&self) -> Vec<String> {
        let mut names: BTreeSet<String> =
            ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        let ip = self.init.admin.ip();
        if !ip.is_unspecified() {
            names.insert(ip.to_string());
        }
        let system = rustix::system::uname();
        let host = system.nodename().to_string_lossy().into_owned();
        if host.parse::<std::net::IpAddr>().is_ok()
            || rustls_pki_types::DnsName::try_from(host.as_str()).is_ok()
        {
            names.insert(host);
        }
        names.into_iter().collect()
    }

    fn settings(&self) -> String {
        let Init {
            listen,
            admin,
            origin,
            ..
        } = &self.init;
        format!(
            "# Made by `logd init` for the log {} ({origin}). `logd config example` explains every key; after a change,\n\
             # `logd config check` on this file lists all that is wrong with it. What changes while the server runs (shards, intervals,\n\
             # secondaries) is in the log's own configuration: `logctl config edit`.\n\n\
             # For writers and readers. Behind a proxy that ends TLS, say how clients reach it: url = \"https://log.example.org\".\n\
             [data]\nlisten = \"{listen}\"\n\n\
             # For operators. The certificate is signed by itself and good for two years; both files are read again when they change.\n\
             [admin]\nsocket = \"admin.sock\"\nlisten = \"{admin}\"\n\
             tls = {{ cert = \"admin-cert.pem\", key = \"admin-key.pem\" }}\ntokens = \"tokens.toml\"\n\n\
             # The one place of what was acknowledged: on a disk that is backed up.\n\
             [stores]\ncoordination = \"coordination.db\"\nobjects = \"objects\"\n\n\
             # Keep a copy of it apart from this machine: without it nothing can be signed or restored.\n\
             [kek]\nfile = \"kek\"\n",
            self.config.log,
        )
    }

    fn contexts(&self) -> String {
        let (log, data, admin) = (
            &self.config.log,
            reachable(self.init.listen),
            reachable(self.init.admin),
        );
        format!(
            "current = \"{log}\"\n\n\
             # As the user that runs the server, on its machine.\n\
             [contexts.{log}]\nlog = \"{log}\"\nadmin = \"unix:admin.sock\"\nurl = \"http://{data}\"\n\n\
             # From elsewhere: copy admin-cert.pem and operator.token along, and name the machine.\n\
             [contexts.{log}-tls]\nlog = \"{log}\"\nadmin = \"https://{admin}\"\nurl = \"http://{data}\"\n\
             ca = \"admin-cert.pem\"\ntoken_file = \"operator.token\"\n"
        )
    }

    /// The next two commands.
    fn next(&self, dir: &Path) -> String {
        let dir = shell_word(dir);
        format!(
            "made {dir} with the log {} ({})\n\
             keep a copy of {dir}/kek apart from this machine\n\
             next:\n  logd serve --config {dir}/logd.toml\n  LOGCTL_CONFIG={dir}/logctl.toml logctl status\n",
            self.config.log, self.init.origin
        )
    }
}

/// A path as a word for a shell.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    match text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::path::PathBuf;

    use super::*;

    fn init(dir: PathBuf) -> Init {
        let (listen, admin) = ("127.0.0.1:7070", "127.0.0.1:7071");
        Init {
            dir,
            origin: "log.example.org/argon".to_owned(),
            log: None,
            listen: listen.parse().unwrap(),
            admin: admin.parse().unwrap(),
            yes: true,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn all_that_a_server_needs_is_made_and_nothing_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("new");
        run(init(dir.clone())).await.unwrap();
        let mode = |name: &str| std::fs::metadata(dir.join(name)).unwrap().mode() & 0o777;
        assert_eq!(mode("."), 0o700);
        for secret in [
            "kek",
            "admin-key.pem",
            "tokens.toml",
            "operator.token",
            "logctl.toml",
        ] {
            assert_eq!(mode(secret), 0o600, "{secret}");
        }
        let settings = Settings::read(&dir.join("logd.toml")).unwrap();
        assert!(settings.data.listen.ip().is_loopback() && settings.create.is_empty());
        let file = dir.join("logd.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(crate::settings::check(&text, &file), []);
        let engine = run::open_engine(&settings, run::merge_options(&settings).unwrap(), "")
            .await
            .unwrap();
        let log = engine.log("argon").unwrap();
        log.replication_key().await.unwrap();
        engine.shutdown().await;
        // Another key-encryption key opens nothing, which shows before a start.
        let kek = dir.join("kek");
        let right = std::fs::read(&kek).unwrap();
        std::fs::remove_file(&kek).unwrap();
        let other = engine::Kek::generate(&ambient::Ambient::system().random).unwrap();
        other.write_new(&kek).unwrap();
        let found = crate::settings::check(&text, &file);
        assert!(found[0].what.contains("can't be opened"), "{found:?}");
        std::fs::write(&kek, right).unwrap();

        let before: Vec<_> = std::fs::read_dir(&dir)
            .unwrap()
            .flatten()
            .map(|e| e.path())
            .collect();
        let refused = run(init(dir.clone())).await.unwrap_err();
        assert!(
            refused.to_string().contains("kek, logctl.toml"),
            "{refused}"
        );
        let after: Vec<_> = std::fs::read_dir(&dir)
            .unwrap()
            .flatten()
            .map(|e| e.path())
            .collect();
        assert_eq!(before, after);
    }

    const BAD_ORIGINS: &str = "\
the origin `not an origin/argon` has characters other than printable ASCII, or a space or `+`
  a domain and path, for example log.example.org/argon
the origin `https://log.example.org/argon` has a scheme
  leave out `https://`
the last part of the origin, \"Nicht Gut\", cannot be the log's name: a name is 1 to 63 characters of a-z, 0-9, '.' and '-', and starts with a letter or a digit
  choose one with --log NAME, for example --log main
`system` is reserved for the server's own routes and logs
  choose another name with --log NAME, for example --log main
";

    #[tokio::test(flavor = "multi_thread")]
    async fn a_failure_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("new");
        let refused = async |origin: &str| {
            let bad = Init {
                origin: origin.to_owned(),
                ..init(dir.clone())
            };
            let error = run(bad).await.unwrap_err();
            assert!(!dir.exists(), "{origin}: a folder is left behind");
            assert!(matches!(error, Error::Input { .. }), "{error:?}");
            format!("{error}\n  {}", error.hint().unwrap())
        };
        let shown = [
            "not an origin/argon",
            "https://log.example.org/argon",
            "log.example.org/Nicht Gut",
            "system",
        ];
        let mut all = String::new();
        for origin in shown {
            all += &refused(origin).await;
            all += "\n";
        }
        assert_eq!(all, BAD_ORIGINS);
        // A folder whose making fails is removed, with its files.
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(run(init(folder.path().join("file/new"))).await.is_err());
    }
}
