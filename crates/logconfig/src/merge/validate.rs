//! The rules for the settings of the merge by themselves.

use std::collections::HashMap;

use tlog::CosignerKey;

use super::{
    BucketUrl, BucketUrlError, FrontendConfig, MAX_NODES, MAX_PEERS, MergeConfig, SecondaryConfig,
    WitnessConfig,
};
use crate::check::PLACEHOLDER;
use crate::finding::{Finding, Problem, harmless, quote};
use crate::span::Span;

/// Longest URL, in bytes.
const MAX_URL: usize = 1024;

impl MergeConfig {
    /// All faults but those of the ranges of spans.
    pub(crate) fn validate(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let report = &mut findings;
        let (nodes, secondaries) = (&self.storage.nodes, &self.secondaries);
        for (pointer, have, most) in [
            ("/merge/storage/nodes", nodes.len(), MAX_NODES),
            ("/merge/secondaries", secondaries.len(), MAX_PEERS),
            ("/merge/frontends", self.frontends.len(), MAX_PEERS),
        ] {
            if have > most {
                let message = format!("{have} are too many: at most {most}");
                report.push(Problem::new("too-many", message).at(pointer));
            }
        }
        self.quorums(report);
        let names = nodes.iter().map(|node| node.name.as_str());
        once("/merge/storage/nodes", "name", names, report);
        for (index, secondary) in secondaries.iter().enumerate() {
            of_secondary(secondary, &format!("/merge/secondaries/{index}"), report);
        }
        let mut field = |field, value: fn(&SecondaryConfig) -> &str| {
            once(
                "/merge/secondaries",
                field,
                secondaries.iter().map(value),
                report,
            );
        };
        field("name", |s| s.name.as_str());
        field("url", |s| s.url.as_str());
        // The key alone: one with two names is still one mirror.
        field("vkey", |s| s.vkey.splitn(3, '+').nth(2).unwrap_or_default());
        for (index, frontend) in self.frontends.iter().enumerate() {
            of_frontend(frontend, &format!("/merge/frontends/{index}"), report);
        }
        let names = self.frontends.iter().map(|f| f.name.as_str());
        once("/merge/frontends", "name", names, report);
        let urls = self.frontends.iter().map(|f| f.url.as_str());
        once("/merge/frontends", "url", urls, report);
        findings
    }

    fn quorums(&self, report: &mut Vec<Finding>) {
        let nodes = self.storage.nodes.len();
        let quorum = self.storage.quorum;
        if quorum == 0 || quorum as usize > nodes {
            let problem = if nodes == 0 {
                Problem::new("bad-storage-quorum", "there is no storage node")
                    .hint("`nodes: [{name: local}]` is the server's own store")
            } else {
                let message = format!(
                    "a batch cannot be on {quorum} of {nodes} storage nodes before it is announced"
                );
                Problem::new("bad-storage-quorum", message)
                    .hint(format!("1 to {nodes}, or more nodes"))
            };
            report.push(problem.at("/merge/storage/quorum"));
        }
        let secondaries = self.secondaries.len();
        if self.backup_quorum as usize > secondaries {
            let message = format!(
                "a quorum of {} of {secondaries} secondaries: nothing would ever be published",
                self.backup_quorum
            );
            report.push(
                Problem::new("bad-backup-quorum", message)
                    .hint(format!("at most {secondaries}, or more secondaries"))
                    .at("/merge/backupQuorum"),
            );
        }
    }
}

impl WitnessConfig {
    /// All faults but those of the range of the span.
    pub(crate) fn validate(&self) -> Vec<Finding> {
        let at = "/witnesses/policy";
        let policy = match self.policy() {
            Ok(policy) => policy,
            Err(e) => {
                let problem = harmless(&e.problem, 200);
                return vec![
                    Problem::new("bad-policy", format!("the policy's line {}: {problem}", e.line))
                        .hint("C2SP tlog-policy: `witness NAME VKEY URL`, `group NAME K NAME...`, `quorum NAME`")
                        .at(at),
                ];
            }
        };
        for witness in &policy.witnesses {
            if let Some(fault) = witness.url.as_deref().and_then(url_fault) {
                let message = format!("the URL of witness {} {fault}", quote(&witness.name));
                return vec![Problem::new("bad-policy", message).at(at)];
            }
        }
        let asked = |index: usize| policy.witnesses[index].url.is_some();
        if policy.satisfied(asked) {
            return Vec::new();
        }
        let without: Vec<_> = policy
            .witnesses
            .iter()
            .filter(|w| w.url.is_none())
            .collect();
        let names: Vec<_> = without.iter().map(|w| quote(&w.name)).collect();
        let unknown: Vec<_> = policy.unknown.iter().map(|name| quote(name)).collect();
        let mut why = Vec::new();
        if !names.is_empty() {
            let names = names.join(", ");
            why.push(format!("{names} without a URL are never asked"));
        }
        if !unknown.is_empty() {
            let names = unknown.join(", ");
            why.push(format!("the keys of {names} are of an unknown algorithm"));
        }
        let message = format!("the quorum cannot be met: {}", why.join("; "));
        let problem = Problem::new("bad-policy", message);
        vec![problem.hint("`witness NAME VKEY URL`").at(at)]
    }

    pub(crate) const RANGE: (&str, Span, Span) = (
        "/witnesses/timeout",
        Span::from_millis(100),
        Span::from_secs(60),
    );
}

/// Reports each value of a field that an earlier item of the list has.
fn once<'a>(
    list: &str,
    field: &str,
    values: impl Iterator<Item = &'a str>,
    report: &mut Vec<Finding>,
) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for (index, value) in values.enumerate() {
        if let Some(first) = seen.get(value) {
            let message = format!("{field} {} is already that of item {first}", quote(value));
            let problem = Problem::new("used-twice", message);
            let problem = match field {
                "vkey" => problem.hint("each secondary has a key of its own: one that counted twice would be no quorum"),
                _ => problem.hint("give each its own"),
            };
            report.push(problem.at(format!("{list}/{index}/{field}")));
        } else {
            seen.insert(value, index);
        }
    }
}

fn of_secondary(secondary: &SecondaryConfig, pointer: &str, report: &mut Vec<Finding>) {
    if let Some(fault) = url_fault(&secondary.url) {
        // The URL may hold a password, so it is not repeated.
        let shown = if secondary.url.contains('@') {
            "the URL".to_owned()
        } else {
            quote(&secondary.url)
        };
        let problem = Problem::new("bad-url", format!("{shown} {fault}"));
        report.push(
            problem
                .hint("for example https://ams.example.org")
                .at(format!("{pointer}/url")),
        );
    }
    let vkey = &secondary.vkey;
    if let Err(fault) = vkey.parse::<CosignerKey>()
        && !vkey.starts_with(PLACEHOLDER)
    {
        let fault = harmless(&fault.to_string(), 200);
        let message = format!("{} is not the key of a mirror: {fault}", quote(vkey));
        let problem = Problem::new("bad-vkey", message);
        report.push(
            problem
                .hint("`logd secondary` prints it when it starts")
                .at(format!("{pointer}/vkey")),
        );
    }
}

fn of_frontend(frontend: &FrontendConfig, pointer: &str, report: &mut Vec<Finding>) {
    let fault = match frontend.url.parse::<BucketUrl>() {
        Ok(_) => return,
        Err(BucketUrlError::Scheme) => None,
        Err(other) => Some(other),
    };
    let folder = frontend.folder().unwrap_or_default();
    let sound = folder.len() <= MAX_URL
        && folder.starts_with('/')
        && folder.len() > 1
        && !folder.ends_with('/')
        && folder
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"%?#\\".contains(&b))
        && folder
            .split('/')
            .skip(1)
            .all(|part| !matches!(part, "" | "." | ".."));
    if !sound {
        // The text before an @ may be a secret.
        let url = match frontend.url.contains('@') {
            true => "a URL with an @".to_owned(),
            false => quote(&frontend.url),
        };
        let message = match fault {
            Some(fault) => format!("{url} is not the URL of a bucket: {fault}"),
            None => format!("{url} is not the URL of a folder or a bucket"),
        };
        report.push(
            Problem::new("bad-url", message)
                .hint("a folder, file:///srv/cdn, without dots, or a bucket, s3://cdn/logs (gs://, az://); credentials are not part of it")
                .at(format!("{pointer}/url")),
        );
    }
}

/// Why a text is no base URL of a peer; `None` when it is one. No user, query or fragment is allowed, so it never holds a secret.
fn url_fault(url: &str) -> Option<&'static str> {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest else {
        return Some("does not begin with https:// or http://");
    };
    if url.len() > MAX_URL {
        return Some("is too long");
    }
    if !rest
        .bytes()
        .all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b))
    {
        return Some("has characters that no URL has");
    }
    if rest.contains(['@', '?', '#']) {
        return Some("has a user, a query or a fragment");
    }
    let host = rest.split('/').next().unwrap_or_default();
    let port = match host.rsplit_once(':') {
        Some((_, port)) if !host.ends_with(']') => port.parse::<u16>().is_ok(),
        _ => true,
    };
    if host.is_empty() || host.starts_with(':') || !port {
        return Some("has no host, or a port that is none");
    }
    None
}
