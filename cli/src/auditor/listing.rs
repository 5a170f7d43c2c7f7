//! The public list of shards, and the rules that hold between shards.
//!
//! The list is the server's word. Signatures are checked elsewhere. This module checks that the global index has no gap and no overlap, and
//! that no two shards pretend to be one.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use super::report::Findings;

/// The path of the list.
pub(super) const PATH: &str = "shards";

/// The life of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Planned,
    Active,
    Frozen,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            State::Planned => "planned",
            State::Active => "active",
            State::Frozen => "frozen",
        }
    }
}

/// A shard as listed. Further fields are allowed: servers newer than this program may have them.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) state: State,
    /// A decimal number, as text or as a number.
    tree_id: Value,
    pub(super) origin: String,
    pub(super) vkey: String,
    /// The second key, which has to sign each checkpoint as well.
    #[serde(default)]
    pub(super) ecdsa_vkey: Option<String>,
    #[serde(default)]
    pub(super) start_index: Option<u64>,
    /// The length of a shard that accepts no more entries.
    #[serde(default)]
    pub(super) length: Option<u64>,
}

impl Listed {
    pub(super) fn checkpoint_path(&self) -> String {
        format!("{}/checkpoint", self.name)
    }

    pub(super) fn seal_path(&self) -> String {
        format!("{}/seal", self.name)
    }

    fn tree(&self) -> Option<u64> {
        match &self.tree_id {
            Value::String(text) => text.parse().ok(),
            number => number.as_u64(),
        }
    }
}

pub(super) fn parse(bytes: Option<&[u8]>) -> Result<Vec<Listed>, String> {
    let bytes = bytes.ok_or("there is no list of shards")?;
    serde_json::from_slice(bytes).map_err(|error| format!("not a list of shards: {error}"))
}

/// Whether nothing opened or closed between two readings.
pub(super) fn same_states(one: &[Listed], other: &[Listed]) -> bool {
    let states = |list: &[Listed]| {
        list.iter()
            .map(|shard| (shard.name.clone(), shard.state))
            .collect::<Vec<_>>()
    };
    states(one) == states(other)
}

/// The rules between shards.
pub(super) fn check(shards: &[Listed], findings: &mut Findings) {
    unique(shards, "name", |shard| Some(shard.name.clone()), findings);
    unique(
        shards,
        "origin",
        |shard| Some(shard.origin.clone()),
        findings,
    );
    // The name and the id of a key belong to its origin: the key itself must not be shared.
    unique(
        shards,
        "key",
        |shard| shard.vkey.splitn(3, '+').nth(2).map(str::to_owned),
        findings,
    );
    let material = |vkey: &str| vkey.splitn(3, '+').nth(2).map(str::to_owned);
    unique(
        shards,
        "ECDSA key",
        |shard| shard.ecdsa_vkey.as_deref().and_then(material),
        findings,
    );
    unique(
        shards,
        "tree ID",
        |shard| shard.tree().map(|tree| tree.to_string()),
        findings,
    );
    let mut add = |code, message| findings.add(code, PATH, message);
    for shard in shards.iter().filter(|shard| shard.tree().is_none()) {
        add(
            "list-invalid",
            format!("the tree ID of shard {} is not a number", shard.name),
        );
    }
    let mut previous: Option<&Listed> = None;
    for shard in shards {
        let name = &shard.name;
        if shard.state == State::Planned {
            if let Some(at) = shard.start_index {
                add(
                    "index-gap",
                    format!("shard {name} is not open yet, but starts at {at}"),
                );
            }
        } else {
            match previous {
                Some(planned) if planned.state == State::Planned => {
                    add(
                        "shard-order",
                        format!(
                            "shard {name} is open, but shard {} before it is not",
                            planned.name
                        ),
                    );
                }
                Some(active) if active.state == State::Active => {
                    add(
                        "shard-order",
                        format!(
                            "shard {name} is open, but shard {} before it is still",
                            active.name
                        ),
                    );
                }
                Some(frozen) => follows(frozen, shard, &mut add),
                None if shard.start_index != Some(0) => {
                    add(
                        "index-gap",
                        format!("shard {name} is the first one, but does not start at 0"),
                    );
                }
                None => {}
            }
        }
        previous = Some(shard);
    }
}

fn follows(frozen: &Listed, shard: &Listed, add: &mut impl FnMut(&'static str, String)) {
    let end = frozen
        .start_index
        .zip(frozen.length)
        .and_then(|(start, length)| start.checked_add(length));
    match (end, shard.start_index) {
        (Some(end), Some(start)) if end == start => {}
        (Some(end), Some(start)) => add(
            "index-gap",
            format!(
                "shard {} ends at {end}, but shard {} starts at {start}",
                frozen.name, shard.name
            ),
        ),
        (None, _) => add(
            "index-gap",
            format!(
                "shard {} is frozen, but where it ends is not listed",
                frozen.name
            ),
        ),
        (_, None) => add(
            "index-gap",
            format!(
                "shard {} is open, but where it starts is not listed",
                shard.name
            ),
        ),
    }
}

fn unique(
    shards: &[Listed],
    what: &str,
    value: impl Fn(&Listed) -> Option<String>,
    findings: &mut Findings,
) {
    let mut seen = BTreeSet::new();
    for shard in shards {
        if let Some(value) = value(shard)
            && !seen.insert(value)
        {
            findings.add(
                "shard-duplicate",
                PATH,
                format!("the {what} of shard {} is used twice", shard.name),
            );
        }
    }
}
