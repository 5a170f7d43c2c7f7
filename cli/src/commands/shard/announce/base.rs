//! The trusted root that a key is added to. Pure.
//!
//! What must never happen: logctl publishes a trusted root without an entry that the published one has. Clients would then refuse what the owner of
//! that entry signs. A file of `--merge` may be older than what is published, so it is compared with that. If there is nothing to compare it with, it
//! is used only as long as no key of this log has ever been seen there; and if that is so because a place cannot be read, only after a while.

use std::time::Duration;

use rekor::export::TrustedRoot;
use serde_json::Value;

use super::target::Target;
use crate::error::Error;

/// The lists of a trusted root, and what people call an entry of each.
const LISTS: [(&str, &str); 4] = [
    ("tlogs", "log"),
    ("certificateAuthorities", "certificate authority"),
    ("ctlogs", "certificate transparency log"),
    ("timestampAuthorities", "timestamp authority"),
];
const START: &str = "/publicKey/validFor/start";
/// For how long what is published cannot be read before the file of `--merge` is used.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(60);

/// The trusted root that clients have now, without this log's own keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Base {
    /// This trusted root, at every place.
    Root(String),
    /// Every place answered that nothing is published.
    Nothing,
    /// The places have different ones.
    Differ,
    /// A cache has kept this one since before the run, and no current file is the same: what was added to the published one since would be lost.
    Cached(String),
    /// Some place can't be read now.
    #[default]
    Unreadable,
}

/// The flags about the content of the trusted root.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted<'a> {
    /// The file whose other content is kept, in place of the published one.
    pub(super) merge: Option<&'a str>,
    /// Whether to begin with nothing, where nothing is published.
    pub(super) new_root: bool,
    /// For how long what is published could not be read.
    pub(super) unread: Duration,
    /// The files of the places that could be read.
    pub(super) readable: &'a [String],
}

/// Since when what is published cannot be read, counted from the beginning of the run.
#[derive(Debug, Default)]
pub(super) struct Unread(Option<Duration>);

impl Unread {
    /// For how long it could not be read at any look, this one included.
    pub(super) fn after(&mut self, base: &Base, now: Duration) -> Duration {
        if *base != Base::Unreadable {
            *self = Self::default();
            return Duration::ZERO;
        }
        now.saturating_sub(*self.0.get_or_insert(now))
    }
}

impl Base {
    /// The text to add the key to, if any; or why nothing may be published. `was_seen`: a key of the log was seen there before.
    fn text<'a>(&'a self, wanted: Wanted<'a>, was_seen: bool) -> Result<Option<&'a str>, String> {
        let why = match (self, wanted.merge) {
            (Self::Root(_), Some(merge)) => return Ok(Some(merge)),
            (Self::Root(published), None) => return Ok(Some(published)),
            (Self::Cached(_), _) if was_seen => {
                "a cache answers with a file from before this command began, and what was published since must not be lost; let --timeout be longer than the cache keeps a file"
            }
            _ if was_seen => match self {
                Self::Differ => {
                    "the published ones differ in more than the keys of this log; make them the same"
                }
                _ => {
                    "a key of this log was seen there before, and now nothing is there or it cannot be read; publish the newest trusted root again"
                }
            },
            (Self::Unreadable, Some(_)) if wanted.unread < UNREAD_TIMEOUT => {
                "what is published cannot be read, and must not be lost; the file of --merge is used once that has lasted for 60 s, so let --timeout be longer"
            }
            (_, Some(merge)) => return Ok(Some(merge)),
            (Self::Nothing, None) if wanted.new_root => return Ok(None),
            (Self::Nothing, None) => {
                "nothing is published yet, and one with the keys of this log alone has no authorities; --merge FILE names a file to add the key to, and --new-root permits to begin with these keys"
            }
            (Self::Differ, None) => {
                "the published ones differ in more than the keys of this log; --merge FILE names the one to add the key to"
            }
            (Self::Cached(_), None) => {
                "a cache answers with a file from before this command began, and what was published since must not be lost; name the newest file with --merge, or let --timeout be longer than the cache keeps a file"
            }
            (Self::Unreadable, None) => {
                "what is published cannot be read, and must not be lost; --merge FILE names a file to add the key to"
            }
        };
        Err(why.to_owned())
    }
}

impl Target {
    /// Whether nothing is published and the command does not say what to begin with: no later look changes that by itself.
    pub(super) fn has_nothing_to_begin_with(&self, base: &Base, wanted: Wanted<'_>) -> bool {
        *base == Base::Nothing && wanted.merge.is_none() && !wanted.new_root && !self.was_seen()
    }

    /// The trusted root to publish with the key, or why none may be published now.
    pub(super) fn to_publish(
        &self,
        base: &Base,
        wanted: Wanted<'_>,
    ) -> Result<Result<TrustedRoot, String>, Error> {
        let unwritten = |why: String| Ok(Err(format!("the trusted root is not written: {why}")));
        let text = match base.text(wanted, self.was_seen()) {
            Ok(text) => text,
            Err(why) if self.was_seen() => {
                return unwritten(format!(
                    "{why}, or publish it yourself: `logctl shard export --format trusted-root --merge FILE` adds the keys to the newest file"
                ));
            }
            Err(why) => return unwritten(why),
        };
        let root = self.root(text)?;
        // Files that a cache has kept, or that differ, were published, too: nothing of any may be lost.
        let own = match base {
            Base::Root(published) | Base::Cached(published) => Some(published),
            _ => None,
        };
        let published = own.into_iter().chain(wanted.readable);
        for published in published.filter(|_| wanted.merge.is_some()) {
            if let Some(lost) = lost(&self.root(Some(published))?, &root) {
                let remedy = match base {
                    Base::Root(_) => {
                        "leave --merge out, and the keys are added to the published one"
                    }
                    _ => "name the newest file",
                };
                return unwritten(format!(
                    "the file of --merge lacks what is published: the {lost}; {remedy}"
                ));
            }
        }
        Ok(Ok(root))
    }
}

/// An entry of a published trusted root that another one lacks, or has in another form.
fn lost(published: &TrustedRoot, next: &TrustedRoot) -> Option<String> {
    let json = |root| serde_json::to_value(root).unwrap_or_default();
    let (published, next) = (json(published), json(next));
    LISTS.iter().find_map(|(list, kind)| {
        let all = |root: &'_ Value| root[*list].as_array().cloned().unwrap_or_default();
        let kept = all(&next);
        let lost = all(&published)
            .into_iter()
            .find(|entry| !kept.iter().any(|kept| covers(kept, entry)))?;
        let name = ["/uri", "/baseUrl"].map(|field| lost.pointer(field).and_then(Value::as_str));
        let name = name.into_iter().flatten().next().unwrap_or("without a URL");
        Some(format!("{kind} {name}"))
    })
}

/// Whether an entry covers a published one. It says the same, except that the key of a log may be valid for longer: a restored log no longer knows
/// when the key was made.
fn covers(kept: &Value, published: &Value) -> bool {
    let start =
        |entry: &Value| -> Option<jiff::Timestamp> { entry.pointer(START)?.as_str()?.parse().ok() };
    let mut same = kept.clone();
    if let (Some(kept_start), Some(start)) = (start(kept), start(published))
        && kept_start <= start
        && let (Some(to), Some(from)) = (same.pointer_mut(START), published.pointer(START))
    {
        to.clone_from(from);
    }
    same == *published
}

#[cfg(test)]
mod tests {
    use super::super::target::tests::{file, target};
    use super::*;

    fn merging(merge: &str) -> Wanted<'_> {
        Wanted {
            merge: Some(merge),
            unread: UNREAD_TIMEOUT,
            ..Wanted::default()
        }
    }

    const ALONE: Wanted<'_> = Wanted {
        merge: None,
        new_root: true,
        unread: UNREAD_TIMEOUT,
        readable: &[],
    };

    /// Why nothing is published; empty where something is.
    fn why(recorded: &[&str], base: &Base, wanted: Wanted<'_>) -> String {
        let answer = target(recorded).to_publish(base, wanted).unwrap();
        answer.err().unwrap_or_default()
    }

    #[test]
    fn a_merged_file_may_add_to_the_published_one_and_drops_nothing() {
        let published = Base::Root(file(&["ca", "new"], 1));
        for recorded in [&[][..], &["one"]] {
            let old = file(&["ca"], 1);
            let refused = why(recorded, &published, merging(&old));
            assert!(
                refused.contains("the certificate authority new;"),
                "{refused}"
            );
            let more = file(&["more", "new", "ca"], 2);
            assert_eq!(why(recorded, &published, merging(&more)), "");
            assert_eq!(why(recorded, &published, Wanted::default()), "");
        }
    }

    #[test]
    fn each_list_of_the_published_file_is_compared() {
        for (list, kind) in LISTS {
            let mut root: Value = serde_json::from_str(&file(&["ca"], 2)).unwrap();
            let entry = serde_json::json!({ "baseUrl": "https://x.example.org" });
            let entries = root.as_object_mut().unwrap().entry(list);
            let entries = entries.or_insert_with(|| serde_json::json!([]));
            entries.as_array_mut().unwrap().insert(0, entry);
            let published = Base::Root(root.to_string());
            let refused = why(&[], &published, merging(&file(&["ca"], 2)));
            let lost = format!("the {kind} https://x.example.org;");
            assert!(refused.contains(&lost), "{refused}");
        }
    }

    /// A log that was restored knows a later time; the published one is right.
    #[test]
    fn a_key_does_not_become_valid_later() {
        let root = |start: &str| {
            let mut root: Value = serde_json::from_str(&file(&["ca"], 1)).unwrap();
            *root
                .pointer_mut("/tlogs/0/publicKey/validFor/start")
                .unwrap() = start.into();
            root.to_string()
        };
        let (early, late) = (root("2020-01-01T00:00:00Z"), root("2021-01-01T00:00:00Z"));
        assert_eq!(why(&[], &Base::Root(late.clone()), merging(&early)), "");
        let refused = why(&[], &Base::Root(early), merging(&late));
        assert!(
            refused.contains("the log https://a.example.org;"),
            "{refused}"
        );
    }

    #[test]
    fn where_nothing_can_be_compared_a_merged_file_is_only_for_a_key_that_was_never_seen() {
        let old = file(&["ca"], 1);
        for base in [Base::Nothing, Base::Differ, Base::Unreadable] {
            assert_eq!(why(&[], &base, merging(&old)), "");
            for wanted in [merging(&old), ALONE, Wanted::default()] {
                let refused = why(&["one"], &base, wanted);
                assert!(refused.contains("publish it yourself"), "{refused}");
            }
            let mut withdrawn = target(&[]);
            withdrawn
                .gone
                .insert("one".to_owned(), jiff::Timestamp::UNIX_EPOCH);
            let answer = withdrawn.to_publish(&base, merging(&old)).unwrap();
            assert!(answer.is_err());
        }
    }

    /// Another place cannot be read, or has another file: what a place shows is there.
    #[test]
    fn a_merged_file_drops_nothing_of_any_place_that_can_be_read() {
        let (old, readable) = (file(&["ca"], 1), [file(&["ca", "new"], 1)]);
        for base in [Base::Differ, Base::Unreadable] {
            let wanted = |merge| Wanted {
                readable: &readable,
                ..merging(merge)
            };
            let refused = why(&[], &base, wanted(&old));
            assert!(refused.contains("lacks what is published"), "{refused}");
            assert_eq!(why(&[], &base, wanted(&readable[0])), "");
        }
    }

    /// One failure of a server is no reason to publish a file that may be older than what it has.
    #[test]
    fn a_merged_file_waits_for_a_place_that_cannot_be_read() {
        let old = file(&["ca"], 1);
        let mut unread = Unread::default();
        let published = Base::Root(old.clone());
        for (second, base, used) in [
            (0, &Base::Unreadable, false),
            (59, &Base::Unreadable, false),
            (60, &published, true),
            (61, &Base::Unreadable, false),
            (120, &Base::Unreadable, false),
            (121, &Base::Unreadable, true),
            (122, &Base::Nothing, true),
            (123, &Base::Unreadable, false),
        ] {
            let wanted = Wanted {
                unread: unread.after(base, Duration::from_secs(second)),
                ..merging(&old)
            };
            let refused = why(&[], base, wanted);
            assert_eq!(refused.is_empty(), used, "{second}: {refused}");
            assert!(used || refused.contains("lasted for 60 s"), "{refused}");
        }
    }

    /// Somebody may have added to the published file since.
    #[test]
    fn what_a_cache_has_kept_is_no_base() {
        let cached = Base::Cached(file(&["ca"], 1));
        let refused = why(&[], &cached, Wanted::default());
        assert!(
            refused.contains("a file from before this command began")
                && refused.contains("name the newest file with --merge, or let --timeout"),
            "{refused}"
        );
        assert_eq!(why(&[], &cached, merging(&file(&["ca", "new"], 1))), "");
        let refused = why(&[], &cached, merging(&file(&["new"], 1)));
        assert!(refused.contains("the certificate authority ca; name the newest file"));
        for wanted in [Wanted::default(), merging(&file(&["ca", "new"], 1))] {
            let refused = why(&["one"], &cached, wanted);
            assert!(
                refused.contains("keeps a file, or publish it yourself"),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_root_with_these_keys_alone_must_be_asked_for() {
        assert!(why(&[], &Base::Nothing, Wanted::default()).contains("--new-root"));
        assert_eq!(why(&[], &Base::Nothing, ALONE), "");
        let stuck = |recorded: &[&str], base: &Base, wanted| {
            target(recorded).has_nothing_to_begin_with(base, wanted)
        };
        assert!(stuck(&[], &Base::Nothing, Wanted::default()));
        assert!(!stuck(&["one"], &Base::Nothing, Wanted::default()));
        assert!(!stuck(&[], &Base::Nothing, ALONE) && !stuck(&[], &Base::Nothing, merging("")));
        assert!(!stuck(&[], &Base::Unreadable, Wanted::default()));
        for base in [Base::Differ, Base::Unreadable] {
            assert!(why(&[], &base, ALONE).contains("--merge FILE"));
        }
    }
}
