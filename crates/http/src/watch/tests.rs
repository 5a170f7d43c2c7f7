use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::budget::Spent;
use crate::pace::PACE;
use crate::watched::Phase;

fn limits() -> Limits {
    Limits {
        connections: 2,
        header_timeout: Duration::from_secs(5),
        body_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(20),
        ..Limits::default()
    }
}

fn order(place: &ConnectionPlace) -> Order {
    place
        .watched()
        .order(&Context::from_waker(std::task::Waker::noop()))
}

fn seconds_until_closed(watch: &Arc<Watch>, place: &ConnectionPlace) -> Option<u32> {
    (1..100).find(|_| {
        watch.sweep();
        order(place) == Order::Close
    })
}

#[test]
fn each_phase_has_its_own_deadline() {
    for (phase, expected) in [
        (Phase::Head, Some(6)),
        (Phase::Body, Some(11)),
        (Phase::Idle, Some(21)),
        (Phase::Working, None),
        (Phase::Multiplexed, Some(21)),
        (Phase::Streaming, Some(11)),
    ] {
        let watch = Watch::new(limits());
        let place = watch.join().unwrap();
        place.watched().enter(phase);
        assert_eq!(seconds_until_closed(&watch, &place), expected, "{phase:?}");
    }
}

#[test]
fn dripping_bytes_do_not_extend_a_head_but_progress_extends_an_idle_connection() {
    let watch = Watch::new(limits());
    let (head, idle) = (watch.join().unwrap(), watch.join().unwrap());
    idle.watched().enter(Phase::Idle);
    for _ in 0..50 {
        head.watched().received();
        idle.watched().sent(PACE as usize);
        watch.sweep();
    }
    assert_eq!((order(&head), order(&idle)), (Order::Close, Order::Serve));
}

#[test]
fn an_answer_that_is_taken_by_drips_ends_and_one_over_a_poor_line_does_not() {
    let watch = Watch::new(limits());
    let (drip, poor) = (watch.join().unwrap(), watch.join().unwrap());
    for place in [&drip, &poor] {
        place.watched().enter(Phase::Idle);
        // Bytes that were taken fast at the beginning give no credit for later.
        place.watched().sent(16 << 20);
    }
    for _ in 0..50 {
        drip.watched().sent(100);
        poor.watched().sent(8 << 10);
        watch.sweep();
    }
    assert_eq!((order(&drip), order(&poor)), (Order::Close, Order::Serve));
}

#[test]
fn an_answer_that_nobody_takes_ends_though_other_requests_come() {
    let watch = Watch::new(limits());
    let (stuck, reading) = (watch.join().unwrap(), watch.join().unwrap());
    let answers: Vec<_> = [&stuck, &reading]
        .map(|place| {
            drop(place.watched().begin());
            place
                .watched()
                .answer(Bytes::from(vec![1; 60_000]))
                .unwrap()
        })
        .into();
    for _ in 0..50 {
        drop(stuck.watched().begin());
        // Answers to pings, and others than the long one.
        stuck.watched().sent(8 << 10);
        drop(reading.watched().begin());
        reading.watched().sent(8 << 10);
        reading.watched().took(8 << 10);
        watch.sweep();
    }
    assert_eq!(
        (order(&stuck), order(&reading)),
        (Order::Close, Order::Serve)
    );
    drop(answers);
    assert_eq!(watch.answers().held(), 0);
}

#[test]
fn one_multiplexed_connection_cannot_have_all_answers() {
    let watch = Watch::new(limits());
    let (greedy, other) = (watch.join().unwrap(), watch.join().unwrap());
    drop((greedy.watched().begin(), other.watched().begin()));
    let long = || Bytes::from(vec![1; 10 << 20]);
    let mut answers: Vec<_> = (0..3)
        .map(|_| greedy.watched().answer(long()).unwrap())
        .collect();
    assert_eq!(greedy.watched().answer(long()), Err(Spent));
    answers.push(other.watched().answer(long()).unwrap());
    drop(answers.remove(0));
    assert!(greedy.watched().answer(long()).is_ok());
}

#[test]
fn those_that_keep_most_for_longest_make_way_for_answers_that_do_not_fit() {
    let watch = Watch::new(Limits {
        connections: 10,
        bodies: 0,
        ..limits()
    });
    let places: Vec<_> = (0..5).map(|_| watch.join().unwrap()).collect();
    let [old, most, little, reading, last] = &places[..] else {
        unreachable!()
    };
    let long = |place: &ConnectionPlace, size: usize| {
        place.watched().enter(Phase::Idle);
        place.watched().answer(Bytes::from(vec![1; size << 20]))
    };
    let mut answers = vec![long(old, 15).unwrap()];
    watch.sweep();
    for (place, size) in [(most, 16), (little, 1), (reading, 30)] {
        answers.push(long(place, size).unwrap());
    }
    let closed = || {
        places
            .iter()
            .map(|place| order(place) == Order::Close)
            .collect::<Vec<_>>()
    };
    // Nobody wants their memory.
    for _ in 0..3 {
        reading.watched().took(1);
        watch.sweep();
    }
    assert_eq!(closed(), [false; 5]);
    // 2 MiB are free, and the first that ends has 15 of the 16 that are wanted.
    assert_eq!(long(last, 16), Err(Spent));
    assert_eq!(watch.sweep(), 2);
    assert_eq!(closed(), [true, true, false, false, false]);
    assert_eq!(watch.sweep(), 0);
}

#[test]
fn multiplexed_connections_are_as_many_as_their_windows_fit() {
    let watch = Watch::new(Limits {
        connections: 1000,
        bodies: 100 * WINDOW as usize,
        ..limits()
    });
    let mut places: Vec<ConnectionPlace> = Vec::new();
    for n in 0..120 {
        let place = watch.join().unwrap();
        drop((place.watched().begin(), place.watched().begin()));
        let wanted = if n < 100 { Order::Serve } else { Order::Drain };
        assert_eq!(order(&place), wanted, "{n}");
        places.push(place);
    }
    drop(places);
    let place = watch.join().unwrap();
    drop(place.watched().begin());
    assert_eq!(order(&place), Order::Serve);
}

#[test]
fn first_streams_that_begin_at_once_are_one_connection() {
    const CONNECTIONS: usize = 4_000;
    let watch = Watch::new(Limits {
        connections: CONNECTIONS,
        ..limits()
    });
    let places: Vec<ConnectionPlace> = (0..CONNECTIONS).map(|_| watch.join().unwrap()).collect();
    let there = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for (n, place) in places.iter().enumerate() {
                    there.fetch_add(1, Relaxed);
                    while there.load(Relaxed) < 2 * (n + 1) {
                        std::hint::spin_loop();
                    }
                    drop(place.watched().begin());
                }
            });
        }
    });
    assert_eq!(watch.shared.multiplexed.load(Relaxed), CONNECTIONS);
    drop(places);
    assert_eq!(watch.shared.multiplexed.load(Relaxed), 0);
}

#[test]
fn a_stream_may_take_for_ever_but_not_be_silent() {
    let watch = Watch::new(limits());
    let place = watch.join().unwrap();
    place.watched().enter(Phase::Streaming);
    for _ in 0..50 {
        place.watched().received();
        watch.sweep();
    }
    assert_eq!(order(&place), Order::Serve);
    assert_eq!(seconds_until_closed(&watch, &place), Some(10));
}

#[test]
fn pings_are_no_reason_to_stay_but_a_request_and_a_piece_of_an_answer_are() {
    let watch = Watch::new(limits());
    let (idle, busy, reading) = (
        watch.join().unwrap(),
        watch.join().unwrap(),
        Arc::new(Watched::new(&watch.shared)),
    );
    drop(idle.watched().begin());
    let stream = busy.watched().begin();
    drop(reading.begin());
    for second in 0..50 {
        idle.watched().received();
        idle.watched().sent(1);
        if second % 10 == 0 {
            reading.progressed();
        }
        watch.sweep();
    }
    assert_eq!((order(&idle), order(&busy)), (Order::Close, Order::Serve));
    assert!(!overdue(
        &reading,
        watch.shared.clock.load(Relaxed),
        &watch.limits
    ));
    drop(stream);
    assert_eq!(seconds_until_closed(&watch, &busy), Some(21));
}

#[test]
fn a_long_answer_does_not_count_as_idle_time() {
    let watch = Watch::new(limits());
    let place = watch.join().unwrap();
    place.watched().enter(Phase::Working);
    for _ in 0..60 {
        watch.sweep();
    }
    place.watched().enter(Phase::Idle);
    assert_eq!(seconds_until_closed(&watch, &place), Some(21));
}

#[test]
fn the_cap_holds_and_places_are_given_back() {
    let watch = Watch::new(limits());
    let first = watch.join().unwrap();
    let _second = watch.join().unwrap();
    assert!(watch.join().is_none());
    drop(first);
    assert!(watch.join().is_some());
}

#[test]
fn who_joins_while_draining_drains() {
    let watch = Watch::new(limits());
    watch.ask_all(Order::Drain);
    assert_eq!(order(&watch.join().unwrap()), Order::Drain);
}

async fn pending(future: impl Future) -> bool {
    tokio::time::timeout(Duration::from_millis(20), future)
        .await
        .is_err()
}

/// A watch whose idle connections make room.
fn replacing(connections: usize) -> Arc<Watch> {
    Watch::new(Limits {
        connections,
        when_full: WhenFull::ReplaceIdle,
        ..limits()
    })
}

#[tokio::test]
async fn the_longest_idle_leaves_and_the_busy_stay() {
    let watch = replacing(3);
    let (first, second, third) = (
        watch.place().await.unwrap(),
        watch.place().await.unwrap(),
        watch.place().await.unwrap(),
    );
    let busy = first.watched().busy();
    let mut fourth = Box::pin(watch.place());
    assert!(
        pending(&mut fourth).await,
        "a place is taken until it is empty"
    );
    let asked = [&first, &second, &third].map(order);
    assert_eq!(asked, [Order::Serve, Order::Close, Order::Serve]);
    // One is enough, however often it is looked.
    drop(fourth);
    let mut fourth = Box::pin(watch.place());
    assert!(pending(&mut fourth).await);
    assert_eq!(order(&third), Order::Serve);
    drop(second);
    let fourth = fourth.await.unwrap();
    // The connection that was answered last is the last to be closed.
    drop(busy);
    let mut held = Vec::new();
    for next in [third, fourth, first] {
        let mut waiting = Box::pin(watch.place());
        assert!(pending(&mut waiting).await);
        assert_eq!(order(&next), Order::Close);
        drop(next);
        held.push(waiting.await.unwrap());
    }
}

#[tokio::test]
async fn while_all_are_busy_one_waits() {
    let watch = replacing(1);
    let place = watch.place().await.unwrap();
    let busy = place.watched().busy();
    let mut waiting = Box::pin(watch.place());
    assert!(pending(&mut waiting).await);
    assert_eq!(order(&place), Order::Serve);
    drop(busy);
    assert!(pending(&mut waiting).await);
    assert_eq!(order(&place), Order::Close);
    drop(place);
    assert!(waiting.await.is_some());
}

#[test]
fn events_end_when_they_are_not_taken_and_not_for_want_of_events() {
    let watch = Watch::new(limits());
    let (quiet, stuck) = (watch.join().unwrap(), watch.join().unwrap());
    for place in [&quiet, &stuck] {
        place.watched().enter(Phase::Events);
        place.watched().tried(&Poll::Ready(Ok(10)));
    }
    stuck.watched().tried(&Poll::Pending);
    assert_eq!(seconds_until_closed(&watch, &stuck), Some(21));
    assert_eq!(seconds_until_closed(&watch, &quiet), None);
}

#[test]
fn listeners_beside_each_other_share_memory_and_no_places() {
    let watch = Watch::new(limits());
    let other = watch.beside();
    let _all = (watch.join().unwrap(), watch.join().unwrap());
    assert!(watch.join().is_none());
    let place = other.join().unwrap();
    let answer = place.watched().answer(Bytes::from(vec![1; 1 << 20]));
    assert!(answer.is_ok() && watch.answers().held() >= 1 << 20);
}
