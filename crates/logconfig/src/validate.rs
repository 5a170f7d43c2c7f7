//! The rules for a document by itself. The rules between it and the running one are in [`crate::change`].

use std::collections::HashMap;

use crate::check::PLACEHOLDER;
use crate::finding::{Finding, Problem, quote};
use crate::merge::WitnessConfig;
use crate::model::{LogConfig, OriginForm, ShardState};
use crate::name::{MAX_NAME, NameError, SYSTEM, is_label};
use crate::next;
use crate::span::Span;

/// Longest origin, in bytes. With a shard's name it is the key name in every note.
pub const MAX_ORIGIN: usize = 200;

/// Most planned shards that a log may have when one more is planned.
pub const MAX_PLANNED: usize = 256;

impl LogConfig {
    /// The finding about planning another `new` shards beside the waiting ones, if any. A change that plans none passes: it only opens
    /// some.
    pub(crate) fn validate_planned(&self, new: usize) -> Option<Finding> {
        let planned = |shard: &&crate::model::ShardConfig| shard.state == ShardState::Planned;
        let count = self.shards.iter().filter(planned).count();
        (new > 0 && count > MAX_PLANNED).then(|| {
            let message = format!("{count} shards would be planned, at most {MAX_PLANNED} may be");
            Problem::new("too-many", message)
                .hint("plan fewer ahead: a rotation plans the shard that it opens")
                .at("/shards")
        })
    }

    /// Everything that is wrong with the document by itself; empty when nothing is. A document without shards is valid: see
    /// [`LogConfig::with_first_shard`].
    #[must_use]
    pub fn validate(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.log.as_str() == SYSTEM {
            findings.push(NameError::Reserved.problem(SYSTEM).at("/log"));
        }
        let host = match self.origin_form {
            OriginForm::Path => None,
            OriginForm::Host => host(&self.origin),
        };
        if let Some(problem) = origin(&self.origin).or(host) {
            findings.push(problem.at("/origin"));
        }
        if let Err(problem) = next::check_template(&self.rotate.name, self.origin_form) {
            findings.push(problem.at("/rotate/name"));
        }
        if self.rotate.max_entries == Some(0) {
            findings.push(
                Problem::new("out-of-range", "a shard with 0 entries is never rotated")
                    .hint("at least 1; leave the field out to never rotate by size")
                    .at("/rotate/maxEntries"),
            );
        }
        let merge = &self.merge;
        // Absent is in range.
        let max_age = self.rotate.max_age.unwrap_or(Span::from_secs(1));
        let (witness_pointer, shortest, longest) = WitnessConfig::RANGE;
        let ranges = [
            (
                "/rotate/maxAge",
                max_age,
                Span::from_secs(1),
                Span::from_secs(3650 * 86_400),
            ),
            (
                "/rotate/settle",
                self.rotate.settle.unwrap_or(Span::from_secs(0)),
                Span::from_secs(0),
                Span::from_secs(3650 * 86_400),
            ),
            (
                "/merge/checkpointInterval",
                merge.checkpoint_interval,
                Span::from_millis(10),
                Span::from_secs(60),
            ),
            (
                "/merge/idleRepublish",
                merge.idle_republish,
                Span::from_secs(1),
                Span::from_secs(86_400),
            ),
            (witness_pointer, self.witnesses.timeout, shortest, longest),
        ];
        let mut interval = merge.checkpoint_interval;
        for (pointer, span, least, most) in ranges {
            if !(least..=most).contains(&span) {
                if pointer == "/merge/checkpointInterval" {
                    // Nothing can be compared with it.
                    interval = least;
                }
                findings.push(
                    Problem::new(
                        "out-of-range",
                        format!("{span} is not between {least} and {most}"),
                    )
                    .at(pointer),
                );
            }
        }
        findings.append(&mut self.qos.validate(interval));
        findings.append(&mut merge.validate());
        findings.append(&mut self.witnesses.validate());
        let active = self.active_algorithm().unwrap_or(self.key.algorithm);
        let keys = [active, self.key.algorithm];
        findings.append(&mut self.rekor.validate(self.origin_form, keys));
        self.validate_states(&mut findings);
        self.validate_labels(&mut findings);
        self.validate_unique(&mut findings);
        self.validate_filled(&mut findings);
        findings
    }

    /// Checks the order of the states: frozen shards, at most one active, planned ones.
    fn validate_states(&self, findings: &mut Vec<Finding>) {
        let rank = |state| match state {
            ShardState::Frozen => 0,
            ShardState::Active => 1,
            ShardState::Planned => 2,
        };
        // By name; by place where the name is wrong and was replaced.
        let label = |index: usize| match self.shards.get(index).map(|shard| shard.name.as_str()) {
            Some(name) if !name.starts_with(PLACEHOLDER) => format!("shard {name}"),
            _ => format!("shards[{index}]"),
        };
        let (mut active, mut latest) = (None, (0, ShardState::Frozen));
        for (index, shard) in self.shards.iter().enumerate() {
            let pointer = format!("/shards/{index}/state");
            if shard.state == ShardState::Active {
                if let Some(first) = active {
                    let message = format!(
                        "{} is active, and so is {}: only one can be",
                        label(index),
                        label(first)
                    );
                    let problem = Problem::new("two-active-shards", message);
                    findings.push(
                        problem
                            .hint("make one of them frozen or planned")
                            .at(&pointer),
                    );
                }
                active = active.or(Some(index));
            }
            let (before, state) = latest;
            if rank(shard.state) < rank(state) {
                let message = format!(
                    "{} is {}, but comes after {}, which is {state}",
                    label(index),
                    shard.state,
                    label(before)
                );
                let problem = Problem::new("shards-reordered", message);
                findings.push(
                    problem
                        .hint("shards are listed oldest first: frozen, active, planned")
                        .at(&pointer),
                );
            } else {
                latest = (index, shard.state);
            }
        }
        // A log whose shards are all planned never took a write; one with a frozen shard and no active one may be frozen.
        if !self.shards.is_empty()
            && self
                .shards
                .iter()
                .all(|shard| shard.state == ShardState::Planned)
        {
            let problem = Problem::new(
                "no-active-shard",
                "no shard is active, so the log could take no writes",
            );
            findings.push(
                problem
                    .hint("give the oldest shard `state: active`")
                    .at("/shards"),
            );
        }
    }

    /// Checks that names which begin a host name are one label of it.
    fn validate_labels(&self, findings: &mut Vec<Finding>) {
        for (index, shard) in self.shards.iter().enumerate() {
            let name = shard.name.as_str();
            let wrong = self.origin_form == OriginForm::Host
                && !name.starts_with(PLACEHOLDER)
                && !is_label(name);
            if wrong {
                let message = format!(
                    "shard {name} can't begin a host name: with `originForm: host` its origin would be {}",
                    self.shard_origin(name)
                );
                findings.push(
                    Problem::new("not-a-label", message)
                        .hint("choose a name without dots that does not end in a hyphen")
                        .at(format!("/shards/{index}/name")),
                );
            }
        }
    }

    fn validate_unique(&self, findings: &mut Vec<Finding>) {
        let mut seen: HashMap<(&str, &str), usize> = HashMap::new();
        for (index, shard) in self.shards.iter().enumerate() {
            let fields = [
                ("name", "name-reused", Some(shard.name.as_str())),
                ("treeId", "tree-id-reused", shard.tree_id.as_deref()),
                ("vkey", "key-reused", shard.vkey.as_deref()),
                ("ecdsaVkey", "key-reused", shard.ecdsa_vkey.as_deref()),
            ];
            for (field, code, value) in fields {
                let Some(value) = value else { continue };
                if let Some(first) = seen.get(&(field, value)) {
                    let message = format!(
                        "{field} {} is already that of shards[{first}]; each is used once, for good",
                        quote(value)
                    );
                    findings
                        .push(Problem::new(code, message).at(format!("/shards/{index}/{field}")));
                } else {
                    seen.insert((field, value), index);
                }
            }
        }
    }

    /// Checks the form of the fields that the server fills in; their values are compared with the running configuration's.
    fn validate_filled(&self, findings: &mut Vec<Finding>) {
        for (index, shard) in self.shards.iter().enumerate() {
            let bad = |value: &Option<String>, fits: fn(&str) -> bool| {
                value.clone().filter(|value| !fits(value))
            };
            let fields = [
                (
                    "rootHash",
                    bad(&shard.root_hash, is_root),
                    "64 lowercase hex digits",
                ),
                (
                    "treeId",
                    bad(&shard.tree_id, is_tree_id),
                    "a positive decimal number below 2^63",
                ),
                (
                    "vkey",
                    bad(&shard.vkey, is_vkey),
                    "a verifier key, NAME+ID+KEY",
                ),
                (
                    "ecdsaVkey",
                    bad(&shard.ecdsa_vkey, is_vkey),
                    "a verifier key, NAME+ID+KEY",
                ),
            ];
            for (field, value, form) in fields {
                if let Some(value) = value {
                    let problem =
                        Problem::new("bad-value", format!("{} is not {form}", quote(&value)));
                    findings.push(
                        problem
                            .hint("leave it out: the server fills it in")
                            .at(format!("/shards/{index}/{field}")),
                    );
                }
            }
        }
    }
}

fn is_root(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_tree_id(text: &str) -> bool {
    text.parse::<i64>()
        .is_ok_and(|id| id > 0 && id.to_string() == text)
}

fn is_vkey(text: &str) -> bool {
    text.len() <= 1024
        && text.bytes().all(|b| b.is_ascii_graphic())
        && text.split('+').filter(|part| !part.is_empty()).count() >= 3
}

/// C2SP tlog-checkpoint: a schema-less URL without trailing slash; C2SP signed-note: a key name has no spaces and no plus.
fn origin(origin: &str) -> Option<Problem> {
    let message = if origin.is_empty() {
        "an origin is not empty".to_owned()
    } else if origin.len() > MAX_ORIGIN {
        format!(
            "an origin has at most {MAX_ORIGIN} bytes, this one {}",
            origin.len()
        )
    } else if !origin.bytes().all(|b| b.is_ascii_graphic() && b != b'+') {
        format!(
            "the origin {} has characters other than printable ASCII, or a space or `+`",
            quote(origin)
        )
    } else if origin.contains("://") {
        return Some(
            Problem::new(
                "bad-origin",
                format!("the origin {} has a scheme", quote(origin)),
            )
            .hint("leave out `https://`"),
        );
    } else if origin.starts_with('/') || origin.ends_with('/') || origin.contains("//") {
        format!(
            "the origin {} starts or ends with a slash, or has two in a row",
            quote(origin)
        )
    } else {
        return None;
    };
    Some(
        Problem::new("bad-origin", message)
            .hint("a domain and path, for example log.example.org/argon"),
    )
}

/// With a shard's name and a dot before it, it is a host name (RFC 1123), in lower case as URLs have it.
fn host(origin: &str) -> Option<Problem> {
    const LONGEST: usize = 253 - MAX_NAME - 1;
    let message = if origin.contains('/') {
        "has a slash"
    } else if origin.contains(':') {
        "has a port"
    } else if origin.len() > LONGEST {
        "is too long to be the end of a host name"
    } else if !origin.split('.').all(is_label) {
        "is no host name in lower case"
    } else {
        return None;
    };
    let message = format!(
        "the origin {} {message}: with `originForm: host` the shards' origins are SHARD.ORIGIN",
        quote(origin)
    );
    Some(Problem::new("bad-origin", message).hint("a domain, for example log.example.org"))
}
