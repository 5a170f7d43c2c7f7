//! `logctl context use` and `logctl context set`: edits of the file, which keep its comments.

use serde::Serialize;

use crate::commands::Session;
use crate::error::Error;
use crate::private;
use crate::report::{Outcome, Page, Present};
use crate::settings::{self, Found};

#[derive(Debug, Serialize)]
struct ContextChanged {
    file: String,
    context: String,
    current: bool,
    changed: bool,
}

/// Locks the context file against other runs that change it, from before it is read until it is written.
fn hold(session: &Session<'_>) -> Result<Option<std::fs::File>, Error> {
    let named = session.overrides.config.clone();
    let Some(path) = named.or_else(settings::default_path) else {
        return Ok(None);
    };
    let held = private::hold(&path).map_err(|source| Error::Write {
        what: format!("the context file {}", path.display()),
        source,
    });
    held.map(Some)
}

pub(super) fn choose(session: &Session<'_>, name: &str) -> Result<Outcome, Error> {
    let _held = hold(session)?;
    let found = Found::read(session.overrides.config.as_deref())?;
    let text = settings::use_context(&found, name)?;
    store(&found, name, text)
}

pub(super) fn run(
    session: &Session<'_>,
    name: &str,
    changes: &[(String, String)],
) -> Result<Outcome, Error> {
    let _held = hold(session)?;
    // A named file need not exist yet.
    let found = match session.overrides.config.as_deref() {
        Some(path) if !path.exists() && !path.is_symlink() => Found {
            path: Some(path.to_owned()),
            text: None,
        },
        named => Found::read(named)?,
    };
    let folder = std::env::current_dir().map_err(|source| Error::Read {
        what: "the current directory".into(),
        source,
    })?;
    let text = settings::set(&found, name, changes, &folder)?;
    store(&found, name, text)
}

pub(super) fn delete(session: &Session<'_>, name: &str) -> Result<Outcome, Error> {
    let _held = hold(session)?;
    let found = Found::read(session.overrides.config.as_deref())?;
    let text = settings::delete_context(&found, name)?;
    session.ui.confirm(&format!(
        "take the context {name} out of {}?",
        found.place()
    ))?;
    let Some(path) = &found.path else {
        return Err(Error::NoEndpoint {
            tried: found.tried(),
            choose: None,
        });
    };
    private::write(path, text.as_bytes()).map_err(|source| Error::Write {
        what: format!("the context file {}", path.display()),
        source,
    })?;
    let left = Found {
        path: None,
        text: Some(text),
    };
    Outcome::done(&ContextDeleted {
        file: path.display().to_string(),
        context: name.to_owned(),
        unchosen: left.unchosen(),
    })
}

#[derive(Debug, Serialize)]
struct ContextDeleted {
    file: String,
    context: String,
    /// The remaining contexts, if none of them is the current one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unchosen: Vec<String>,
}

impl Present for ContextDeleted {
    const KIND: &'static str = "ContextDeleted";
    const NAME: &'static str = "/context";

    fn page(&self) -> Page {
        let page = Page::new().text(format!(
            "took context {} out of {}; token and key files that it named are still there",
            self.context, self.file
        ));
        match self.unchosen.as_slice() {
            [] => page,
            left => page.text(format!(
                "no context is in use now; `logctl context use NAME` chooses one: {}",
                left.join(", ")
            )),
        }
    }
}

fn store(found: &Found, name: &str, text: String) -> Result<Outcome, Error> {
    let Some(path) = &found.path else {
        return Err(Error::NoEndpoint {
            tried: found.tried(),
            choose: None,
        });
    };
    let changed = found.text.as_deref() != Some(&text);
    if changed {
        private::write(path, text.as_bytes()).map_err(|source| Error::Write {
            what: format!("the context file {}", path.display()),
            source,
        })?;
    }
    let current = Found {
        path: None,
        text: Some(text),
    }
    .parse()?
    .current;
    Outcome::done(&ContextChanged {
        file: path.display().to_string(),
        context: name.to_owned(),
        current: current.as_deref() == Some(name),
        changed,
    })
}

impl Present for ContextChanged {
    const KIND: &'static str = "ContextChange";
    const NAME: &'static str = "/context";

    fn page(&self) -> Page {
        let Self { file, context, .. } = self;
        if !self.changed {
            return Page::new().text(format!("nothing to do: {file} says that already"));
        }
        let page = Page::new().text(format!("wrote context {context} to {file}"));
        if self.current {
            page.text(format!("{context} is the context in use"))
        } else {
            page.text(format!(
                "`logctl context use {context}` makes it the one in use"
            ))
        }
    }
}
