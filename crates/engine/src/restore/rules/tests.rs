//! The rules against a small world in which it is known what each secondary was counted for.

use tlog::{Checkpoint, empty_root};

use super::*;
use crate::restore::source::Fault;

const SHARD: &str = "s";

/// What becomes of a secondary after the log is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It answers with all that it was counted for.
    Whole,
    /// It answers, and its copy cannot be read.
    Damaged,
    /// Another storage answers, which is empty.
    Replaced,
    /// It answers with its copy, but has no manifest.
    WithoutManifest,
    /// It does not give its checkpoint.
    WithoutCheckpoint,
    /// `--from` does not name it.
    NotNamed,
}

const FATES: [Fate; 6] = [
    Fate::Whole,
    Fate::Damaged,
    Fate::Replaced,
    Fate::WithoutManifest,
    Fate::WithoutCheckpoint,
    Fate::NotNamed,
];

/// A secondary: its fate, and the entries that it was counted for.
type Secondary = (Fate, u64);

fn config(at: usize) -> SecondaryConfig {
    SecondaryConfig {
        name: format!("n{at}").parse().unwrap(),
        url: format!("http://n{at}"),
        vkey: format!("key{at}"),
    }
}

fn membership(generation: u64, quorum: usize, of: &[usize]) -> Membership {
    Membership {
        generation: Generation::new(generation),
        start: GlobalIndex::ZERO,
        quorum: quorum as u32,
        secondaries: of.iter().map(|at| config(*at)).collect(),
    }
}

fn rules(members: Vec<Membership>, closed: Option<u64>) -> Rules {
    let secondaries = members.iter().flat_map(|of| &of.secondaries);
    let vouched = secondaries.map(|one| {
        let row = Vouched {
            secondary: one.name.to_string(),
            vkey: one.vkey.clone(),
            incarnation: "first".to_owned(),
            number: 1,
            whole: true,
        };
        ((one.name.to_string(), one.vkey.clone()), row)
    });
    Rules {
        vouched: vouched.collect(),
        members,
        shards: vec![Opened {
            name: SHARD.to_owned(),
            closed: closed.map(TreeSize::new),
        }],
        entries: None,
    }
}

fn checkpoint(size: u64) -> Checkpoint {
    Checkpoint {
        origin: "o".to_owned(),
        size,
        root: empty_root(),
        extensions: Vec::new(),
    }
}

fn source(at: usize, (fate, size): Secondary) -> Option<Source> {
    let has = match fate {
        Fate::NotNamed => return None,
        Fate::WithoutCheckpoint => None,
        Fate::Replaced => Some(0),
        Fate::Whole | Fate::Damaged | Fate::WithoutManifest => Some(size),
    };
    let incarnation = match fate {
        Fate::Replaced => "second",
        _ => "first",
    };
    let name = SHARD.to_owned();
    let is = |of: Fate| fate == of;
    Some(Source {
        url: config(at).url,
        vkey: Some(config(at).vkey),
        without_manifest: is(Fate::WithoutManifest).then_some(WithoutManifest::None),
        incarnation: Some(incarnation.to_owned()),
        by_earlier_life: false,
        has: has
            .map(|size| (name.clone(), checkpoint(size)))
            .into_iter()
            .collect(),
        discounted: is(Fate::WithoutCheckpoint)
            .then(|| (name.clone(), Discounted::Checkpoint("no".to_owned())))
            .into_iter()
            .collect(),
        faults: is(Fate::Damaged)
            .then(|| (name, Fault::Damaged("bad".to_owned())))
            .into_iter()
            .collect(),
    })
}

/// What is restored of the shard, and the problems with that: the steps of a restore, without reading.
fn restored(rules: &Rules, secondaries: &[Secondary]) -> (TreeSize, Vec<Problem>) {
    let all = secondaries.iter().enumerate();
    let mut sources: Vec<_> = all.filter_map(|(at, one)| source(at, *one)).collect();
    let before = rules.before(0, &sources);
    let used = best(&rules.shards[0], &sources);
    assert!(used.is_none_or(|(at, _)| sources[at].faults.is_empty()));
    let size = used.map_or(TreeSize::ZERO, |(_, size)| size);
    for source in &mut sources {
        source.discount_above(SHARD, size);
    }
    let after = rules.after(0, size, &sources);
    assert!(
        before.is_none() || !after.is_empty(),
        "{before:?} was forgotten"
    );
    (size, after)
}

/// What may have been published: the most that `quorum` of these secondaries were counted for.
fn published(quorum: usize, of: &[usize], secondaries: &[Secondary]) -> u64 {
    let mut sizes: Vec<_> = of.iter().map(|at| secondaries[*at].1).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes[quorum - 1]
}

/// All lists of `n` secondaries of which each has one of these fates and was counted for at most `most` entries.
fn all(n: usize, most: u64, fates: &[Fate]) -> Vec<Vec<Secondary>> {
    let mut lists = vec![Vec::new()];
    for _ in 0..n {
        let longer = lists.iter().flat_map(|list| {
            let each = fates
                .iter()
                .flat_map(|fate| (0..=most).map(|size| (*fate, size)));
            each.map(|one| [&list[..], &[one]].concat())
        });
        lists = longer.collect();
    }
    lists
}

/// Every case with one membership: its quorum, and its secondaries.
fn cases() -> impl Iterator<Item = (usize, Vec<Secondary>)> {
    let sizes = [
        (1, 2, &FATES[..]),
        (2, 2, &FATES[..]),
        (3, 1, &FATES[..]),
        (4, 1, &FATES[..3]),
    ];
    sizes.into_iter().flat_map(|(n, most, fates)| {
        let lists = all(n, most, fates);
        (1..=n).flat_map(move |quorum| lists.clone().into_iter().map(move |list| (quorum, list)))
    })
}

fn members_of(list: &[Secondary]) -> Vec<usize> {
    (0..list.len()).collect()
}

#[test]
fn what_was_published_is_restored_or_there_is_a_problem() {
    for (quorum, list) in cases() {
        let of = members_of(&list);
        let (size, problems) = restored(&rules(vec![membership(1, quorum, &of)], None), &list);
        let needs = published(quorum, &of, &list);
        assert!(
            size.get() >= needs || !problems.is_empty(),
            "{quorum} of {list:?}: {size} of {needs} entries"
        );
    }
}

#[test]
fn a_restore_from_enough_whole_copies_is_not_refused_and_one_from_fewer_answers_is() {
    for (quorum, list) in cases() {
        let of = members_of(&list);
        let enough = list.len() + 1 - quorum;
        let (_, problems) = restored(&rules(vec![membership(1, quorum, &of)], None), &list);
        let number = |fates: &[Fate]| list.iter().filter(|one| fates.contains(&one.0)).count();
        if number(&[Fate::Whole]) >= enough {
            assert!(problems.is_empty(), "{quorum} of {list:?}: {problems:?}");
        }
        // A damaged copy counts where another one has as much.
        if number(&[Fate::Whole, Fate::Damaged]) < enough {
            assert!(
                matches!(&problems[..], [Problem::TooFew { need, .. }] if *need == enough),
                "{quorum} of {list:?}: {problems:?}"
            );
        }
    }
}

#[test]
fn one_more_whole_copy_never_makes_a_restore_refuse() {
    for (quorum, list) in cases() {
        let of = members_of(&list);
        let rules = rules(vec![membership(1, quorum, &of)], None);
        let (size, problems) = restored(&rules, &list);
        if !problems.is_empty() {
            continue;
        }
        for at in of {
            let mut more = list.clone();
            more[at].0 = Fate::Whole;
            let (grown, problems) = restored(&rules, &more);
            assert!(
                grown >= size && problems.is_empty(),
                "{quorum} of {list:?}, and {at} whole: {problems:?}"
            );
        }
    }
}

#[test]
fn while_a_change_is_joint_what_either_quorum_holds_is_restored_or_there_is_a_problem() {
    let (earlier, newest) = ([0, 1], [1, 2]);
    for list in all(3, 1, &FATES) {
        for quorums in [(1, 2), (2, 1), (2, 2)] {
            let members = vec![
                membership(1, quorums.0, &earlier),
                membership(2, quorums.1, &newest),
            ];
            let (size, problems) = restored(&rules(members, None), &list);
            let needs = published(quorums.0, &earlier, &list);
            let needs = needs.max(published(quorums.1, &newest, &list));
            assert!(
                size.get() >= needs || !problems.is_empty(),
                "{quorums:?} of {list:?}: {size} of {needs} entries"
            );
        }
    }
}

#[test]
fn without_a_quorum_or_a_source_there_is_a_problem() {
    let none = rules(vec![membership(1, 0, &[0])], None);
    let (_, problems) = restored(&none, &[(Fate::Whole, 2)]);
    assert_eq!(problems, [Problem::NoQuorum { joint: None }]);
    let one = rules(vec![membership(1, 1, &[0])], None);
    let (_, problems) = restored(&one, &[(Fate::NotNamed, 2)]);
    assert_eq!(
        problems[0].to_string(),
        "0 of the 1 secondaries count for shard s, 1 must (backupQuorum is 1) so that everything published is on one of them; \
         not counted: n0 (http://n0) is not among those that --from names"
    );
}

#[test]
fn a_copy_that_is_longer_than_its_closed_shard_is_never_used() {
    let both = rules(vec![membership(1, 1, &[0, 1])], Some(1));
    let (size, problems) = restored(&both, &[(Fate::Whole, 2), (Fate::Whole, 1)]);
    assert!(size.get() == 1 && problems.is_empty());
    let (size, problems) = restored(&both, &[(Fate::Whole, 2), (Fate::Whole, 2)]);
    let only = Problem::OnlyLonger {
        shard: SHARD.to_owned(),
        closed: TreeSize::new(1),
    };
    assert_eq!((size.get(), problems), (0, vec![only]));
}

#[test]
fn of_contradicting_copies_the_longest_one_of_an_earlier_life_is_left_out() {
    let mut sources: Vec<_> = [(Fate::Whole, 3), (Fate::Whole, 2), (Fate::Whole, 1)]
        .into_iter()
        .enumerate()
        .filter_map(|(at, one)| source(at, one))
        .collect();
    assert_eq!(leave_out_superseded(&mut sources, SHARD, "why"), None);
    (sources[1].by_earlier_life, sources[2].by_earlier_life) = (true, true);
    let (had, left_out) = leave_out_superseded(&mut sources, SHARD, "why").unwrap();
    assert_eq!(had.get(), 2);
    assert!(left_out.to_string().starts_with(
        "http://n1 is left out for shard s: its entries are of another copy of the log, which was superseded (why). "
    ));
    let (had, _) = leave_out_superseded(&mut sources, SHARD, "why").unwrap();
    assert_eq!(had.get(), 1);
    assert_eq!(leave_out_superseded(&mut sources, SHARD, "why"), None);
    let both = rules(vec![membership(1, 2, &[0, 1, 2])], None);
    let problems = both.after(0, TreeSize::new(3), &sources);
    assert!(matches!(
        &problems[..],
        [Problem::TooFew {
            counted: 1,
            need: 2,
            ..
        }]
    ));
}

#[test]
fn a_closed_shard_may_lack_entries_only_if_no_later_shard_has_any() {
    let mut two = rules(vec![membership(1, 1, &[0])], Some(3));
    two.shards.push(Opened {
        name: "t".to_owned(),
        closed: None,
    });
    let mut sources: Vec<_> = source(0, (Fate::Whole, 2)).into_iter().collect();
    let size = TreeSize::new(2);
    assert!(two.after(0, size, &sources).is_empty());
    sources[0].has.insert("t".to_owned(), checkpoint(0));
    assert!(two.after(0, size, &sources).is_empty());
    sources[0].has.insert("t".to_owned(), checkpoint(1));
    let problems = two.after(0, size, &sources);
    assert!(matches!(&problems[..], [Problem::Moved { later, .. }] if later == "t"));
    assert!(two.after(0, TreeSize::new(3), &sources).is_empty());
}

#[test]
fn a_log_that_was_restored_with_more_is_not_restored_with_less() {
    let mut one = rules(vec![membership(1, 1, &[0])], None);
    assert_eq!(one.fewer(GlobalIndex::ZERO), None);
    one.entries = Some(GlobalIndex::new(5));
    assert!(one.fewer(GlobalIndex::new(4)).is_some());
    assert_eq!(one.fewer(GlobalIndex::new(5)), None);
}

#[test]
fn enough_secondaries_must_be_able_to_accept_the_restored_log() {
    let with = |vkey: &str| {
        let mut newest = membership(2, 2, &[0, 1]);
        vkey.clone_into(&mut newest.secondaries[1].vkey);
        rules(vec![membership(1, 2, &[0, 1]), newest], None)
    };
    assert_eq!(with("key1").keys_changed(), None);
    assert_eq!(
        with("other").keys_changed().unwrap().to_string(),
        "2 of the 2 secondaries of generation 1, before their change was handed over, must accept the restored log before it signs \
         anything; n1 got another key in that change and cannot accept it"
    );
    let sources: Vec<_> = source(0, (Fate::Whole, 1)).into_iter().collect();
    assert_eq!(
        with("key1").absent(&sources).unwrap().to_string(),
        "2 of the 2 secondaries of generation 1 must accept the restored log before it signs anything, and 1 answered"
    );
}
