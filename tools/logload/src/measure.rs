//! The figures from answers and publications: counts, latencies, shares, promises. Pure: every time is passed in, so that each rule
//! can be tested.
//!
//! What must never happen: a wait that is not counted. A write of an open loop is late from the time at which it was *due*,
//! not from when a connection was free for it (coordinated omission); one that was never sent is counted as that.

mod record;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use record::Record;
use record::{LONGEST_US, Pending, micros};

/// The most points of a plot.
const MOST_BINS: u32 = 240;
/// The most different refusals and tiers that are told apart.
const MOST_KINDS: usize = 48;

/// The tier and the delay that the server granted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Granted {
    pub(crate) tier: Option<Arc<str>>,
    /// `Log-Merge-By`, counted from the request.
    pub(crate) merge_by: Option<Duration>,
}

/// An acknowledged range of entries.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    /// When it was due; for a closed loop and a backfill, when it was sent.
    pub(crate) due: Duration,
    /// When it was sent.
    pub(crate) sent: Duration,
    /// When the answer came.
    pub(crate) answered: Duration,
    /// Global index of the first entry.
    pub(crate) first: u64,
    /// How many entries were acknowledged.
    pub(crate) entries: u64,
    /// The tier and the delay that the server granted.
    pub(crate) granted: Granted,
}

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Recorder {
    warm_up: Duration,
    bin: Duration,
    streams: Vec<Record>,
    tiers: Vec<(Arc<str>, Vec<u64>)>,
    backlog: Vec<u64>,
    queue: BTreeMap<String, Vec<u64>>,
    last_poll: Option<Duration>,
    widest_gap: Duration,
    polls: u64,
}

impl Recorder {
    /// For so many streams and a run of this length, whose beginning is not measured.
    pub(crate) fn new(streams: usize, duration: Duration, warm_up: Duration) -> Self {
        let measured = duration.saturating_sub(warm_up);
        Self {
            warm_up,
            bin: measured
                .div_f64(f64::from(MOST_BINS))
                .max(Duration::from_secs(1).min(measured.div_f64(40.0)))
                .max(Duration::from_millis(50)),
            streams: (0..streams).map(|_| Record::new()).collect(),
            tiers: Vec::new(),
            backlog: Vec::new(),
            queue: BTreeMap::new(),
            last_poll: None,
            widest_gap: Duration::ZERO,
            polls: 0,
        }
    }

    /// The length of an interval of the plots.
    pub(crate) fn bin(&self) -> Duration {
        self.bin
    }

    pub(crate) fn streams(&self) -> &[Record] {
        &self.streams
    }

    /// Entries by tier, for each interval.
    pub(crate) fn tiers(&self) -> &[(Arc<str>, Vec<u64>)] {
        &self.tiers
    }

    /// Entries ordered and not published, for each interval the largest that was seen.
    pub(crate) fn backlog(&self) -> &[u64] {
        &self.backlog
    }

    /// Entries waiting before the order, by tier, as the server's metrics say.
    pub(crate) fn queue(&self) -> &BTreeMap<String, Vec<u64>> {
        &self.queue
    }

    /// How often the watermarks were read, and the longest time between two readings: how exact times to published are.
    pub(crate) fn polls(&self) -> (u64, Duration) {
        (self.polls, self.widest_gap)
    }

    fn position(&self, at: Duration) -> Option<usize> {
        let since = at.checked_sub(self.warm_up)?;
        Some((since.as_nanos() / self.bin.as_nanos().max(1)) as usize)
    }

    /// Closes the intervals before `at`.
    fn advance(&mut self, at: Duration) {
        let Some(position) = self.position(at) else {
            return;
        };
        for record in &mut self.streams {
            while record.line.acknowledged.len() < position.min(2 * MOST_BINS as usize) {
                record.turn();
            }
        }
    }

    /// Entries got their index.
    pub(crate) fn acknowledged(&mut self, stream: usize, what: Acknowledged) {
        self.advance(what.answered);
        if what.due < self.warm_up {
            return;
        }
        let position = self.position(what.answered).unwrap_or(0);
        if let Some(tier) = &what.granted.tier {
            count(self.tier(tier), position, what.entries);
        }
        let Some(record) = self.streams.get_mut(stream) else {
            return;
        };
        let took = micros(what.answered.saturating_sub(what.due)).max(1);
        record.acknowledged += what.entries;
        record.ordered.saturating_record_n(took, what.entries);
        record.now.acknowledged += what.entries;
        let _ = record.now.ordered.record_n(
            took.min(LONGEST_US),
            u32::try_from(what.entries).unwrap_or(u32::MAX),
        );
        if let Some(tier) = what.granted.tier
            && (record.tiers.len() < MOST_KINDS || record.tiers.contains_key(&tier))
        {
            *record.tiers.entry(tier).or_default() += what.entries;
        }
        if what.granted.merge_by.is_some() {
            record.promises.granted += what.entries;
        }
        record.pending.push(Reverse(Pending {
            first: what.first,
            entries: what.entries,
            due: what.due,
            deadline: what.granted.merge_by.map(|delay| what.sent + delay),
        }));
    }

    fn tier(&mut self, name: &Arc<str>) -> &mut Vec<u64> {
        let known = self.tiers.iter().position(|(known, _)| known == name);
        let at = known.unwrap_or_else(|| {
            if self.tiers.len() < MOST_KINDS {
                self.tiers.push((name.clone(), Vec::new()));
            }
            self.tiers.len() - 1
        });
        &mut self.tiers[at].1
    }

    /// A request was refused.
    pub(crate) fn refused(
        &mut self,
        stream: usize,
        due: Duration,
        answered: Duration,
        entries: u64,
        status: u16,
        reason: &str,
    ) {
        self.advance(answered);
        let measured = due >= self.warm_up;
        let Some(record) = self.streams.get_mut(stream).filter(|_| measured) else {
            return;
        };
        record.now.refused += entries;
        let mut key = (status, generic(reason));
        if record.refused.len() >= MOST_KINDS && !record.refused.contains_key(&key) {
            key.1 = "other reasons".into();
        }
        *record.refused.entry(key).or_default() += entries;
    }

    /// A request that was not answered: what became of it is not known.
    pub(crate) fn broken(&mut self, stream: usize, due: Duration, why: &str) {
        let measured = due >= self.warm_up;
        if let Some(record) = self.streams.get_mut(stream).filter(|_| measured) {
            record.broken += 1;
            record.complaint.get_or_insert_with(|| why.to_owned());
        }
    }

    /// Writes that were due and never sent.
    pub(crate) fn unsent(&mut self, stream: usize, writes: u64) {
        if let Some(record) = self.streams.get_mut(stream) {
            record.unsent += writes;
        }
    }

    /// The watermarks, asked for at `asked` and told at `told`: everything below `published` is published.
    pub(crate) fn watermarks(
        &mut self,
        asked: Duration,
        told: Duration,
        ordered: u64,
        published: u64,
    ) {
        self.advance(told);
        self.polls += 1;
        // Entries that only this reading covers were unpublished when the reading before was asked for.
        let unseen = self.last_poll.replace(asked).unwrap_or_default();
        if self.polls > 1 && told >= self.warm_up {
            self.widest_gap = self.widest_gap.max(told.saturating_sub(unseen));
        }
        if let Some(position) = self.position(told) {
            most(
                &mut self.backlog,
                position,
                ordered.saturating_sub(published),
            );
        }
        for record in &mut self.streams {
            while record
                .pending
                .peek()
                .is_some_and(|Reverse(next)| next.first < published)
            {
                let Some(Reverse(pending)) = record.pending.pop() else {
                    break;
                };
                if let Some(rest) = record.publish(pending, published, told, unseen) {
                    record.pending.push(Reverse(rest));
                }
            }
        }
    }

    /// Entries waiting before the order.
    pub(crate) fn waiting(&mut self, at: Duration, tiers: &BTreeMap<String, u64>) {
        let Some(position) = self.position(at) else {
            return;
        };
        for (tier, entries) in tiers {
            if self.queue.len() < MOST_KINDS || self.queue.contains_key(tier) {
                most(
                    self.queue.entry(tier.clone()).or_default(),
                    position,
                    *entries,
                );
            }
        }
    }

    /// Whether everything acknowledged was seen published.
    pub(crate) fn settled(&self) -> bool {
        self.streams.iter().all(|record| record.pending.is_empty())
    }

    /// The end: promises of what was never seen published are judged by the last reading.
    pub(crate) fn finish(&mut self, at: Duration) {
        self.advance(at + self.bin);
        let unseen = self.last_poll.unwrap_or_default();
        for record in &mut self.streams {
            let overdue: Vec<_> = record
                .pending
                .iter()
                .filter_map(|Reverse(pending)| Some((pending.deadline?, pending.entries)))
                .filter(|(deadline, _)| unseen > *deadline)
                .collect();
            for (deadline, entries) in overdue {
                record.judge(deadline, unseen, entries);
            }
        }
    }
}

fn slot(values: &mut Vec<u64>, position: usize) -> &mut u64 {
    let position = position.min(2 * MOST_BINS as usize);
    if values.len() <= position {
        values.resize(position + 1, 0);
    }
    &mut values[position]
}

fn count(values: &mut Vec<u64>, position: usize, entries: u64) {
    *slot(values, position) += entries;
}

fn most(values: &mut Vec<u64>, position: usize, value: u64) {
    let slot = slot(values, position);
    *slot = value.max(*slot);
}

/// A reason without its numbers, so that those which differ in nothing else are one.
fn generic(reason: &str) -> String {
    let mut text = String::new();
    for c in reason.lines().next().unwrap_or_default().chars().take(120) {
        match c {
            '0'..='9' if text.ends_with('#') => {}
            '0'..='9' => text.push('#'),
            c if c.is_control() => text.push(' '),
            c => text.push(c),
        }
    }
    text.trim_end().replace("#.#", "#")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn recorder() -> Recorder {
        Recorder::new(1, Duration::from_secs(10), Duration::ZERO)
    }

    fn write(
        due: u64,
        sent: u64,
        answered: u64,
        first: u64,
        entries: u64,
        promise: Option<u64>,
    ) -> Acknowledged {
        Acknowledged {
            due: ms(due),
            sent: ms(sent),
            answered: ms(answered),
            first,
            entries,
            granted: Granted {
                tier: Some("bulk".into()),
                merge_by: promise.map(ms),
            },
        }
    }

    #[test]
    fn a_stall_counts_for_every_write_that_was_due_in_it() {
        // 100 writes, one every 10 ms; the server stands still from 0 to 1 s, then answers all at once. Whoever asks when a
        // connection is free sees one slow answer.
        let mut recorder = recorder();
        for n in 0..100 {
            recorder.acknowledged(0, write(n * 10, 1000, 1001, n, 1, None));
        }
        let ordered = &recorder.streams()[0].ordered;
        let median = ordered.value_at_quantile(0.5);
        assert!((490_000..=520_000).contains(&median), "{median}");
    }

    #[test]
    fn ranges_are_published_piece_by_piece() {
        let mut recorder = recorder();
        recorder.acknowledged(0, write(0, 0, 5, 100, 50, None));
        recorder.watermarks(ms(9), ms(10), 150, 100);
        assert_eq!(recorder.streams()[0].unpublished(), 50);
        recorder.watermarks(ms(19), ms(20), 150, 120);
        assert_eq!(recorder.streams()[0].unpublished(), 30);
        recorder.watermarks(ms(29), ms(30), 150, 151);
        assert!(recorder.settled());
        let published = &recorder.streams()[0].published;
        assert_eq!(published.len(), 50);
        assert_eq!(published.count_between(19_900, 20_100), 20);
        assert_eq!(published.count_between(29_900, 30_100), 30);
        assert_eq!(recorder.backlog()[0], 50);
    }

    #[test]
    fn a_promise_is_missed_only_when_a_reading_after_it_did_not_cover_the_entry() {
        for (asked, missed) in [(99, 0), (100, 0), (101, 1), (300, 1)] {
            let mut recorder = recorder();
            recorder.acknowledged(0, write(0, 0, 5, 7, 1, Some(100)));
            recorder.watermarks(ms(asked), ms(asked + 1), 8, 7);
            // However late this one is: only the reading before proves that it was still unpublished.
            recorder.watermarks(ms(500), ms(501), 8, 8);
            let promises = recorder.streams()[0].promises;
            assert_eq!(
                (promises.granted, promises.missed, promises.kept),
                (1, missed, 1 - missed),
                "{asked}"
            );
        }
        let mut recorder = recorder();
        recorder.acknowledged(0, write(0, 0, 5, 7, 3, Some(100)));
        recorder.watermarks(ms(350), ms(351), 10, 7);
        recorder.finish(ms(400));
        let promises = recorder.streams()[0].promises;
        assert_eq!(
            (promises.missed, promises.worst_us),
            (3, 250_000),
            "what never came is missed too"
        );
    }

    #[test]
    fn the_warm_up_is_in_no_figure() {
        let mut recorder = Recorder::new(1, Duration::from_secs(10), Duration::from_secs(2));
        recorder.acknowledged(0, write(1999, 1999, 2500, 0, 1, None));
        recorder.refused(0, ms(1000), ms(1001), 1, 503, "full");
        recorder.broken(0, ms(1000), "reset");
        recorder.acknowledged(0, write(2000, 2000, 2001, 1, 1, None));
        recorder.finish(ms(10_000));
        let record = &recorder.streams()[0];
        assert_eq!(
            (
                record.acknowledged,
                record.ordered.len(),
                record.broken,
                record.refused.len()
            ),
            (1, 1, 0, 0)
        );
        assert_eq!(record.line.acknowledged.iter().sum::<u64>(), 1);
    }

    #[test]
    fn intervals_add_up_to_the_whole() {
        let mut recorder = recorder();
        for n in 0..1000 {
            recorder.acknowledged(0, write(n * 10, n * 10, n * 10 + 3, n, 2, None));
            if n % 4 == 0 {
                recorder.refused(0, ms(n * 10), ms(n * 10 + 1), 1, 429, "rate");
            }
        }
        recorder.finish(ms(10_000));
        let record = &recorder.streams()[0];
        assert_eq!(record.line.acknowledged.iter().sum::<u64>(), 2000);
        assert_eq!(record.line.refused.iter().sum::<u64>(), 250);
        assert_eq!(recorder.tiers()[0].1.iter().sum::<u64>(), 2000);
        assert_eq!(
            record.line.acknowledged.len(),
            record.line.ordered_p99.len()
        );
        let middle = record.line.ordered_p99[record.line.ordered_p99.len() / 2];
        assert!((2900..3100).contains(&middle), "{middle}");
    }

    #[test]
    fn reasons_that_differ_in_numbers_only_are_one() {
        let mut recorder = recorder();
        for n in 0..100 {
            let reason = format!("the backlog needs {n}.5 s, try in {n} s\nmore");
            recorder.refused(0, ms(1), ms(2), 1, 503, &reason);
        }
        let refused = &recorder.streams()[0].refused;
        assert_eq!(
            refused.get(&(503, "the backlog needs # s, try in # s".into())),
            Some(&100)
        );
        for n in 0..100u8 {
            let reason: String = [n % 26 + b'a', n / 26 + b'a']
                .map(char::from)
                .iter()
                .collect();
            recorder.refused(0, ms(1), ms(2), 1, 503, &reason);
        }
        assert!(recorder.streams()[0].refused.len() <= MOST_KINDS + 1);
        assert_eq!(recorder.streams()[0].refused.values().sum::<u64>(), 200);
    }
}
