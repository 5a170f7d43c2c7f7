//! How much of the data plane's memory unauthenticated senders can take, over HTTP/2 written byte by byte.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::process::Logd;

use crate::{Done, audit, folder};

const CONNECTIONS: usize = 20;
const STREAMS: u32 = 256;
const BODY: usize = 65_535;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The head of a POST, each header as a literal.
fn head(path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    let pairs = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", path),
    ];
    for text in pairs
        .iter()
        .flat_map(|(name, value)| [None, Some(*name), Some(*value)])
    {
        match text {
            None => block.push(0),
            Some(text) => {
                block.push(text.len() as u8);
                block.extend_from_slice(text.as_bytes());
            }
        }
    }
    block
}

/// One connection whose client keeps to the flow control, and otherwise sends all that it may.
struct Client {
    stream: TcpStream,
    /// The window of the connection, and of each stream at its beginning.
    window: i64,
    initial: i64,
    /// Streams that the server gave up on.
    refused: Vec<u32>,
}

impl Client {
    fn connect(address: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
        stream.write_all(&frame(4, 0, 0, &[]))?;
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        Ok(Self {
            stream,
            window: 65_535,
            initial: 65_535,
            refused: Vec::new(),
        })
    }

    /// Reads one frame; `false` when none comes.
    fn read(&mut self) -> Result<bool> {
        let mut head = [0; 9];
        if self.stream.read_exact(&mut head).is_err() {
            return Ok(false);
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload)?;
        let number = |at: usize| {
            let bytes = payload.get(at..at + 4).and_then(|b| b.try_into().ok());
            bytes.map_or(0, u32::from_be_bytes)
        };
        match head[3] {
            3 => self.refused.push(stream),
            4 if head[4] & 1 == 0 => {
                for at in (0..length).step_by(6) {
                    if payload[at..at + 2] == [0, 4] {
                        self.initial = i64::from(number(at + 2));
                    }
                }
                self.stream.write_all(&frame(4, 1, 0, &[]))?;
            }
            8 if stream == 0 => self.window += i64::from(number(0)),
            _ => {}
        }
        Ok(true)
    }

    /// Opens streams, and sends as much of a body on each as the server takes, but its end.
    fn flood(&mut self) -> Result<usize> {
        while self.initial == 65_535 && self.read()? {}
        let mut sent = 0;
        for n in 0..STREAMS {
            let stream = 2 * n + 1;
            self.stream
                .write_all(&frame(1, 4, stream, &head("/dev/add")))?;
            let mut left = BODY.min(usize::try_from(self.initial)?);
            while left > 0 && !self.refused.contains(&stream) {
                let piece = left.min(16_384).min(usize::try_from(self.window.max(0))?);
                if piece == 0 {
                    if !self.read()? {
                        return Ok(sent);
                    }
                    continue;
                }
                self.stream
                    .write_all(&frame(0, 0, stream, &vec![7; piece]))?;
                self.window -= piece as i64;
                left -= piece;
                sent += piece;
            }
        }
        Ok(sent)
    }
}

/// Bytes of a process that are in memory.
fn resident(pid: u32) -> Result<usize> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: usize = text.split(' ').nth(1).context("statm")?.parse()?;
    Ok(pages * 4096)
}

#[test]
fn many_streams_of_many_connections_take_little() -> Done {
    let folder = folder()?;
    let logd = Logd::start(folder.path())?;
    logd.add(b"first")?;
    let before = resident(logd.pid())?;
    let address = logd.address;
    let floods: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::connect(address)?;
                let sent = client.flood()?;
                Ok::<_, anyhow::Error>((client, sent))
            })
        })
        .collect();
    let mut clients = Vec::new();
    for flood in floods {
        clients.push(flood.join().ok().context("a thread")??);
    }
    let grown = resident(logd.pid())?.saturating_sub(before);
    let sent: usize = clients.iter().map(|(_, sent)| sent).sum();
    ensure!(
        sent > CONNECTIONS * BODY,
        "the flood got through: {sent} bytes"
    );
    ensure!(
        grown < 160 << 20,
        "{grown} bytes more in memory after {sent} were sent"
    );
    // Others are served meanwhile.
    logd.add(b"second")?;
    drop(clients);
    ensure!(logd.settled()? == 2);
    audit(&logd, [])?;
    Ok(())
}
