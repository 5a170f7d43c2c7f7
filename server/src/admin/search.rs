//! The check on the search index of a log.

use logconfig::text::count;
use wire::{Diagnosis, Severity};

use super::diagnose::found;
use crate::indexes::View;

/// How long entries may wait to be indexed before the check warns, in seconds.
const BEHIND: u64 = 10;

/// Whether the index of `log` is extended, and how far behind it is.
pub(super) fn check(log: &str, view: &View) -> Diagnosis {
    let waiting = count(view.lag, "entry");
    let behind = view.behind.as_secs();
    if let Some(trouble) = &view.trouble {
        return found(
            "search-index",
            Severity::Warning,
            format!("not extended, {waiting} behind: {trouble}"),
            format!(
                "writes and reads of the log are not affected, and the server tries again by itself. If the file is damaged or another log's: `logd index rebuild --log {log}`"
            ),
        );
    }
    if behind >= BEHIND {
        return found(
            "search-index",
            Severity::Warning,
            format!(
                "behind by {waiting} for {behind} s, at entry {}",
                view.position
            ),
            "searches do not find the newest entries yet. A new index is being built from the first entry on; otherwise look at the disk of the folder `[data.rekor] index` in logd.toml",
        );
    }
    found(
        "search-index",
        Severity::Ok,
        format!("at entry {}, {waiting} behind", view.position),
        "",
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use tlog::GlobalIndex;

    #[test]
    fn an_index_that_stays_behind_or_is_in_trouble_is_a_finding() {
        let view = |behind, trouble: Option<&str>| View {
            position: GlobalIndex::new(7),
            lag: 3,
            behind: Duration::from_secs(behind),
            trouble: trouble.map(str::to_owned),
        };
        let severity = |view| check("argon", &view).severity;
        assert_eq!(severity(view(9, None)), Severity::Ok);
        assert_eq!(severity(view(10, None)), Severity::Warning);
        let trouble = check("argon", &view(0, Some("the disk is full")));
        assert_eq!(trouble.severity, Severity::Warning);
        assert_eq!(
            trouble.measured,
            "not extended, 3 entries behind: the disk is full"
        );
        assert!(
            trouble
                .remedy
                .unwrap()
                .contains("logd index rebuild --log argon")
        );
    }
}
