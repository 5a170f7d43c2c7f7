//! Combines flags, environment and file; each value remembers its source.

use std::path::{Path, PathBuf};

use super::{
    Address, ClientCertificate, Context, Endpoint, Explained, Found, IdentitySource, IdentityToken,
    Login, Overrides, Settings, file,
};
use crate::error::Error;

/// Resolves the settings. Reads the context file unless nothing in it could matter.
pub(crate) fn resolve(overrides: &Overrides) -> Result<Settings, Error> {
    let found = Found::read(overrides.config.as_deref())?;
    let context = found.select(overrides.context.as_deref())?;
    merge(overrides, context, &found)
}

pub(super) fn merge(
    overrides: &Overrides,
    context: Option<(String, Context)>,
    found: &Found,
) -> Result<Settings, Error> {
    let base = found.base();
    let (name, mut context) = context.map_or((None, Context::default()), |(name, context)| {
        (Some(name), context)
    });
    let mistake = |key: &str, message: String, hint: &str| Error::ContextFile {
        place: found.line(name.as_deref().unwrap_or_default(), key),
        message,
        hint: hint.to_owned(),
    };
    let own = match &context.admin {
        Some(text) => Some(Address::parse(text, &base).map_err(|message| {
            mistake(
                "admin",
                message,
                "write `admin` as unix:/PATH or https://HOST:PORT",
            )
        })?),
        None => None,
    };
    let address = match &overrides.admin {
        Some(text) => {
            Some(
                Address::parse(text, Path::new("")).map_err(|message| Error::Usage {
                    message: format!("--admin: {message}"),
                    hint: "write it as unix:/PATH or https://HOST:PORT".into(),
                })?,
            )
        }
        None => own.clone(),
    };
    let elsewhere = address != own;
    if elsewhere {
        // The context says nothing about another server, which names its public address itself.
        context = Context {
            log: context.log,
            ..Context::default()
        };
    }
    let mut explain = Explain {
        overrides,
        found,
        name: name.as_deref().filter(|_| !elsewhere).unwrap_or_default(),
        rows: Vec::new(),
    };
    let log = explain.pick("log", overrides.log.clone(), context.log.clone());
    let shown = |path: &PathBuf| path.display().to_string();
    let at = |path: PathBuf| base.join(path);
    explain.row(
        "admin",
        address.as_ref().map(ToString::to_string),
        overrides.admin.is_some(),
    );
    let ca = overrides.ca.clone().or(context.ca.take().map(at));
    explain.row("ca", ca.as_ref().map(shown), overrides.ca.is_some());
    let url = explain.pick("url", None, context.url.take());
    let url_ca = context.url_ca.take().map(at);
    explain.row("url_ca", url_ca.as_ref().map(shown), false);
    let ways: Vec<&str> = [
        ("token_file", context.token_file.is_some()),
        ("token_command", context.token_command.is_some()),
        ("oidc", context.oidc.is_some()),
    ]
    .into_iter()
    .filter_map(|(key, given)| given.then_some(key))
    .collect();
    if let [first, second, ..] = ways.as_slice() {
        return Err(mistake(
            second,
            format!("`{first}` and `{second}` are two ways to log in"),
            "keep one of them; `logctl context set NAME KEY=` takes one out",
        ));
    }
    let token_file = overrides
        .token_file
        .clone()
        .or(context.token_file.take().map(at));
    explain.row(
        "token_file",
        token_file.as_ref().map(shown),
        overrides.token_file.is_some(),
    );
    let command = context
        .token_command
        .take()
        .filter(|_| token_file.is_none());
    explain.row(
        "token_command",
        command.as_ref().map(|words| words.join(" ")),
        false,
    );
    if command.as_ref().is_some_and(Vec::is_empty) {
        return Err(mistake(
            "token_command",
            "names no program".into(),
            "write it as [\"PROGRAM\", \"ARGUMENT\"]",
        ));
    }
    let certificate = match (context.client_cert.take(), context.client_key.take()) {
        (Some(certificate), Some(key)) => Some(ClientCertificate {
            certificate: at(certificate),
            key: at(key),
        }),
        (None, None) => None,
        (given, _) => {
            let (there, missing) = match given {
                Some(_) => ("client_cert", "client_key"),
                None => ("client_key", "client_cert"),
            };
            return Err(mistake(
                there,
                format!("`{there}` needs `{missing}`"),
                "a certificate and its key go together",
            ));
        }
    };
    explain.row(
        "client_cert",
        certificate.as_ref().map(|pair| shown(&pair.certificate)),
        false,
    );
    explain.row(
        "client_key",
        certificate.as_ref().map(|pair| shown(&pair.key)),
        false,
    );
    let oidc = context.oidc.take().filter(|_| token_file.is_none());
    for (key, value) in [
        (
            "oidc.audience",
            oidc.as_ref().and_then(|oidc| oidc.audience.clone()),
        ),
        (
            "oidc.token_env",
            oidc.as_ref().and_then(|oidc| oidc.token_env.clone()),
        ),
        (
            "oidc.token_file",
            oidc.as_ref()
                .and_then(|oidc| oidc.token_file.clone())
                .map(at)
                .as_ref()
                .map(shown),
        ),
    ] {
        explain.row(key, value, false);
    }
    let oidc = match oidc {
        Some(oidc) => {
            Some(identity(oidc, &base).map_err(|(message, hint)| mistake("oidc", message, hint))?)
        }
        None => None,
    };
    let protected = context.protected;
    explain.row("protected", protected.then(|| "true".to_owned()), false);
    let login = match (token_file, command, oidc) {
        (Some(file), ..) => Login::File(file),
        (_, Some(command), _) => Login::Command(command),
        (_, _, Some(oidc)) => Login::Oidc(oidc),
        _ => Login::None,
    };
    let explained = explain.rows;
    let admin = address.map(|address| Endpoint {
        address,
        ca,
        certificate,
        login,
        context: name.clone().filter(|_| !elsewhere).unwrap_or_default(),
    });
    Ok(Settings {
        context: name.filter(|_| !elsewhere),
        protected,
        log,
        admin,
        url,
        url_ca,
        tried: found.tried(),
        choose: found.unchosen().into_iter().next(),
        explained,
    })
}

fn identity(oidc: file::Oidc, base: &Path) -> Result<IdentityToken, (String, &'static str)> {
    let from = match (oidc.token_env, oidc.token_file) {
        (Some(_), Some(_)) => {
            return Err((
                "`token_env` and `token_file` are two places for one identity token".into(),
                "keep one of them",
            ));
        }
        (Some(name), None) => IdentitySource::Variable(name),
        (None, Some(path)) => IdentitySource::File(base.join(path)),
        (None, None) => IdentitySource::Actions,
    };
    match oidc.audience.filter(|audience| !audience.is_empty()) {
        Some(audience) => Ok(IdentityToken { audience, from }),
        None => Err((
            "`oidc` needs an `audience`".into(),
            "write the audience that the server expects: oidc = { audience = \"…\" }",
        )),
    }
}

/// Collects the source of each value.
struct Explain<'a> {
    overrides: &'a Overrides,
    found: &'a Found,
    name: &'a str,
    rows: Vec<Explained>,
}

impl Explain<'_> {
    fn pick(
        &mut self,
        key: &'static str,
        given: Option<String>,
        file: Option<String>,
    ) -> Option<String> {
        let overridden = given.is_some();
        let value = given.or(file);
        self.row(key, value.clone(), overridden);
        value
    }

    fn row(&mut self, key: &'static str, value: Option<String>, overridden: bool) {
        let source = if overridden {
            self.overrides.source(key)
        } else if value.is_some() {
            self.found.line(self.name, key)
        } else {
            "default".to_owned()
        };
        self.rows.push(Explained { key, value, source });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
current = "dev"
[contexts.dev]
log = "dev"
admin = "unix:admin.sock"
url = "http://127.0.0.1:7070"
[contexts.tls]
log = "dev"
admin = "https://127.0.0.1:7071"
ca = "admin-cert.pem"
token_file = "admin.token"
"#;

    fn resolved(text: &str, overrides: Overrides) -> Result<Settings, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logctl.toml");
        std::fs::write(&path, text).unwrap();
        let result = resolve(&Overrides {
            config: Some(path),
            ..overrides
        });
        let strip = |path: PathBuf| {
            path.strip_prefix(directory.path())
                .unwrap_or(&path)
                .to_owned()
        };
        result.map(|mut settings| {
            if let Some(admin) = &mut settings.admin {
                if let Address::Unix(path) = &mut admin.address {
                    *path = strip(path.clone());
                }
                admin.ca = admin.ca.take().map(strip);
                if let Login::File(path) = &mut admin.login {
                    *path = strip(path.clone());
                }
            }
            settings.tried.clear();
            settings
        })
    }

    #[test]
    fn the_current_context_and_relative_paths() {
        let settings = resolved(FILE, Overrides::default()).unwrap();
        assert_eq!(settings.log.as_deref(), Some("dev"));
        assert_eq!(
            settings.admin.unwrap().address,
            Address::Unix("admin.sock".into())
        );
        let settings = resolved(
            FILE,
            Overrides {
                context: Some("tls".into()),
                ..Overrides::default()
            },
        )
        .unwrap();
        let admin = settings.admin.unwrap();
        assert_eq!(admin.ca, Some("admin-cert.pem".into()));
        assert_eq!(admin.login, Login::File("admin.token".into()));
    }

    #[test]
    fn a_flag_beats_the_file() {
        let settings = resolved(
            FILE,
            Overrides {
                log: Some("other".into()),
                ..Overrides::default()
            },
        )
        .unwrap();
        assert_eq!(settings.log.as_deref(), Some("other"));
    }

    #[test]
    fn a_contexts_token_never_goes_to_another_address() {
        let overrides = |admin: &str| Overrides {
            context: Some("tls".into()),
            admin: Some(admin.into()),
            ..Overrides::default()
        };
        let elsewhere = resolved(FILE, overrides("https://127.0.0.1:9999"))
            .unwrap()
            .admin
            .unwrap();
        assert_eq!((elsewhere.ca, elsewhere.login), (None, Login::None));
        let same = resolved(FILE, overrides("https://127.0.0.1:7071"))
            .unwrap()
            .admin
            .unwrap();
        assert_eq!(same.login, Login::File("admin.token".into()));
    }

    #[test]
    fn mistakes_name_the_line() {
        for (text, place, message) in [
            ("current = 1\n", "logctl.toml:1:11", "invalid type"),
            (
                "[contexts.dev]\nlog = \"dev\"\ntoken = \"x\"\n",
                "logctl.toml:3:1",
                "unknown field `token`",
            ),
            (
                "current = \"a\"\ncurrent = \"b\"\n",
                "logctl.toml:2:1",
                "duplicate key",
            ),
            (
                "\ncurrent = \"prod\"\n[contexts.dev]\n",
                "logctl.toml:2",
                "no context `prod`",
            ),
            (
                "current = \"dev\"\n[contexts.dev]\nadmin = \"http://10.0.0.1:1\"\n",
                "logctl.toml:3",
                "neither encrypted",
            ),
        ] {
            let error = resolved(text, Overrides::default())
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(&format!("{place}: ")) && error.contains(message),
                "{error}"
            );
        }
    }
}
