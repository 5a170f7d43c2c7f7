//! `logctl config history`: the decided changes, each with its time, actor, reason and differences.

use jiff::Timestamp;
use serde::Serialize;
use wire::HistoryItem;

use crate::commands::Session;
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};

/// The arguments of `logctl config history`.
#[derive(Debug, clap::Args)]
pub(crate) struct HistoryArgs {
    /// Only changes decided at or after this time: 7d, 24h, 2026-11-01, 2026-11-01T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    since: Option<i64>,
    /// Only changes decided before this time
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    until: Option<i64>,
    /// Only changes by this actor: uid:0, root, token:ci
    #[arg(long, value_name = "WHO")]
    by: Option<String>,
}

/// Reads a time, a day in UTC or an age, as seconds since 1970.
fn parse_moment(text: &str) -> Result<i64, String> {
    if let Ok(ago) = text.parse::<::logconfig::Span>() {
        let ago = i64::try_from(ago.duration().as_secs()).unwrap_or(i64::MAX);
        return Ok(jiff::Timestamp::now().as_second().saturating_sub(ago));
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_second());
    }
    let day = text.parse::<jiff::civil::Date>().ok();
    let midnight = day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok());
    match midnight {
        Some(time) => Ok(time.timestamp().as_second()),
        None => Err("write 7d, 24h, 2026-11-01 or 2026-11-01T08:00:00Z".to_owned()),
    }
}

#[derive(Debug, Serialize)]
struct ConfigHistory {
    log: String,
    history: Vec<HistoryItem>,
}

pub(super) async fn run(
    session: &Session<'_>,
    HistoryArgs { since, until, by }: HistoryArgs,
) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let mut history = server.admin.history(&log, server.deadline).await?.history;
    history.retain(|item| {
        let time = item.time.parse::<Timestamp>().map(Timestamp::as_second);
        // A change with an unreadable time is shown, not hidden.
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

/// Whether `who` names an actor: `uid:0`, `root` and the whole text name `uid:0 (root)`, and `ci` names `token:ci`.
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
                Cell::from(item.summary.as_str()).quoted(),
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
                row[4] = Cell::toned(format!("  {change}"), Tone::Past).quoted();
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
    fn moments() {
        assert_eq!(parse_moment("1970-01-02"), Ok(86_400));
        assert_eq!(parse_moment("1970-01-01T00:01:00Z"), Ok(60));
        assert!(parse_moment("1h").unwrap() < parse_moment("1m").unwrap());
        assert!(parse_moment("yesterday").is_err());
    }

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
