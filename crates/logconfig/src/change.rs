//! From the running configuration to another: the changes that would be made, or everything that forbids them.
//!
//! A shard goes planned, active, frozen, one step at a time and never back; no shard but a planned one disappears, and none changes place;
//! nothing that others rely on (origins, keys, tree IDs, the bounds of frozen shards) changes. The caller compares whether the document was
//! made from the running generation.

use std::collections::{HashMap, HashSet};

use crate::announced::Announced;
use crate::diff::{Difference, diff};
use crate::finding::{Finding, Problem, quote};
use crate::model::{LogConfig, ShardConfig, ShardState};
use crate::name::ShardName;

/// The effects of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DocumentChange {
    /// New shards, in order: each needs an origin and a key before the decision.
    pub plan: Vec<ShardName>,
    /// The shard that opens; the running active one freezes in the same decision. May also be in `plan`.
    pub open: Option<ShardName>,
    /// In an operator's words. Empty: nothing to do.
    pub differences: Vec<Difference>,
}

/// Compares `next` with the running configuration. `running` has the fields that the server fills in; if `next` has them too, they must be
/// the same. A `next` whose content is the running one's is a [`DocumentChange`] without differences, whatever its generation.
///
/// # Errors
/// All findings, with pointers into `next`; [`crate::locate`] adds lines and columns.
pub fn change(running: &LogConfig, next: &LogConfig) -> Result<DocumentChange, Vec<Finding>> {
    let mut next = next.clone().keeping_announced(running);
    next.fill_origin();
    if next.log != running.log {
        let message = format!(
            "the document is for the log {}, this is {}",
            next.log, running.log
        );
        return Err(vec![
            Problem::new("other-log", message)
                .hint("choose the other log, or the other file")
                .at("/log"),
        ]);
    }
    let differences = diff(running, &next);
    let mut compared = Comparison {
        running,
        next: &next,
        findings: Vec::new(),
    };
    if differences.is_empty() {
        compared.filled_fields();
    } else {
        compared.everything();
    }
    if !compared.findings.is_empty() {
        return Err(compared.findings);
    }
    let known: HashSet<_> = running.shards.iter().map(|shard| &shard.name).collect();
    let plan: Vec<ShardName> = next
        .shards
        .iter()
        .map(|shard| &shard.name)
        .filter(|name| !known.contains(name))
        .cloned()
        .collect();
    if let Some(finding) = next.validate_planned(plan.len()) {
        return Err(vec![finding]);
    }
    Ok(DocumentChange {
        plan,
        open: opened(running, &next).cloned(),
        differences,
    })
}

/// The shard that is active in `next` and not in `running`.
fn opened<'a>(running: &LogConfig, next: &'a LogConfig) -> Option<&'a ShardName> {
    let active = next.active().map(|shard| &shard.name)?;
    let was = running.active().map(|shard| &shard.name);
    (was != Some(active)).then_some(active)
}

struct Comparison<'a> {
    running: &'a LogConfig,
    next: &'a LogConfig,
    findings: Vec<Finding>,
}

impl<'a> Comparison<'a> {
    fn report(&mut self, problem: Problem, pointer: impl Into<String>) {
        self.findings.push(problem.at(pointer));
    }

    fn has(&self, code: &str) -> bool {
        self.findings.iter().any(|finding| finding.code == code)
    }

    fn has_step(&self) -> bool {
        [
            "shard-reopened",
            "shard-replanned",
            "never-opened",
            "opens-more-than-one",
        ]
        .into_iter()
        .any(|code| self.has(code))
    }

    fn everything(&mut self) {
        self.findings = self.next.validate();
        if self.next.origin != self.running.origin {
            let message = format!(
                "the origin is {} and cannot change: every checkpoint bears it",
                self.running.origin
            );
            self.report(Problem::new("origin-changed", message), "/origin");
        }
        if self.next.origin_form != self.running.origin_form {
            let message = format!(
                "the form of the origins is {} and cannot change: every checkpoint bears its origin",
                self.running.origin_form.as_str()
            );
            self.report(
                Problem::new("origin-form-changed", message)
                    .hint("put it back; a log with origins of the other form is a new log"),
                "/originForm",
            );
        }
        if self.next.shards.is_empty() && !self.running.shards.is_empty() {
            let names = self
                .running
                .shards
                .iter()
                .map(|shard| shard.name.as_str())
                .collect::<Vec<_>>()
                .join(", ");
            let problem = Problem::new(
                "shard-dropped",
                format!("the document lists no shards, the log has {names}"),
            );
            self.report(
                problem.hint(
                    "start from the running configuration: `logctl shard --create-config FILE`",
                ),
                "/shards",
            );
            return;
        }
        let running: HashMap<_, _> = self
            .running
            .shards
            .iter()
            .map(|shard| (&shard.name, shard))
            .collect();
        let mut met = HashSet::new();
        for (index, shard) in self.next.shards.iter().enumerate() {
            if !met.insert(&shard.name) {
                continue;
            }
            match running.get(&shard.name) {
                Some(running) => self.transition(index, running, shard),
                None => self.new_shard(index, shard),
            }
        }
        for shard in self
            .running
            .shards
            .iter()
            .filter(|shard| !met.contains(&shard.name))
            // Nothing was ever written into a planned shard, so it may be taken back.
            .filter(|shard| shard.state != ShardState::Planned)
        {
            let message = format!(
                "shard {} ({}) is missing: no shard that was opened ever disappears",
                shard.name, shard.state
            );
            self.report(
                Problem::new("shard-dropped", message).hint("put it back where it was"),
                "/shards",
            );
        }
        // A step that is not allowed often puts a state out of order too; the step is what was done.
        if self.has_step() {
            self.findings
                .retain(|finding| finding.code != "shards-reordered");
        } else {
            self.order(&met);
        }
        self.active();
        self.filled_fields();
    }

    fn transition(&mut self, index: usize, running: &ShardConfig, next: &ShardConfig) {
        use ShardState::{Active, Frozen, Planned};
        let name = &next.name;
        if next.key != running.key {
            let message = format!(
                "the key of shard {name} is {} and cannot change: a shard keeps its key",
                running.key.algorithm.as_str()
            );
            self.report(
                Problem::new("key-changed", message).hint(
                    "put it back; `key` of the log is that of the next shard that is created",
                ),
                format!("/shards/{index}/key"),
            );
        }
        let problem = match (running.state, next.state) {
            (Frozen, Active | Planned) => Problem::new(
                "shard-reopened",
                format!("shard {name} is frozen, and stays so"),
            )
            .hint("open another one instead; a frozen log takes entries again after `logctl shard unfreeze`"),
            (Active, Planned) => Problem::new(
                "shard-replanned",
                format!("shard {name} is active and cannot be planned again"),
            ),
            (Planned, Frozen) => self.skipped(name, "planned"),
            (Planned, Planned | Active) | (Active, Active | Frozen) | (Frozen, Frozen) => return,
        };
        self.report(problem, format!("/shards/{index}/state"));
    }

    fn new_shard(&mut self, index: usize, shard: &ShardConfig) {
        if shard.state == ShardState::Frozen {
            let problem = self.skipped(&shard.name, "new");
            self.report(problem, format!("/shards/{index}/state"));
            return;
        }
        for (field, _, value) in filled(shard) {
            if let Some(value) = value {
                let message = format!(
                    "shard {} is new, so its {field} cannot be {} already",
                    shard.name,
                    quote(&value)
                );
                self.report(
                    Problem::new("server-filled", message)
                        .hint("leave it out: the server fills it in"),
                    format!("/shards/{index}/{field}"),
                );
            }
        }
    }

    /// A shard that would be frozen without ever having been active.
    fn skipped(&self, name: &ShardName, was: &str) -> Problem {
        if opened(self.running, self.next).is_some() {
            Problem::new("opens-more-than-one", format!("shard {name} is {was} and would open and freeze in the same change that opens another"))
                .hint("rotate once per change; a shard that is not needed stays planned")
        } else {
            Problem::new(
                "never-opened",
                format!("shard {name} is {was} and cannot be frozen before it was active"),
            )
        }
    }

    fn active(&mut self) {
        if self.next.active().is_some() || self.has("no-active-shard") {
            return;
        }
        if let Some(active) = self.running.active() {
            let message = format!("no shard is active; {} is the active one now", active.name);
            let problem = Problem::new("no-active-shard", message);
            self.report(
                problem.hint("make another shard active; to stop writes use `logctl shard freeze`"),
                "/shards",
            );
        }
    }

    /// The shards that both have come in the same order. The one that opens may pass other planned ones: it then comes behind
    /// all that are or were open, which validation checks.
    fn order(&mut self, met: &HashSet<&ShardName>) {
        if self.has("shards-reordered") {
            return;
        }
        let opened = opened(self.running, self.next);
        let before: Vec<_> = self
            .running
            .shards
            .iter()
            .map(|shard| &shard.name)
            .filter(|name| met.contains(name) && Some(*name) != opened)
            .collect();
        let known: HashSet<_> = before.iter().copied().collect();
        let after = self
            .next
            .shards
            .iter()
            .enumerate()
            .filter(|(_, shard)| known.contains(&shard.name));
        let moved = before
            .iter()
            .zip(after)
            .find(|(name, (_, shard))| **name != &shard.name);
        if let Some((expected, (index, found))) = moved {
            let message = format!(
                "shard {} comes where {expected} was: shards keep their order",
                found.name
            );
            self.report(
                Problem::new("shards-reordered", message).hint("shards are listed oldest first"),
                format!("/shards/{index}"),
            );
        }
    }

    /// Checks the fields that the server fills in, if the document has them too.
    fn filled_fields(&mut self) {
        let running: HashMap<_, _> = self
            .running
            .shards
            .iter()
            .map(|shard| (&shard.name, shard))
            .collect();
        for (index, next) in self.next.shards.iter().enumerate() {
            let Some(shard) = running.get(&next.name) else {
                continue;
            };
            for ((field, code, known), (_, _, given)) in filled(shard).into_iter().zip(filled(next))
            {
                // Of a frozen shard no record is kept.
                if field == "announced" && next.state == ShardState::Frozen {
                    continue;
                }
                let Some(given) = given.filter(|given| known.as_ref() != Some(given)) else {
                    continue;
                };
                let frozen = shard.state == ShardState::Frozen;
                let what = format!("shard {}: its {field}", next.name);
                let problem = match known {
                    Some(known) if frozen => {
                        let message = format!(
                            "{what} is {}, not {}, and a frozen shard never changes",
                            quote(&known),
                            quote(&given)
                        );
                        Problem::new("frozen-shard-changed", message)
                    }
                    Some(known) => Problem::new(
                        code,
                        format!("{what} is {}, not {}", quote(&known), quote(&given)),
                    ),
                    // Published a moment ago elsewhere and not known here yet: it is never stored from a document anyway.
                    None if frozen && field == "rootHash" => continue,
                    None => Problem::new(
                        code,
                        format!("{what} is not known yet, so it cannot be {}", quote(&given)),
                    ),
                };
                self.report(
                    problem.hint("leave it out: the server fills it in"),
                    format!("/shards/{index}/{field}"),
                );
            }
        }
    }
}

/// The fields that the server fills in: name, code of a mismatch, value.
fn filled(shard: &ShardConfig) -> [(&'static str, &'static str, Option<String>); 7] {
    [
        (
            "startIndex",
            "start-index-mismatch",
            shard.start_index.map(|n| n.to_string()),
        ),
        (
            "length",
            "length-mismatch",
            shard.length.map(|n| n.to_string()),
        ),
        ("rootHash", "root-hash-mismatch", shard.root_hash.clone()),
        ("treeId", "tree-id-mismatch", shard.tree_id.clone()),
        ("vkey", "vkey-mismatch", shard.vkey.clone()),
        ("ecdsaVkey", "vkey-mismatch", shard.ecdsa_vkey.clone()),
        (
            "announced",
            "announced-mismatch",
            shard.announced.as_ref().map(Announced::text),
        ),
    ]
}
