//! Plans as files, and what moved under them.

use logconfig::{LogConfig, Plan, PlanDocument, Span, diff, three_way};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::properties::edited;
use crate::{render, running};

fn plan_of(base: &LogConfig, next: &LogConfig) -> Plan {
    Plan::new(
        PlanDocument::new(base, 7),
        PlanDocument::new(next, 8),
        "2026-11-21T08:00:00Z".into(),
        Some("uid:0".into()),
    )
}

fn plan() -> Plan {
    let mut next = running();
    next.merge.checkpoint_interval = Span::from_millis(500);
    plan_of(&running(), &next)
}

fn parsed(plan: &Plan) -> Value {
    serde_json::from_str(&plan.encode()).unwrap()
}

/// Refused with this code; the finding as text.
fn refused(file: &[u8], code: &str) -> String {
    let finding = Plan::decode(file).unwrap_err();
    assert_eq!(finding.code, code, "{finding:?}");
    assert!(finding.hint.is_some(), "{finding:?}");
    render(&[finding])
}

#[test]
fn a_plan_file() {
    insta::assert_snapshot!("plan", plan().encode());
}

#[test]
fn what_is_no_plan() {
    let text = plan().encode();
    let mut shown = String::new();
    for file in [
        "",
        "null",
        "[]",
        "{",
        "log: argon\n",
        &running().to_json(),
        &text[..text.len() / 2],
        &format!("{text} true"),
        &text.replace("ConfigPlan", "ConfigPlans"),
        &text.replace("logctl/v1", "logctl/v2"),
        &text.replace("\"madeBy\"", "\"madeFor\""),
        &text.replace("\"madeBy\"", "\"madeAt\""),
        &text.replacen("\"active\"", "\"open\"", 1),
    ] {
        shown.push_str(&refused(file.as_bytes(), "not-a-plan"));
    }
    insta::assert_snapshot!("not_a_plan", shown);
    refused(&vec![b' '; logconfig::MAX_PLAN_BYTES + 1], "not-a-plan");
    refused(&[b'['; 100_000], "not-a-plan");
}

/// Also when whoever edited it computed a new digest: what follows from the documents is computed again.
#[test]
fn an_edited_plan() {
    let mut shown = String::new();
    for (pointer, value) in [
        ("/plan/madeAt", json!("2026-11-21T09:00:00Z")),
        ("/plan/madeBy", json!("uid:1")),
        ("/digest", json!("sha256:00")),
        ("/plan/log", json!("other")),
        ("/plan/base/generation", json!(9)),
        ("/plan/base/etag", json!("g7-00000000")),
        ("/plan/next/config/merge/idleRepublish", json!("2m")),
        ("/plan/next/config/merge/idleRepublish", json!("2ms")),
        ("/plan/next/config/generation", json!(8)),
        ("/plan/differences/0/after", json!("300ms")),
        ("/plan/differences", json!([])),
    ] {
        let mut file = parsed(&plan());
        *file.pointer_mut(pointer).unwrap_or(&mut Value::Null) = value.clone();
        if let Some(added) = pointer.strip_suffix("/generation") {
            file.pointer_mut(added).unwrap()["generation"] = value;
        }
        let finding = Plan::decode(file.to_string().as_bytes()).unwrap_err();
        shown.push_str(&render(&[finding]));
    }
    insta::assert_snapshot!("edited_plan", shown);
}

proptest! {
    #[test]
    fn plans_round_trip((base, next) in edited()) {
        let plan = plan_of(&base, &next);
        match Plan::decode(plan.encode().as_bytes()) {
            Ok(read) => prop_assert_eq!(read, plan),
            // A document that breaks the rules is never applied, so it need not be a plan.
            Err(finding) => prop_assert!(!next.stripped().validate().is_empty() || next.log != base.log, "{:?}", finding),
        }
    }

    /// One byte changed anywhere outside white space is noticed.
    #[test]
    fn a_flipped_bit_is_noticed(at in any::<prop::sample::Index>(), bit in 0u8..7) {
        let mut bytes = plan().encode().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(!bytes[at].is_ascii_whitespace());
        bytes[at] ^= 1 << bit;
        match Plan::decode(&bytes) {
            Err(_) => {}
            // JSON has several spellings of one value (`\n` for `\r` between tokens): the plan is the same.
            Ok(read) => prop_assert_eq!(read, plan()),
        }
    }

    #[test]
    fn nothing_makes_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Plan::decode(&bytes).is_err());
    }

    #[test]
    fn three_ways((base, mine) in edited(), (_, other) in edited(), same in any::<bool>(), still in any::<bool>()) {
        // Their changes to the same log: settings of another document.
        let mut theirs = if same { mine.clone() } else { base.clone() };
        if !still {
            theirs.merge = other.merge.clone();
            theirs.rotate = other.rotate.clone();
        }
        let moved = three_way(&base, &mine, &theirs);

        // Both sides are told completely.
        let mut told: Vec<_> = moved.iter().filter(|moved| moved.is_mine())
            .map(|moved| (moved.subject.clone(), moved.base.clone(), moved.mine.clone())).collect();
        let mut made: Vec<_> = diff(&base, &mine).into_iter().map(|d| (d.subject, d.before, d.after)).collect();
        told.sort();
        made.sort();
        prop_assert_eq!(told, made);
        let mut told: Vec<_> = moved.iter().filter(|moved| moved.is_theirs())
            .map(|moved| (moved.subject.clone(), moved.base.clone(), moved.theirs.clone())).collect();
        let mut made: Vec<_> = diff(&base, &theirs).into_iter().map(|d| (d.subject, d.before, d.after)).collect();
        told.sort();
        made.sort();
        prop_assert_eq!(told, made);

        // A conflict is a change on both sides, and not the same one.
        for moved in &moved {
            prop_assert_eq!(moved.conflict, moved.is_mine() && moved.is_theirs() && moved.mine != moved.theirs);
            prop_assert!(moved.is_mine() || moved.is_theirs());
        }
        // The other way round it is the same, seen from the other side.
        let mut back: Vec<_> = three_way(&base, &theirs, &mine).into_iter()
            .map(|m| (m.subject, m.base, m.theirs, m.mine, m.conflict)).collect();
        let mut there: Vec<_> = moved.iter().cloned()
            .map(|m| (m.subject, m.base, m.mine, m.theirs, m.conflict)).collect();
        back.sort();
        there.sort();
        prop_assert_eq!(back, there);
        // Nothing moved: nobody else is in it. Both did the same: no conflict.
        prop_assert!(three_way(&base, &mine, &base).iter().all(|moved| !moved.is_theirs() && !moved.conflict));
        prop_assert!(three_way(&base, &mine, &mine).iter().all(|moved| !moved.conflict));
        prop_assert!(three_way(&base, &base, &base).is_empty());
    }
}
