//! Makes a failing life smaller: fewer events, fewer actors, fewer faults, as long as the same rule is broken.

use crate::many;
use crate::plan::Plan;
use crate::process::Rates;
use crate::trace::Detail;

/// The smallest plan found with so many tries that still breaks this rule.
pub fn shrink(plan: Plan, rule: &str, tries: usize) -> Plan {
    let mut smallest = plan;
    let mut left = tries;
    let mut fails = |plan: &Plan| {
        if left == 0 {
            return false;
        }
        left -= 1;
        let outcome = many::live(plan.clone(), Detail::Events);
        outcome.violation.is_some_and(|found| found.rule == rule)
    };
    loop {
        let before = weight(&smallest);
        // Parts of the events, from halves to single ones.
        let mut part = smallest.events.len().div_ceil(2);
        while part > 0 {
            let mut at = 0;
            while at < smallest.events.len() {
                let mut less = smallest.clone();
                let end = (at + part).min(less.events.len());
                less.events.drain(at..end);
                match fails(&less) {
                    true => smallest = less,
                    false => at = end,
                }
            }
            part /= 2;
        }
        for at in (0..smallest.writers.len()).rev() {
            let mut less = smallest.clone();
            less.writers.remove(at);
            if fails(&less) {
                smallest = less;
                continue;
            }
            let mut less = smallest.clone();
            less.writers[at].requests /= 2;
            if less.writers[at].requests > 0 && fails(&less) {
                smallest = less;
            }
        }
        for rates in milder(&smallest.rates) {
            let less = Plan {
                rates,
                ..smallest.clone()
            };
            if fails(&less) {
                smallest = less;
            }
        }
        for less in [
            Plan {
                peers: crate::peers::Peers::default(),
                ..smallest.clone()
            },
            Plan {
                nodes: crate::nodes::Nodes::default(),
                ..smallest.clone()
            },
            Plan {
                frontends: 0,
                ..smallest.clone()
            },
            Plan {
                http: crate::http::Http::default(),
                ..smallest.clone()
            },
            Plan {
                servers: smallest.servers.saturating_sub(1).max(1),
                ..smallest.clone()
            },
            Plan {
                older: 0,
                ..smallest.clone()
            },
            Plan {
                readers: 0,
                ..smallest.clone()
            },
        ] {
            if weight(&less) < weight(&smallest) && fails(&less) {
                smallest = less;
            }
        }
        if weight(&smallest) >= before {
            return smallest;
        }
    }
}

/// How much there is in a plan.
fn weight(plan: &Plan) -> u64 {
    let requests: u64 = plan.writers.iter().map(|writer| writer.requests + 1).sum();
    let Rates {
        fails,
        unknown,
        reads,
        full,
        slow,
        network,
        crash,
        ..
    } = plan.rates;
    let rates = [fails, unknown, reads, full, slow, network, crash];
    let rates = rates.iter().filter(|rate| **rate > 0).count() as u64;
    requests
        + rates
        + u64::from(plan.http.is_used())
        + u64::from(plan.older > 0)
        + (plan.events.len() + plan.servers + plan.readers) as u64
        + u64::from(
            plan.peers.secondaries + plan.peers.witnesses + plan.nodes.count + plan.frontends,
        )
}

/// The same rates, each time with one of them off.
fn milder(rates: &Rates) -> Vec<Rates> {
    let without: [fn(&mut Rates); 7] = [
        |r| r.fails = 0,
        |r| r.unknown = 0,
        |r| r.reads = 0,
        |r| r.full = 0,
        |r| r.slow = 0,
        |r| r.network = 0,
        |r| r.crash = 0,
    ];
    let one = |off: &fn(&mut Rates)| {
        let mut rates = rates.clone();
        off(&mut rates);
        rates
    };
    without
        .iter()
        .map(one)
        .filter(|milder| milder != rates)
        .collect()
}
