//! The body of add-entries: read as it comes, taken package by package. Only the package that is still incomplete is held.

use std::io::Write as _;
use std::time::Duration;

use crate::net::bodies::{Held, Spent};
use bytes::{Buf as _, Bytes, BytesMut};
use flate2::write::GzDecoder;
use hyper::body::{Body as _, Incoming};
use log::mirror::{Ended, Mirror, Refusal, Upload};
use tlog::mirror::EntriesHead;

/// Packages are checked when about so many bytes of them have come.
const BATCH: usize = 512 << 10;
/// The most that one request may carry, decompressed. What is behind it is not read, and the client goes on with another.
const MOST: usize = 256 << 20;
/// Pieces in which compressed bytes are taken: one of them makes at most four megabytes.
const PIECE: usize = 4 << 10;

/// The bytes of a body, decompressed where they have to be.
enum Decoder {
    Plain,
    Gzip(Box<GzDecoder<Vec<u8>>>),
}

/// A request's body.
pub(super) struct Source<'a> {
    body: &'a mut Incoming,
    decoder: Decoder,
    /// Compressed bytes that have come and were not looked at yet.
    raw: Bytes,
    timeout: Duration,
    held: Held,
}

/// Why an upload was not taken, or not all of it.
pub(super) enum NotTaken {
    /// The mirror says so.
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
    pub(super) fn new(body: &'a mut Incoming, gzip: bool, timeout: Duration, held: Held) -> Self {
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
            held,
        }
    }

    /// More decompressed bytes into `out`; `false` at the end, which may also be a connection that broke: what came before it
    /// is as good as any prefix.
    async fn more(&mut self, out: &mut BytesMut) -> Result<bool, NotTaken> {
        if self.raw.is_empty() {
            match tokio::time::timeout(self.timeout, next_frame(self.body)).await {
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
        self.held.set(self.raw.len() + out.len())?;
        Ok(true)
    }
}

/// Takes an upload of this life of a log.
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
    loop {
        let before = buffer.len();
        let open = upload.expects() > 0
            && seen < MOST
            && match source.more(&mut buffer).await {
                Ok(open) => open,
                // What was proven before is kept, and made durable, although the rest is refused.
                Err(refused) => {
                    let _ = upload.end().await;
                    return Err(refused);
                }
            };
        seen += buffer.len() - before;
        if buffer.len() >= BATCH || !open {
            match write(&mut upload, &mut buffer).await {
                Ok(()) => {}
                // What was proven before is kept, and made durable, although the rest is refused.
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
    // A package that is longer than one can be would have been refused already.
    buffer.extend_from_slice(rest);
    Ok(())
}
