//! `logctl config`: documents, without applying them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Subcommand, ValueHint};

use super::ChangeArgs;

/// What to do with configuration documents.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show what applying FILE would change, or what changed between two generations
    #[command(after_help = "Examples:
  logctl config diff next.yaml --exit-code
  logctl config diff --generation 7..9
  logctl config diff --generation 7          # from then to what runs")]
    Diff {
        /// The document, YAML or JSON; `-` is standard input
        #[arg(value_hint = ValueHint::FilePath, required_unless_present = "generation", conflicts_with = "generation")]
        file: Option<PathBuf>,
        /// Two generations, or one and what runs
        #[arg(long, value_name = "A..B", value_parser = parse_generations)]
        generation: Option<Generations>,
        /// Exit with 3 when there is a difference
        #[arg(long)]
        exit_code: bool,
    },
    /// Check FILE without a server: syntax, keys, types, rules
    #[command(after_help = "Example:
  logctl config validate next.yaml")]
    Validate {
        /// The document, YAML or JSON; `-` is standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Freeze a change as a file: its exact content, its base, and what the server says it would do
    #[command(after_help = "Examples:
  logctl config plan next.yaml -o plan.json
  logctl config apply plan.json")]
    Plan {
        /// The document, YAML or JSON; `-` is standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Do just what a plan says, or say what moved since it was made
    #[command(after_help = "Examples:
  logctl config apply plan.json
  logctl config apply plan.json --confirm-within 10m")]
    Apply {
        /// The plan, made by `config plan`; `-` is standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Take the change back by itself unless it is confirmed within this time: 30s, 10m
        #[arg(long, value_name = "TIME", value_parser = super::parse_confirm_within)]
        confirm_within: Option<Duration>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Edit the running document in $VISUAL or $EDITOR, and apply what was written
    ///
    /// Findings stand in the file when the editor opens again. What was written is kept in a file until it is applied.
    #[command(after_help = "Examples:
  logctl config edit
  EDITOR='code --wait' logctl config edit --dry-run")]
    Edit {
        /// Show what would be done
        #[arg(long)]
        dry_run: bool,
        /// Take the change back by itself unless it is confirmed within this time: 30s, 10m
        #[arg(long, value_name = "TIME", value_parser = super::parse_confirm_within)]
        confirm_within: Option<Duration>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Bring back the settings of an earlier generation; shards stay as they are
    #[command(after_help = "Examples:
  logctl config rollback            # to the generation before this one
  logctl config rollback 12 --dry-run")]
    Rollback {
        /// The generation; the one before the running one when absent
        generation: Option<u64>,
        /// Show what would be done
        #[arg(long)]
        dry_run: bool,
        /// Take the change back by itself unless it is confirmed within this time: 30s, 10m
        #[arg(long, value_name = "TIME", value_parser = super::parse_confirm_within)]
        confirm_within: Option<Duration>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Print the running document, or that of an earlier generation
    #[command(after_help = "Examples:
  logctl config show > running.yaml
  logctl config show --generation 12 -o json")]
    Show {
        /// The generation; the running one when absent
        #[arg(long, value_name = "N")]
        generation: Option<u64>,
    },
    /// List the decided changes, newest first: who made each, why, and what it changed
    #[command(after_help = "Examples:
  logctl config history
  logctl config history --since 7d --by token:ci
  logctl config history --since 2026-11-01 --until 2026-12-01 -o json")]
    History {
        /// Only what was decided from then on: 7d, 24h, 2026-11-01, 2026-11-01T08:00:00Z
        #[arg(long, value_name = "TIME", value_parser = parse_moment)]
        since: Option<i64>,
        /// Only what was decided before then
        #[arg(long, value_name = "TIME", value_parser = parse_moment)]
        until: Option<i64>,
        /// Only what they asked for: uid:0, root, token:ci
        #[arg(long, value_name = "WHO")]
        by: Option<String>,
    },
    /// Print the JSON schema of the document
    #[command(after_help = "Example:
  logctl config schema > logconfig.schema.json")]
    Schema,
}

/// Two generations to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generations {
    /// The earlier one, as a rule.
    pub(crate) from: u64,
    /// The other; the running one when absent.
    pub(crate) to: Option<u64>,
}

/// `7..9`, or `7`.
fn parse_generations(text: &str) -> Result<Generations, String> {
    let number = |text: &str| {
        let number = text.parse::<u64>().ok().filter(|number| *number > 0);
        number.ok_or_else(|| "write two generations as 7..9, or one as 7".to_owned())
    };
    match text.split_once("..") {
        Some((from, "")) => Ok(Generations {
            from: number(from)?,
            to: None,
        }),
        Some((from, to)) => Ok(Generations {
            from: number(from)?,
            to: Some(number(to)?),
        }),
        None => Ok(Generations {
            from: number(text)?,
            to: None,
        }),
    }
}

/// Seconds since 1970: a time, a day in UTC, or so long ago.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_and_moments() {
        let of = |from, to| Ok(Generations { from, to });
        assert_eq!(parse_generations("7..9"), of(7, Some(9)));
        assert_eq!(parse_generations("7.."), of(7, None));
        assert_eq!(parse_generations("7"), of(7, None));
        for wrong in ["", "..9", "a..b", "0", "7...9", "-1"] {
            assert!(parse_generations(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_moment("1970-01-02"), Ok(86_400));
        assert_eq!(parse_moment("1970-01-01T00:01:00Z"), Ok(60));
        assert!(parse_moment("1h").unwrap() < parse_moment("1m").unwrap());
        assert!(parse_moment("yesterday").is_err());
    }
}
