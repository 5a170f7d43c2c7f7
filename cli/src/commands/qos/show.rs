//! `logctl qos show TIER|TENANT`: its settings, and its queues at this moment.

use logconfig::{TenantConfig, TierConfig};
use serde::Serialize;
use wire::{QosStatus, QueueStatus, TierStatus, codes};

use super::list;
use crate::commands::Session;
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};

/// The tier or the tenant of a name; both if the name is used for both.
#[derive(Debug, Serialize)]
struct Shown {
    log: String,
    name: String,
    tier: Option<TierConfig>,
    tenant: Option<TenantConfig>,
    /// Absent when the server does not report it.
    live: Option<Live>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Live {
    /// When it was read.
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<TierStatus>,
    /// Each tenant of the tier, each tier of the tenant.
    queues: Vec<QueueStatus>,
}

pub(super) async fn run(session: &Session<'_>, name: &str) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let qos = server.admin.config(&log, server.deadline).await?.config.qos;
    let tier = qos.tiers.iter().find(|tier| tier.name.as_str() == name);
    let tenant = qos
        .tenants
        .iter()
        .find(|tenant| tenant.name.as_str() == name);
    if tier.is_none() && tenant.is_none() {
        let tiers: Vec<_> = qos.tiers.iter().map(|tier| tier.name.as_str()).collect();
        let tenants: Vec<_> = qos
            .tenants
            .iter()
            .map(|tenant| tenant.name.as_str())
            .collect();
        return Err(Error::Usage {
            message: format!("{log} has no tier and no tenant {name:?}"),
            hint: format!(
                "its tiers are {}; its tenants {}",
                tiers.join(", "),
                tenants.join(", ")
            ),
        });
    }
    let live = match server.admin.qos(&log, server.deadline).await {
        Ok(status) => Some(about(status, name)),
        Err(Error::Problem(problem)) if problem.code == codes::UNSUPPORTED => None,
        Err(error) => return Err(error),
    };
    Outcome::done(&Shown {
        name: name.to_owned(),
        tier: tier.cloned(),
        tenant: tenant.cloned(),
        live,
        log,
    })
}

fn about(status: QosStatus, name: &str) -> Live {
    let here = |queue: &QueueStatus| queue.tier == name || queue.tenant == name;
    Live {
        time: status.time,
        tier: status.tiers.into_iter().find(|tier| tier.tier == name),
        queues: status.queues.into_iter().filter(here).collect(),
    }
}

impl Present for Shown {
    const KIND: &'static str = "Qos";
    const NAME: &'static str = "/name";

    fn page(&self) -> Page {
        let mut page = Page::new();
        if let Some(tier) = &self.tier {
            page = page.with(list::tiers(std::slice::from_ref(tier)));
        }
        if let Some(tenant) = &self.tenant {
            page = page.with(list::tenants(std::slice::from_ref(tenant)));
            if !tenant.tokens.is_empty() {
                page = page.with(list::tokens(tenant));
            }
        }
        let Some(live) = &self.live else {
            return page.text("the server does not tell how its writers fare");
        };
        if let Some(missed) = live
            .tier
            .as_ref()
            .map(|tier| tier.missed)
            .filter(|n| *n > 0)
        {
            page = page.text(format!("missed promises: {missed}"));
        }
        page.with(queues(&live.queues))
    }
}

fn queues(queues: &[QueueStatus]) -> Block {
    let rows = queues.iter().map(|queue| {
        let refused: u64 = queue.refused.iter().map(|refused| refused.entries).sum();
        let reasons: Vec<_> = queue
            .refused
            .iter()
            .map(|refused| format!("{} {}", refused.entries, refused.reason))
            .collect();
        let refused = match refused {
            0 => "0".into(),
            _ => Cell::toned(reasons.join(", "), Tone::Bad),
        };
        vec![
            queue.tier.as_str().into(),
            queue.tenant.as_str().into(),
            Cell::number(Some(queue.queued_entries)),
            Cell::number(Some(queue.queued_bytes)),
            match queue.oldest_wait_millis {
                Some(millis) => format!("{millis} ms").into(),
                None => "-".into(),
            },
            Cell::number(Some(queue.accepted)),
            refused,
            Cell::number(Some(queue.ordered)),
        ]
    });
    Block::Table {
        header: vec![
            "TIER", "TENANT", "QUEUED", "BYTES", "OLDEST", "ACCEPTED", "REFUSED", "ORDERED",
        ],
        rows: rows.collect(),
        spare: 0,
    }
}
