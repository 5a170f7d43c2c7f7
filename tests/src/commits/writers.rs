//! The writers: each writes one entry after the other, to any server that is up, and notes what it is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Deserialize;

use super::history::{Told, Write, entry};
use crate::http::{Answer, Http};
use crate::random::Random;

/// How long a writer waits for an answer before it goes elsewhere: less than most pauses, so that writes come late.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Pause after anything but an acknowledgement.
const BACKOFF: Duration = Duration::from_millis(20);

/// The state that all writers share.
pub(crate) struct Desk {
    /// Tells this run's entries from any other's.
    pub(crate) run: u64,
    pub(crate) began: Instant,
    /// The addresses of the servers; `None` for one that is down.
    pub(crate) servers: Mutex<Vec<Option<SocketAddr>>>,
    /// True when writers must stop.
    pub(crate) over: AtomicBool,
}

/// The needed part of an answer's body: an index, or a refusal's code.
#[derive(Default, Deserialize)]
struct Said {
    index: Option<u64>,
    code: Option<String>,
}

/// Writes until the end; all writes and what their writer was told.
pub(crate) fn write(desk: &Desk, writer: u32) -> Vec<Write> {
    let mut random = Random::new(desk.run ^ u64::from(writer) << 32);
    let mut connections: HashMap<SocketAddr, Http> = HashMap::new();
    let mut writes = Vec::new();
    for number in 0.. {
        if desk.over.load(Ordering::Relaxed) {
            break;
        }
        let up = desk.up();
        if up.is_empty() {
            super::elapse(BACKOFF);
            continue;
        }
        let (server, address) = up[random.below(up.len())];
        connections.retain(|at, _| up.iter().any(|(_, up)| up == at));
        let connection = connections
            .entry(address)
            .or_insert_with(|| Http::new(address).with_patience(ANSWER_TIMEOUT));
        let entry = entry(desk.run, writer, number);
        let began = Instant::now();
        let headers = [("Accept", "application/json")];
        let told = told(connection.send("POST", "/dev/add", &headers, Some(entry.as_bytes())));
        let refused = !matches!(told, Told::At(_));
        writes.push(Write {
            writer,
            number,
            server,
            began_ms: (began - desk.began).as_millis() as u64,
            took_micros: began.elapsed().as_micros() as u64,
            told,
        });
        if refused {
            super::elapse(BACKOFF);
        }
    }
    writes
}

impl Desk {
    /// The servers that are up, with their numbers.
    fn up(&self) -> Vec<(usize, SocketAddr)> {
        let servers = self.servers.lock();
        let servers = servers.unwrap_or_else(std::sync::PoisonError::into_inner);
        let all = servers.iter().enumerate();
        all.filter_map(|(number, at)| Some((number, (*at)?)))
            .collect()
    }
}

/// Reads an answer. A refusal counts as one only if the server says that nothing was written.
fn told(answer: Result<Answer>) -> Told {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Told::Unknown(format!("{error:#}")),
    };
    let said: Said = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status == 200 {
        return said
            .index
            .map_or_else(|| Told::Unknown("no index".into()), Told::At);
    }
    match (answer.status, said.code) {
        (400..500 | 503 | 507, Some(code)) if code != "halted" => Told::Refused(code),
        (status, code) => Told::Unknown(code.unwrap_or_else(|| format!("status {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_word_is_a_refusal() {
        let say = |status, body: &str| {
            told(Ok(Answer {
                status,
                body: body.into(),
                headers: Vec::new(),
            }))
        };
        assert_eq!(say(200, r#"{"index":17,"shard":"a"}"#), Told::At(17));
        let refused = |code: &str| Told::Refused(code.into());
        assert_eq!(say(409, r#"{"code":"frozen"}"#), refused("frozen"));
        assert_eq!(say(503, r#"{"code":"overloaded"}"#), refused("overloaded"));
        for (status, body) in [
            (200, "seventeen"),
            (500, r#"{"code":"unknown-outcome"}"#),
            (503, r#"{"code":"halted"}"#),
            (503, "not from this server"),
            (502, r#"{"code":"frozen"}"#),
        ] {
            let said = say(status, body);
            assert!(
                matches!(said, Told::Unknown(_)),
                "{status} {body}: {said:?}"
            );
        }
    }
}
