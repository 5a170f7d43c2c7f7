use super::*;
use crate::{Advice, Names};

const SECOND: Duration = Duration::from_secs(1);
const START: QueueTime = QueueTime::ZERO;

fn rules(rate: Option<&str>, bytes: Option<&str>) -> Policy {
    let mut config = logconfig::QosConfig::default();
    config.tenants[0].rate = rate.map(|r| r.parse().unwrap());
    config.tenants[0].bytes = bytes.map(|r| r.parse().unwrap());
    Policy::new(&config, Duration::ZERO, &mut Names::default())
}

fn ask(policy: &Policy, urgency: u8, entries: u64, bytes: u64, own: Backlog) -> Ask {
    let advice = Advice {
        urgency: Some(urgency),
        ..Advice::default()
    };
    Ask {
        tenant: TenantId(0),
        grant: policy.grant(TenantId(0), &advice),
        entries,
        bytes,
        own,
        free: 64 << 20,
    }
}

#[test]
fn a_reason_is_counted_where_it_stands_and_has_a_name_of_its_own() {
    let mut names = Vec::new();
    for (at, reason) in RefusalReason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, at);
        names.push(reason.as_str());
    }
    let expected = [
        "entry-rate",
        "byte-rate",
        "promises",
        "tenant-share",
        "queue",
    ];
    assert_eq!(names, expected);
}

#[test]
fn the_rate_of_entries_holds_beyond_the_burst() {
    let policy = rules(Some("1000/s"), None);
    let mut admission = Admission::new(START, Duration::ZERO);
    let one = ask(&policy, 7, 1, 100, Backlog::default());
    // The burst of the shipped tiers is 10,000 entries.
    let now = START + 5 * SECOND;
    let at_once = (0..20_000).take_while(|_| admission.admit(now, &policy, &one).is_ok());
    assert_eq!(at_once.count(), 10_000);
    let refused = admission.admit(now, &policy, &one).unwrap_err();
    assert_eq!(refused.reason, RefusalReason::EntryRate);
    assert_eq!(refused.retry_after, retry_after::SHORTEST);
    // From then on by the rate; and a clock that goes back gives nothing away and breaks nothing.
    let second = (0..2_000).take_while(|_| admission.admit(now + SECOND, &policy, &one).is_ok());
    assert_eq!(second.count(), 1_000);
    assert!(
        admission
            .admit(START, &policy, &one)
            .unwrap_err()
            .reason
            .is_limit()
    );
    // A chunk larger than the burst passes when nothing was sent for long.
    let chunk = ask(&policy, 7, 50_000, 1 << 20, Backlog::default());
    let refused = admission.admit(now + SECOND, &policy, &chunk).unwrap_err();
    assert!(refused.retry_after > Duration::from_secs(9));
    assert!(admission.admit(now + 60 * SECOND, &policy, &chunk).is_ok());
}

#[test]
fn the_rate_of_bytes_is_a_limit_of_its_own() {
    let policy = rules(None, Some("1MiB/s"));
    let mut admission = Admission::new(START, Duration::ZERO);
    let one = ask(&policy, 7, 1, 64 << 10, Backlog::default());
    let at_once = (0..100).take_while(|_| admission.admit(START + SECOND, &policy, &one).is_ok());
    assert_eq!(at_once.count(), 16);
    let refused = admission.admit(START + SECOND, &policy, &one).unwrap_err();
    assert_eq!(refused.reason, RefusalReason::ByteRate);
    assert_eq!(refused.retry_after, Duration::from_micros(62_500));
}

#[test]
fn a_promise_that_cannot_be_kept_is_not_given_and_another_is_offered() {
    let policy = rules(None, None);
    let mut admission = Admission::new(START, SECOND / 5);
    // Standard: 60 s. One chunk after the other, without anything being served.
    let mut own = Backlog::default();
    let (entries, bytes) = (1_000, 128_000);
    let mut one = ask(&policy, 3, entries, bytes, own);
    one.grant.merge_by = Some(Duration::from_secs(2));
    let refused = loop {
        one.own = own;
        match admission.admit(START, &policy, &one) {
            Ok(promise) => assert_eq!(promise.unwrap().deadline, START + 2 * SECOND),
            Err(refused) => break refused,
        }
        own.entries += entries;
        own.bytes += bytes;
    };
    assert_eq!(refused.reason, RefusalReason::TenantShare);
    let taken = Cost::of(own.entries, own.bytes).as_f64() / admission.promised().rate;
    assert!((0.7..=0.9).contains(&taken), "half of 1.8 s: {taken}");
    assert!(refused.retry_after <= Duration::from_secs(1));
    let offer = refused.available.unwrap();
    assert!(
        offer > Duration::from_secs(2) && offer < Duration::from_secs(4),
        "{offer:?}"
    );
    one.grant.merge_by = Some(offer);
    assert!(admission.admit(START, &policy, &one).is_ok());
}

#[test]
fn a_full_queue_refuses_and_leaves_room_for_others() {
    let policy = rules(None, None);
    let mut admission = Admission::new(START, Duration::ZERO);
    let own = Backlog {
        entries: 10,
        bytes: 900,
    };
    let greedy = Ask {
        free: 1_000,
        ..ask(&policy, 7, 1, 101, own)
    };
    let refused = admission.admit(START, &policy, &greedy).unwrap_err();
    assert_eq!(
        (refused.reason, refused.available),
        (RefusalReason::Queue, None)
    );
    assert!(refused.retry_after >= retry_after::SHORTEST);
    let modest = Ask {
        own: Backlog::default(),
        ..greedy
    };
    assert_eq!(admission.admit(START, &policy, &modest), Ok(None));
}
