//! Changes whose answer has not arrived: the idempotency key of each, kept until the server says how it ended.
//!
//! A command whose answer was lost is run again, by a person or by a job. The second run continues the request of the first: the same
//! key, on the same base. What must never happen: the same command, run again because its outcome is unknown, makes a second
//! change; or a command that is meant as a new change is taken for an old one. So a key is written before its request is sent,
//! removed with the first definite answer, and not used after [`AGE`].

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tlog::leaf_hash;

use crate::private;
use crate::settings::Address;

/// A job that runs every night must make its change every night: after this time a request is not continued.
pub(crate) const AGE: Duration = Duration::from_secs(3600);

/// A request that was sent, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Unfinished {
    pub(crate) key: String,
    /// The entity tag that it was sent with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<String>,
    /// When it was first sent, seconds since 1970.
    pub(crate) since: i64,
}

/// The place where one request of one log of one endpoint is kept; none without a folder for state.
#[derive(Clone, Debug)]
pub(crate) struct RequestFile(Option<PathBuf>);

impl RequestFile {
    /// `request`: method, path and body, without what may differ between two runs of one command.
    pub(crate) fn of(address: &Address, context: Option<&str>, request: &[u8]) -> Self {
        let mut name = Vec::new();
        for part in [
            address.absolute().as_bytes(),
            context.unwrap_or_default().as_bytes(),
            request,
        ] {
            name.extend_from_slice(&(part.len() as u64).to_be_bytes());
            name.extend_from_slice(part);
        }
        let name: String = leaf_hash(&name).to_string().chars().take(32).collect();
        let folder = private::state_folder();
        Self(folder.map(|folder| folder.join("unfinished").join(format!("{name}.json"))))
    }

    /// The request that waits for its answer, however old.
    pub(crate) fn find(&self) -> Option<Unfinished> {
        let text = std::fs::read(self.0.as_ref()?).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Keeps `mine`, or finds that another run of the same command is ahead: then that is the request to send. One that was named
    /// gives way to none but itself. The second value says whether the request is kept at all.
    pub(crate) fn begin(&self, mine: Unfinished, named: bool) -> (Unfinished, bool) {
        let Some(path) = &self.0 else {
            return (mine, false);
        };
        let ahead = || {
            self.find()
                .filter(|theirs| theirs.is_young(mine.since) && (!named || theirs.key == mine.key))
        };
        if let Some(theirs) = ahead() {
            return (theirs, true);
        }
        let Ok(text) = serde_json::to_vec_pretty(&mine) else {
            return (mine, false);
        };
        match add(path, &text) {
            Ok(()) => (mine, true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match ahead() {
                Some(theirs) => (theirs, true),
                // Too old, another one, or not what this program writes.
                None => {
                    let kept = private::write(path, &text).is_ok();
                    (mine, kept)
                }
            },
            Err(_) => (mine, false),
        }
    }

    /// Forgets the request with this key: its answer is here.
    pub(crate) fn end(&self, key: &str) {
        if let (Some(path), Some(found)) = (&self.0, self.find())
            && found.key == key
        {
            // A request that stays is harmless: its answer is the same for an hour.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Unfinished {
    /// Whether running the command again means this request. Setting the clock back does not make it older.
    pub(crate) fn is_young(&self, now: i64) -> bool {
        now.saturating_sub(self.since).unsigned_abs() <= AGE.as_secs()
    }
}

/// Makes a file, wholly or not at all, unless there is one.
fn add(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let whole = path.with_file_name(name);
    private::write(&whole, bytes)?;
    let linked = std::fs::hard_link(&whole, path);
    let _ = std::fs::remove_file(&whole);
    linked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path) -> RequestFile {
        RequestFile(Some(folder.join("a/b/request.json")))
    }

    fn request(key: &str, since: i64) -> Unfinished {
        Unfinished {
            key: key.into(),
            base: Some("g7-1a2b3c4d".into()),
            since,
        }
    }

    #[test]
    fn a_second_run_continues_the_first_until_it_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        let first = request("one", 1000);
        assert_eq!(place.find(), None);
        assert_eq!(place.begin(first.clone(), false), (first.clone(), true));
        assert_eq!(
            place.begin(request("two", 1001), false),
            (first.clone(), true)
        );
        place.end("two");
        assert_eq!(place.find(), Some(first));
        place.end("one");
        assert_eq!(place.find(), None);
        let third = request("three", 1002);
        assert_eq!(place.begin(third.clone(), false), (third, true));
        let named = request("four", 1003);
        assert_eq!(place.begin(named.clone(), true), (named, true));
        assert_eq!(
            std::fs::read_dir(folder.path().join("a/b"))
                .unwrap()
                .count(),
            1
        );
    }

    #[test]
    fn an_old_request_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        place.begin(request("one", 1000), false);
        let late = request("two", 1000 + 3601);
        assert!(!place.find().unwrap().is_young(late.since));
        assert_eq!(place.begin(late.clone(), false), (late.clone(), true));
        assert_eq!(place.find(), Some(late));
    }

    #[test]
    fn without_a_place_nothing_is_kept() {
        let mine = request("one", 1000);
        assert_eq!(
            RequestFile(None).begin(mine.clone(), false),
            (mine.clone(), false)
        );
        let nowhere = RequestFile(Some("/proc/logctl/request.json".into()));
        assert_eq!(nowhere.begin(mine.clone(), false), (mine, false));
    }
}
