//! A small blocking HTTP/1.1 client: what it sends and what came back is exactly what the tests see, without redirects,
//! retries of writes, or pooling.

use std::io::{BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Header names in lower case, with their values, in order.
    pub headers: Vec<(String, String)>,
    /// The body, decoded when it came in chunks.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }
    /// The body as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    /// The body as JSON.
    ///
    /// # Errors
    /// When it is not JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {:?}", self.text()))
    }
    /// The answer itself when its status is `status`.
    ///
    /// # Errors
    /// Any other status, with the body.
    pub fn expect_status(self, status: u16) -> Result<Self> {
        ensure!(
            self.status == status,
            "expected status {status}, got {}: {}",
            self.status,
            self.text().trim_end()
        );
        Ok(self)
    }
}

/// A connection to one address, kept open between requests.
#[derive(Debug)]
pub struct Http {
    to: To,
    patience: Duration,
    stream: Option<BufReader<Box<dyn Stream>>>,
}

/// The address of a server.
#[derive(Debug)]
enum To {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

trait Stream: std::io::Read + std::io::Write + Send + std::fmt::Debug {}
impl Stream for TcpStream {}
impl Stream for UnixStream {}

/// Longer than any answer takes; only turns a hang into an error.
const HANG: Duration = Duration::from_secs(60);

impl Http {
    /// A client for `address`; connects with the first request.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            to: To::Tcp(address),
            patience: HANG,
            stream: None,
        }
    }

    /// A client for a Unix socket; connects with the first request.
    pub fn unix(socket: impl Into<PathBuf>) -> Self {
        Self {
            to: To::Unix(socket.into()),
            patience: HANG,
            stream: None,
        }
    }

    /// Gives up when the server says nothing for this long.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// `GET path`. A kept connection that the server has closed meanwhile is opened again.
    ///
    /// # Errors
    /// When the server can't be reached or its answer is not HTTP/1.1.
    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        let kept = self.stream.is_some();
        match self.send("GET", path, headers, None) {
            Err(_) if kept => self.send("GET", path, headers, None),
            other => other,
        }
    }

    /// `POST path`, once, on a fresh connection: a write is never sent twice.
    ///
    /// # Errors
    /// When the server can't be reached or its answer is not HTTP/1.1; the write may have happened then.
    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer> {
        self.stream = None;
        self.send("POST", path, headers, Some(body))
    }

    /// Any request, once.
    ///
    /// # Errors
    /// When the server can't be reached or its answer is not HTTP/1.1.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer> {
        match body {
            None => self.send_raw(method, path, headers, b""),
            Some(body) => {
                let length = body.len().to_string();
                self.send_raw(
                    method,
                    path,
                    &[headers, &[("Content-Length", &length)]].concat(),
                    body,
                )
            }
        }
    }

    /// Any request, once, with a body whose framing is the caller's business.
    ///
    /// # Errors
    /// When the server can't be reached or its answer is not HTTP/1.1.
    pub fn send_raw(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.to.connect(self.patience)?,
        };
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.to.host());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        // A server that refuses early may close before it has read the whole body; its answer is still there to read.
        let sent = stream.get_mut().write_all(&request);
        let answer = match (read_answer(&mut stream, method), sent) {
            (Ok(answer), _) => answer,
            (Err(_), Err(error)) => return Err(error).context("send a request"),
            (Err(error), Ok(())) => return Err(error),
        };
        if answer
            .header("connection")
            .is_none_or(|v| !v.eq_ignore_ascii_case("close"))
        {
            self.stream = Some(stream);
        }
        Ok(answer)
    }
}

impl To {
    fn connect(&self, patience: Duration) -> Result<BufReader<Box<dyn Stream>>> {
        let stream: Box<dyn Stream> = match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, patience)
                    .with_context(|| format!("connect to {address}"))?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(patience))?;
                Box::new(stream)
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)
                    .with_context(|| format!("connect to {}", path.display()))?;
                stream.set_read_timeout(Some(patience))?;
                Box::new(stream)
            }
        };
        Ok(BufReader::new(stream))
    }

    fn host(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

fn read_line(stream: &mut impl std::io::BufRead) -> Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line).context("read an answer")?;
    ensure!(
        line.ends_with('\n'),
        "the connection ended inside an answer"
    );
    Ok(line.trim_end().to_owned())
}

fn read_answer(stream: &mut BufReader<Box<dyn Stream>>, method: &str) -> Result<Answer> {
    let line = read_line(stream)?;
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .with_context(|| format!("not an HTTP/1.1 status line: {line:?}"))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line
            .split_once(':')
            .with_context(|| format!("not a header: {line:?}"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer {
        status,
        headers,
        body: Vec::new(),
    };
    if method == "HEAD" || matches!(status, 204 | 304) {
        return Ok(answer);
    }
    if answer
        .header("transfer-encoding")
        .is_some_and(|v| v.eq_ignore_ascii_case("chunked"))
    {
        loop {
            let size = usize::from_str_radix(&read_line(stream)?, 16).context("chunk size")?;
            let at = answer.body.len();
            answer.body.resize(at + size, 0);
            stream.read_exact(&mut answer.body[at..])?;
            ensure!(
                read_line(stream)?.is_empty(),
                "a chunk longer than its size"
            );
            if size == 0 {
                return Ok(answer);
            }
        }
    }
    match answer.header("content-length").map(str::parse) {
        Some(Ok(length)) => {
            answer.body = vec![0; length];
            stream
                .read_exact(&mut answer.body)
                .context("read an answer's body")?;
        }
        Some(Err(_)) => bail!("malformed Content-Length"),
        None => {
            stream.read_to_end(&mut answer.body)?;
        }
    }
    Ok(answer)
}
