//! Follows `GET operations/{id}`: server-sent events (WHATWG HTML, section 9.2), as far as the endpoint uses them.
//!
//! What must never happen: an endless event fills the memory.

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Response};
use wire::{Operation, Problem, codes};

use super::{Admin, Deadline, cause};
use crate::error::Error;

/// No operation is as long as this.
const LIMIT: usize = 1 << 20;

/// Events of one operation.
#[derive(Debug)]
pub(crate) struct Events {
    answer: Response,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub(crate) enum Followed {
    /// The operation as it is now.
    Now(Box<Operation>),
    /// The stream ended or broke, or there is none here: ask instead.
    Ended,
}

impl Admin {
    /// Follows an operation. `None` from an endpoint without events.
    pub(crate) async fn events(
        &self,
        id: &str,
        deadline: Deadline,
    ) -> Result<Option<Events>, Error> {
        let url = format!("{}/operations/{id}", self.base);
        let request = self
            .http
            .request(Method::GET, url)
            .header(ACCEPT, "text/event-stream");
        let answer = match self.send(request, deadline).await? {
            Ok(answer) => answer,
            Err(error) => return Err(self.unreachable(cause(&error))),
        };
        let kind = answer
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        if answer.status().is_success()
            && kind.is_some_and(|kind| kind.starts_with("text/event-stream"))
        {
            return Ok(Some(Events {
                answer,
                buffer: Vec::new(),
            }));
        }
        if answer.status().is_success() {
            return Ok(None);
        }
        match answer.json::<Problem>().await {
            // The server has as many followers as it allows; asking now and then works as well.
            Ok(problem) if problem.code == codes::TOO_MANY => Ok(None),
            Ok(problem) => Err(Error::Problem(Box::new(problem))),
            Err(_) => Ok(None),
        }
    }
}

impl Events {
    /// The next state of the operation.
    pub(crate) async fn next(&mut self) -> Followed {
        loop {
            if let Some(event) = take_event(&mut self.buffer) {
                if let Some(operation) = operation(&event) {
                    return Followed::Now(Box::new(operation));
                }
                continue;
            }
            match self.answer.chunk().await {
                Ok(Some(chunk)) if self.buffer.len() + chunk.len() <= LIMIT => {
                    // A carriage return before a line feed says nothing more than the line feed alone.
                    self.buffer
                        .extend(chunk.iter().filter(|byte| **byte != b'\r'));
                }
                _ => return Followed::Ended,
            }
        }
    }
}

/// The first complete event, taken out of the buffer.
fn take_event(buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = buffer.windows(2).position(|two| two == b"\n\n")?;
    let event = buffer.drain(..end + 2).collect();
    Some(event)
}

/// The operation in an event; `None` for comments and events of other kinds.
fn operation(event: &[u8]) -> Option<Operation> {
    let text = std::str::from_utf8(event).ok()?;
    let value = |line: &str, field: &str| {
        let rest = line.strip_prefix(field)?.strip_prefix(':')?;
        Some(rest.strip_prefix(' ').unwrap_or(rest).to_owned())
    };
    let kind = text.lines().find_map(|line| value(line, "event"));
    if kind.as_deref() != Some("operation") {
        return None;
    }
    let data: Vec<String> = text
        .lines()
        .filter_map(|line| value(line, "data"))
        .collect();
    serde_json::from_str(&data.join("\n")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_one_by_one() {
        let id = "0123456789abcdef0123456789abcdef";
        let json = format!(
            "{{\"id\":\"{id}\",\"log\":\"dev\",\"action\":\"configure\",\"state\":\"done\",\"baseGeneration\":1,\n\"generation\":2,\"etag\":\"g2-00\",\"differences\":[]}}"
        );
        let mut data = String::from("event: operation\n");
        for line in json.lines() {
            data.push_str(&format!("data: {line}\n"));
        }
        let mut buffer =
            format!(": hello\n\nevent:ping\ndata:\n\n{data}\nevent: operation\nda").into_bytes();
        let mut read = Vec::new();
        while let Some(event) = take_event(&mut buffer) {
            read.push(operation(&event).map(|operation| operation.generation));
        }
        assert_eq!(read, [None, None, Some(2)]);
        assert_eq!(buffer, b"event: operation\nda");
    }
}
