//! `logctl doctor`: faults on this machine, of the connection, and of the server; each finding with its remedy.
//!
//! What must never happen: a check is silently left out, or changes something.

mod local;
mod server;

use serde::Serialize;
use wire::{Diagnosis, Severity};

use super::Session;
use crate::error::{Error, count};
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};

#[derive(Debug, Serialize)]
struct Doctor {
    checks: Vec<Check>,
}

/// A check, and the side that made it.
#[derive(Debug, Serialize)]
struct Check {
    /// `logctl`, or the replica that answered.
    by: String,
    /// The finding, with its severity and remedy.
    #[serde(rename = "result")]
    diagnosis: Diagnosis,
}

impl Check {
    fn here(check: &str, severity: Severity, measured: String, remedy: Option<String>) -> Self {
        Self {
            by: "logctl".to_owned(),
            diagnosis: Diagnosis {
                check: check.to_owned(),
                log: None,
                severity,
                measured,
                remedy,
            },
        }
    }

    fn fine(check: &str, measured: impl Into<String>) -> Self {
        Self::here(check, Severity::Ok, measured.into(), None)
    }

    fn worry(check: &str, measured: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::here(
            check,
            Severity::Warning,
            measured.into(),
            Some(remedy.into()),
        )
    }

    fn harm(check: &str, measured: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::here(
            check,
            Severity::Critical,
            measured.into(),
            Some(remedy.into()),
        )
    }
}

pub(super) async fn run(session: &Session<'_>) -> Result<Outcome, Error> {
    let settings = session.settings()?;
    let mut checks = local::checks(session.overrides, &settings)?;
    let phase = session.ui.phase("asking the server");
    let trouble = server::checks(session, settings, &mut checks).await?;
    drop(phase);
    let critical = checks
        .iter()
        .filter(|check| check.diagnosis.severity == Severity::Critical)
        .count();
    // The reason why the server did not answer says more than a count.
    let trouble = trouble.or_else(|| (critical > 0).then_some(Error::Ailing { critical }));
    Outcome::with_trouble(&Doctor { checks }, trouble)
}

impl Present for Doctor {
    const KIND: &'static str = "Diagnostics";
    const LIST: Option<&'static str> = Some("checks");
    const NAME: &'static str = "/result/check";
    const ADVICE: &'static [&'static str] = &["measured", "remedy"];

    fn page(&self) -> Page {
        let rows = self.checks.iter().map(|Check { by, diagnosis }| {
            let severity = match diagnosis.severity {
                Severity::Ok => Cell::toned("ok", Tone::Good),
                Severity::Warning => Cell::toned("warning", Tone::Next),
                Severity::Critical => Cell::toned("critical", Tone::Bad),
            };
            vec![
                severity,
                diagnosis.check.as_str().into(),
                Cell::maybe(diagnosis.log.as_deref()),
                by.as_str().into(),
                diagnosis.measured.as_str().into(),
            ]
        });
        let mut page = Page::new().with(Block::Table {
            header: vec!["STATE", "CHECK", "LOG", "BY", "MEASURED"],
            rows: rows.collect(),
            spare: 0,
        });
        let found: Vec<&Check> = self
            .checks
            .iter()
            .filter(|check| check.diagnosis.severity != Severity::Ok)
            .collect();
        if found.is_empty() {
            return page.text("all is well");
        }
        page = page.text(format!("{}:", count(found.len(), "finding")));
        for Check { diagnosis, .. } in found {
            let remedy = diagnosis
                .remedy
                .as_deref()
                .unwrap_or("ask the server's operator");
            page = page.text(format!("{}: {remedy}", diagnosis.check));
        }
        page
    }
}
