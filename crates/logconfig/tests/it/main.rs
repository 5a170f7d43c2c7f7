//! The crate from outside: the texts that operators see, and what must hold for every document.

#![expect(
    clippy::unwrap_used,
    reason = "a failed test panics, in its helpers too"
)]

mod changes;
mod documents;
mod keys;
mod merge;
mod plans;
mod properties;
mod qos;
mod rekor;
mod rekor_shards;

use logconfig::{Algorithm, Finding, LogConfig, ShardConfig, ShardState, WriterToken, token_hash};

/// Findings as text: position, code and pointer, then what a person reads.
fn render(findings: &[Finding]) -> String {
    let one = |finding: &Finding| {
        let hint = finding
            .hint
            .as_ref()
            .map(|hint| format!("\n      hint: {hint}"))
            .unwrap_or_default();
        let at = finding
            .line
            .zip(finding.column)
            .map(|(line, column)| format!("{line}:{column} "))
            .unwrap_or_default();
        format!(
            "  {at}{} {}\n      {}{hint}\n",
            finding.code, finding.pointer, finding.message
        )
    };
    findings.iter().map(one).collect()
}

fn shard(name: &str, state: ShardState) -> ShardConfig {
    ShardConfig::new(name.parse().unwrap(), state)
}

/// A log in its third shard, as the server describes it.
fn running() -> LogConfig {
    let mut config = LogConfig::new(
        "argon".parse().unwrap(),
        "log.example.org/argon".into(),
        "2026a".parse().unwrap(),
    );
    config.shards = vec![
        shard("2026a", ShardState::Frozen),
        shard("2026b", ShardState::Frozen),
        shard("2026c", ShardState::Active),
        shard("2026d", ShardState::Planned),
        shard("2026e", ShardState::Planned),
    ];
    config.generation = Some(7);
    config.shards[4].key.algorithm = Algorithm::EcdsaP256;
    config.shards[4].ecdsa_vkey = Some("log.example.org/argon/2026e+00000014+AaBbCc14=".to_owned());
    config.qos.tenants[1].tokens = vec![WriterToken {
        name: "ci".to_owned(),
        sha256: token_hash("logw_example"),
        expires: Some("2027-01-31T00:00:00Z".to_owned()),
    }];
    for (index, shard) in config.shards.iter_mut().enumerate() {
        shard.tree_id = Some(format!("{}", 4_000_000_000_000_000_001 + index as u64));
        shard.vkey = Some(format!(
            "log.example.org/argon/{}+0000000{index}+AaBbCc{index}=",
            shard.name
        ));
        if shard.state != ShardState::Planned {
            shard.start_index = Some(1000 * index as u64);
        }
        if shard.state == ShardState::Frozen {
            shard.length = Some(1000);
            shard.root_hash = Some(format!("{index:064x}"));
        }
    }
    config
}
