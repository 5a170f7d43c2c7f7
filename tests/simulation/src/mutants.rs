//! Rules that are left out on purpose: for each, lives until somebody misses it.

use order::mutant::Mutant;

use crate::life;
use crate::many::{Kind, Lives};
use crate::plan::Plan;
use crate::trace::Detail;

/// The mutant of a name.
///
/// # Errors
/// There is none; with the names that there are.
pub fn named(name: &str) -> Result<Mutant, String> {
    let all = || Mutant::ALL.iter();
    let found = all().find(|mutant| mutant.name() == name).copied();
    found.ok_or_else(|| {
        let names: Vec<_> = all().map(|mutant| mutant.name()).collect();
        format!("no mutant has this name; there are {}", names.join(", "))
    })
}

/// How a mutant was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The seed whose life failed.
    pub seed: u64,
    /// The lives up to that one.
    pub lives: u64,
    /// The days that passed in them.
    pub days: f64,
    /// The rule that was broken.
    pub rule: &'static str,
    /// The facts that contradict each other.
    pub what: String,
}

/// Lives of one mutant, until one fails that does not fail with the rule in place; `None` when none did, with the seeds that fail in
/// any case.
pub fn find(mutant: Mutant, lives: &Lives) -> (Option<Found>, Vec<u64>) {
    let mut part = Lives {
        kind: Kind {
            short: true,
            mutant: Some(mutant),
            ..Kind::default()
        },
        ..lives.clone()
    };
    let (mut lived, mut days, mut faults) = (0, 0.0, Vec::new());
    loop {
        let totals = part.live(|_, _| {});
        lived += totals.lives;
        days += totals.age.as_secs_f64() / 86_400.0;
        let Some((seed, _, violation)) = totals.failed.first().cloned() else {
            return (None, faults);
        };
        let whole = life::live(Plan::short(seed, None), Detail::Events);
        if whole.violation.is_none() {
            let found = Found {
                seed,
                lives: lived,
                days,
                rule: violation.rule,
                what: violation.what,
            };
            return (Some(found), faults);
        }
        faults.push(seed);
        part.count -= seed + 1 - part.first;
        part.first = seed + 1;
    }
}

/// Finds each of these; prints a table as it grows. False when one was not found, or a life fails with all rules in place.
pub fn table(mutants: &[Mutant], lives: &Lives) -> bool {
    println!("| rule left out | lives | simulated days | broken rule |\n|---|---|---|---|");
    let mut good = true;
    for mutant in mutants {
        let (found, faults) = find(*mutant, lives);
        let name = mutant.name();
        match found {
            Some(found) => println!(
                "| `{name}` | {} | {:.1} | {} |",
                found.lives, found.days, found.rule
            ),
            None => println!("| `{name}` | | | not found within {} lives |", lives.count),
        }
        good &= faults.is_empty();
        for seed in faults {
            println!("FAILED with all rules: cargo xtask simulate --short --seed {seed}");
        }
    }
    good
}
