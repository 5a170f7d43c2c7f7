//! Many lives, on all cores, until one fails.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use order::mutant::Mutant;

use crate::apart;
use crate::judge::Violation;
use crate::life::{self, Outcome};
use crate::plan::Plan;
use crate::trace::Detail;

/// The kind of lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// Small windows, eager writers, storms: [`crate::short`].
    pub short: bool,
    /// Without this rule; they are short, too.
    pub mutant: Option<Mutant>,
    /// Members change, disks are lost, and the log is restored: [`crate::members`].
    pub members: bool,
}

impl Kind {
    /// The plan of a seed.
    pub fn plan(self, seed: u64) -> Plan {
        match (self.short || self.mutant.is_some(), self.members) {
            (true, false) => Plan::short(seed, self.mutant),
            (_, true) => {
                let mut plan = Plan::with_members(seed);
                plan.short.mutant = self.mutant;
                plan
            }
            (false, false) => Plan::of(seed),
        }
    }
}

/// Lives a plan; on a thread of its own where a rule is left out.
pub fn live(plan: Plan, detail: Detail) -> Outcome {
    match plan.short.mutant {
        Some(_) => apart::live(plan, detail),
        None => life::live(plan, detail),
    }
}

/// The lives that are to be lived.
#[derive(Clone, Debug)]
pub struct Lives {
    /// Whether they are short, and which rule is left out.
    pub kind: Kind,
    /// The seed of the first life; the others count up from it.
    pub first: u64,
    /// How many there are.
    pub count: u64,
    /// Lives of these seeds and kinds, whatever the numbers say.
    pub listed: Option<Vec<(u64, Kind)>>,
    /// No life begins after this time.
    pub most: Option<Duration>,
    /// How many are lived at a time.
    pub threads: usize,
    /// Continue after a failure.
    pub keep_going: bool,
    /// Each seed twice: it must leave the same trace.
    pub twice: bool,
}

/// What came of them.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Lives that were lived.
    pub lives: u64,
    /// The time that passed in them.
    pub age: Duration,
    /// Operations of stores and peers.
    pub operations: u64,
    /// The most of them in one life, and its seed.
    pub longest: (u64, u64),
    /// Entries that writers were told the place of.
    pub acked: u64,
    /// The seeds that failed, with the rule that was broken, in the order in which they were lived.
    pub failed: Vec<(u64, Kind, Violation)>,
}

impl Lives {
    fn nth(&self, nth: u64) -> Option<(u64, Kind)> {
        match &self.listed {
            Some(listed) => listed.get(usize::try_from(nth).ok()?).copied(),
            None => (nth < self.count).then(|| (self.first.saturating_add(nth), self.kind)),
        }
    }

    /// Lives them all, or until one fails: then exactly those before it, too. `failed` is called with each that fails.
    pub fn live(&self, failed: impl Fn(u64, &Violation) + Sync) -> Totals {
        let began = Instant::now();
        let (next, last) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        let all = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let late = self.most.is_some_and(|most| began.elapsed() >= most);
                        let nth = next.fetch_add(1, Relaxed);
                        let life = self.nth(nth).filter(|_| !late && nth < last.load(Relaxed));
                        let Some((seed, kind)) = life else { return };
                        let outcome = self.one(seed, kind);
                        if let Some(violation) = &outcome.violation {
                            failed(seed, violation);
                            if !self.keep_going {
                                last.fetch_min(nth, Relaxed);
                            }
                        }
                        let lived = (
                            nth,
                            (seed, kind),
                            Outcome {
                                lines: Vec::new(),
                                ..outcome
                            },
                        );
                        all.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(lived);
                    }
                });
            }
        });
        let last = last.into_inner();
        let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(nth, ..)| *nth <= last);
        all.sort_by_key(|(nth, ..)| *nth);
        let mut totals = Totals::default();
        for (_, (seed, kind), outcome) in all {
            totals.lives += 1;
            totals.age += outcome.age;
            totals.operations += outcome.hash.1;
            totals.longest = totals.longest.max((outcome.hash.1, seed));
            totals.acked += outcome.counts.acked;
            totals
                .failed
                .extend(outcome.violation.map(|found| (seed, kind, found)));
        }
        totals
    }

    fn one(&self, seed: u64, kind: Kind) -> Outcome {
        let plan = kind.plan(seed);
        let mut outcome = live(plan.clone(), Detail::Events);
        if self.twice && live(plan, Detail::Events).hash != outcome.hash {
            outcome.violation = Some(Violation {
                rule: "a seed is one life",
                what: "the second time it left another trace".to_owned(),
            });
        }
        outcome
    }
}
