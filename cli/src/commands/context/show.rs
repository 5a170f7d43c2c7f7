//! `logctl context show`: the settings in effect, and their sources. Files are named, never their content.

use serde::Serialize;
use wire::WhoAmI;

use crate::commands::Session;
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};
use crate::settings::{self, Explained};

#[derive(Debug, Serialize)]
struct ContextShown {
    context: Option<String>,
    values: Vec<Value>,
    /// With `--check`: the caller, as the server knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<WhoAmI>,
}

#[derive(Debug, Serialize)]
struct Value {
    key: &'static str,
    value: Option<String>,
    source: String,
}

pub(super) async fn run(
    session: &Session<'_>,
    name: Option<String>,
    check: bool,
) -> Result<Outcome, Error> {
    let mut overrides = session.overrides.clone();
    if name.is_some() {
        overrides.context = name;
        overrides.environment.retain(|said| said != "context");
    }
    let settings = settings::resolve(&overrides)?;
    let caller = match check {
        true => {
            let server = session.connect(settings.clone())?;
            Some(server.admin.whoami(server.deadline).await?)
        }
        false => None,
    };
    Outcome::done(&ContextShown {
        context: settings.context,
        values: settings.explained.into_iter().map(Value::from).collect(),
        caller,
    })
}

impl From<Explained> for Value {
    fn from(Explained { key, value, source }: Explained) -> Self {
        Self { key, value, source }
    }
}

impl Present for ContextShown {
    const KIND: &'static str = "Context";
    const NAME: &'static str = "/context";

    fn page(&self) -> Page {
        let title = match &self.context {
            Some(name) => format!("context {name}"),
            None => "no context".to_owned(),
        };
        let rows = self.values.iter().map(|value| {
            let tone = match value.value {
                Some(_) => Tone::Plain,
                None => Tone::Past,
            };
            vec![
                value.key.into(),
                Cell::toned(value.value.as_deref().unwrap_or("-"), tone),
                Cell::toned(value.source.as_str(), tone),
            ]
        });
        let page = Page::new().text(title).with(Block::Table {
            header: vec!["KEY", "VALUE", "SOURCE"],
            rows: rows.collect(),
            spare: 0,
        });
        match &self.caller {
            Some(caller) => page.with(Block::Fields(vec![
                ("you are", caller.actor.as_str().into()),
                ("you may", caller.permissions.join(", ").into()),
            ])),
            None => page,
        }
    }
}
