//! `logctl config diff --generation A..B`: the changes between two generations.

use serde::Serialize;
use wire::Difference;

use crate::commands::{Session, differences, wire_difference};
use crate::error::{Error, count};
use crate::report::{Outcome, Page, Present};

/// Two generations to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generations {
    /// The first one, usually the earlier.
    from: u64,
    /// The second one; the running one when absent.
    to: Option<u64>,
}

pub(super) fn parse_generations(text: &str) -> Result<Generations, String> {
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

#[derive(Debug, Serialize)]
struct ConfigCompared {
    log: String,
    from: u64,
    to: u64,
    differences: Vec<Difference>,
}

pub(super) async fn run(
    session: &Session<'_>,
    Generations { from, to }: Generations,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations() {
        let of = |from, to| Ok(Generations { from, to });
        assert_eq!(parse_generations("7..9"), of(7, Some(9)));
        assert_eq!(parse_generations("7.."), of(7, None));
        assert_eq!(parse_generations("7"), of(7, None));
        for wrong in ["", "..9", "a..b", "0", "7...9", "-1"] {
            assert!(parse_generations(wrong).is_err(), "{wrong}");
        }
    }
}
