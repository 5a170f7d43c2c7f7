//! Reads a configuration document from a file or a pipe, and places every finding in *that* text, also those
//! that only the server could make.

use std::io::Read;

use logconfig::LogConfig;
use wire::codes;

use crate::error::Error;
use crate::file::File;

/// A document, its text, and what to call it.
#[derive(Debug)]
pub(super) struct Document {
    /// The path, or `standard input`.
    pub(super) subject: String,
    /// The configuration that the file holds.
    pub(super) config: LogConfig,
    text: String,
}

impl Document {
    /// Reads and validates; lists everything that is wrong.
    pub(super) async fn read(file: &File) -> Result<Self, Error> {
        let (subject, text) = read(file).await?;
        match logconfig::parse(&text) {
            Ok(config) => Ok(Self {
                subject,
                config,
                text,
            }),
            Err(findings) => Err(Error::Invalid {
                subject,
                findings: findings.into_iter().map(wire_finding).collect(),
            }),
        }
    }

    /// As [`Document::place`], for a request that holds the document below a pointer.
    pub(super) fn place_below(&self, pointer: &str, error: Error) -> Error {
        let Error::Problem(mut problem) = error else {
            return error;
        };
        for finding in &mut problem.findings {
            if let Some(inner) = finding.pointer.strip_prefix(pointer) {
                finding.pointer = inner.to_owned();
            }
        }
        self.place(Error::Problem(problem))
    }

    /// A refusal by the server as a refusal of this document, with lines and columns.
    pub(super) fn place(&self, error: Error) -> Error {
        let Error::Problem(mut problem) = error else {
            return error;
        };
        if let (codes::STALE, Some(generation)) = (problem.code.as_str(), self.config.generation) {
            let made = format!("{} was made from generation {generation}", self.subject);
            problem.detail = format!("{made}; {}", problem.detail);
        }
        if problem.code != codes::INVALID || problem.findings.is_empty() {
            return Error::Problem(problem);
        }
        let findings = problem.findings.into_iter().map(|mut finding| {
            // Its own positions would be those in the request's body.
            (finding.line, finding.column) = self.position(&finding.pointer);
            finding
        });
        Error::Invalid {
            subject: self.subject.clone(),
            findings: findings.collect(),
        }
    }

    /// Where a field is, if the text shows it.
    pub(super) fn position(&self, pointer: &str) -> (Option<u32>, Option<u32>) {
        let mut marker = [logconfig::Finding {
            code: "",
            message: String::new(),
            pointer: pointer.to_owned(),
            line: None,
            column: None,
            hint: None,
        }];
        logconfig::locate(&self.text, &mut marker);
        let [marker] = marker;
        (marker.line, marker.column)
    }
}

/// Converts the engine's type to the wire's, which reports use.
pub(super) fn wire_finding(finding: logconfig::Finding) -> wire::Finding {
    wire::Finding {
        code: finding.code.to_owned(),
        message: finding.message,
        pointer: finding.pointer,
        line: finding.line,
        column: finding.column,
        hint: finding.hint,
    }
}

/// Reads off the main task: a read from a terminal or a pipe blocks, and Ctrl-C must work meanwhile.
pub async fn read(file: &File) -> Result<(String, String), Error> {
    let (subject, bytes) = read_bytes(file, logconfig::MAX_BYTES).await?;
    let text = String::from_utf8(bytes).map_err(|_| Error::Read {
        what: subject.clone(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not UTF-8 text"),
    })?;
    Ok((subject, text))
}

/// A file's name for people and its bytes: one more than `limit` when it has more.
pub(super) async fn read_bytes(file: &File, limit: usize) -> Result<(String, Vec<u8>), Error> {
    let (subject, path) = match file {
        File::Standard => ("standard input".to_owned(), None),
        File::Path(path) => (path.display().to_string(), Some(path.clone())),
    };
    let limit = limit as u64 + 1;
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = Vec::new();
        match path {
            Some(path) => std::fs::File::open(path)?
                .take(limit)
                .read_to_end(&mut bytes)?,
            None => std::io::stdin().take(limit).read_to_end(&mut bytes)?,
        };
        Ok(bytes)
    });
    match reading.await {
        Ok(Ok(bytes)) => Ok((subject, bytes)),
        Ok(Err(source)) => Err(Error::Read {
            what: subject,
            source,
        }),
        Err(error) => Err(Error::Bug(format!("reading {subject}: {error}"))),
    }
}
