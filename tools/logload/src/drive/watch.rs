//! Reads the server's watermarks and the length of its queues beside the writes.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;

use super::Shared;
use crate::wire::{Ask, Connection};

/// How often the queue metrics are read.
const SCRAPE: Duration = Duration::from_secs(1);

/// `GET /{log}/watermarks`; servers may say more.
#[derive(Debug, Deserialize)]
struct Watermarks {
    ordered: u64,
    published: u64,
}

/// Reads the watermarks until it is dropped.
pub(super) async fn watch(shared: Rc<Shared>) {
    let mut connection = Connection::new(Rc::clone(&shared.setup.target));
    let path = format!("/{}/watermarks", shared.setup.log);
    let mut tick = tokio::time::interval(shared.setup.poll);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tick.tick().await;
        let asked = shared.now();
        let ask = Ask {
            method: "GET",
            path: &path,
            headers: "",
            body: b"",
        };
        // A failed reading is left out: the report shows the gap.
        let Ok(answer) = connection.ask(ask).await else {
            continue;
        };
        if let Ok(marks) = serde_json::from_slice::<Watermarks>(&answer.body) {
            let told = shared.now();
            shared
                .recorder
                .borrow_mut()
                .watermarks(asked, told, marks.ordered, marks.published);
        }
    }
}

/// Reads the queue metrics, if there are any, until it is dropped.
pub(super) async fn scrape(shared: Rc<Shared>) {
    let Some((target, path)) = &shared.setup.metrics else {
        return;
    };
    let mut connection = Connection::new(Rc::clone(target));
    let mut tick = tokio::time::interval(SCRAPE);
    loop {
        tick.tick().await;
        let ask = Ask {
            method: "GET",
            path,
            headers: "",
            body: b"",
        };
        if let Ok(answer) = connection.ask(ask).await {
            let waiting = queues(&String::from_utf8_lossy(&answer.body), &shared.setup.log);
            let now = shared.now();
            shared.recorder.borrow_mut().waiting(now, &waiting);
        }
    }
}

/// `logd_queue_entries{log="dev",tier="bulk",tenant="default"} 17`, added up by tier.
fn queues(text: &str, log: &str) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let Some((labels, value)) = line
            .strip_prefix("logd_queue_entries{")
            .and_then(|rest| rest.rsplit_once("} "))
        else {
            continue;
        };
        let label = |name: &str| {
            labels
                .split(',')
                .filter_map(|label| label.split_once('='))
                .find(|(found, _)| *found == name)
                .map(|(_, value)| value.trim_matches('"'))
        };
        if label("log") == Some(log)
            && let (Some(tier), Ok(value)) = (label("tier"), value.trim().parse::<u64>())
        {
            *all.entry(tier.to_owned()).or_default() += value;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_added_up_by_tier() {
        let text = "# TYPE logd_queue_entries gauge
logd_queue_entries{log=\"dev\",tier=\"bulk\",tenant=\"a\"} 5
logd_queue_entries{log=\"dev\",tier=\"bulk\",tenant=\"b\"} 7
logd_queue_entries{log=\"other\",tier=\"bulk\",tenant=\"b\"} 100
logd_queue_bytes{log=\"dev\",tier=\"bulk\",tenant=\"b\"} 100
logd_queue_entries{tenant=\"b\",tier=\"live\",log=\"dev\"} 1
";
        assert_eq!(
            queues(text, "dev"),
            BTreeMap::from([("bulk".into(), 12), ("live".into(), 1)])
        );
    }
}
