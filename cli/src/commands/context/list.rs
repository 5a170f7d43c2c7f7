//! `logctl context list`.

use serde::Serialize;

use crate::commands::Session;
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};
use crate::settings::Found;

#[derive(Debug, Serialize)]
struct ContextList {
    file: Option<String>,
    contexts: Vec<Listed>,
}

#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    current: bool,
    log: Option<String>,
    admin: Option<String>,
    protected: bool,
}

pub(super) fn run(session: &Session<'_>) -> Result<Outcome, Error> {
    let found = Found::read(session.overrides.config.as_deref())?;
    let file = found.parse()?;
    let current = session.overrides.context.clone().or(file.current);
    let contexts = file
        .contexts
        .into_iter()
        .map(|(name, context)| Listed {
            current: current.as_deref() == Some(name.as_str()),
            name,
            log: context.log,
            admin: context.admin,
            protected: context.protected,
        })
        .collect();
    Outcome::done(&ContextList {
        file: found.path.as_deref().map(|path| path.display().to_string()),
        contexts,
    })
}

impl Present for ContextList {
    const KIND: &'static str = "ContextList";
    const LIST: Option<&'static str> = Some("contexts");
    const NAME: &'static str = "/name";

    fn page(&self) -> Page {
        if self.contexts.is_empty() {
            return Page::new()
                .text("there is no context yet: `logctl context set NAME admin=ADDRESS` adds one");
        }
        let rows = self.contexts.iter().map(|context| {
            vec![
                context.name.as_str().into(),
                if context.current {
                    Cell::toned("in use", Tone::Good)
                } else {
                    "-".into()
                },
                if context.protected {
                    Cell::toned("protected", Tone::Bad)
                } else {
                    "-".into()
                },
                Cell::maybe(context.log.as_deref()),
                Cell::maybe(context.admin.as_deref()),
            ]
        });
        Page::new().with(Block::Table {
            header: vec!["NAME", "CURRENT", "CHANGES", "LOG", "ADMIN"],
            rows: rows.collect(),
            spare: 0,
        })
    }
}
