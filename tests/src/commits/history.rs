//! Compares the answers that the writers got with the log.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

/// Examples of what is wrong that are kept.
const EXAMPLES: usize = 20;

/// The answer that a writer got for its entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Told {
    /// It is in the log, at this index.
    At(u64),
    /// It never will be, for this reason.
    Refused(String),
    /// Nothing certain: no answer, or one that says so.
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Write {
    pub(crate) writer: u32,
    /// The entry's number among this writer's, from 0.
    pub(crate) number: u64,
    pub(crate) server: usize,
    /// When, milliseconds since the run began.
    pub(crate) began_ms: u64,
    pub(crate) took_micros: u64,
    pub(crate) told: Told,
}

/// The entry of a write; no other write of any run has the same.
pub(crate) fn entry(run: u64, writer: u32, number: u64) -> String {
    format!("commits {run:016x}: writer {writer}, entry {number}")
}

/// The counts of the comparison. All but the first five should be 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Entries in the log.
    pub entries: u64,
    /// Writes that were told an index.
    pub acknowledged: u64,
    /// Writes that were refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Writes without an answer.
    pub unknown: u64,
    /// Those of them that are in the log.
    pub unknown_ordered: u64,
    /// Acknowledged, and not in the log.
    pub lost: u64,
    /// Acknowledged, and elsewhere in the log.
    pub misplaced: u64,
    /// In the log more than once.
    pub doubled: u64,
    /// Refused, and in the log.
    pub refused_ordered: u64,
    /// Entries in the log that no writer wrote.
    pub strange: u64,
    /// The first of what is wrong, in words.
    pub examples: Vec<String>,
}

impl Checked {
    /// How many things are wrong.
    pub fn wrong(&self) -> u64 {
        self.lost + self.misplaced + self.doubled + self.refused_ordered + self.strange
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES {
            self.examples.push(text);
        }
    }
}

/// Compares all writes of a run with the whole log, by global index.
pub(crate) fn check(run: u64, writes: &[Write], log: &[Vec<u8>]) -> Checked {
    let mut places: HashMap<&[u8], Vec<u64>> = HashMap::with_capacity(log.len());
    for (index, entry) in (0..).zip(log) {
        places.entry(entry).or_default().push(index);
    }
    let mut checked = Checked {
        entries: log.len() as u64,
        ..Checked::default()
    };
    for write in writes {
        let entry = entry(run, write.writer, write.number);
        let at = places.remove(entry.as_bytes()).unwrap_or_default();
        if at.len() > 1 {
            checked.doubled += 1;
            checked.example(format!("{entry}: in the log at {at:?}"));
        }
        match &write.told {
            Told::At(index) => {
                checked.acknowledged += 1;
                if at.is_empty() {
                    checked.lost += 1;
                    checked.example(format!("{entry}: acknowledged at {index}, not in the log"));
                } else if !at.contains(index) {
                    checked.misplaced += 1;
                    checked.example(format!("{entry}: acknowledged at {index}, is at {at:?}"));
                }
            }
            Told::Refused(reason) => {
                *checked.refused.entry(reason.clone()).or_default() += 1;
                if !at.is_empty() {
                    checked.refused_ordered += 1;
                    checked.example(format!("{entry}: refused ({reason}), is at {at:?}"));
                }
            }
            Told::Unknown(_) => {
                checked.unknown += 1;
                checked.unknown_ordered += u64::from(!at.is_empty());
            }
        }
    }
    for (entry, at) in places {
        checked.strange += at.len() as u64;
        let text = String::from_utf8_lossy(entry);
        checked.example(format!("{text:?}: written by nobody, is at {at:?}"));
    }
    checked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(number: u64, told: Told) -> Write {
        Write {
            writer: 1,
            number,
            server: 0,
            began_ms: 0,
            took_micros: 0,
            told,
        }
    }

    fn log(numbers: &[u64]) -> Vec<Vec<u8>> {
        let entry = |n: &u64| entry(7, 1, *n).into_bytes();
        numbers.iter().map(entry).collect()
    }

    #[test]
    fn what_is_right_is_counted() {
        let writes = [
            write(0, Told::At(1)),
            write(1, Told::Refused("frozen".into())),
            write(2, Told::Unknown("no answer".into())),
            write(3, Told::Unknown("no answer".into())),
        ];
        let checked = check(7, &writes, &log(&[3, 0]));
        assert_eq!(checked.wrong(), 0, "{checked:?}");
        assert_eq!((checked.entries, checked.acknowledged), (2, 1));
        assert_eq!((checked.unknown, checked.unknown_ordered), (2, 1));
        assert_eq!(checked.refused["frozen"], 1);
    }

    #[test]
    fn each_wrong_is_found() {
        let told = |told| check(7, &[write(0, told)], &log(&[0, 0]));
        let twice = told(Told::At(1));
        assert_eq!((twice.doubled, twice.wrong()), (1, 1));
        let refused = check(7, &[write(0, Told::Refused("x".into()))], &log(&[0]));
        assert_eq!((refused.refused_ordered, refused.wrong()), (1, 1));
        let lost = check(7, &[write(0, Told::At(0))], &log(&[]));
        assert_eq!((lost.lost, lost.wrong()), (1, 1));
        let elsewhere = check(7, &[write(0, Told::At(1))], &log(&[0]));
        assert_eq!((elsewhere.misplaced, elsewhere.wrong()), (1, 1));
        let strange = check(7, &[], &log(&[5]));
        assert_eq!((strange.strange, strange.wrong()), (1, 1));
        // Of another run.
        assert_eq!(check(8, &[write(5, Told::At(0))], &log(&[5])).wrong(), 2);
        assert_eq!(strange.examples.len(), 1);
    }
}
