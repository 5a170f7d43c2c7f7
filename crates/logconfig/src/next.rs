//! The next shard: its name, and the configuration in which it is planned or open. Pure: the time comes from the caller.

use std::collections::HashSet;

use crate::finding::{Finding, Problem, quote};
use crate::model::{LogConfig, OriginForm, ShardConfig, ShardState};
use crate::name::{NameError, ShardName, is_label};

/// Whether names can be made from the template.
pub(crate) fn check_template(template: &str, form: OriginForm) -> Result<(), Problem> {
    let problem =
        |why: String| Problem::new("bad-template", why).hint("for example {year}{letter}");
    let rest = template.replace("{year}", "").replace("{letter}", "");
    if rest.contains(['{', '}']) {
        return Err(problem(format!(
            "the template {} has a placeholder other than {{year}} and {{letter}}",
            quote(template)
        )));
    }
    if !template.contains("{letter}") {
        return Err(problem(format!(
            "the template {} has no {{letter}}, so every shard would get the same name",
            quote(template)
        )));
    }
    // Four letters are 475,254 shards.
    let longest = render(template, 9999, "aaaa");
    if form == OriginForm::Host && !is_label(&longest) {
        return Err(problem(format!(
            "the template {} makes {}, which is no single DNS label, as `originForm: host` asks for",
            quote(template),
            quote(&longest)
        )));
    }
    match longest.parse::<ShardName>() {
        Err(NameError::Malformed) => Err(problem(format!(
            "the template {} makes {}: {}",
            quote(template),
            quote(&longest),
            NameError::Malformed
        ))),
        Ok(_) | Err(NameError::Reserved) => Ok(()),
    }
}

fn render(template: &str, year: i16, letters: &str) -> String {
    template
        .replace("{year}", &year.to_string())
        .replace("{letter}", letters)
}

/// The n-th word of a, b, … z, aa, ab, … (n from 1).
fn letters(mut n: usize) -> String {
    let mut reversed = Vec::new();
    while n > 0 {
        n -= 1;
        // Below 26.
        reversed.push(char::from(b'a' + (n % 26) as u8));
        n /= 26;
    }
    reversed.into_iter().rev().collect()
}

/// The first name that the template makes in that year and that is not taken: `2026a` … `2026z`, `2026aa`, `2026ab` …
///
/// # Errors
/// `bad-template` when the template makes no more valid names.
pub fn next_name(template: &str, taken: &[ShardName], year: i16) -> Result<ShardName, Finding> {
    check_template(template, OriginForm::Path).map_err(|problem| problem.at("/rotate/name"))?;
    let taken: HashSet<&str> = taken.iter().map(ShardName::as_str).collect();
    let mut n = 0;
    loop {
        n += 1;
        let name = render(template, year, &letters(n));
        if taken.contains(name.as_str()) {
            continue;
        }
        match name.parse::<ShardName>() {
            Ok(name) => return Ok(name),
            // Names only get longer, so there are no more valid ones.
            Err(NameError::Malformed) => {
                let message = format!(
                    "the template {} makes {}: {}",
                    quote(template),
                    quote(&name),
                    NameError::Malformed
                );
                return Err(Problem::new("bad-template", message).at("/rotate/name"));
            }
            Err(NameError::Reserved) => {}
        }
    }
}

fn year(now_unix_seconds: i64) -> Result<i16, Finding> {
    let time = jiff::Timestamp::from_second(now_unix_seconds);
    time.map(|time| time.to_zoned(jiff::tz::TimeZone::UTC).year())
        .map_err(|_| {
            Problem::new(
                "bad-time",
                format!("{now_unix_seconds} is not a time, in seconds since 1970"),
            )
            .at("")
        })
}

/// A name that no shard has, as asked for or from the template.
fn unused_name(
    running: &LogConfig,
    name: Option<ShardName>,
    now_unix_seconds: i64,
) -> Result<ShardName, Finding> {
    match name {
        Some(name) => Ok(name),
        None => {
            let taken: Vec<_> = running
                .shards
                .iter()
                .map(|shard| shard.name.clone())
                .collect();
            next_name(&running.rotate.name, &taken, year(now_unix_seconds)?)
        }
    }
}

/// The position of a shard that opens: behind all that are or were open.
fn first_planned(config: &LogConfig) -> usize {
    config
        .shards
        .iter()
        .take_while(|shard| shard.state != ShardState::Planned)
        .count()
}

/// The running configuration with its active shard frozen and the next one active: the named one if a name is given (planned
/// already or new), else the oldest planned one, else a new one by the template. The generation is kept, and so is what the
/// server filled in, but for the length and root of the shard that freezes, which are not known before it does.
///
/// # Errors
/// `shard-reopened` or `already-active` when the named shard is frozen or active; those of [`next_name`].
pub fn with_rotation(
    running: &LogConfig,
    name: Option<ShardName>,
    now_unix_seconds: i64,
) -> Result<LogConfig, Finding> {
    let mut next = running.clone();
    let planned = match &name {
        None => next
            .shards
            .iter()
            .position(|shard| shard.state == ShardState::Planned),
        Some(name) => match next.shards.iter().position(|shard| shard.name == *name) {
            Some(index)
                if next
                    .shards
                    .get(index)
                    .is_some_and(|shard| shard.state == ShardState::Planned) =>
            {
                Some(index)
            }
            Some(index) => return Err(not_openable(&next, index)),
            None => None,
        },
    };
    let mut opened = match planned {
        Some(index) => next.shards.remove(index),
        None => ShardConfig {
            key: running.key,
            ..ShardConfig::new(
                unused_name(running, name, now_unix_seconds)?,
                ShardState::Active,
            )
        },
    };
    opened.state = ShardState::Active;
    for shard in next
        .shards
        .iter_mut()
        .filter(|shard| shard.state == ShardState::Active)
    {
        shard.state = ShardState::Frozen;
        shard.length = None;
        shard.root_hash = None;
        shard.announced = None;
    }
    next.shards.insert(first_planned(&next), opened);
    Ok(next)
}

fn not_openable(config: &LogConfig, index: usize) -> Finding {
    let (name, state) = config
        .shards
        .get(index)
        .map(|shard| (shard.name.as_str(), shard.state))
        .unwrap_or_default();
    let problem = match state {
        ShardState::Active => {
            Problem::new("already-active", format!("shard {name} is the active one"))
        }
        _ => Problem::new(
            "shard-reopened",
            format!("shard {name} is frozen, and stays so"),
        )
        .hint("choose a planned shard or a new name"),
    };
    problem.at(format!("/shards/{index}/state"))
}

/// The running configuration with one more planned shard at its end, named as given or by the template.
///
/// # Errors
/// `name-reused` when there is a shard of that name; those of [`next_name`].
pub fn with_planned(
    running: &LogConfig,
    name: Option<ShardName>,
    now_unix_seconds: i64,
) -> Result<LogConfig, Finding> {
    let name = unused_name(running, name, now_unix_seconds)?;
    if let Some(index) = running.shards.iter().position(|shard| shard.name == name) {
        let problem = Problem::new(
            "name-reused",
            format!("there is a shard {name} already; each name is used once, for good"),
        );
        return Err(problem.at(format!("/shards/{index}/name")));
    }
    let mut next = running.clone();
    next.shards.push(ShardConfig {
        key: running.key,
        ..ShardConfig::new(name, ShardState::Planned)
    });
    Ok(next)
}

impl LogConfig {
    /// For a new log: a document that lists no shards gets one active shard, named by its template.
    ///
    /// # Errors
    /// Those of [`next_name`].
    pub fn with_first_shard(self, now_unix_seconds: i64) -> Result<Self, Finding> {
        if self.shards.is_empty() {
            with_rotation(&self, None, now_unix_seconds)
        } else {
            Ok(self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_count_on() {
        for (n, word) in [
            (1, "a"),
            (26, "z"),
            (27, "aa"),
            (52, "az"),
            (53, "ba"),
            (702, "zz"),
            (703, "aaa"),
        ] {
            assert_eq!(letters(n), word);
        }
    }

    #[test]
    fn templates() {
        for template in [
            "{year}{letter}",
            "{letter}",
            "s{letter}.{year}",
            "{letter}{letter}",
        ] {
            assert_eq!(
                check_template(template, OriginForm::Path),
                Ok(()),
                "{template}"
            );
        }
        for template in [
            "",
            "{year}",
            "2026",
            "{month}{letter}",
            "{year}{letter",
            "{Letter}",
            "-{letter}",
            "a b{letter}",
            "é{letter}",
        ] {
            assert!(
                check_template(template, OriginForm::Path).is_err(),
                "{template}"
            );
        }
        let long = format!("{}{{letter}}", "a".repeat(60));
        assert!(check_template(&long, OriginForm::Path).is_err());
        for (template, label) in [
            ("s-{letter}", true),
            ("s{letter}.{year}", false),
            ("{letter}-", false),
        ] {
            assert_eq!(check_template(template, OriginForm::Path), Ok(()));
            let host = check_template(template, OriginForm::Host);
            assert_eq!(host.is_ok(), label, "{template}");
        }
    }

    #[test]
    fn reserved_and_taken_names_are_skipped() {
        let mut taken = Vec::new();
        for _ in 0..1000 {
            let name = next_name("{letter}", &taken, 2026).unwrap();
            assert!(!taken.contains(&name));
            taken.push(name);
        }
        // 28 is `ab`, 108 would be `dd`; `add` and `api` come later and are never names.
        assert!(
            !taken
                .iter()
                .any(|name| ["add", "api", "log"].contains(&name.as_str()))
        );
        assert_eq!(
            taken.last().map(ShardName::as_str),
            Some(letters(1001).as_str())
        );
    }

    #[test]
    fn the_year_is_utc() {
        assert_eq!(year(0).unwrap(), 1970);
        assert_eq!(year(1_798_761_599).unwrap(), 2026);
        assert_eq!(year(1_798_761_600).unwrap(), 2027);
        assert_eq!(year(i64::MAX).unwrap_err().code, "bad-time");
    }
}
