//! `logctl config diff --generation A..B`: what changed between two generations.

use serde::Serialize;
use wire::Difference;

use crate::commands::{Session, differences, wire_difference};
use crate::error::{Error, count};
use crate::report::{Outcome, Page, Present};

#[derive(Debug, Serialize)]
struct ConfigCompared {
    log: String,
    from: u64,
    to: u64,
    differences: Vec<Difference>,
}

pub(in crate::commands) async fn run(
    session: &Session<'_>,
    from: u64,
    to: Option<u64>,
    exit_code: bool,
) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let before = server.admin.config_at(&log, from, server.deadline).await?;
    let after = match to {
        Some(to) => server.admin.config_at(&log, to, server.deadline).await?,
        None => server.admin.config(&log, server.deadline).await?,
    };
    let differences: Vec<Difference> = logconfig::diff(&before.config, &after.config)
        .into_iter()
        .map(wire_difference)
        .collect();
    let found = differences.len();
    let trouble = (exit_code && found > 0).then_some(Error::Differs {
        differences: found,
        file: false,
    });
    Outcome::with_trouble(
        &ConfigCompared {
            log,
            from,
            to: to.or(after.config.generation).unwrap_or(0),
            differences,
        },
        trouble,
    )
}

impl Present for ConfigCompared {
    const KIND: &'static str = "ConfigDiff";
    const LIST: Option<&'static str> = Some("differences");
    const NAME: &'static str = "/subject";

    fn page(&self) -> Page {
        let Self { log, from, to, .. } = self;
        if self.differences.is_empty() {
            return Page::new().text(format!(
                "generations {from} and {to} of {log} have the same settings"
            ));
        }
        let all = count(self.differences.len(), "difference");
        Page::new()
            .text(format!("{log}: {all} from generation {from} to {to}"))
            .with(differences(&self.differences))
    }
}
