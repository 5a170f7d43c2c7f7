//! The writers: each writes one entry after the other, to any server that is up, and notes what it is told.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::history::{Told, Write, entry};
use crate::load::arrivals::Random;
use crate::load::wire::{Answer, Ask, Connection, Target};

/// How long a writer waits for an answer before it goes elsewhere: less than most pauses, so that writes come late.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Pause after anything but an acknowledgement.
const PAUSE: Duration = Duration::from_millis(20);

/// What all writers share.
pub(crate) struct Desk {
    /// Tells this run's entries from any other's.
    pub(crate) run: u64,
    pub(crate) began: Instant,
    /// Where the servers are; `None` for one that is down.
    pub(crate) servers: RefCell<Vec<Option<SocketAddr>>>,
    pub(crate) writes: RefCell<Vec<Write>>,
    /// True when writers must stop.
    pub(crate) over: tokio::sync::watch::Receiver<bool>,
}

/// An answer's body, what of it is needed: an index, or a refusal's code.
#[derive(Default, Deserialize)]
struct Said {
    index: Option<u64>,
    code: Option<String>,
}

/// Writes until it is over.
pub(crate) async fn write(desk: &Desk, writer: u32) {
    let mut random = Random::new(desk.run ^ u64::from(writer) << 32);
    let mut connections: HashMap<SocketAddr, Connection> = HashMap::new();
    for number in 0.. {
        if *desk.over.borrow() {
            return;
        }
        let up: Vec<(usize, SocketAddr)> = {
            let servers = desk.servers.borrow();
            let up = servers.iter().enumerate();
            up.filter_map(|(i, at)| Some((i, (*at)?))).collect()
        };
        if up.is_empty() {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let (server, address) = up[random.below(up.len())];
        connections.retain(|at, _| up.iter().any(|(_, up)| up == at));
        let connection = connections.entry(address).or_insert_with(|| {
            let host = address.to_string();
            Connection::new(Rc::new(Target::Plain { address, host }))
        });
        let entry = entry(desk.run, writer, number);
        let ask = Ask {
            method: "POST",
            path: "/dev/add",
            headers: "Accept: application/json\r\n",
            body: entry.as_bytes(),
        };
        let began = Instant::now();
        let told = match tokio::time::timeout(PATIENCE, connection.ask(ask)).await {
            Ok(Ok(answer)) => told(&answer),
            Ok(Err(error)) => Told::Unknown(error.kind().to_string()),
            Err(_) => {
                // The answer may come yet: on this connection it would be taken for another's.
                connections.remove(&address);
                Told::Unknown("no answer".into())
            }
        };
        let pause = !matches!(told, Told::At(_));
        desk.writes.borrow_mut().push(Write {
            writer,
            number,
            server,
            began_ms: millis(began - desk.began),
            took_micros: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
            told,
        });
        if pause {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What an answer says. A refusal counts as one only where the server says that nothing was written.
fn told(answer: &Answer) -> Told {
    let said: Said = serde_json::from_slice(&answer.body).unwrap_or_default();
    if answer.status == 200 {
        return said
            .index
            .map_or_else(|| Told::Unknown("no index".into()), Told::At);
    }
    let code = said.code;
    match (answer.status, code) {
        (400..500 | 503 | 507, Some(code)) if code != "halted" => Told::Refused(code),
        (status, code) => Told::Unknown(code.unwrap_or_else(|| format!("status {status}"))),
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_word_is_a_refusal() {
        let say = |status, body: &str| {
            told(&Answer {
                status,
                body: body.into(),
                ..Answer::default()
            })
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
