//! The public methods of the engine's two handles, `Log` and `Engine`, each with its kind. `Audited` is the only public way to change a
//! log, and no compiler checks that.

use std::collections::BTreeMap;

use self::Kind::{Entries, ForTests, Lifecycle, Read};

/// The kind of a public method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Answers a question; no row and no object of a log changes.
    Read,
    /// Writes entries, which is what a log is for.
    Entries,
    /// Opens and closes the engine, or notes something that belongs to no log.
    Lifecycle,
    /// Changes a log without an intent, or ends its tasks where they are: built with the feature `testing` only.
    ForTests,
}

const METHODS: [(&str, Kind, &[&str]); 8] = [
    (
        "Log",
        Read,
        &[
            "active_shard",
            "arrivals",
            "changed_by",
            "checkpoint",
            "condition",
            "config",
            "config_at",
            "configuration",
            "damage_counts",
            "damaged",
            "damaged_count",
            "entries",
            "ecdsa_key",
            "entry",
            "etag",
            "generation",
            "halted",
            "has_shard",
            "held_by_before",
            "held_up",
            "history",
            "inclusion",
            "is_deleted",
            "is_next_announced",
            "lacks_announcement",
            "requires_unusable_keys",
            "is_unopened",
            "keyed_batch",
            "keyed_entry",
            "machine",
            "merge",
            "merge_seen",
            "metrics",
            "name",
            "now",
            "object",
            "opened_at",
            "operation",
            "opening",
            "overdue",
            "peers",
            "placement",
            "policy",
            "preview",
            "probations",
            "on_probation",
            "taken_back",
            "promised",
            "published_at",
            "qos",
            "refresh",
            "rekor",
            "rekor_consistency",
            "rekor_entry",
            "rekor_log_id",
            "rekor_shards",
            "rekor_tree",
            "rotating",
            "rotation_held",
            "running_etag",
            "shard_of",
            "status",
            "takes",
            "tree_of",
            "trial",
            "upload",
            "wait_published",
            "watermarks",
        ],
    ),
    (
        "Log",
        Entries,
        &[
            "append",
            "end_keyed_batch",
            "promise",
            "submit",
            "submit_chunk",
            "submit_keyed",
        ],
    ),
    // It is made when it is first asked for.
    ("Log", Lifecycle, &["replication_key"]),
    ("Log", ForTests, &["change_unaudited"]),
    (
        "Engine",
        Read,
        &[
            "clock_fault",
            "clock_off",
            "faults",
            "free",
            "log",
            "log_of_hosts",
            "logs",
            "now",
            "preview_log",
            "recall",
            "replica_id",
            "replicas",
            "reserve",
            "silent",
            "system",
        ],
    ),
    ("Engine", Entries, &[]),
    (
        "Engine",
        Lifecycle,
        &["forget", "open", "remember", "rest", "shutdown"],
    ),
    ("Engine", ForTests, &["crash", "create_log_unaudited"]),
];

/// A public method as it stands in a file.
struct Method {
    handle: &'static str,
    name: String,
    at: String,
    testing: bool,
}

/// Public methods that the list lacks, entries of the list without a method, and unaudited methods that a server could call.
pub(crate) fn check(files: &BTreeMap<String, String>) -> Vec<String> {
    let engine = files
        .iter()
        .filter(|(path, _)| path.starts_with("crates/engine/src/"));
    let there: Vec<Method> = engine
        .flat_map(|(path, text)| methods(path, text))
        .collect();
    let mut wrong = Vec::new();
    for Method {
        handle,
        name,
        at,
        testing,
    } in &there
    {
        match kind(handle, name) {
            None => wrong.push(format!(
                "{at}: {handle}::{name} is public and not in xtask/src/handles.rs. If it changes a log, make it pub(crate) and offer it \
                 through control::Audited; otherwise list it as a read, a write of entries, or part of the engine's life"
            )),
            Some(ForTests) if !testing => wrong.push(format!(
                "{at}: {handle}::{name} is for tests: put #[cfg(feature = \"testing\")] right above it"
            )),
            Some(_) => {}
        }
    }
    for (handle, _, names) in METHODS {
        for name in names {
            if !there
                .iter()
                .any(|method| method.handle == handle && method.name == *name)
            {
                wrong.push(format!(
                    "xtask/src/handles.rs: there is no public method {handle}::{name}: take it off the list"
                ));
            }
        }
    }
    wrong
}

fn kind(handle: &str, name: &str) -> Option<Kind> {
    let listed = METHODS
        .iter()
        .find(|(of, _, names)| *of == handle && names.contains(&name));
    listed.map(|(_, kind, _)| *kind)
}

/// The public methods of a handle in a file that `cargo fmt` has been over.
fn methods(path: &str, text: &str) -> Vec<Method> {
    let (mut found, mut inside, mut testing) = (Vec::new(), None, false);
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(block) = line.strip_prefix("impl ") {
            inside = ["Log", "Engine"]
                .into_iter()
                .find(|handle| block == format!("{handle} {{"));
        } else if line == "}" {
            inside = None;
        }
        let Some(handle) = inside else { continue };
        if let Some(item) = line.strip_prefix("    pub ")
            && let Some((before, rest)) = item.split_once("fn ")
            && before
                .split_whitespace()
                .all(|word| ["async", "const"].contains(&word))
        {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let name = rest.split(|c| !word(c)).next().unwrap_or_default();
            found.push(Method {
                handle,
                name: name.to_owned(),
                at: format!("{path}:{number}"),
                testing,
            });
        }
        testing = line == "    #[cfg(feature = \"testing\")]";
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        let files = BTreeMap::from([("crates/engine/src/a.rs".to_owned(), text.to_owned())]);
        let wrong = check(&files).into_iter();
        wrong.filter(|line| line.contains("a.rs")).collect()
    }

    #[test]
    fn a_new_public_method_of_a_handle_has_to_be_classed() {
        let text = "impl Log {\n    pub fn name(&self) {}\n    pub async fn hide(&self) {}\n    pub(crate) fn own(&self) {}\n}\n\
                    impl Other {\n    pub fn hide(&self) {}\n}\n";
        let said = said(text);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("a.rs:3: Log::hide") && said[0].contains("control::Audited"));
    }

    #[test]
    fn a_change_without_an_intent_is_for_tests_only() {
        let bare = "impl Log {\n    pub async fn change_unaudited(\n";
        let gated =
            "impl Log {\n    #[cfg(feature = \"testing\")]\n    pub async fn change_unaudited(\n";
        assert_eq!((said(bare).len(), said(gated).len()), (1, 0));
    }

    #[test]
    fn what_is_listed_and_gone_is_named() {
        let wrong = check(&BTreeMap::new());
        assert!(wrong.iter().any(|line| line.contains("Engine::shutdown")));
    }
}
