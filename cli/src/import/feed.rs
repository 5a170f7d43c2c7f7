//! The blocks under way: read ahead in a thread of its own, kept until the server has acknowledged them.
//!
//! What must never happen: a block is dropped before its entries are accepted, since a pipe cannot be read again.

use std::collections::VecDeque;
use std::io::Read;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::entries::{Block, Broken, Entries, Notes, split};

/// Most bytes of one request, and so of the kept entries.
const REQUEST: usize = 32 << 20;
/// How many blocks are read ahead of the request.
const AHEAD: usize = 8;

/// A message from the reading thread.
enum Message {
    Block(Block),
    /// The last one: what to know of the file, or why the rest can't be read.
    End(Result<Notes, Broken>),
}

/// Blocks between the file and the server.
pub(crate) struct Feed {
    blocks: mpsc::Receiver<Message>,
    /// Read and not accepted yet.
    kept: VecDeque<Block>,
    /// Position of the first entry that is kept, or comes next.
    first: u64,
    /// Entries that the server has from an earlier run, and the file still gives.
    known: u64,
    /// Blocks of `kept` that are in the present request.
    sent: usize,
    /// Bytes of the present request.
    bytes: usize,
    /// Number of the current request; an older one gets nothing more.
    request: u64,
    end: Option<Result<Notes, Broken>>,
    /// Bytes of the file from which the sent entries came.
    read: u64,
    /// Position behind the last entry that was sent.
    reached: u64,
}

impl Feed {
    /// Reads `entries` from their beginning; the first `known` are dropped.
    pub(crate) fn new<R: Read + Send + 'static>(mut entries: Entries<R>, known: u64) -> Self {
        let (sender, blocks) = mpsc::channel(AHEAD);
        std::thread::spawn(move || {
            loop {
                let message = match entries.next() {
                    Ok(Some(block)) => Message::Block(block),
                    Ok(None) => Message::End(Ok(entries.notes())),
                    Err(broken) => Message::End(Err(broken)),
                };
                let last = matches!(message, Message::End(_));
                // Nobody listens any more when the import has failed.
                if sender.blocking_send(message).is_err() || last {
                    return;
                }
            }
        });
        Self {
            blocks,
            kept: VecDeque::new(),
            first: known,
            known,
            sent: 0,
            bytes: 0,
            request: 0,
            end: None,
            read: 0,
            reached: known,
        }
    }

    /// Begins a request with the kept entries. Returns its number and the position of its first entry; `None` when nothing is left.
    pub(crate) async fn begin(&mut self) -> Option<(u64, u64)> {
        (self.sent, self.bytes) = (0, 0);
        self.reached = self.first;
        self.request += 1;
        if self.kept.is_empty() {
            self.more().await;
        }
        (!self.kept.is_empty()).then_some((self.request, self.first))
    }

    /// The next piece of a request's body; `None` at its end.
    pub(crate) async fn next(&mut self, request: u64) -> Option<Bytes> {
        if self.request != request || self.bytes >= REQUEST {
            return None;
        }
        if self.sent == self.kept.len() {
            self.more().await;
        }
        let block = self.kept.get(self.sent)?;
        self.sent += 1;
        self.bytes += block.bytes.len();
        self.read = block.read;
        self.reached += block.entries;
        Some(block.bytes.clone())
    }

    /// Drops everything before `position`. `false`: the position is beyond everything that was read.
    pub(crate) fn accept(&mut self, position: u64) -> bool {
        while let Some(block) = self.kept.front_mut() {
            let left = position.saturating_sub(self.first);
            if left == 0 {
                return true;
            }
            if left >= block.entries {
                self.first += block.entries;
                self.kept.pop_front();
            } else {
                let (at, _) = split(&block.bytes, left);
                drop(block.bytes.split_to(at));
                block.entries -= left;
                self.first += left;
            }
        }
        position <= self.first
    }

    /// Position behind the last accepted entry.
    pub(crate) fn accepted(&self) -> u64 {
        self.first
    }

    /// Position behind the last entry that was sent, and how many bytes of the file that is.
    pub(crate) fn reached(&self) -> (u64, u64) {
        (self.reached, self.read)
    }

    /// Entries that the server has and the file did not give.
    pub(crate) fn missing(&self) -> u64 {
        self.known
    }

    /// How the file ended: what to know of it, or why the rest can't be read.
    pub(crate) fn take_end(&mut self) -> Option<Result<Notes, Broken>> {
        self.end.take()
    }

    /// Reads one more block, unless there is none.
    async fn more(&mut self) {
        while self.end.is_none() {
            match self.blocks.recv().await {
                Some(Message::Block(mut block)) => {
                    if self.known >= block.entries {
                        self.known -= block.entries;
                        self.read = block.read;
                        continue;
                    }
                    let (at, dropped) = split(&block.bytes, self.known);
                    drop(block.bytes.split_to(at));
                    block.entries -= dropped;
                    self.known = 0;
                    self.kept.push_back(block);
                    return;
                }
                Some(Message::End(end)) => self.end = Some(end),
                // The thread ends with a message, unless it panicked.
                None => {
                    let gone = std::io::Error::other("the reading thread ended");
                    self.end = Some(Err(Broken::Io(gone)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entries::Format;
    use super::*;

    fn file(lines: u64) -> std::io::Cursor<Vec<u8>> {
        let text: String = (0..lines).map(|n| format!("{n:099}\n")).collect();
        std::io::Cursor::new(text.into_bytes())
    }

    /// The numbers in a body, and the next position.
    async fn body(feed: &mut Feed, request: u64) -> Vec<u64> {
        let mut numbers = Vec::new();
        while let Some(piece) = feed.next(request).await {
            for entry in piece.chunks(101) {
                numbers.push(std::str::from_utf8(&entry[2..]).unwrap().parse().unwrap());
            }
        }
        numbers
    }

    #[tokio::test]
    async fn what_was_not_accepted_comes_again() {
        let mut feed = Feed::new(Entries::new(file(20_000), Format::Lines), 0);
        let (request, first) = feed.begin().await.unwrap();
        assert_eq!(
            (first, body(&mut feed, request).await),
            (0, (0..20_000).collect())
        );
        for accepted in [0, 1, 2600, 9999, 9999] {
            assert!(feed.accept(accepted));
            let (again, first) = feed.begin().await.unwrap();
            assert_eq!(first, accepted);
            assert_eq!(
                feed.next(request).await,
                None,
                "an old request gets nothing"
            );
            assert_eq!(
                body(&mut feed, again).await,
                (accepted..20_000).collect::<Vec<_>>()
            );
            assert_eq!(feed.reached(), (20_000, 2_000_000));
        }
        assert!(!feed.accept(20_001));
        assert!(feed.accept(20_000));
        assert_eq!(feed.begin().await, None);
        assert_eq!((feed.accepted(), feed.missing()), (20_000, 0));
        assert!(matches!(feed.take_end(), Some(Ok(notes)) if notes.empty == 0));
    }

    #[tokio::test]
    async fn what_is_known_is_not_sent() {
        for known in [1, 5000, 19_999] {
            let mut feed = Feed::new(Entries::new(file(20_000), Format::Lines), known);
            let (request, first) = feed.begin().await.unwrap();
            assert_eq!(first, known);
            assert_eq!(
                body(&mut feed, request).await,
                (known..20_000).collect::<Vec<_>>()
            );
        }
        for (known, missing) in [(20_000, 0), (20_007, 7)] {
            let mut feed = Feed::new(Entries::new(file(20_000), Format::Lines), known);
            assert_eq!(feed.begin().await, None);
            assert_eq!(feed.missing(), missing);
        }
    }

    #[tokio::test]
    async fn memory_is_bounded_by_the_request() {
        let line = [vec![b'x'; 999], b"\n".to_vec()].concat();
        let lines = std::io::Cursor::new(line.repeat(3 * REQUEST / line.len()));
        let mut feed = Feed::new(Entries::new(lines, Format::Lines), 0);
        let mut requests = 0;
        while let Some((request, _)) = feed.begin().await {
            let mut size = 0;
            while let Some(piece) = feed.next(request).await {
                size += piece.len();
            }
            assert!(size < REQUEST + (1 << 20));
            assert!(feed.accept(feed.reached().0));
            requests += 1;
        }
        assert_eq!(requests, 4);
    }
}
