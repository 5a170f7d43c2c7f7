//! `logctl config history`: what was decided, when, by whom, why, and what it changed.

use jiff::Timestamp;
use serde::Serialize;
use wire::HistoryItem;

use crate::commands::Session;
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};

#[derive(Debug, Serialize)]
struct ConfigHistory {
    log: String,
    history: Vec<HistoryItem>,
}

pub(in crate::commands) async fn run(
    session: &Session<'_>,
    since: Option<i64>,
    until: Option<i64>,
    by: Option<String>,
) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let mut history = server.admin.history(&log, server.deadline).await?.history;
    history.retain(|item| {
        let time = item.time.parse::<Timestamp>().map(Timestamp::as_second);
        // A time that is not understood is shown, not hidden.
        let after = |bound: i64| time.as_ref().map_or(true, |time| *time >= bound);
        let before = |bound: i64| time.as_ref().map_or(true, |time| *time < bound);
        since.is_none_or(after)
            && until.is_none_or(before)
            && by
                .as_deref()
                .is_none_or(|who| is_by(item.actor.as_deref(), who))
    });
    Outcome::done(&ConfigHistory { log, history })
}

/// Whether an actor is meant: `uid:0 (root)` by `uid:0`, by `root` and by the whole, `token:ci` by `ci`.
fn is_by(actor: Option<&str>, who: &str) -> bool {
    let Some(actor) = actor else {
        return false;
    };
    let (id, name) = match actor.split_once(" (") {
        Some((id, name)) => (id, name.strip_suffix(')')),
        None => (actor, None),
    };
    let own = id.split_once(':').map(|(_, own)| own);
    actor == who || id == who || name == Some(who) || own == Some(who)
}

impl Present for ConfigHistory {
    const KIND: &'static str = "ConfigHistory";
    const LIST: Option<&'static str> = Some("history");
    const NAME: &'static str = "/generation";

    fn page(&self) -> Page {
        let mut rows = Vec::new();
        for item in &self.history {
            rows.push(vec![
                Cell::number(Some(item.generation)),
                item.time.as_str().into(),
                Cell::number(Some(item.at_index)),
                Cell::maybe(item.actor.as_deref()),
                item.summary.as_str().into(),
                Cell::maybe(item.etag.as_deref()),
            ]);
            for difference in item.differences.iter().flatten() {
                let change = format!(
                    "{}: {} -> {}",
                    difference.subject,
                    difference.before.as_deref().unwrap_or("none"),
                    difference.after.as_deref().unwrap_or("removed")
                );
                let mut row = vec![Cell::from(""); 6];
                row[4] = Cell::toned(format!("  {change}"), Tone::Past);
                rows.push(row);
            }
        }
        let header = vec!["GENERATION", "TIME", "AT INDEX", "BY", "WHAT", "ETAG"];
        Page::listing(
            Block::Table {
                header,
                rows,
                spare: 1,
            },
            "no change fits; leave out --since, --until or --by to see more",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_named_in_any_way() {
        for who in ["uid:0 (root)", "uid:0", "root", "0"] {
            assert!(is_by(Some("uid:0 (root)"), who), "{who}");
        }
        assert!(is_by(Some("token:ci"), "ci"));
        for who in ["uid", "roo", "uid:00", ""] {
            assert!(!is_by(Some("uid:0 (root)"), who), "{who}");
        }
        assert!(!is_by(None, "root"));
    }
}
