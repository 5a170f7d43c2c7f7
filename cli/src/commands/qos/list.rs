//! `logctl qos list`: the tiers and tenants of the running document.

use logconfig::{TenantConfig, TierConfig};
use serde::Serialize;

use crate::commands::Session;
use crate::error::{Error, count};
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};

#[derive(Debug, Serialize)]
pub(super) struct Settings {
    pub(super) log: String,
    pub(super) generation: Option<u64>,
    pub(super) tiers: Vec<TierConfig>,
    pub(super) tenants: Vec<TenantConfig>,
}

pub(super) async fn run(session: &Session<'_>) -> Result<Outcome, Error> {
    let server = session.server()?;
    let log = server.log().await?;
    let running = server.admin.config(&log, server.deadline).await?.config;
    Outcome::done(&Settings {
        log,
        generation: running.generation,
        tiers: running.qos.tiers,
        tenants: running.qos.tenants,
    })
}

impl Present for Settings {
    const KIND: &'static str = "QosList";

    fn page(&self) -> Page {
        Page::new()
            .with(tiers(&self.tiers))
            .with(tenants(&self.tenants))
    }
}

fn maybe(value: Option<impl ToString>) -> Cell {
    Cell::maybe(value.map(|value| value.to_string()).as_deref())
}

pub(super) fn tiers(tiers: &[TierConfig]) -> Block {
    let rows = tiers.iter().map(|tier| {
        vec![
            tier.name.as_str().into(),
            maybe(tier.max_merge_delay),
            Cell::number(Some(tier.weight)),
            tier.floor.to_string().into(),
            tier.priority.to_string().into(),
            maybe(tier.latency_target),
            Cell::number(Some(tier.burst)),
        ]
    });
    Block::Table {
        header: vec![
            "TIER", "PROMISE", "WEIGHT", "FLOOR", "PRIORITY", "TARGET", "BURST",
        ],
        rows: rows.collect(),
        spare: 2,
    }
}

pub(super) fn tenants(tenants: &[TenantConfig]) -> Block {
    let rows = tenants.iter().map(|tenant| {
        let tiers: Vec<_> = tenant.tiers.iter().map(AsRef::<str>::as_ref).collect();
        let writers = match (tenant.anonymous, tenant.tokens.len()) {
            (true, 0) => "anybody".to_owned(),
            (true, n) => format!("anybody, {}", count(n, "token")),
            (false, n) => count(n, "token"),
        };
        let writers = match (tenant.anonymous, tenant.tokens.is_empty()) {
            // No writer can be this tenant yet.
            (false, true) => Cell::toned(writers, Tone::Past),
            _ => writers.into(),
        };
        vec![
            tenant.name.as_str().into(),
            tiers.join(", ").into(),
            writers,
            maybe(tenant.rate),
            maybe(tenant.bytes),
            Cell::number(Some(tenant.weight)),
        ]
    });
    Block::Table {
        header: vec!["TENANT", "TIERS", "WRITERS", "RATE", "BYTES", "WEIGHT"],
        rows: rows.collect(),
        spare: 1,
    }
}

/// The tokens of a tenant, without their hashes, which say nothing to a person.
pub(super) fn tokens(tenant: &TenantConfig) -> Block {
    let rows = tenant.tokens.iter().map(|token| {
        vec![
            token.name.as_str().into(),
            token
                .expires
                .as_deref()
                .unwrap_or("when it is removed")
                .into(),
        ]
    });
    Block::Table {
        header: vec!["TOKEN", "ENDS"],
        rows: rows.collect(),
        spare: 0,
    }
}
