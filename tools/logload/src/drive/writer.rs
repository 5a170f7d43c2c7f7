//! A running stream: sends its writes in time, and records the answers.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use ::wire::data::Batch;
use serde::Deserialize;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;

use super::{Kept, Shared};
use crate::arrivals::Entries;
use crate::measure::Acknowledged;
use crate::scenario::{Pace, Stream};
use crate::wire::{Answer, Ask, Connection};

/// The longest a closed loop or a backfill waits after a refusal, whatever the server advises.
const REFUSED_BACKOFF_MAX: Duration = Duration::from_secs(1);
/// The pause after a refusal without advice, or a broken connection.
const REFUSED_BACKOFF_MIN: Duration = Duration::from_millis(10);

/// Sends the writes of one stream.
pub(super) struct Writer {
    pub(super) shared: Rc<Shared>,
    pub(super) stream: Stream,
    pub(super) at: usize,
    pub(super) entries: Entries,
    pub(super) path: String,
    pub(super) headers: String,
    pub(super) next: Cell<u64>,
    /// Connections without work, and writes without a connection; one of them is empty.
    pub(super) idle: RefCell<Vec<Connection>>,
    pub(super) backlog: RefCell<VecDeque<Duration>>,
    pub(super) made: Cell<u32>,
}

impl Writer {
    pub(super) fn new(shared: &Rc<Shared>, stream: &Stream, at: usize) -> Self {
        let log = &shared.setup.log;
        let (path, kind) = match stream.pace {
            Pace::Backfill { .. } => (format!("/{log}/add-batch"), "application/octet-stream"),
            _ => (format!("/{log}/add"), ""),
        };
        let mut headers = String::new();
        let mut header =
            |name: &str, value: &str| headers.push_str(&format!("{name}: {value}\r\n"));
        if !kind.is_empty() {
            header("Content-Type", kind);
        }
        if let Some(urgency) = stream.advice.priority {
            header("Priority", &format!("u={urgency}"));
        }
        if let Some(merge_by) = &stream.advice.merge_by {
            header("Merge-By", merge_by);
        }
        if let Some(shard) = &stream.advice.shard {
            header("Log-Shard", shard);
        }
        if let Some(Some(token)) = shared.setup.tokens.get(at) {
            header("Authorization", &format!("Bearer {}", token.expose()));
        }
        Self {
            shared: Rc::clone(shared),
            entries: Entries::new(shared.setup.id, at as u16, stream.size),
            stream: stream.clone(),
            at,
            path,
            headers,
            next: Cell::new(0),
            idle: RefCell::default(),
            backlog: RefCell::default(),
            made: Cell::new(0),
        }
    }

    fn connection(&self) -> Connection {
        Connection::new(Rc::clone(&self.shared.setup.target))
    }

    /// Takes numbers for entries that are to be written.
    fn take(&self, count: u64) -> u64 {
        self.next.replace(self.next.get() + count)
    }

    fn over(&self) -> bool {
        self.shared.stopped() || self.shared.now() >= self.stream.end
    }

    /// Waits until the stream begins.
    async fn begin(&self) {
        let early = self.stream.start.saturating_sub(self.shared.now());
        tokio::time::sleep(early).await;
    }

    pub(super) async fn open(self: Rc<Self>, mut due: UnboundedReceiver<Duration>) {
        let most = self.stream.pace.connections();
        let mut sending: Vec<JoinHandle<()>> = Vec::new();
        while let Some(due) = due.recv().await {
            let idle = self.idle.borrow_mut().pop();
            let connection = match idle {
                Some(connection) => connection,
                None if self.made.get() < most => {
                    self.made.set(self.made.get() + 1);
                    self.connection()
                }
                None => {
                    self.backlog.borrow_mut().push_back(due);
                    continue;
                }
            };
            sending.retain(|task| !task.is_finished());
            sending.push(tokio::task::spawn_local(
                Rc::clone(&self).serve(connection, due),
            ));
        }
        for task in sending {
            let _ = task.await;
        }
    }

    /// Sends one write, and those that waited for its connection.
    async fn serve(self: Rc<Self>, mut connection: Connection, due: Duration) {
        let mut entry = Vec::with_capacity(self.stream.size);
        let mut next = Some(due);
        while let Some(due) = next {
            self.write(&mut connection, &mut entry, due).await;
            // At the end what still waits is counted as unsent.
            next = if self.shared.stopped() {
                None
            } else {
                self.backlog.borrow_mut().pop_front()
            };
        }
        self.idle.borrow_mut().push(connection);
    }

    pub(super) async fn closed(self: Rc<Self>) {
        self.begin().await;
        let mut connection = self.connection();
        let mut entry = Vec::with_capacity(self.stream.size);
        while !self.over() {
            let due = self.shared.now();
            if let Some(pause) = self.write(&mut connection, &mut entry, due).await {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Makes one write; returns the pause before the next one if it did not succeed.
    async fn write(
        &self,
        connection: &mut Connection,
        entry: &mut Vec<u8>,
        due: Duration,
    ) -> Option<Duration> {
        let sequence = self.take(1);
        entry.clear();
        self.entries.write(sequence, entry);
        let ask = Ask {
            method: "POST",
            path: &self.path,
            headers: &self.headers,
            body: entry,
        };
        let sent = self.shared.now();
        let answer = connection.ask(ask).await;
        let answered = self.shared.now();
        let mut recorder = self.shared.recorder.borrow_mut();
        match answer {
            Ok(Answer {
                status: 200,
                body,
                granted,
                ..
            }) => match index(&body) {
                Some(first) => {
                    recorder.acknowledged(
                        self.at,
                        Acknowledged {
                            due,
                            sent,
                            answered,
                            first,
                            entries: 1,
                            granted,
                        },
                    );
                    self.shared.keep(Kept {
                        index: first,
                        entries: 1,
                        sequence,
                        stream: self.at as u16,
                    });
                    None
                }
                None => {
                    recorder.broken(self.at, due, "200 without an index");
                    Some(REFUSED_BACKOFF_MIN)
                }
            },
            Ok(answer) => {
                recorder.refused(
                    self.at,
                    due,
                    answered,
                    1,
                    answer.status,
                    &reason(&answer.body),
                );
                Some(pause(&answer))
            }
            Err(error) => {
                recorder.broken(self.at, due, &error.to_string());
                Some(REFUSED_BACKOFF_MIN)
            }
        }
    }

    pub(super) async fn backfill(self: Rc<Self>, batch: u32) {
        self.begin().await;
        let mut connection = self.connection();
        let count = u64::from(batch);
        let mut body = Vec::new();
        while !self.over() {
            let sequence = self.take(count);
            body.clear();
            body.reserve((self.entries.size() + 2) * batch as usize);
            self.entries.bundle(sequence..sequence + count, &mut body);
            let ask = Ask {
                method: "POST",
                path: &self.path,
                headers: &self.headers,
                body: &body,
            };
            let sent = self.shared.now();
            let answer = connection.ask(ask).await;
            let answered = self.shared.now();
            let paused = self.taken(answer, sequence, count, sent, answered);
            if let Some(pause) = paused {
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Records the answer to a batch.
    fn taken(
        &self,
        answer: std::io::Result<Answer>,
        sequence: u64,
        count: u64,
        sent: Duration,
        answered: Duration,
    ) -> Option<Duration> {
        let mut recorder = self.shared.recorder.borrow_mut();
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                recorder.broken(self.at, sent, &error.to_string());
                return Some(REFUSED_BACKOFF_MIN);
            }
        };
        // A refusal in the middle says what was accepted before it.
        let batch = serde_json::from_slice::<Batch>(&answer.body).unwrap_or_default();
        let accepted: u64 = batch.ranges.iter().map(|range| range.entries).sum();
        for range in batch.ranges {
            let what = Acknowledged {
                due: sent,
                // The server takes a batch piece by piece while it reads it, and promises from then on: at the latest now.
                sent: answered,
                answered,
                first: range.index.get(),
                entries: range.entries,
                granted: answer.granted.clone(),
            };
            recorder.acknowledged(self.at, what);
            self.shared.keep(Kept {
                index: range.index.get(),
                entries: range.entries,
                sequence: sequence + range.first,
                stream: self.at as u16,
            });
        }
        if answer.status == 200 {
            return None;
        }
        recorder.refused(
            self.at,
            sent,
            answered,
            count.saturating_sub(accepted),
            answer.status,
            &reason(&answer.body),
        );
        Some(pause(&answer))
    }
}

/// The reason in a refusal: text, or a problem document's detail.
fn reason(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    serde_json::from_slice::<Problem>(body).map_or_else(
        |_| String::from_utf8_lossy(body).into_owned(),
        |problem| problem.detail,
    )
}

fn pause(answer: &Answer) -> Duration {
    answer.retry_after.map_or(REFUSED_BACKOFF_MIN, |advised| {
        advised.min(REFUSED_BACKOFF_MAX)
    })
}

/// The first line of the body, decimal.
fn index(body: &[u8]) -> Option<u64> {
    let line = body.split(|byte| *byte == b'\n').next()?;
    std::str::from_utf8(line).ok()?.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_the_first_line() {
        assert_eq!(index(b"17\n"), Some(17));
        assert_eq!(index(b"17\r\nmore"), Some(17));
        assert_eq!(index(b""), None);
        assert_eq!(index(b"{}"), None);
    }
}
