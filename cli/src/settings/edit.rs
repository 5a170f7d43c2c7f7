//! Changing the context file: text in, text out, comments and order kept.
//!
//! What must never happen: writing a file that `logctl` itself would refuse, or a secret into it.

use std::path::Path;

use toml_edit::{Array, DocumentMut, Item, Table, Value};

use super::{Found, Overrides, merge};
use crate::error::Error;

/// The kind of value that a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// `unix:PATH` or a URL.
    Address,
    /// The path of a file.
    Path,
    /// A program and its arguments.
    Words,
    Flag,
}

/// Every key of a context, its kind of value, and its purpose.
pub(crate) const KEYS: [(&str, Kind, &str); 13] = [
    ("log", Kind::Text, "log to work on"),
    (
        "admin",
        Kind::Address,
        "admin endpoint: unix:/PATH, https://HOST:PORT",
    ),
    (
        "ca",
        Kind::Path,
        "certificate authority of the admin endpoint (PEM)",
    ),
    (
        "url",
        Kind::Text,
        "address of the log for readers and writers",
    ),
    ("url_ca", Kind::Path, "certificate authority of url (PEM)"),
    ("token_file", Kind::Path, "file with a bearer token"),
    (
        "token_command",
        Kind::Words,
        "program that prints a bearer token",
    ),
    ("client_cert", Kind::Path, "client certificate (PEM)"),
    (
        "client_key",
        Kind::Path,
        "key of the client certificate (PEM)",
    ),
    (
        "oidc.audience",
        Kind::Text,
        "audience of the identity token that the server expects",
    ),
    (
        "oidc.token_env",
        Kind::Text,
        "environment variable with the identity token; by default GitHub Actions provides it",
    ),
    (
        "oidc.token_file",
        Kind::Path,
        "file with the identity token",
    ),
    (
        "protected",
        Kind::Flag,
        "whether each change asks you to type the context's name: true, false",
    ),
];

/// The file's text with `name` as the current context.
pub(crate) fn use_context(found: &Found, name: &str) -> Result<String, Error> {
    // Refuses a name that is not there.
    found.select(Some(name))?;
    let mut document = document(found)?;
    set_current(&mut document, name);
    Ok(document.to_string())
}

/// The file's text without the context `name`. If it was the current one, no context is current.
pub(crate) fn delete_context(found: &Found, name: &str) -> Result<String, Error> {
    // Refuses a name that is not there.
    found.select(Some(name))?;
    let mut document = document(found)?;
    if let Some(contexts) = document
        .get_mut("contexts")
        .and_then(Item::as_table_like_mut)
    {
        contexts.remove(name);
    }
    if document.get("current").and_then(Item::as_str) == Some(name) {
        document.remove("current");
    }
    Ok(document.to_string())
}

fn set_current(document: &mut DocumentMut, name: &str) {
    match document.get_mut("current").and_then(Item::as_value_mut) {
        // In place, so that the comment beside it stays.
        Some(value) => {
            let decor = value.decor().clone();
            *value = Value::from(name);
            *value.decor_mut() = decor;
        }
        None => {
            document.insert("current", toml_edit::value(name));
        }
    }
}

/// The file's text with changed keys in the context `name`, which is created if it is missing. Relative paths in `changes` start
/// from `folder`.
pub(crate) fn set(
    found: &Found,
    name: &str,
    changes: &[(String, String)],
    folder: &Path,
) -> Result<String, Error> {
    // A file with errors is refused, not edited.
    let before = found.parse()?;
    let mut document = document(found)?;
    if before.current.is_none() && before.contexts.is_empty() {
        set_current(&mut document, name);
    }
    for (key, text) in changes {
        let Some((_, kind, _)) = KEYS.iter().find(|(known, ..)| known == key) else {
            return Err(unknown(key));
        };
        let table = table(&mut document, name)?;
        let value = match text.as_str() {
            "" => None,
            text => Some(value(key, *kind, text, folder)?),
        };
        match key.split_once('.') {
            Some((group, key)) => change_group(table, group, key, value),
            None => change(table, key, value),
        }
    }
    let text = document.to_string();
    check(found, name, &text)?;
    Ok(text)
}

/// Refuses a text that could not be used afterwards.
fn check(found: &Found, name: &str, text: &str) -> Result<(), Error> {
    let edited = Found {
        path: found.path.clone(),
        text: Some(text.to_owned()),
    };
    let context = edited.select(Some(name))?;
    match merge(&Overrides::default(), context, &edited) {
        Ok(_) => Ok(()),
        Err(Error::ContextFile { message, hint, .. }) => Err(Error::Usage {
            message: format!("context {name}: {message}"),
            hint,
        }),
        Err(error) => Err(error),
    }
}

fn document(found: &Found) -> Result<DocumentMut, Error> {
    let text = found.text.as_deref().unwrap_or_default();
    text.parse()
        .map_err(|error: toml_edit::TomlError| Error::ContextFile {
            place: found.place(),
            message: error.message().to_owned(),
            hint: "correct the context file, or name another with LOGCTL_CONFIG".into(),
        })
}

fn table<'a>(
    document: &'a mut DocumentMut,
    name: &str,
) -> Result<&'a mut dyn toml_edit::TableLike, Error> {
    let implicit = || {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    };
    document
        .entry("contexts")
        .or_insert_with(implicit)
        .as_table_like_mut()
        .and_then(|contexts| {
            contexts
                .entry(name)
                .or_insert_with(|| Item::Table(Table::new()))
                .as_table_like_mut()
        })
        .ok_or_else(|| Error::Bug("a context that is no table passed the parser".into()))
}

fn change(table: &mut dyn toml_edit::TableLike, key: &str, value: Option<Value>) {
    match (value, table.get_mut(key).and_then(Item::as_value_mut)) {
        (Some(value), Some(old)) => {
            let decor = old.decor().clone();
            *old = value;
            *old.decor_mut() = decor;
        }
        (Some(value), None) => {
            table.insert(key, Item::Value(value));
        }
        (None, _) => {
            table.remove(key);
        }
    }
}

fn change_group(
    table: &mut dyn toml_edit::TableLike,
    group: &str,
    key: &str,
    value: Option<Value>,
) {
    if value.is_none() && table.get(group).is_none() {
        return;
    }
    let inline = || Item::Value(Value::InlineTable(toml_edit::InlineTable::new()));
    let entry = table.entry(group).or_insert_with(inline);
    if let Some(inner) = entry.as_table_like_mut() {
        change(inner, key, value);
        if inner.is_empty() {
            table.remove(group);
        }
    }
}

fn value(key: &str, kind: Kind, text: &str, folder: &Path) -> Result<Value, Error> {
    let absolute = |path: &str| folder.join(path).display().to_string();
    Ok(match kind {
        Kind::Text => text.into(),
        Kind::Path => absolute(text).into(),
        Kind::Address => match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => format!("unix:{}", absolute(path)).into(),
            _ => text.into(),
        },
        Kind::Flag => match text {
            "true" => true.into(),
            "false" => false.into(),
            _ => return Err(refused(key, "write true or false")),
        },
        Kind::Words if text.starts_with('[') => {
            let parsed: Value = text
                .parse()
                .map_err(|_| refused(key, "write it as [\"PROGRAM\", \"ARGUMENT\"]"))?;
            parsed
        }
        Kind::Words => {
            let words: Array = text.split_whitespace().collect();
            words.into()
        }
    })
}

/// The value is in no message: it may be a secret that was meant for somewhere else.
fn refused(key: &str, hint: &str) -> Error {
    Error::Usage {
        message: format!("that is no value for `{key}`"),
        hint: hint.to_owned(),
    }
}

fn unknown(key: &str) -> Error {
    let hint = if matches!(key, "token" | "secret" | "password") {
        "a secret is never in the context: put it into a file that only you can read, and name that with token_file".into()
    } else {
        match logconfig::text::nearest(key, KEYS.iter().map(|(name, ..)| *name)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the keys are: {}", KEYS.map(|(name, ..)| name).join(", ")),
        }
    };
    Error::Usage {
        message: format!("a context has no key `{key}`"),
        hint,
    }
}

pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE; KEY= takes KEY out".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const FILE: &str = "# where we work\ncurrent = \"dev\" # for now\n\n[contexts.dev]\n# the socket\nadmin = \"unix:/run/logd/admin.sock\"   # local\nlog = \"dev\"\n";

    fn found(text: &str) -> Found {
        Found {
            path: Some(PathBuf::from("/etc/logctl.toml")),
            text: Some(text.to_owned()),
        }
    }

    fn changed(text: &str, name: &str, changes: &[&str]) -> Result<String, Error> {
        let changes: Vec<_> = changes.iter().map(|text| pair(text).unwrap()).collect();
        set(&found(text), name, &changes, Path::new("/home/op"))
    }

    #[test]
    fn comments_stay() {
        let text = changed(FILE, "dev", &["log=argon", "admin=unix:a.sock"]).unwrap();
        let wanted = FILE
            .replace("log = \"dev\"", "log = \"argon\"")
            .replace("/run/logd/admin.sock", "/home/op/a.sock");
        assert_eq!(text, wanted);
        let text = use_context(&found(&text.replace("dev]", "prod]")), "prod").unwrap();
        assert!(text.contains("current = \"prod\" # for now"), "{text}");
    }

    #[test]
    fn a_new_context() {
        let text = changed(
            FILE,
            "ci",
            &[
                "admin=https://log.example.org:7071",
                "ca=ca.pem",
                "oidc.audience=https://log.example.org",
                "oidc.token_env=LOGCTL_ID_TOKEN",
                "protected=true",
            ],
        )
        .unwrap();
        insta::assert_snapshot!(text);
        let text = changed(
            &text,
            "ci",
            &[
                "oidc.audience=",
                "oidc.token_env=",
                "token_command=vault read token",
            ],
        )
        .unwrap();
        assert!(!text.contains("oidc"), "{text}");
        assert!(
            text.contains("token_command = [\"vault\", \"read\", \"token\"]"),
            "{text}"
        );
    }

    #[test]
    fn the_first_context_is_current() {
        let empty = Found {
            path: Some(PathBuf::from("/etc/logctl.toml")),
            text: None,
        };
        let changes = [pair("admin=unix:/run/a.sock").unwrap()];
        let text = set(&empty, "prod", &changes, Path::new("/")).unwrap();
        assert_eq!(
            text,
            "current = \"prod\"\n\n[contexts.prod]\nadmin = \"unix:/run/a.sock\"\n"
        );
    }

    #[test]
    fn what_could_not_be_used_is_refused() {
        for (changes, message) in [
            (&["token=s3cret"][..], "no key `token`"),
            (&["protect=true"], "no key `protect`"),
            (&["protected=yes"], "no value for `protected`"),
            (&["admin=http://192.0.2.1"], "neither encrypted"),
            (&["client_cert=a.pem"], "`client_cert` needs `client_key`"),
            (&["token_file=a", "token_command=b"], "two ways to log in"),
            (&["oidc.token_env=A"], "needs an `audience`"),
            (
                &["oidc.audience=a", "oidc.token_env=A", "oidc.token_file=b"],
                "two places",
            ),
            (&["token_command=[1"], "no value for"),
        ] {
            let error = changed(FILE, "dev", changes).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
