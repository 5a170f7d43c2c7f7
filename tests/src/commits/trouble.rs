//! The faults that are injected into the servers under load: every kind once in each round, in another order each time.

use crate::random::Random;

/// Something that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A server is paused for a moment and continues.
    Pause,
    /// A server is killed and started again.
    Kill,
    /// A server is told to stop and started again.
    Restart,
    Rotate,
    /// The log is frozen, and opened again.
    Freeze,
    /// A server is stopped, and wakes up when the others have rotated the log: what it had on the way is late.
    SleepThroughRotation,
    /// The same, with a freeze and an unfreeze.
    SleepThroughFreeze,
}

impl Trouble {
    pub(crate) const ALL: [Self; 7] = [
        Self::Pause,
        Self::Kill,
        Self::Restart,
        Self::Rotate,
        Self::Freeze,
        Self::SleepThroughRotation,
        Self::SleepThroughFreeze,
    ];

    /// The name of this trouble, for a report.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Kill => "killed",
            Self::Restart => "restarted",
            Self::Rotate => "rotated",
            Self::Freeze => "frozen and opened",
            Self::SleepThroughRotation => "slept through a rotation",
            Self::SleepThroughFreeze => "slept through a freeze",
        }
    }
}

/// The next thing, forever. Server 0 is the one that operators talk to, so only others sleep while they do.
#[derive(Debug)]
pub(crate) struct Troubles {
    random: Random,
    servers: usize,
    round: Vec<Trouble>,
}

impl Troubles {
    /// For so many servers; a seed gives one sequence.
    pub(crate) fn new(seed: u64, servers: usize) -> Self {
        Self {
            random: Random::new(seed),
            servers,
            round: Vec::new(),
        }
    }

    /// The next trouble, and its server.
    pub(crate) fn next(&mut self) -> (Trouble, usize) {
        if self.round.is_empty() {
            let alone = self.servers < 2;
            let sleeps = |t: &Trouble| {
                matches!(
                    t,
                    Trouble::SleepThroughRotation | Trouble::SleepThroughFreeze
                )
            };
            self.round = Trouble::ALL.into();
            self.round.retain(|t| !(alone && sleeps(t)));
        }
        let at = self.random.below(self.round.len());
        let trouble = self.round.swap_remove(at);
        let server = match trouble {
            Trouble::SleepThroughRotation | Trouble::SleepThroughFreeze => {
                1 + self.random.below(self.servers - 1)
            }
            _ => self.random.below(self.servers),
        };
        (trouble, server)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_has_every_kind_once() {
        for (servers, kinds) in [(1, 5), (2, 7), (5, 7)] {
            let mut troubles = Troubles::new(11, servers);
            for _ in 0..20 {
                let round: Vec<_> = (0..kinds).map(|_| troubles.next()).collect();
                for (trouble, server) in &round {
                    assert!(*server < servers);
                    let times = round.iter().filter(|(t, _)| t == trouble).count();
                    assert_eq!(times, 1, "{round:?}");
                    if matches!(trouble, Trouble::SleepThroughFreeze) {
                        assert!(*server > 0);
                    }
                }
            }
        }
    }
}
