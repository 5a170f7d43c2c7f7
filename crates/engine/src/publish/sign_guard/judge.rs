//! Judges whether a finding about a shard fits the coordination store. Pure; the server and `fsck` share it.
//!
//! A position is durable in the coordination store before it is signed, and a slot before anything is made of it. So every finding elsewhere is at or
//! behind what the store knows, and leads to the same root. Otherwise the store is an older copy, or the objects are another log's, and a signature
//! could be the second one for its size.

use std::fmt;

use tlog::{Hash, TreeSize, UnixMillis, empty_root};

use crate::life::began;
use mirror::Settled;
use order::SlotNumber;

/// The place of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FoundAt {
    /// The object store, under this path.
    Objects(String),
    /// A frontend, by name.
    Frontend(String),
    /// A secondary, by name.
    Secondary(String),
    /// A witness, by name.
    Witness(String),
    /// This process signed it, or took it over.
    Process,
}

impl fmt::Display for FoundAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Objects(path) => write!(f, "the object store ({path})"),
            Self::Frontend(name) => write!(f, "frontend {name}"),
            Self::Secondary(name) => write!(f, "secondary {name}"),
            Self::Witness(name) => write!(f, "witness {name}"),
            Self::Process => f.write_str("this server"),
        }
    }
}

/// A finding about a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A checkpoint that verifies under the shard's own key.
    Signed { size: TreeSize, root: Hash },
    /// A checkpoint that a secondary has cosigned, under the log's replication key. It may be ahead of what is published.
    Copied {
        size: TreeSize,
        root: Hash,
        /// When it was cosigned, milliseconds since the Unix epoch, by the clock of the secondary.
        time: UnixMillis,
    },
    /// A witness says that it has cosigned this size.
    Witnessed { size: TreeSize },
    /// A full entry bundle.
    Bundle {
        /// The entries that it and the bundles before it hold.
        end: TreeSize,
    },
    /// A checkpoint of another log, or under another key.
    Foreign {
        /// The fault of the checkpoint.
        why: String,
    },
    /// Bytes that are no checkpoint, or whose signature is broken.
    Damaged {
        /// The fault of the bytes.
        why: String,
    },
}

impl Found {
    /// The size that a root was found at.
    pub(crate) fn size(&self) -> Option<TreeSize> {
        match self {
            Self::Signed { size, .. } | Self::Copied { size, .. } => Some(*size),
            _ => None,
        }
    }

    /// Whether it is a signed checkpoint that the final position, at size `end` with the root `of`, does not lead to. Such a checkpoint is evidence,
    /// and nothing is written over it. A checkpoint of the position itself that lacks the line of a key is no such evidence.
    pub(crate) fn is_beyond(&self, end: TreeSize, of: Hash) -> bool {
        match self {
            Self::Signed { size, root } => *size > end || *size == end && *root != of,
            _ => false,
        }
    }
}

/// The coordination store's rows of the shard, read after the finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub ordered: TreeSize,
    /// Size and root of the published position.
    pub published: Option<(TreeSize, Hash)>,
    /// The root of this replica's cut at the size that was found; `None` if the cut is not that far, or was not read.
    pub here: Option<Hash>,
    /// For a log that was restored from its secondaries: the evidence for the life of a copy.
    pub lives: Option<Lives>,
    /// Whether the shard is closed and published whole. Then nothing new is signed for it; only a lost checkpoint is signed again.
    pub whole: bool,
}

/// The evidence for which life of a log a copy belongs to. It uses the order of events, because the clock of the machine that restored may
/// have been wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lives {
    /// The life of the log on this replica.
    pub id: u64,
    /// Entries of the shard that it was restored with; `None` if an older version did not write them down.
    pub entries: Option<TreeSize>,
    /// The life that the secondary accepts; `None` if it keeps no manifest.
    pub heard: Option<u64>,
    /// When the secondary made the newest cosignature that this life knows of: milliseconds since the Unix epoch, by the clock of the secondary.
    pub verified: Option<UnixMillis>,
}

impl Lives {
    /// Whether a copy is of an earlier life, and so no contradiction: a restore may miss secondaries that it cannot reach. A secondary that holds
    /// more than was restored has already said so, and raises its alarm.
    fn is_earlier(&self, size: TreeSize, time: UnixMillis) -> bool {
        match (self.verified, self.heard, self.entries) {
            // A secondary makes its cosignatures one after the other.
            (Some(known), ..) if time >= known => false,
            // A secondary copies nothing of a life before it has accepted that life's manifest,
            (_, Some(heard), _) if heard < self.id => true,
            // and it accepts the manifest only while it holds no more than was restored.
            (_, Some(_), Some(entries)) => size <= entries,
            // Nothing else is left to go by: a mirror that keeps no manifest, and of which this life knows nothing.
            _ => time <= began(self.id),
        }
    }
}

/// The judgement of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The finding fits the store.
    Fits,
    /// It cannot be compared yet, because this replica's trees are not that far, or cannot be read: until then, no checkpoint of this size
    /// or larger may be signed.
    Later,
    /// The object may be overwritten.
    Worthless,
    /// Nothing may be signed.
    Halt(Conflict),
}

/// Why nothing may be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// The coordination store is older than what was signed, copied or written.
    Older { why: String, source: FoundAt },
    /// The log was restored elsewhere.
    Superseded(String),
    /// There are two histories: the store is older than what was signed, and the log continued on it.
    Differs { why: String, source: FoundAt },
    /// The objects are another log's.
    Foreign(String),
    /// The checkpoint is damaged.
    Damaged(String),
}

/// The remedy for a coordination store that went back.
pub(crate) const OLDER: &str = "stop every server of the log, then put the newest copy of the coordination store back, or restore the log from its secondaries into new folders (`logd restore`); docs/operations.md, \"The coordination store went back\"";
/// The remedy for a lost primary that came back.
const SUPERSEDED: &str = "stop this server for good, and send its writers and readers to the restored log; docs/operations.md, \"Restore a lost primary\"";
/// The remedy for objects that went back.
pub(crate) const BEHIND: &str = "put the newest copy of the objects back, or this file from a frontend or a mirror (`logd fsck` names all that are missing); docs/operations.md, \"The objects went back\"";
/// The remedy for two histories.
const DIFFERS: &str = "stop every server of the log and keep its stores as they are; run `logd fsck`, and see docs/operations.md, \"The coordination store went back\"";
/// The remedy for another log's objects.
const FOREIGN: &str = "give the server the object store of this log, or this object store its own coordination store; docs/operations.md, \"The coordination store went back\"";
/// The remedy for a damaged checkpoint.
const DAMAGED: &str = "run `logd fsck`; where it finds nothing else, move this file away and restart the server, which signs the same size again; an older copy in its place would take readers back";

impl Conflict {
    /// The remedy, in words for an operator.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Older { .. } => OLDER,
            Self::Superseded(_) => SUPERSEDED,
            Self::Differs { .. } => DIFFERS,
            Self::Foreign(_) => FOREIGN,
            Self::Damaged(_) => DAMAGED,
        }
    }

    /// The finding in words, without the remedy.
    pub(crate) fn cause(&self) -> &str {
        match self {
            Self::Older { why, .. }
            | Self::Differs { why, .. }
            | Self::Superseded(why)
            | Self::Foreign(why)
            | Self::Damaged(why) => why,
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cause(), self.remedy())
    }
}

/// The one sentence for a coordination store that went back, whatever the finding.
pub(crate) fn older(source: &FoundAt, has: &str, only: &str) -> Conflict {
    let why = format!(
        "the coordination store is older than what was made from it: {source} has {has}, the coordination store {only}"
    );
    let source = source.clone();
    Conflict::Older { why, source }
}

/// Judges one finding about a shard.
pub(crate) fn judge(shard: &str, source: &FoundAt, found: &Found, known: &Known) -> Verdict {
    let published = known.published.map_or(TreeSize::ZERO, |(size, _)| size);
    let older = |has: String, only: String| {
        Verdict::Halt(older(source, &has, &format!("has {only} of shard {shard}")))
    };
    let differs = |what: &str, size: TreeSize, root: Hash, here: Hash| {
        let why = format!(
            "shard {shard} has two histories: {source} has {what} at size {size} with the root {root}, here its root is {here}"
        );
        let source = source.clone();
        Verdict::Halt(Conflict::Differs { why, source })
    };
    match found {
        Found::Signed { size, root } => {
            let (size, root) = (*size, *root);
            if size > published {
                return older(
                    format!("a signed checkpoint of shard {shard} at size {size}"),
                    format!("published {published} entries"),
                );
            }
            let here = match known.published {
                _ if size == TreeSize::ZERO => Some(empty_root()),
                Some((at, root)) if at == size => Some(root),
                _ => known.here,
            };
            match here {
                Some(here) if here != root => differs("a signed checkpoint", size, root, here),
                _ => Verdict::Fits,
            }
        }
        Found::Copied { size, root, time } => {
            let (size, root) = (*size, *root);
            if known.lives.is_some_and(|of| of.is_earlier(size, *time)) {
                return Verdict::Fits;
            }
            if size > known.ordered {
                return older(
                    format!("cosigned shard {shard} at size {size}"),
                    format!("ordered {} entries", known.ordered),
                );
            }
            let here = match known.published {
                _ if size == TreeSize::ZERO => Some(empty_root()),
                Some((at, root)) if at == size => Some(root),
                _ => known.here,
            };
            match here {
                Some(here) if here != root => differs("a cosigned checkpoint", size, root, here),
                Some(_) => Verdict::Fits,
                None => Verdict::Later,
            }
        }
        Found::Witnessed { size } if *size > known.ordered => older(
            format!("cosigned shard {shard} at size {size}"),
            format!("ordered {} entries", known.ordered),
        ),
        Found::Bundle { end } if *end > known.ordered => older(
            format!("a full bundle of the entries of shard {shard} up to {end}"),
            format!("ordered {} entries", known.ordered),
        ),
        Found::Witnessed { .. } | Found::Bundle { .. } => Verdict::Fits,
        Found::Foreign { why } => Verdict::Halt(Conflict::Foreign(format!(
            "{source} has a checkpoint that is not of shard {shard}: {why}"
        ))),
        Found::Damaged { .. } if known.whole => Verdict::Worthless,
        Found::Damaged { why } => Verdict::Halt(Conflict::Damaged(format!(
            "{source} has a damaged checkpoint of shard {shard}: {why}"
        ))),
    }
}

/// How far a copy of the log is: according to a secondary's manifest, or on this replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// The life of the log that it is.
    pub life: u64,
    /// What that life has settled.
    pub settled: Settled,
    /// How many slots it has.
    pub slots: SlotNumber,
}

/// A later life ends this one, unless it may not sign yet and was restored from less than this one has settled. Such a life never signs, and
/// must be restored again.
pub(crate) fn judge_order(source: &FoundAt, found: &Order, here: &Order) -> Verdict {
    if found.life > here.life && found.settled >= here.settled {
        let began = i64::try_from(began(found.life).get()).unwrap_or(i64::MAX);
        let began = jiff::Timestamp::from_millisecond(began).unwrap_or(jiff::Timestamp::MAX);
        return Verdict::Halt(Conflict::Superseded(format!(
            "the log was restored elsewhere at {began}, as {source} says: this copy is of an earlier life of the log"
        )));
    }
    if found.life == here.life && found.slots > here.slots {
        let has = format!("a manifest of {} slots", found.slots);
        return Verdict::Halt(older(source, &has, &format!("has {}", here.slots)));
    }
    Verdict::Fits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WHENCE: FoundAt = FoundAt::Process;

    fn order() -> impl Strategy<Value = Order> {
        let settled = (0u64..3, 0u64..3);
        (0u64..3, settled, 0u64..9).prop_map(|(life, (by, generation), slots)| Order {
            life,
            settled: Settled {
                life: by,
                generation,
            },
            slots: SlotNumber::new(slots),
        })
    }

    /// The root of a history at a size: two histories are the same up to `fork`.
    fn root(history: u8, fork: u64, size: u64) -> Hash {
        if size == 0 {
            return empty_root();
        }
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&size.to_be_bytes());
        bytes[8] = if size > fork { history } else { 0 };
        Hash(bytes)
    }

    prop_compose! {
        /// `published ≤ integrated ≤ ordered` of one moment of history 1.
        fn moment()(mut sizes in proptest::array::uniform3(0u64..50)) -> [u64; 3] {
            sizes.sort_unstable();
            sizes
        }
    }

    fn known([published, integrated, ordered]: [u64; 3], fork: u64, found: u64) -> Known {
        Known {
            ordered: TreeSize::new(ordered),
            published: (published > 0)
                .then(|| (TreeSize::new(published), root(1, fork, published))),
            here: (found <= integrated).then(|| root(1, fork, found)),
            ..Known::default()
        }
    }

    proptest! {
        /// Whatever was made of the order before the store was read fits, wherever it is found.
        #[test]
        fn nothing_of_its_own_past_stops_a_log(past in moment(), grown in proptest::array::uniform3(0u64..9)) {
            let mut now = past;
            for (at, more) in grown.iter().enumerate() {
                now[at] += grown[at..].iter().min().unwrap_or(more);
            }
            now.sort_unstable();
            let [published, integrated, ordered] = past;
            let signed = Found::Signed { size: TreeSize::new(published), root: root(1, 0, published) };
            prop_assert_eq!(judge("a", &WHENCE, &signed, &known(now, 0, published)), Verdict::Fits);
            let copied = Found::Copied { size: TreeSize::new(integrated), root: root(1, 0, integrated), time: UnixMillis::new(1) };
            prop_assert_eq!(judge("a", &WHENCE, &copied, &known(now, 0, integrated)), Verdict::Fits);
            for found in [Found::Witnessed { size: TreeSize::new(published) }, Found::Bundle { end: TreeSize::new(ordered) }] {
                prop_assert_eq!(judge("a", &WHENCE, &found, &known(now, 0, published)), Verdict::Fits);
            }
        }

        /// A signed position that the store does not know, or knows otherwise, is never passed over.
        #[test]
        fn nothing_signed_is_forgotten(now in moment(), fork in 0u64..50, size in 0u64..60, history in 1u8..3) {
            let found = Found::Signed { size: TreeSize::new(size), root: root(history, fork, size) };
            let same = root(history, fork, size) == root(1, fork, size);
            let verdict = judge("a", &WHENCE, &found, &known(now, fork, size));
            prop_assert_eq!(verdict == Verdict::Fits, same && size <= now[0]);
            prop_assert_eq!(matches!(verdict, Verdict::Halt(_)), !same || size > now[0]);
        }

        /// A copy may be ahead of what is published, never of what is ordered; what cannot be compared yet is not let go.
        #[test]
        fn nothing_copied_is_forgotten(now in moment(), fork in 0u64..50, size in 0u64..60, history in 1u8..3) {
            let found = Found::Copied { size: TreeSize::new(size), root: root(history, fork, size), time: UnixMillis::new(1) };
            let same = root(history, fork, size) == root(1, fork, size);
            let expected = match judge("a", &WHENCE, &found, &known(now, fork, size)) {
                Verdict::Fits => same && size <= now[1].max(now[0]),
                Verdict::Later => size > now[1] && size <= now[2],
                Verdict::Halt(Conflict::Older { .. }) => size > now[2],
                Verdict::Halt(_) => !same,
                Verdict::Worthless => false,
            };
            prop_assert!(expected);
        }

        /// A finding that could not be compared is kept, however small it is.
        #[test]
        fn nothing_copied_is_let_go_unread(now in moment(), size in 1u64..60) {
            let found = Found::Copied { size: TreeSize::new(size), root: root(1, 0, size), time: UnixMillis::new(1) };
            let unread = Known { here: None, ..known(now, 0, size) };
            let verdict = judge("a", &WHENCE, &found, &unread);
            match unread.published {
                Some((published, _)) if published == TreeSize::new(size) => prop_assert_eq!(verdict, Verdict::Fits),
                _ if size > now[2] => {
                    let older = matches!(verdict, Verdict::Halt(Conflict::Older { .. }));
                    prop_assert!(older);
                },
                _ => prop_assert_eq!(verdict, Verdict::Later),
            }
        }

        /// The order of events decides which life a copy is of, whatever the clocks of the restoring machine and of the secondary say.
        #[test]
        fn lives_follow_each_other_whatever_the_clocks_say(
            now in moment(),
            size in 1u64..60,
            clocks in proptest::array::uniform2(0u64..4_000_000_000_000),
            entries in 0u64..60,
            chance in 1u64..1 << 22,
        ) {
            let [began, time] = clocks;
            let id = began << 22 | chance;
            let found = Found::Copied { size: TreeSize::new(size), root: root(2, 0, size), time: UnixMillis::new(time) };
            let of = |heard: Option<u64>, verified: Option<u64>| {
                let lives = Some(Lives { id, entries: Some(TreeSize::new(entries)), heard, verified: verified.map(UnixMillis::new) });
                judge("a", &WHENCE, &found, &Known { lives, ..known(now, 0, size) })
            };
            let bound = judge("a", &WHENCE, &found, &known(now, 0, size));
            // The secondary has not accepted this life: the operator of the restore gave up what it could not reach.
            prop_assert_eq!(of(Some(id - 1), None), Verdict::Fits);
            // It has accepted this life, and had no more than what was restored.
            let expected = if size > entries { bound.clone() } else { Verdict::Fits };
            prop_assert_eq!(of(Some(id), None), expected);
            // It cosigned this after the newest cosignature that this life knows of.
            for heard in [None, Some(id - 1), Some(id)] {
                prop_assert_eq!(of(heard, Some(time)), bound.clone());
            }
        }

        #[test]
        fn the_order_never_goes_back(found in order(), here in order()) {
            let verdict = judge_order(&WHENCE, &found, &here);
            let newer = (found.life, found.slots) > (here.life, here.slots);
            let futile = found.life > here.life && found.settled < here.settled;
            prop_assert_eq!(verdict == Verdict::Fits, !newer || futile);
        }
    }

    #[test]
    fn the_sentences() {
        let halts = |source: FoundAt, found: Found| match judge(
            "a",
            &source,
            &found,
            &known([3, 3, 4], 0, 3),
        ) {
            Verdict::Halt(conflict) => conflict.to_string(),
            other => panic!("{found:?}: {other:?}"),
        };
        let signed = |size, history| Found::Signed {
            size,
            root: root(history, 0, size.get()),
        };
        let object = || FoundAt::Objects("dev/a/checkpoint".into());
        assert_eq!(
            halts(object(), signed(TreeSize::new(9), 1)),
            format!(
                "the coordination store is older than what was made from it: the object store (dev/a/checkpoint) has a signed checkpoint of shard a at size 9, the coordination store has published 3 entries of shard a; {OLDER}"
            )
        );
        assert!(
            halts(FoundAt::Witness("w".into()), Found::Witnessed { size: TreeSize::new(9) }).starts_with(
                "the coordination store is older than what was made from it: witness w has cosigned shard a at size 9, the coordination store has ordered 4 entries of shard a; "
            )
        );
        let (here, there) = (root(1, 0, 3), root(2, 0, 3));
        assert_eq!(
            halts(FoundAt::Frontend("cdn".into()), signed(TreeSize::new(3), 2)),
            format!(
                "shard a has two histories: frontend cdn has a signed checkpoint at size 3 with the root {there}, here its root is {here}; {DIFFERS}"
            )
        );
        let why = "it is of example.org/other".to_owned();
        assert_eq!(
            halts(object(), Found::Foreign { why }),
            format!(
                "the object store (dev/a/checkpoint) has a checkpoint that is not of shard a: it is of example.org/other; {FOREIGN}"
            )
        );
    }
}
