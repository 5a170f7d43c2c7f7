//! HTTP/1.1 as cheaply as it can be had: the generator shares a machine with what it measures. Over TLS it is reqwest's.
//!
//! What must never happen: an answer taken for another request's. After anything unexpected the connection is closed.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::measure::Granted;

/// Answers of the server are short; a longer one is not one.
const LONGEST_ANSWER: usize = 8 << 20;
/// The longest head of an answer.
const LONGEST_HEAD: usize = 64 << 10;

/// The destination of requests.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Without TLS: our own few lines.
    Plain {
        address: SocketAddr,
        /// For the `Host` header.
        host: String,
    },
    Tls {
        /// With the certificate authority that counts.
        http: reqwest::Client,
        base: String,
    },
}

/// An answer of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The answer's body, as it came.
    pub(crate) body: Vec<u8>,
    /// The tier and the delay that the server granted.
    pub(crate) granted: Granted,
    pub(crate) retry_after: Option<Duration>,
}

/// One connection, opened when it is needed.
#[derive(Debug)]
pub(crate) struct Connection {
    target: Rc<Target>,
    socket: Option<TcpStream>,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

/// A request. `headers` are whole lines, each with its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'static str,
    pub(crate) path: &'a str,
    /// Whole lines: `Priority: u=1\r\n`.
    pub(crate) headers: &'a str,
    /// The body; empty for none.
    pub(crate) body: &'a [u8],
}

/// The head of an answer, as far as it describes the body.
struct Head {
    answer: Answer,
    length: Option<usize>,
    chunked: bool,
    close: bool,
}

impl Connection {
    /// A connection to this target, opened with the first request.
    pub(crate) fn new(target: Rc<Target>) -> Self {
        Self {
            target,
            socket: None,
            request: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Sends a request once and reads its answer.
    pub(crate) async fn ask(&mut self, ask: Ask<'_>) -> io::Result<Answer> {
        let target = Rc::clone(&self.target);
        match &*target {
            Target::Tls { http, base } => over_tls(http, base, ask).await,
            Target::Plain { address, host } => {
                let answered = self.plain(*address, host, ask).await;
                if answered.is_err() {
                    self.socket = None;
                }
                answered
            }
        }
    }

    async fn plain(&mut self, address: SocketAddr, host: &str, ask: Ask<'_>) -> io::Result<Answer> {
        let mut stream = match self.socket.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        self.request.clear();
        let Ask {
            method,
            path,
            headers,
            body,
        } = ask;
        // Short bodies go with the head, in one call; long ones are not copied.
        let (short, long) = if body.len() <= 16 << 10 {
            (body, &[][..])
        } else {
            (&[][..], body)
        };
        {
            use std::io::Write as _;
            write!(
                self.request,
                "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}Content-Length: {}\r\n\r\n",
                body.len()
            )?;
        }
        self.request.extend_from_slice(short);
        self.buffer.clear();
        let answer = {
            let (mut reader, mut writer) = stream.split();
            if long.is_empty() {
                writer.write_all(&self.request).await?;
                read(&mut reader, &mut self.buffer).await?
            } else {
                let request = &self.request;
                let sending = async {
                    writer.write_all(request).await?;
                    writer.write_all(long).await
                };
                let mut reading = std::pin::pin!(read(&mut reader, &mut self.buffer));
                // A server may refuse before it has read everything; whoever only writes would then wait forever.
                tokio::select! {
                    biased;
                    early = &mut reading => {
                        let (mut head, body) = early?;
                        head.close = true;
                        (head, body)
                    }
                    sent = sending => match sent {
                        Ok(()) => reading.await?,
                        // The reason may be on its way.
                        Err(error) => {
                            let (mut head, body) = reading.await.map_err(|_| error)?;
                            head.close = true;
                            (head, body)
                        }
                    },
                }
            }
        };
        let (head, body) = answer;
        if !head.close {
            self.socket = Some(stream);
        }
        Ok(Answer {
            body,
            ..head.answer
        })
    }
}

/// Reads one whole answer.
async fn read(
    reader: &mut (impl tokio::io::AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<(Head, Vec<u8>)> {
    let begin = loop {
        if let Some(at) = find(buffer, b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > LONGEST_HEAD {
            return Err(strange("the head of the answer does not end"));
        }
        more(reader, buffer).await?;
    };
    let head = parse(&buffer[..begin])?;
    let body = if head.chunked {
        let mut body = Vec::new();
        let mut at = begin;
        loop {
            let line = loop {
                match find(&buffer[at..], b"\r\n") {
                    Some(length) => break at + length,
                    None => more(reader, buffer).await?,
                }
            };
            let size = chunk_size(&buffer[at..line]).ok_or_else(|| strange("not a chunk"))?;
            let end = line + 2 + size + 2;
            if body.len() + size > LONGEST_ANSWER {
                return Err(strange("the answer does not end"));
            }
            while buffer.len() < end {
                more(reader, buffer).await?;
            }
            body.extend_from_slice(&buffer[line + 2..line + 2 + size]);
            at = end;
            if size == 0 {
                break body;
            }
        }
    } else {
        let length = head
            .length
            .ok_or_else(|| strange("an answer without a length"))?;
        if length > LONGEST_ANSWER {
            return Err(strange("the answer is too long"));
        }
        while buffer.len() < begin + length {
            more(reader, buffer).await?;
        }
        buffer[begin..begin + length].to_vec()
    };
    Ok((head, body))
}

async fn more(
    reader: &mut (impl tokio::io::AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    if reader.read_buf(buffer).await? == 0 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the server closed the connection before it answered",
        ));
    }
    Ok(())
}

fn strange(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The hexadecimal number before any extension.
fn chunk_size(line: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(line).ok()?;
    let digits = text.split(';').next()?.trim();
    usize::from_str_radix(digits, 16)
        .ok()
        .filter(|size| *size <= LONGEST_ANSWER)
}

fn parse(head: &[u8]) -> io::Result<Head> {
    let text = std::str::from_utf8(head).map_err(|_| strange("not an answer"))?;
    let status = text
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| strange("not an HTTP/1.1 answer"))?;
    let mut found = Head {
        answer: Answer {
            status,
            ..Answer::default()
        },
        length: None,
        chunked: false,
        close: false,
    };
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            found.length = value.parse().ok();
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            found.chunked = value.eq_ignore_ascii_case("chunked");
        } else if name.eq_ignore_ascii_case("connection") {
            found.close = value.eq_ignore_ascii_case("close");
        } else {
            header(name, value, &mut found.answer);
        }
    }
    Ok(found)
}

/// A header that says what was granted, or when to come again.
fn header(name: &str, value: &str, answer: &mut Answer) {
    if name.eq_ignore_ascii_case("log-tier") {
        answer.granted.tier = Some(Arc::from(value));
    } else if name.eq_ignore_ascii_case("log-merge-by") {
        answer.granted.merge_by = seconds(value);
    } else if name.eq_ignore_ascii_case("retry-after") {
        answer.retry_after = value.parse().ok().map(Duration::from_secs);
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let number: f64 = text.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(number).ok()
}

async fn over_tls(http: &reqwest::Client, base: &str, ask: Ask<'_>) -> io::Result<Answer> {
    let failed = |error: reqwest::Error| io::Error::other(logctl::kit::cause(&error));
    let method = reqwest::Method::from_bytes(ask.method.as_bytes()).map_err(io::Error::other)?;
    let mut request = http.request(method, format!("{base}{}", ask.path));
    for (name, value) in ask.headers.lines().filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    if !ask.body.is_empty() {
        request = request.body(ask.body.to_vec());
    }
    let reply = request.send().await.map_err(failed)?;
    let mut answer = Answer {
        status: reply.status().as_u16(),
        ..Answer::default()
    };
    for (name, value) in reply.headers() {
        if let Ok(value) = value.to_str() {
            header(name.as_str(), value, &mut answer);
        }
    }
    answer.body = reply.bytes().await.map_err(failed)?.to_vec();
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn answered(reply: &'static [u8]) -> io::Result<Answer> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let _ = stream.read(&mut request).await.unwrap();
            // In pieces, as networks do.
            for piece in reply.chunks(7) {
                stream.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let mut connection = Connection::new(Rc::new(Target::Plain {
            address,
            host: "x".into(),
        }));
        let ask = Ask {
            method: "POST",
            path: "/dev/add",
            headers: "",
            body: b"x",
        };
        tokio::join!(connection.ask(ask), server).0
    }

    #[tokio::test]
    async fn answers_in_every_form() {
        let whole = answered(b"HTTP/1.1 200 OK\r\nLog-Tier: bulk\r\nlog-merge-by: 0.5s\r\ncontent-length: 3\r\n\r\n17\n").await.unwrap();
        assert_eq!(
            whole,
            Answer {
                status: 200,
                body: b"17\n".to_vec(),
                granted: Granted {
                    tier: Some("bulk".into()),
                    merge_by: Some(Duration::from_millis(500))
                },
                retry_after: None,
            }
        );
        let chunked = answered(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nfull\r\n3\r\nish\r\n0\r\n\r\n").await.unwrap();
        assert_eq!(
            (chunked.status, chunked.body.as_slice(), chunked.retry_after),
            (503, &b"fullish"[..], Some(Duration::from_secs(7)))
        );
        for broken in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n17\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"SSH-2.0\r\n\r\n",
            b"",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert!(
                answered(broken).await.is_err(),
                "{}",
                String::from_utf8_lossy(broken)
            );
        }
    }

    #[tokio::test]
    async fn a_refusal_before_the_end_of_a_long_body_is_heard() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut some = vec![0; 1024];
            let _ = stream.read(&mut some).await.unwrap();
            stream
                .write_all(b"HTTP/1.1 429 Slow down\r\nContent-Length: 0\r\n\r\n")
                .await
                .unwrap();
            // The rest is never read.
            stream
        };
        let body = vec![1; 64 << 20];
        let mut connection = Connection::new(Rc::new(Target::Plain {
            address,
            host: "x".into(),
        }));
        let ask = Ask {
            method: "POST",
            path: "/dev/add-batch",
            headers: "",
            body: &body,
        };
        let (answer, _stream) = tokio::join!(connection.ask(ask), server);
        assert_eq!(answer.unwrap().status, 429);
        assert!(connection.socket.is_none(), "half a request is on it");
    }
}
