//! The body of add-entries: read as it comes, taken package by package. Only the package that is still incomplete is held.

use std::io::Write as _;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use flate2::write::GzDecoder;
use hyper::body::{Body as _, Incoming};
use plane_http::Spent;
use tlog::mirror::EntriesHead;
use tokio::time::Instant;

use super::unproven::Room;
use crate::{Ended, Mirror, Refusal, Upload};

/// Packages are checked when about this many bytes of them have arrived.
const BATCH: usize = 512 << 10;
/// The most that one request may carry, decompressed. Bytes behind that are not read, and the client continues with another request.
const MOST: usize = 256 << 20;
/// Pieces in which compressed bytes are taken: one of them makes at most four megabytes.
const PIECE: usize = 4 << 10;
/// Fewest bytes a second of a package that takes long; a slower upload is ended.
const PACE: usize = 64 << 10;

/// The bytes of a body, decompressed where they have to be.
enum Decoder {
    Plain,
    Gzip(Box<GzDecoder<Vec<u8>>>),
}

/// Reads the packages of a request's body.
pub(super) struct Source<'a> {
    body: &'a mut Incoming,
    decoder: Decoder,
    /// Compressed bytes that have arrived and were not checked yet.
    raw: Bytes,
    timeout: Duration,
    /// When the last package was taken, or the body began.
    taken: Instant,
    room: Room,
}

/// When the arrived bytes are checked. Each check costs as much as there are bytes, so a package in a million pieces must not be checked a
/// million times.
#[derive(Debug)]
struct Looks {
    next: usize,
}

impl Looks {
    /// Whether `bytes` are enough for a check, if the next package has at most `expects`.
    fn due(&self, bytes: usize, expects: usize) -> bool {
        bytes >= self.next.min(expects)
    }

    /// Notes a check: of `before` bytes, `left` are still there.
    fn looked(&mut self, before: usize, left: usize) {
        self.next = if left < before {
            left + BATCH
        } else {
            (2 * left).max(BATCH)
        };
    }
}

/// How long a package may take, of which `bytes` have arrived, if a body may be silent for `silence`.
fn patience(silence: Duration, bytes: usize) -> Duration {
    2 * silence + Duration::from_secs((bytes / PACE) as u64)
}

/// Why an upload was not taken, or not all of it.
pub(super) enum NotTaken {
    /// The mirror refused the request.
    Refused(Refusal),
    /// The memory for request bodies is used up.
    Crowded,
}

impl From<Refusal> for NotTaken {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Spent> for NotTaken {
    fn from(_: Spent) -> Self {
        Self::Crowded
    }
}

pub(super) async fn next_frame(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        let frame =
            std::future::poll_fn(|context| std::pin::Pin::new(&mut *body).poll_frame(context))
                .await?;
        match frame {
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
            Err(e) => return Some(Err(e)),
        }
    }
}

impl<'a> Source<'a> {
    pub(super) fn new(body: &'a mut Incoming, gzip: bool, timeout: Duration, room: Room) -> Self {
        let decoder = if gzip {
            Decoder::Gzip(Box::new(GzDecoder::new(Vec::new())))
        } else {
            Decoder::Plain
        };
        Self {
            body,
            decoder,
            raw: Bytes::new(),
            timeout,
            taken: Instant::now(),
            room,
        }
    }

    /// Reads more decompressed bytes into `out`; `false` at the end, which may also be a broken connection: the bytes before it are as good
    /// as any prefix. A package that takes too long ends the body, too, because it would hold its memory forever.
    async fn more(&mut self, out: &mut BytesMut) -> Result<bool, NotTaken> {
        if self.raw.is_empty() {
            let until = self.taken + patience(self.timeout, out.len());
            let now = Instant::now();
            if now >= until {
                return Ok(false);
            }
            let until = until.min(now + self.timeout);
            let next = tokio::time::timeout_at(until, next_frame(self.body));
            let next = tokio::select! {
                biased;
                () = self.room.ended() => return Err(NotTaken::Crowded),
                next = next => next,
            };
            match next {
                Ok(Some(Ok(data))) => self.raw = data,
                Ok(Some(Err(_)) | None) | Err(_) => return Ok(false),
            }
        }
        match &mut self.decoder {
            Decoder::Plain => {
                out.extend_from_slice(&self.raw);
                self.raw.clear();
            }
            Decoder::Gzip(decoder) => {
                let piece = self.raw.split_to(PIECE.min(self.raw.len()));
                let bad = |e: std::io::Error| Refusal::Malformed(format!("not gzip: {e}"));
                decoder.write_all(&piece).map_err(bad)?;
                decoder.flush().map_err(bad)?;
                out.extend_from_slice(&std::mem::take(decoder.get_mut()));
            }
        }
        self.room.set(self.raw.len() + out.len())?;
        Ok(true)
    }

    /// Notes that `left` of the arrived bytes are not in an accepted package yet.
    fn looked(&mut self, taken: bool, left: usize) -> Result<(), Spent> {
        if taken {
            self.taken = Instant::now();
            self.room.proven();
        }
        self.room.set(self.raw.len() + left)
    }
}

/// Receives an upload of this life of a log.
pub(super) async fn take(
    mirror: &Mirror,
    mut source: Source<'_>,
    life: u64,
) -> Result<Ended, NotTaken> {
    let mut buffer = BytesMut::new();
    let head = loop {
        match EntriesHead::read(&buffer).map_err(|e| Refusal::Malformed(e.to_string()))? {
            Some((head, used)) => {
                buffer.advance(used);
                break head;
            }
            None if source.more(&mut buffer).await? => {}
            None => return Err(Refusal::Malformed("it ends inside its head".into()).into()),
        }
    };
    let mut upload = mirror.begin(&head, life).await?;
    let mut seen = buffer.len();
    let mut looks = Looks { next: BATCH };
    loop {
        let before = buffer.len();
        let open = upload.expects() > 0
            && seen < MOST
            && match source.more(&mut buffer).await {
                Ok(open) => open,
                // Entries that were proven before are kept, and made durable, although the rest is refused.
                Err(refused) => {
                    let _ = upload.end().await;
                    return Err(refused);
                }
            };
        seen += buffer.len() - before;
        if looks.due(buffer.len(), upload.expects()) || !open {
            let before = buffer.len();
            source.room.begin_check();
            match write(&mut upload, &mut buffer).await {
                Ok(()) => {
                    looks.looked(before, buffer.len());
                    if let Err(spent) = source.looked(buffer.len() < before, buffer.len()) {
                        let _ = upload.end().await;
                        return Err(spent.into());
                    }
                }
                // Entries that were proven before are kept, and made durable, although the rest is refused.
                Err(wrong @ (Refusal::Wrong(_) | Refusal::Malformed(_))) => {
                    let _ = upload.end().await;
                    return Err(wrong.into());
                }
                Err(other) => return Err(other.into()),
            }
        }
        if !open {
            return Ok(upload.end().await?);
        }
    }
}

async fn write(upload: &mut Upload, buffer: &mut BytesMut) -> Result<(), Refusal> {
    if buffer.is_empty() || upload.expects() == 0 {
        return Ok(());
    }
    let bytes = buffer.split().freeze();
    let used = upload.write(bytes.clone()).await?;
    let rest = &bytes[used..];
    // A package over the longest length would have been refused already.
    buffer.extend_from_slice(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_comes_in_small_pieces_is_looked_at_a_few_times() {
        const LARGEST: usize = 256 * 65_537 + 2_017;
        let mut looks = Looks { next: BATCH };
        let (mut bytes, mut looked) = (0, Vec::new());
        while bytes < LARGEST {
            bytes += 1000;
            if looks.due(bytes, LARGEST) {
                looked.push(bytes);
                let left = bytes.checked_sub(LARGEST).unwrap_or(bytes);
                looks.looked(bytes, left);
            }
        }
        assert!(looked.len() < 8, "{}", looked.len());
        assert!(looked.iter().sum::<usize>() < 4 * LARGEST, "{looked:?}");
        // The last check was when it was certainly whole; the bytes after it wait for more.
        assert!(*looked.last().unwrap() >= LARGEST);
        looks.looked(BATCH + 10, 10);
        assert!(!looks.due(BATCH, LARGEST) && looks.due(BATCH + 10, LARGEST));
        assert!(looks.due(70_000, 67_554));
    }

    #[test]
    fn a_slow_package_has_time_and_one_that_drips_ends() {
        let silence = Duration::from_secs(30);
        assert_eq!(patience(silence, 1000), Duration::from_secs(60));
        assert_eq!(patience(silence, 16 << 20), Duration::from_secs(60 + 256));
    }
}
