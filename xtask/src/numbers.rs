//! Fields that hold an index, a size, a slot, a generation, a time, a span or a cost as a bare `u64`. A type for each of them
//! (`tlog::number`, `order::number`, `qos::number`, `Duration`) lets the compiler refuse one where another is asked for.

use std::collections::BTreeMap;

/// The crates whose fields are looked at.
const CRATES: [&str; 5] = ["engine", "mirror", "order", "qos", "wire"];
/// The names that ask for a type, as they are or as the last word of a longer one.
const NAMES: [&str; 26] = [
    "arrived",
    "at",
    "cost",
    "deadline",
    "delay",
    "due",
    "elastic",
    "end",
    "generation",
    "generations",
    "index",
    "interval",
    "latency",
    "leaf",
    "length",
    "ms",
    "now",
    "released",
    "since",
    "size",
    "slot",
    "spent",
    "start",
    "took",
    "time",
    "until",
];
/// Fields that stay bare numbers, by the beginning of the path and the name, each with the reason.
const BARE: [(&str, &str, &str); 11] = [
    (
        "crates/engine/src/control/request.rs",
        "within_ms",
        "a span, which a request's digest has as this number",
    ),
    (
        "crates/engine/src/repair/scrub.rs",
        "since",
        "a count of places",
    ),
    (
        "crates/mirror/src/files.rs",
        "bundle_at",
        "an offset in a file",
    ),
    ("crates/mirror/src/manifest.rs", "generation", MIRROR),
    ("crates/qos/src/scheduler", "start", VIRTUAL),
    ("crates/qos/src/scheduler", "virtual_time", VIRTUAL),
    ("crates/wire/src/", "generation", WIRE),
    ("crates/wire/src/config.rs", "slot", WIRE),
    (
        "crates/wire/src/import.rs",
        "integrated_time",
        "seconds, as Rekor gives them",
    ),
    ("crates/wire/src/operation.rs", "base_generation", WIRE),
    ("crates/wire/src/qos.rs", "arrived", "a count of entries"),
];
const MIRROR: &str = "a mirror does not know the order, which numbers generations";
const VIRTUAL: &str = "virtual time: a cost divided by a weight";
const WIRE: &str = "the API's crate does not know the order, which numbers generations and slots";

/// Fields without a type that are not listed, and entries of the list without such a field.
pub(crate) fn check(files: &BTreeMap<String, String>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut there: Vec<(&str, String)> = Vec::new();
    for (path, text) in files {
        let crates = CRATES
            .iter()
            .any(|name| path.starts_with(&format!("crates/{name}/src/")));
        if !crates || path.contains("/tests") || path.contains("/model/") {
            continue;
        }
        for (line, field) in fields(text) {
            if !is_listed(path, &field) {
                wrong.push(format!(
                    "{path}:{line}: the field {field} is a bare u64: give it a type of tlog::number, order::number or qos, or list it in \
                     xtask/src/numbers.rs with the reason"
                ));
            }
            there.push((path, field));
        }
    }
    for (path, name, _) in BARE {
        if !there
            .iter()
            .any(|(of, field)| of.starts_with(path) && field == name)
        {
            wrong.push(format!(
                "xtask/src/numbers.rs: {path} has no field {name} that is a bare u64: take it off the list"
            ));
        }
    }
    wrong
}

fn is_listed(path: &str, field: &str) -> bool {
    BARE.iter()
        .any(|(of, name, _)| path.starts_with(of) && *name == field)
}

/// The fields of structs and of variants whose name asks for a type and that have none, in a file that `cargo fmt` has been over, up to its
/// tests. Parameters and literals look like fields, so only what is inside a declaration counts.
fn fields(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut until) = (Vec::new(), None::<String>);
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with("mod tests {") {
            break;
        }
        if let Some(end) = &until {
            if line == end {
                until = None;
            } else if let Some((name, of)) = line.trim().split_once(": ")
                && bare(of)
                && asks(name)
            {
                let name = name.rsplit(' ').next().unwrap_or_default();
                found.push((number, name.to_owned()));
            }
        } else if declares(line) {
            let indent = &line[..line.len() - line.trim_start().len()];
            until = Some(format!("{indent}}}"));
        }
    }
    found
}

/// Whether a declaration of fields or variants begins on this line.
fn declares(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let kind = words.find(|word| !word.starts_with("pub"));
    matches!(kind, Some("struct" | "enum")) && line.ends_with('{')
}

fn bare(of: &str) -> bool {
    ["u64,", "Option<u64>,"].contains(&of)
}

fn asks(field: &str) -> bool {
    let name = field.rsplit(' ').next().unwrap_or_default();
    let last = name.rsplit('_').next().unwrap_or_default();
    NAMES.contains(&last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        let files = BTreeMap::from([("crates/order/src/a.rs".to_owned(), text.to_owned())]);
        let wrong = check(&files).into_iter();
        wrong.filter(|line| line.contains("a.rs")).collect()
    }

    #[test]
    fn a_bare_number_is_named_where_a_type_is_due() {
        let text = "pub struct Slot {\n    /// Doc.\n    pub start: u64,\n    pub entries: u64,\n    pub at_index: Option<u64>,\n    \
                    pub size: TreeSize,\n}\n";
        let said = said(text);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("a.rs:3: the field start") && said[1].contains("at_index"));
    }

    #[test]
    fn variants_have_fields_and_functions_have_none() {
        let text = "enum Phase {\n    Active {\n        start: u64,\n    },\n}\n\nfn range(\n    start: u64,\n) {\n    let at = At {\n        \
                    time: 5,\n    };\n}\n";
        assert_eq!(said(text).len(), 1);
    }

    #[test]
    fn tests_and_other_crates_are_free() {
        let text = "#[cfg(test)]\nmod tests {\n    struct World {\n        size: u64,\n    }\n}\n";
        assert_eq!(said(text), Vec::<String>::new());
        let other = BTreeMap::from([(
            "crates/tlog/src/a.rs".to_owned(),
            "struct A {\n    size: u64,\n}\n".to_owned(),
        )]);
        assert!(!check(&other).iter().any(|line| line.contains("a.rs")));
    }
}
