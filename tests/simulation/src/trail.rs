//! The judge of the audit trail: every change was announced, and has one outcome that fits what was decided and what its author was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::judge::Judge;
use crate::writer::LOG;

/// The last word that an operator got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The change was made.
    Decided,
    /// The log was like this already.
    Unchanged,
    /// It was not made, and never will be.
    Refused,
}

/// What operators were told, by the name under which they asked.
#[derive(Debug, Default)]
pub struct Trail(Mutex<BTreeMap<String, Told>>);

/// An intent, and the outcomes that follow it.
#[derive(Debug, Default)]
struct Intent {
    operation: String,
    log: String,
    action: String,
    actor: String,
    outcomes: Vec<String>,
}

impl Trail {
    fn told(&self) -> MutexGuard<'_, BTreeMap<String, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An operator got an answer that is final, whatever was sent before.
    pub fn tell(&self, actor: &str, told: Told) {
        self.told().insert(actor.to_owned(), told);
    }

    /// The trail is lost with the stores.
    pub fn lost(&self) {
        self.told().clear();
    }

    /// Judges the entries of the trail, by the operations that the log's history says were decided.
    pub fn judge(&self, judge: &Judge, decided: &[String], trail: &[Vec<u8>]) {
        let decided: BTreeSet<&str> = decided.iter().map(String::as_str).collect();
        let intents = match read(trail) {
            Ok(intents) => intents,
            Err(what) => return judge.object("an outcome follows its intent", what),
        };
        for (index, intent) in &intents {
            let outcomes: Vec<&str> = intent.outcomes.iter().map(String::as_str).collect();
            if !matches!(outcomes[..], [_] | ["not-decided", "decided"]) {
                let what = format!("{index}: {intent:?}");
                judge.object("an intent has one outcome", what);
            }
        }
        let changes = || intents.values().filter(|one| one.action != "confirm");
        let verdicts = |of: &dyn Fn(&Intent) -> bool| {
            let of = changes().filter(|intent| of(intent));
            of.flat_map(|intent| intent.outcomes.clone())
                .collect::<BTreeSet<_>>()
        };
        for operation in &decided {
            let found = verdicts(&|intent| intent.operation == *operation);
            if found.is_empty() {
                let what = format!("operation {operation}");
                judge.object("no change without an intent", what);
            }
            // A process may not have learned it. Where another one settled the intent before it was decided, the trail says so later.
            let fits = ["decided", "unknown"];
            if !fits.iter().any(|fits| found.contains(*fits)) {
                let what = format!("operation {operation} was decided, the trail says {found:?}");
                judge.object("the trail says what became of a change", what);
            }
        }
        for intent in changes().filter(|intent| intent.log == LOG) {
            let says = intent.outcomes.iter().any(|outcome| outcome == "decided");
            if says && !decided.contains(intent.operation.as_str()) {
                let what = format!("not in the history: {intent:?}");
                judge.object("the trail says what became of a change", what);
            }
        }
        for (actor, told) in self.told().iter() {
            let found = verdicts(&|intent| intent.actor == *actor);
            let fits = match told {
                Told::Decided => found.contains("decided"),
                // Where the outcome was lost, the history has no trace of it.
                Told::Unchanged => found.contains("unchanged") || found.contains("not-decided"),
                Told::Refused => found.iter().all(|f| f == "refused" || f == "not-decided"),
            };
            if !fits {
                let what = format!("{actor} was told {told:?}, the trail says {found:?}");
                judge.object("the trail says what became of a change", what);
            }
        }
    }
}

/// The intents of a trail by their index, with their outcomes.
fn read(trail: &[Vec<u8>]) -> Result<BTreeMap<u64, Intent>, String> {
    let mut intents: BTreeMap<u64, Intent> = BTreeMap::new();
    for (index, entry) in (0..).zip(trail) {
        let record: serde_json::Value =
            serde_json::from_slice(entry).map_err(|e| format!("entry {index}: {e}"))?;
        let text = |field: &str| record[field].as_str().unwrap_or_default().to_owned();
        match record["kind"].as_str() {
            Some("intent") => {
                let intent = Intent {
                    operation: text("operation"),
                    log: text("log"),
                    action: text("action"),
                    actor: text("actor"),
                    outcomes: Vec::new(),
                };
                intents.insert(index, intent);
            }
            Some("outcome") => {
                let of = record["intent"].as_u64();
                let intent = of.and_then(|of| intents.get_mut(&of));
                let intent = intent.filter(|intent| intent.operation == text("operation"));
                let intent = intent.ok_or_else(|| format!("entry {index}: {record}"))?;
                intent.outcomes.push(text("result"));
            }
            _ => {}
        }
    }
    Ok(intents)
}
