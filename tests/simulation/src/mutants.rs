//! Rules that are left out on purpose: for each, lives until somebody misses it.

use std::time::Instant;

use order::mutant::Mutant;

use crate::life;
use crate::many::{Kind, Lives};
use crate::trace::Detail;

/// Those that are found within a few lives: every run of the tests looks for them.
pub const QUICK: &[Mutant] = &[
    Mutant::SlotIsReplaced,
    Mutant::PartIsOrderedTwice,
    Mutant::RequestIsNotCompared,
    Mutant::WitnessesAreNotAwaited,
    Mutant::WallClockIsBelieved,
    Mutant::NoIntent,
];

/// Those that show only where members change, or the log is restored.
const WITH_MEMBERS: &[Mutant] = &[
    Mutant::QuorumIsThatOfBefore,
    Mutant::WipedSecondaryCounts,
    Mutant::OlderStoreIsBelieved,
    Mutant::ManifestIsNotAwaited,
];

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

/// What came of the lives of one mutant.
#[derive(Clone, Debug, Default)]
pub struct Sought {
    /// How it was found, if it was.
    pub found: Option<Found>,
    /// Lives that were lived to their end.
    pub lives: u64,
    /// The seeds that fail in any case.
    pub faults: Vec<u64>,
}

/// Lives of one mutant, until one fails that does not fail with the rule in place. The time that [`Lives::most`] allows is for all of them.
pub fn find(mutant: Mutant, lives: &Lives) -> Sought {
    let began = Instant::now();
    let members = WITH_MEMBERS.contains(&mutant);
    let kind = Kind {
        short: !members,
        mutant: Some(mutant),
        members,
    };
    let mut part = Lives {
        kind,
        ..lives.clone()
    };
    let (mut sought, mut days) = (Sought::default(), 0.0);
    loop {
        let totals = part.live(|_, _| {});
        sought.lives += totals.lives;
        days += totals.age.as_secs_f64() / 86_400.0;
        let Some((seed, _, violation)) = totals.failed.first().cloned() else {
            return sought;
        };
        let mutant = None;
        let whole = life::live(Kind { mutant, ..kind }.plan(seed), Detail::Events);
        if whole.violation.is_none() {
            sought.found = Some(Found {
                seed,
                lives: sought.lives,
                days,
                rule: violation.rule,
                what: violation.what,
            });
            return sought;
        }
        sought.faults.push(seed);
        part.count -= seed + 1 - part.first;
        part.first = seed + 1;
        part.most = lives.most.map(|most| most.saturating_sub(began.elapsed()));
    }
}

/// Finds each of these; prints a table as it grows. False when one was not found, or a life fails with all rules in place.
pub fn table(mutants: &[Mutant], lives: &Lives) -> bool {
    println!("| rule left out | lives | simulated days | broken rule |\n|---|---|---|---|");
    let mut good = true;
    for mutant in mutants {
        let sought = find(*mutant, lives);
        let name = mutant.name();
        match &sought.found {
            Some(found) => println!(
                "| `{name}` | {} | {:.1} | {} |",
                found.lives, found.days, found.rule
            ),
            None => println!("| `{name}` | | | not found within {} lives |", sought.lives),
        }
        good &= sought.found.is_some() && sought.faults.is_empty();
        let kind = match WITH_MEMBERS.contains(mutant) {
            true => "--members",
            false => "--short",
        };
        for seed in &sought.faults {
            println!("FAILED with all rules: cargo xtask simulate {kind} --seed {seed}");
        }
    }
    good
}
