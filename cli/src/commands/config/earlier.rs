//! Finds the generation that `config rollback` without an argument goes back to.
//!
//! What must never happen: the command brings back settings that a revert or a roll-back has taken away. So it replays the history
//! as a stack: a change puts its settings on top, and whatever takes it back removes it. The server says which change on probation another
//! one took back; a roll-back names its target in its reason, since on the wire it is a change like any other. A change that goes back
//! without saying so is found by its settings, where they are read.

use std::collections::BTreeMap;

use wire::{Action, HistoryItem, MAX_REASON};

/// The beginning of a roll-back's reason; the generation follows.
const MARK: &str = "roll back to generation ";

/// The reason of a roll-back, with as much of the caller's own as there is room for.
pub(super) fn reason(to: u64, own: Option<&str>) -> String {
    let all = match own {
        Some(own) => format!("{MARK}{to}; {own}"),
        None => format!("{MARK}{to}"),
    };
    all.chars().take(MAX_REASON).collect()
}

/// The generation that a change went back to, if it is a roll-back.
fn target(item: &HistoryItem) -> Option<u64> {
    let rest = item.reason.as_deref()?.strip_prefix(MARK)?;
    rest.split(';').next()?.parse().ok()
}

/// The generations before the running one whose settings were not taken back, newest first. `history` is newest first, as the server
/// lists it.
pub(super) fn candidates(history: &[HistoryItem]) -> Vec<u64> {
    let (mut stack, mut before): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
    // The entry of the stack whose settings a generation runs.
    let mut entries = BTreeMap::new();
    for item in history.iter().rev() {
        let generation = item.generation;
        if records(item) {
            // Its settings are those of the generation before it.
            entries.insert(generation, stack.last().copied().unwrap_or(generation));
            continue;
        }
        // A freeze is no generation of its own.
        if entries.contains_key(&generation) {
            continue;
        }
        match (item.action, target(item)) {
            // Only the newest settings are ever on probation.
            (Action::Revert, _) => stack.clone_from(&before),
            (Action::Configure, _) if item.takes_back.is_some() => stack.clone_from(&before),
            (Action::Configure, Some(to)) => {
                before.clone_from(&stack);
                let entry = *entries.get(&to).unwrap_or(&to);
                match stack.iter().position(|known| *known == entry) {
                    Some(at) => stack.truncate(at + 1),
                    None => stack.push(entry),
                }
            }
            (Action::Configure, None) => {
                before.clone_from(&stack);
                stack.push(generation);
            }
            // A rotation may stand between a change on probation and its revert.
            _ => stack.push(generation),
        }
        entries.insert(generation, stack.last().copied().unwrap_or(generation));
    }
    stack.pop();
    stack.reverse();
    stack
}

/// Whether a change only recorded where a shard's key was seen. A record is no setting, so there is nothing to go back to.
pub(super) fn records(item: &HistoryItem) -> bool {
    let differences = item.differences.as_deref().unwrap_or_default();
    let mut subjects = differences.iter().map(|one| one.subject.as_str());
    let record = |subject: &str| subject.starts_with("shard ") && subject.ends_with(" announced");
    item.action == Action::Configure && !differences.is_empty() && subjects.all(record)
}

/// Whether a generation may have other settings than the one before it.
pub(super) fn sets(history: &[HistoryItem], generation: u64) -> bool {
    let mut items = history.iter().filter(|item| item.generation == generation);
    items.any(|item| match item.action {
        Action::Rotate | Action::Plan => item
            .differences
            .as_ref()
            .is_none_or(|all| all.iter().any(|one| !one.subject.starts_with("shard "))),
        action => !matches!(action, Action::Freeze | Action::Unfreeze),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Changes from the oldest on; each one makes a generation, but for a freeze.
    fn history(changes: &[(Action, Option<&str>)]) -> Vec<HistoryItem> {
        let mut generation = 0;
        let items = changes.iter().map(|(action, reason)| {
            if *action != Action::Freeze {
                generation += 1;
            }
            serde_json::from_value(serde_json::json!({
                "generation": generation, "action": action, "time": "", "slot": 0, "atIndex": 0,
                "operation": "", "summary": "", "reason": reason,
            }))
            .unwrap()
        });
        let mut items: Vec<HistoryItem> = items.collect();
        items.reverse();
        items
    }

    #[test]
    fn what_was_taken_back_stays_away() {
        let create = (Action::Create, None);
        let change = (Action::Configure, Some("TICKET-7"));
        let rotate = (Action::Rotate, None);
        let back = |reason| (Action::Configure, Some(reason));
        for (changes, expected) in [
            (vec![create], vec![]),
            (vec![create, change], vec![1]),
            (vec![create, change, (Action::Freeze, None)], vec![1]),
            // Nobody confirmed generation 2, with and without a rotation meanwhile.
            (vec![create, change, (Action::Revert, None)], vec![]),
            (
                vec![create, change, change, (Action::Revert, None)],
                vec![1],
            ),
            (
                vec![create, change, rotate, (Action::Revert, None), change],
                vec![1],
            ),
            // Twice in a row goes one further back.
            (
                vec![create, change, change, back("roll back to generation 2")],
                vec![1],
            ),
            (
                vec![
                    create,
                    change,
                    change,
                    back("roll back to generation 2; why"),
                    back("roll back to generation 1"),
                ],
                vec![],
            ),
            // A roll-back on probation that nobody confirmed took nothing back.
            (
                vec![
                    create,
                    change,
                    back("roll back to generation 1"),
                    (Action::Revert, None),
                ],
                vec![1],
            ),
            // Somebody who names a generation means it, even one that was taken back.
            (
                vec![
                    create,
                    change,
                    back("roll back to generation 1"),
                    back("roll back to generation 2"),
                ],
                vec![1],
            ),
            // An earlier version of a setting that is applied as a change is a change.
            (vec![create, change, change], vec![2, 1]),
        ] {
            assert_eq!(candidates(&history(&changes)), expected, "{changes:?}");
        }
    }

    #[test]
    fn the_end_of_a_probation_is_known_without_a_reason() {
        let change = (Action::Configure, None);
        let mut items = history(&[
            (Action::Create, None),
            change,
            (Action::Rotate, None),
            change,
        ]);
        assert_eq!(candidates(&items), [3, 2, 1]);
        items[0].takes_back = Some("0f".repeat(16));
        assert!(candidates(&items).is_empty());
    }

    #[test]
    fn a_record_of_an_announced_key_is_no_setting() {
        let change = (Action::Configure, None);
        let difference = |subject: &str| {
            let one = serde_json::json!({"subject": subject, "before": null, "after": "x"});
            serde_json::from_value(one).unwrap()
        };
        let create = (Action::Create, None);
        // The third generation is a record.
        let mut items = history(&[create, change, change]);
        items[0].differences = Some(vec![difference("shard b announced")]);
        assert_eq!(candidates(&items), [1]);
        items[0].differences = Some(vec![
            difference("shard b announced"),
            difference("rotate.settle"),
        ]);
        assert_eq!(candidates(&items), [2, 1]);
        // After a change, and before one that is taken back.
        let back = (Action::Configure, Some("roll back to generation 3"));
        let mut items = history(&[create, change, change, change, back]);
        items[2].differences = Some(vec![difference("shard b announced")]);
        assert_eq!(candidates(&items), [1]);
    }

    #[test]
    fn the_reason_names_the_target_and_has_room() {
        let long = "x".repeat(MAX_REASON);
        let reason = reason(17, Some(&long));
        assert_eq!(reason.chars().count(), MAX_REASON);
        let items = history(&[(Action::Configure, Some(&reason))]);
        assert_eq!(items.first().and_then(target), Some(17));
    }
}
