//! The state of the screen, and how samples and keys change it.

use std::collections::VecDeque;
use std::time::Duration;

use tlog::GlobalIndex;
use wire::{LogStatus, MergeStatus};

/// How many rates are kept for the small graph.
const HISTORY: usize = 240;

/// One sample of the server's state.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Duration,
    /// All logs, in the server's order.
    pub(crate) logs: Vec<LogStatus>,
    /// The chosen log's queues; absent if the server does not report them.
    pub(crate) queues: Option<Queues>,
    /// The positions of the chosen log's merge; absent if the server does not report them.
    pub(crate) merge: Option<MergeStatus>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Queues {
    pub(crate) log: String,
    /// One row per tier.
    pub(crate) rows: Vec<Queue>,
}

/// The waiting work of one tenant in one tier.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Queue {
    /// The tier whose work waits.
    pub(crate) tier: String,
    /// The tenant whose work waits.
    pub(crate) tenant: String,
    /// Entries waiting before the order.
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
    /// How long the oldest has waited.
    pub(crate) oldest: Duration,
    /// Entries accepted since the server started.
    pub(crate) accepted: u64,
    /// Entries refused since the server started.
    pub(crate) refused: u64,
    /// Entries ordered since the server started.
    pub(crate) ordered: u64,
    /// Promises of the whole tier that were missed since the server started; only in one row of each tier.
    pub(crate) missed: Option<u64>,
}

/// Everything on the screen.
#[derive(Debug)]
pub(crate) struct State {
    /// The server, for people.
    pub(crate) server: String,
    /// How often it is asked.
    pub(crate) interval: Duration,
    /// The explanation of the keys is shown.
    pub(crate) help: bool,
    /// Why the last sample failed.
    pub(crate) error: Option<String>,
    /// Entries ordered a second, oldest first.
    pub(crate) rates: VecDeque<u64>,
    chosen: Option<String>,
    now: Option<Sample>,
    before: Option<Sample>,
}

/// The meaning of a key press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// `q`, Esc: out of the help, else the end.
    Quit,
    Leave,
    Next,
    Previous,
    Help,
}

impl State {
    /// The first state, with nothing known yet, and the log to begin with if one was named.
    pub(crate) fn new(server: String, interval: Duration, chosen: Option<String>) -> Self {
        Self {
            server,
            interval,
            help: false,
            error: None,
            rates: VecDeque::new(),
            chosen,
            now: None,
            before: None,
        }
    }

    /// The names of all logs.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let logs = self.now.as_ref().map_or(&[][..], |sample| &sample.logs);
        logs.iter().map(|log| log.log.as_str())
    }

    /// The log to ask about: as chosen, else the first.
    pub(crate) fn chosen(&self) -> Option<&str> {
        self.chosen.as_deref().or_else(|| self.names().next())
    }

    pub(crate) fn log(&self) -> Option<&LogStatus> {
        find(self.now.as_ref()?, self.chosen()?)
    }

    /// Its queues, if they are known.
    pub(crate) fn queues(&self) -> Option<&[Queue]> {
        let queues = self.now.as_ref()?.queues.as_ref()?;
        (Some(queues.log.as_str()) == self.chosen()).then_some(&queues.rows)
    }

    /// Its merge, if it is known.
    pub(crate) fn merge(&self) -> Option<&MergeStatus> {
        let merge = self.now.as_ref()?.merge.as_ref()?;
        (Some(merge.log.as_str()) == self.chosen()).then_some(merge)
    }

    /// Takes in a sample, or the reason why there is none.
    pub(crate) fn learn(&mut self, seen: Result<Sample, String>) {
        match seen {
            Err(error) => self.error = Some(error),
            Ok(sample) => {
                self.error = None;
                // A log that is gone can't stay chosen.
                if self
                    .chosen()
                    .is_none_or(|chosen| find(&sample, chosen).is_none())
                {
                    self.chosen = None;
                    self.rates.clear();
                    self.before = None;
                    self.now = None;
                }
                self.before = self.now.replace(sample);
                if let Some(rate) = self.rate(|log| log.watermarks.ordered) {
                    if self.rates.len() == HISTORY {
                        self.rates.pop_front();
                    }
                    self.rates.push_back(rate.round() as u64);
                }
            }
        }
    }

    /// Whether to continue after a key.
    pub(crate) fn press(&mut self, key: Key) -> bool {
        match key {
            Key::Quit if self.help => self.help = false,
            Key::Quit | Key::Leave => return false,
            Key::Help => self.help = !self.help,
            Key::Next => self.step(1),
            Key::Previous => self.step(-1),
        }
        true
    }

    fn step(&mut self, by: isize) {
        let names: Vec<String> = self.names().map(str::to_owned).collect();
        let at = names
            .iter()
            .position(|name| Some(name.as_str()) == self.chosen());
        let Some(at) = at.filter(|_| names.len() > 1) else {
            return;
        };
        let next = (at as isize + by).rem_euclid(names.len() as isize);
        self.chosen = names.get(next as usize).cloned();
        self.rates.clear();
    }

    /// How fast a number of the chosen log grows, a second.
    pub(crate) fn rate(&self, number: fn(&LogStatus) -> GlobalIndex) -> Option<f64> {
        let (now, before) = (self.now.as_ref()?, self.before.as_ref()?);
        let chosen = self.chosen()?;
        let grown = number(find(now, chosen)?) - number(find(before, chosen)?);
        per_second(grown, now.at, before.at)
    }

    /// How fast a number of one of its queues grows, a second.
    pub(crate) fn queue_rate(&self, queue: &Queue, number: fn(&Queue) -> u64) -> Option<f64> {
        let (now, before) = (self.now.as_ref()?, self.before.as_ref()?);
        let earlier = before
            .queues
            .as_ref()
            .filter(|earlier| Some(earlier.log.as_str()) == self.chosen())?;
        let same = |other: &&Queue| other.tier == queue.tier && other.tenant == queue.tenant;
        let was = earlier.rows.iter().find(same).map_or(0, number);
        // A server that started again counts from zero.
        per_second(number(queue).saturating_sub(was), now.at, before.at)
    }
}

fn find<'a>(sample: &'a Sample, name: &str) -> Option<&'a LogStatus> {
    sample.logs.iter().find(|log| log.log == name)
}

fn per_second(grown: u64, now: Duration, before: Duration) -> Option<f64> {
    let time = now.checked_sub(before)?.as_secs_f64();
    (time > 0.0).then(|| grown as f64 / time)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use wire::{LogCondition, Watermarks};

    pub(crate) fn log(name: &str, ordered: u64) -> LogStatus {
        LogStatus {
            log: name.into(),
            condition: LogCondition::Open,
            generation: 7,
            watermarks: Watermarks {
                ordered: GlobalIndex::new(ordered),
                integrated: GlobalIndex::new(ordered.saturating_sub(100)),
                published: GlobalIndex::new(ordered.saturating_sub(400)),
            },
            ..LogStatus::default()
        }
    }

    fn sample(seconds: u64, logs: &[(&str, u64)]) -> Sample {
        Sample {
            at: Duration::from_secs(seconds),
            logs: logs
                .iter()
                .map(|(name, ordered)| log(name, *ordered))
                .collect(),
            queues: None,
            merge: None,
        }
    }

    fn state() -> State {
        State::new("server".into(), Duration::from_secs(1), None)
    }

    #[test]
    fn rates_come_from_two_samples() {
        let mut state = state();
        let ordered = |log: &LogStatus| log.watermarks.ordered;
        state.learn(Ok(sample(0, &[("a", 1000)])));
        assert_eq!(state.rate(ordered), None);
        state.learn(Ok(sample(2, &[("a", 1500)])));
        assert_eq!(state.rate(ordered), Some(250.0));
        // A restored server may be behind: that is no rate.
        state.learn(Ok(sample(3, &[("a", 10)])));
        assert_eq!(state.rate(ordered), Some(0.0));
        assert_eq!(state.rates, [250, 0]);
    }

    #[test]
    fn arrows_choose_a_log_and_keep_it() {
        let mut state = state();
        assert!(
            state.press(Key::Next),
            "without logs there is nothing to choose"
        );
        state.learn(Ok(sample(0, &[("a", 1), ("b", 2), ("c", 3)])));
        assert_eq!(state.chosen(), Some("a"));
        state.press(Key::Previous);
        assert_eq!(state.chosen(), Some("c"));
        state.learn(Ok(sample(1, &[("c", 3), ("a", 1), ("b", 2)])));
        assert_eq!(state.chosen(), Some("c"), "an order that changes does not");
        state.learn(Ok(sample(2, &[("a", 1), ("b", 2)])));
        assert_eq!(state.chosen(), Some("a"), "a log that is gone");
    }

    #[test]
    fn an_error_is_shown_until_it_is_over() {
        let mut state = state();
        state.learn(Ok(sample(0, &[("a", 1)])));
        state.learn(Err("connection refused".into()));
        assert!(state.log().is_some(), "what was known stays");
        assert_eq!(state.error.as_deref(), Some("connection refused"));
        state.learn(Ok(sample(1, &[("a", 1)])));
        assert_eq!(state.error, None);
    }

    #[test]
    fn quitting_leaves_the_help_first() {
        let mut state = state();
        assert!(state.press(Key::Help) && state.help);
        assert!(state.press(Key::Quit) && !state.help);
        assert!(!state.press(Key::Quit));
        state.press(Key::Help);
        assert!(!state.press(Key::Leave));
    }
}
