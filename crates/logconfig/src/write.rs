//! From a configuration to text: canonical JSON with its digest, JSON for machines, commented YAML for people. Reading any of
//! them back gives the same configuration.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::merge::{MergeConfig, WitnessConfig};
use crate::model::{KeySpec, LogConfig, ShardConfig};
use crate::qos::{QosConfig, TenantConfig, TierConfig};
use crate::rekor::RekorConfig;
use crate::schema::{SCHEMA_ID, schema_ref};
use crate::span::Span;
use crate::tree;

/// Column of the comments in generated YAML.
const COMMENT_COLUMN: usize = 34;
/// Longest line with a comment, unless its value alone is longer.
const MAX_LINE: usize = 120;

/// The entity tag of a generation whose document has this digest.
pub(crate) fn etag(generation: u64, digest: [u8; 32]) -> String {
    format!("g{generation}-{}", tlog::hex(&digest[..4]))
}

impl LogConfig {
    /// JSON of [`LogConfig::stripped`], without white space, fields in the order of the model: the bytes that a decision names.
    #[must_use]
    pub fn canonical(&self) -> Vec<u8> {
        json(&self.stripped(), serde_json::to_vec)
    }

    /// SHA-256 of [`LogConfig::canonical`]: names the document in a decision.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.canonical()).into()
    }

    /// Entity tag, without quotes: `g<generation>-<first 8 hex digits of the digest>`.
    #[must_use]
    pub fn etag(&self, generation: u64) -> String {
        etag(generation, self.digest())
    }

    /// Indented JSON with everything that is known, server-filled fields included.
    #[must_use]
    pub fn to_json(&self) -> String {
        json(self, serde_json::to_string_pretty) + "\n"
    }

    /// YAML with all fields, a schema line for editors, and each field explained where it first appears.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let mut yaml = Yaml {
            out: format!("# yaml-language-server: $schema={SCHEMA_ID}\n"),
            explained: Vec::new(),
        };
        yaml.field("", "apiVersion", "/properties/apiVersion", "logctl/v1");
        yaml.field("", "kind", "/properties/kind", "LogConfig");
        yaml.field("", "log", "/properties/log", &text(self.log.as_str()));
        if let Some(generation) = self.generation {
            yaml.field(
                "",
                "generation",
                "/properties/generation",
                &generation.to_string(),
            );
        }
        yaml.field("", "origin", "/properties/origin", &text(&self.origin));
        let form = self.origin_form.as_str();
        yaml.field("", "originForm", "/properties/originForm", form);
        yaml.field("", "key", "/properties/key", &key(self.key));
        yaml.field(
            "",
            "shards",
            "/properties/shards",
            if self.shards.is_empty() { "[]" } else { "" },
        );
        for shard in &self.shards {
            yaml.shard(shard);
        }
        yaml.field("", "rotate", "/properties/rotate", "");
        yaml.field(
            "  ",
            "name",
            "/properties/rotate/properties/name",
            &text(&self.rotate.name),
        );
        let rotate = [
            (
                "maxEntries",
                self.rotate.max_entries.map(|n| n.to_string()),
                "100000000",
            ),
            (
                "maxAge",
                self.rotate.max_age.map(|span| span.to_string()),
                "180d",
            ),
            (
                "requireAnnounced",
                self.rotate.require_announced.then(|| true.to_string()),
                "true",
            ),
            (
                "settle",
                self.rotate.settle.map(|span| span.to_string()),
                "7d",
            ),
        ];
        for (key, value, example) in rotate {
            let at = format!("/properties/rotate/properties/{key}");
            yaml.optional("  ", key, &at, value, example);
        }
        yaml.qos(&self.qos);
        yaml.merge(&self.merge);
        yaml.witnesses(&self.witnesses);
        if !self.rekor.is_default() {
            yaml.rekor(&self.rekor);
        }
        yaml.out
    }
}

/// Every type of the model is strings, integers and structs of those, which always serialise.
#[expect(
    clippy::expect_used,
    reason = "serde_json fails only on maps with non-string keys and on failing Serialize impls; the model has neither"
)]
fn json<T>(config: &LogConfig, write: impl FnOnce(&LogConfig) -> serde_json::Result<T>) -> T {
    write(config).expect("the model serialises")
}

/// A key on one line.
fn key(key: KeySpec) -> String {
    format!("{{algorithm: {}}}", key.algorithm.as_str())
}

struct Yaml {
    out: String,
    /// Schema locations whose comment has been written.
    explained: Vec<String>,
}

impl Yaml {
    fn shard(&mut self, shard: &ShardConfig) {
        let at = |field: &str| format!("/properties/shards/items/properties/{field}");
        self.field("  - ", "name", &at("name"), &text(shard.name.as_str()));
        self.field("    ", "state", &at("state"), shard.state.as_str());
        self.field("    ", "key", &at("key"), &key(shard.key));
        let filled = [
            ("startIndex", shard.start_index.map(|n| n.to_string())),
            ("length", shard.length.map(|n| n.to_string())),
            ("rootHash", shard.root_hash.as_deref().map(text)),
            ("treeId", shard.tree_id.as_deref().map(text)),
            ("vkey", shard.vkey.as_deref().map(text)),
            ("ecdsaVkey", shard.ecdsa_vkey.as_deref().map(text)),
        ];
        for (key, value) in filled {
            if let Some(value) = value {
                self.field("    ", key, &at(key), &value);
            }
        }
        if let Some(record) = &shard.announced {
            self.field("    ", "announced", &at("announced"), "");
            let at = |field: &str| at(&format!("announced/properties/{field}"));
            self.field("      ", "key", &at("key"), &text(&record.key));
            self.field("      ", "seen", &at("seen"), "");
            let at = |field: &str| at(&format!("seen/items/properties/{field}"));
            for seen in &record.seen {
                self.field("        - ", "at", &at("at"), &text(&seen.at));
                self.field("          ", "since", &at("since"), &text(&seen.since));
                if let Some(gone) = &seen.gone {
                    self.field("          ", "gone", &at("gone"), &text(gone));
                }
            }
        }
    }

    fn qos(&mut self, qos: &QosConfig) {
        const QOS: &str = "/properties/qos/properties";
        let or_empty = |empty| if empty { "[]" } else { "" };
        self.field("", "qos", "/properties/qos", "");
        let tiers = format!("{QOS}/tiers");
        self.field("  ", "tiers", &tiers, or_empty(qos.tiers.is_empty()));
        for tier in &qos.tiers {
            self.tier(tier, &format!("{tiers}/items/properties"));
        }
        let tenants = format!("{QOS}/tenants");
        self.field("  ", "tenants", &tenants, or_empty(qos.tenants.is_empty()));
        for tenant in &qos.tenants {
            self.tenant(tenant, &format!("{tenants}/items/properties"));
        }
    }

    fn merge(&mut self, merge: &MergeConfig) {
        const MERGE: &str = "/properties/merge/properties";
        let at = |field: &str| format!("{MERGE}/{field}");
        self.field("", "merge", "/properties/merge", "");
        let spans = [
            ("checkpointInterval", merge.checkpoint_interval),
            ("idleRepublish", merge.idle_republish),
        ];
        for (key, span) in spans {
            self.field("  ", key, &at(key), &span.to_string());
        }
        self.field("  ", "storage", &at("storage"), "");
        let storage = |field: &str| format!("{MERGE}/storage/properties/{field}");
        let quorum = merge.storage.quorum.to_string();
        self.field("    ", "quorum", &storage("quorum"), &quorum);
        let nodes = &merge.storage.nodes;
        let empty = |empty| if empty { "[]" } else { "" };
        self.field("    ", "nodes", &storage("nodes"), empty(nodes.is_empty()));
        let name = storage("nodes/items/properties/name");
        for node in nodes {
            self.field("      - ", "name", &name, &text(node.name.as_str()));
        }
        let quorum = merge.backup_quorum.to_string();
        self.field("  ", "backupQuorum", &at("backupQuorum"), &quorum);
        let none = empty(merge.secondaries.is_empty());
        self.field("  ", "secondaries", &at("secondaries"), none);
        let of = |field: &str| format!("{MERGE}/secondaries/items/properties/{field}");
        for secondary in &merge.secondaries {
            let name = text(secondary.name.as_str());
            self.field("    - ", "name", &of("name"), &name);
            self.field("      ", "url", &of("url"), &text(&secondary.url));
            self.field("      ", "vkey", &of("vkey"), &text(&secondary.vkey));
        }
        let none = empty(merge.frontends.is_empty());
        self.field("  ", "frontends", &at("frontends"), none);
        let of = |field: &str| format!("{MERGE}/frontends/items/properties/{field}");
        for frontend in &merge.frontends {
            let name = text(frontend.name.as_str());
            self.field("    - ", "name", &of("name"), &name);
            self.field("      ", "url", &of("url"), &text(&frontend.url));
        }
    }

    fn witnesses(&mut self, witnesses: &WitnessConfig) {
        let at = |field: &str| format!("/properties/witnesses/properties/{field}");
        self.field("", "witnesses", "/properties/witnesses", "");
        match block(&witnesses.policy) {
            Some(block) => {
                self.field("  ", "policy", &at("policy"), "|");
                self.out.push_str(&block);
            }
            None => self.field("  ", "policy", &at("policy"), &text(&witnesses.policy)),
        }
        let timeout = witnesses.timeout.to_string();
        self.field("  ", "timeout", &at("timeout"), &timeout);
    }

    fn rekor(&mut self, rekor: &RekorConfig) {
        let at = |field: &str| format!("/properties/rekor/properties/{field}");
        self.field("", "rekor", "/properties/rekor", "");
        self.field("  ", "v1", &at("v1"), &rekor.v1.to_string());
        self.field("  ", "v2", &at("v2"), &rekor.v2.to_string());
        self.field("  ", "kinds", &at("kinds"), &rekor.kinds.list());
        let duplicates = rekor.duplicates.as_str();
        self.field("  ", "duplicates", &at("duplicates"), duplicates);
        let first = rekor.first_entry.as_str();
        self.field("  ", "firstEntry", &at("firstEntry"), first);
        self.field("  ", "hold", &at("hold"), &rekor.hold.to_string());
    }

    fn tier(&mut self, tier: &TierConfig, schema: &str) {
        self.field(
            "    - ",
            "name",
            &format!("{schema}/name"),
            &text(tier.name.as_str()),
        );
        let span = |span: Option<Span>| span.map(|span| span.to_string());
        let optional = [
            ("maxMergeDelay", span(tier.max_merge_delay), "2s"),
            ("latencyTarget", span(tier.latency_target), "10ms"),
        ];
        for (key, value, example) in optional {
            self.optional("      ", key, &format!("{schema}/{key}"), value, example);
        }
        let set = [
            ("weight", tier.weight.to_string()),
            ("floor", tier.floor.to_string()),
            ("burst", tier.burst.to_string()),
            ("priority", text(&tier.priority.to_string())),
        ];
        for (key, value) in set {
            self.field("      ", key, &format!("{schema}/{key}"), &value);
        }
    }

    fn tenant(&mut self, tenant: &TenantConfig, schema: &str) {
        self.field(
            "    - ",
            "name",
            &format!("{schema}/name"),
            &text(tenant.name.as_str()),
        );
        let tiers: Vec<_> = tenant
            .tiers
            .iter()
            .map(|tier| text(tier.as_str()))
            .collect();
        let tiers = format!("[{}]", tiers.join(", "));
        self.field("      ", "tiers", &format!("{schema}/tiers"), &tiers);
        let optional = [
            ("rate", tenant.rate.map(|rate| rate.to_string()), "5000/s"),
            (
                "bytes",
                tenant.bytes.map(|rate| rate.to_string()),
                "10MiB/s",
            ),
        ];
        for (key, value, example) in optional {
            self.optional("      ", key, &format!("{schema}/{key}"), value, example);
        }
        let set = [
            ("weight", tenant.weight.to_string()),
            ("anonymous", tenant.anonymous.to_string()),
            (
                "tokens",
                if tenant.tokens.is_empty() {
                    "[]".to_owned()
                } else {
                    String::new()
                },
            ),
        ];
        for (key, value) in set {
            self.field("      ", key, &format!("{schema}/{key}"), &value);
        }
        let schema = format!("{schema}/tokens/items/properties");
        for token in &tenant.tokens {
            self.field(
                "        - ",
                "name",
                &format!("{schema}/name"),
                &text(&token.name),
            );
            self.field(
                "          ",
                "sha256",
                &format!("{schema}/sha256"),
                &text(&token.sha256),
            );
            if let Some(expires) = &token.expires {
                self.field(
                    "          ",
                    "expires",
                    &format!("{schema}/expires"),
                    &text(expires),
                );
            }
        }
    }

    /// Writes a field that may be absent: then it is offered as a comment, once, at its first place.
    fn optional(
        &mut self,
        lead: &str,
        key: &str,
        schema: &str,
        value: Option<String>,
        example: &str,
    ) {
        match value {
            Some(value) => self.field(lead, key, schema, &value),
            None if self.explained.iter().any(|done| done == schema) => {}
            None => self.offer(lead, key, schema, example),
        }
    }

    /// Writes the line of a field that is not set as a comment, which the operator can uncomment.
    fn offer(&mut self, lead: &str, key: &str, schema: &str, example: &str) {
        self.field(&format!("{lead}# "), key, schema, example);
    }

    /// One line: `key: value  # what it is`. The words are the schema's, so that file, editor and reference agree.
    fn field(&mut self, lead: &str, key: &str, schema: &str, value: &str) {
        let mut line = format!("{lead}{key}:");
        if !value.is_empty() {
            line.push(' ');
            line.push_str(value);
        }
        if !self.explained.iter().any(|done| done == schema) {
            self.explained.push(schema.to_owned());
            let description = schema_ref()
                .pointer(schema)
                .and_then(|field| field.get("description"));
            if let Some(comment) = description.and_then(Value::as_str) {
                let gap = COMMENT_COLUMN.saturating_sub(line.chars().count()).max(2);
                if line.chars().count() + gap + comment.chars().count() <= MAX_LINE {
                    line.extend(std::iter::repeat_n(' ', gap));
                    line.push_str(&format!("# {comment}"));
                } else {
                    // A long value: the comment goes above it.
                    let indent = " ".repeat(lead.len());
                    self.out.push_str(&format!("{indent}# {comment}\n"));
                }
            }
        }
        self.out.push_str(&line);
        self.out.push('\n');
    }
}

/// Lines as a YAML block scalar below a key at column 2, where that is just this text: lines of printable ASCII that begin with
/// something to see and end without spaces, each with its line feed.
fn block(value: &str) -> Option<String> {
    let body = value.strip_suffix('\n')?;
    let visible = |b: u8| matches!(b, b'!'..=b'~');
    let fits = |line: &str| {
        line.is_empty()
            || (line.bytes().all(|b| visible(b) || b == b' ')
                && !line.starts_with(' ')
                && !line.ends_with(' '))
    };
    let bounded = !body.is_empty() && !body.starts_with('\n') && !body.ends_with('\n');
    (bounded && body.split('\n').all(fits)).then(|| {
        let indent = |line: &str| {
            if line.is_empty() {
                "\n".to_owned()
            } else {
                format!("    {line}\n")
            }
        };
        body.split('\n').map(indent).collect()
    })
}

/// A string as a YAML scalar: plain where every YAML reader, old ones too, takes it for just this string; else in double
/// quotes with everything but printable ASCII escaped.
fn text(value: &str) -> String {
    const OLD_BOOLEANS: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];
    let plain = value.starts_with(|c: char| matches!(c, 'a'..='z' | 'A'..='Z' | '1'..='9'))
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '/'))
        && value.chars().any(|c| c.is_ascii_alphabetic())
        && !OLD_BOOLEANS.contains(&value.to_ascii_lowercase().as_str())
        && tree::is_plain_string(value);
    if plain {
        return value.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}
