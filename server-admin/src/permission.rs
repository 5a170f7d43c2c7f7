//! Permissions: `resource:verb:log`, each part a word or `*`. Nothing is allowed that no permission names.

use std::fmt;
use std::str::FromStr;

use logconfig::text::nearest;
use serde::{Deserialize, Serialize};
pub(crate) use wire::routes::Need;
use wire::routes::ROUTES;

/// A permission, such as `shard:rotate:argon` or `*:read:*`.
///
/// | permission | allows |
/// |---|---|
/// | `log:read` | `GET /logs`, `GET /logs/{log}` |
/// | `log:create` | `POST /logs`, `PUT /logs/{log}/import`, `POST /logs/{log}/import`, `DELETE /logs/{log}/import` |
/// | `log:delete` | `DELETE /logs/{log}` |
/// | `log:undelete` | `POST /logs/{log}/undelete` |
/// | `log:freeze` | `POST /logs/{log}/freeze` |
/// | `log:unfreeze` | `POST /logs/{log}/unfreeze` |
/// | `config:read` | `GET /logs/{log}/config` |
/// | `config:write` | `PUT /logs/{log}/config`, `POST /operations/{id}/confirm` |
/// | `history:read` | `GET /logs/{log}/history` |
/// | `shard:read` | `GET /logs/{log}/shards` |
/// | `shard:plan` | `POST /logs/{log}/shards` |
/// | `shard:rotate` | `POST /logs/{log}/rotations` |
/// | `shard:announce` | `POST /logs/{log}/announcements` |
/// | `merge:read` | `GET /logs/{log}/merge` |
/// | `qos:read` | `GET /logs/{log}/qos` |
/// | `qos:simulate` | `POST /logs/{log}/qos/simulate` |
/// | `operation:read` | `GET /operations`, `GET /operations/{id}` |
/// | `replica:read` | `GET /replicas` |
/// | `server:read` | `GET /diagnostics` |
/// | `audit:read` | `GET /audit`, `GET /audit/tree/{*path}` |
/// | `token:read` | `GET /tokens` |
/// | `token:create` | `POST /tokens` |
/// | `token:revoke` | `DELETE /tokens/{name}` |
///
/// The table is [`wire::routes::ROUTES`]. `server`, `audit` and `token` concern no single log and need `*` as the
/// log; so does `replica` without `?log=`. `whoami`, `openapi.json` and `schema` need no permission.
/// A preview needs the same permission as the change. Resources and verbs that this version does not know are accepted
/// and allow nothing, so that a newer server can share a token file with an older one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Permission {
    resource: Word,
    verb: Word,
    log: Word,
}

/// A text that is not `resource:verb:log`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a permission: {0:?}; it looks like shard:rotate:argon, with * for any")]
pub struct BadPermission(String);

/// One part of a permission.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Any,
    Is(String),
}

impl Permission {
    /// Every verb on every resource of every log: `*:*:*`.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            resource: Word::Any,
            verb: Word::Any,
            log: Word::Any,
        }
    }

    /// Whether it covers this need on this log.
    pub(crate) fn allows(&self, need: Need, log: &str) -> bool {
        self.covers(need) && self.log.matches(log)
    }

    /// Whether it covers this need on every log.
    pub(crate) fn allows_everywhere(&self, need: Need) -> bool {
        self.covers(need) && self.log == Word::Any
    }

    /// Whether it allows everything that the other allows.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        self.resource.includes(&other.resource)
            && self.verb.includes(&other.verb)
            && self.log.includes(&other.log)
    }

    /// The part of it that no request of this server needs, so that it would allow nothing, and the word that was probably meant.
    pub(crate) fn unknown(&self) -> Option<(String, Option<String>)> {
        let needs = || {
            ROUTES
                .iter()
                .filter_map(|route| route.need.map(|(need, _)| need))
        };
        if needs().any(|need| self.covers(need)) {
            return None;
        }
        let word = |own: &Word, known: Vec<&'static str>| match own {
            Word::Any => "*".to_owned(),
            Word::Is(own) => nearest(own, known.iter().copied())
                .unwrap_or(own)
                .to_owned(),
        };
        let resource = word(&self.resource, needs().map(|need| need.resource).collect());
        let verbs = needs().filter(|need| resource == "*" || need.resource == resource);
        let verb = word(&self.verb, verbs.map(|need| need.verb).collect());
        let meant = format!("{resource}:{verb}:{}", self.log);
        let sound = meant
            .parse::<Self>()
            .is_ok_and(|meant| needs().any(|need| meant.covers(need)));
        Some((self.to_string(), sound.then_some(meant)))
    }

    /// Whether it covers this need on some log.
    pub(crate) fn covers(&self, need: Need) -> bool {
        self.resource.matches(need.resource) && self.verb.matches(need.verb)
    }
}

impl Word {
    fn matches(&self, word: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Is(own) => own == word,
        }
    }

    fn includes(&self, other: &Self) -> bool {
        *self == Self::Any || self == other
    }

    fn parse(text: &str) -> Option<Self> {
        let well_formed = (1..=63).contains(&text.len())
            && text
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
        match text {
            "*" => Some(Self::Any),
            _ if well_formed => Some(Self::Is(text.to_owned())),
            _ => None,
        }
    }
}

impl FromStr for Permission {
    type Err = BadPermission;

    fn from_str(text: &str) -> Result<Self, BadPermission> {
        let mut words = text.split(':').map(Word::parse);
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some(Some(resource)), Some(Some(verb)), Some(Some(log)), None) => Ok(Self {
                resource,
                verb,
                log,
            }),
            _ => Err(BadPermission(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Permission {
    type Error = BadPermission;

    fn try_from(text: String) -> Result<Self, BadPermission> {
        text.parse()
    }
}

impl From<Permission> for String {
    fn from(permission: Permission) -> Self {
        permission.to_string()
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Is(word) => f.write_str(word),
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.resource, self.verb, self.log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROTATE: Need = Need {
        resource: "shard",
        verb: "rotate",
    };

    proptest! {
        #[test]
        fn text_survives_parsing(text in r"(\*|[a-z0-9.-]{1,8}):(\*|[a-z0-9.-]{1,8}):(\*|[a-z0-9.-]{1,8})") {
            prop_assert_eq!(text.parse::<Permission>().unwrap().to_string(), text);
        }

        #[test]
        fn each_part_must_match(resource in r"\*|shard|config", verb in r"\*|rotate|read", log in r"\*|argon|boron") {
            let permission: Permission = format!("{resource}:{verb}:{log}").parse().unwrap();
            let fits = |own: &str, wanted: &str| own == "*" || own == wanted;
            let covers = fits(&resource, "shard") && fits(&verb, "rotate");
            prop_assert_eq!(permission.covers(ROTATE), covers);
            prop_assert_eq!(permission.allows(ROTATE, "argon"), covers && fits(&log, "argon"));
            prop_assert_eq!(permission.allows_everywhere(ROTATE), covers && log == "*");
        }
    }

    #[test]
    fn a_permission_that_allows_nothing_is_told_with_what_was_meant() {
        for (text, meant) in [
            ("shard:rotat:dev", Some("shard:rotate:dev")),
            ("shards:rotate:dev", Some("shard:rotate:dev")),
            ("confg:wirte:*", Some("config:write:*")),
            ("*:raed:*", Some("*:read:*")),
            ("shard:explode:dev", None),
            ("nothing:at:all", None),
        ] {
            let permission: Permission = text.parse().unwrap();
            let told = Some((text.to_owned(), meant.map(str::to_owned)));
            assert_eq!(permission.unknown(), told, "{text}");
        }
        for known in ["*:*:*", "*:read:dev", "shard:*:*", "audit:read:*"] {
            assert_eq!(
                known.parse::<Permission>().unwrap().unknown(),
                None,
                "{known}"
            );
        }
    }

    fn some() -> impl Strategy<Value = Permission> {
        (r"\*|shard|log", r"\*|rotate|read", r"\*|argon|boron")
            .prop_map(|(r, v, l)| format!("{r}:{v}:{l}").parse().unwrap())
    }

    proptest! {
        /// Oracle: every need on every log of a small world, one of them that no permission names.
        #[test]
        fn one_includes_another_if_it_allows_all_that_the_other_allows(one in some(), other in some()) {
            let allowed = |permission: &Permission| -> Vec<bool> {
                let needs = ["shard", "log", "x"].into_iter().flat_map(|resource| {
                    ["rotate", "read", "x"].map(|verb| Need { resource, verb })
                });
                needs
                    .flat_map(|need| ["argon", "boron", "x"].map(|log| permission.allows(need, log)))
                    .collect()
            };
            let superset = std::iter::zip(allowed(&one), allowed(&other)).all(|(one, other)| one || !other);
            prop_assert_eq!(one.includes(&other), superset);
            prop_assert!(one.includes(&one) && Permission::everything().includes(&one));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "", "*", "a:b", "a:b:c:d", "a::c", "A:b:c", "a:b:c ", "a:b:**", "a:b*:c", ":::",
        ] {
            assert_eq!(
                text.parse::<Permission>(),
                Err(BadPermission(text.to_owned()))
            );
        }
    }

    /// The table in the documentation of [`Permission`] says what [`ROUTES`] says.
    #[test]
    fn the_documented_table_is_the_table() {
        let mut wanted: Vec<(String, Vec<String>)> = Vec::new();
        for route in ROUTES {
            let Some((need, _)) = route.need else {
                continue;
            };
            let request = format!("`{} {}`", route.method.as_str(), route.path);
            match wanted
                .iter_mut()
                .find(|(known, _)| *known == need.to_string())
            {
                Some((_, requests)) => requests.push(request),
                None => wanted.push((need.to_string(), vec![request])),
            }
        }
        let documented: Vec<(String, Vec<String>)> = include_str!("permission.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("/// | `")?.split_once("` | "))
            .map(|(need, requests)| {
                let requests = requests.trim_end_matches(" |").split(", ");
                (need.to_owned(), requests.map(str::to_owned).collect())
            })
            .collect();
        for row in &wanted {
            assert!(documented.contains(row), "{row:?} is not documented");
        }
        assert_eq!(documented.len(), wanted.len());
    }

    #[test]
    fn a_log_named_like_a_wildcard_is_not_everything() {
        let one: Permission = "shard:rotate:argon".parse().unwrap();
        assert!(!one.allows(ROTATE, "*"));
    }
}
