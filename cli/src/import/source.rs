//! Where the shards of an old Rekor come from: the Rekor itself, or a folder with its answers.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::Stream;
use wire::ImportEntry;

use super::folder::Folder;
use super::rekor::OtherRekor;
use super::shard::{Fault, OldShard, trees};
use super::waits::Waits;
use crate::error::Error;

/// The forms of `--from`, in each command that has it.
macro_rules! forms {
    ($more:literal, $each:literal) => {
        concat!(
            "give the URL of the Rekor (https://HOST or https://HOST/PATH, with or without /api/v1)",
            $more,
            " a folder that --save of `import rekor` wrote",
            $each,
            " may begin with `rekor:`"
        )
    };
}

/// How `--from` names a Rekor with its entries.
pub(super) const FORMS: &str = forms!(", or", "; either");
/// The same where a list of shards is enough.
pub(crate) const LIST_FORMS: &str = forms!(
    ",",
    ", or the path or URL of a file with Rekor's list of shards; each"
);

/// The place that `--from` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A Rekor: its URL up to `/api/v1`.
    Rekor(String),
    /// A file at a URL.
    Url(String),
    /// A folder or a file on this machine.
    Path(PathBuf),
}

impl Named {
    /// Reads it in each form that a person may write.
    pub(crate) fn parse(text: &str, forms: &'static str) -> Result<Self, Error> {
        let named = text.strip_prefix("rekor:").unwrap_or(text);
        let refused = |why: &str| Error::Usage {
            message: format!("--from: `{text}` {why}"),
            hint: forms.into(),
        };
        if named.starts_with("https://") || named.starts_with("http://") {
            let url = reqwest::Url::parse(named).ok();
            let url = url.filter(|url| url.has_host() && url.query().is_none());
            let url =
                url.ok_or_else(|| refused("is not a usable URL: it needs a host and no query"))?;
            let mut segments = url.path_segments();
            let last = segments.as_mut().and_then(Iterator::last);
            if last.is_some_and(|last| last.contains('.')) {
                return Ok(Self::Url(named.to_owned()));
            }
            let base = named.trim_end_matches('/');
            let base = base.strip_suffix("/api/v1/log").unwrap_or(base);
            let base = base.strip_suffix("/api/v1").unwrap_or(base);
            return Ok(Self::Rekor(base.trim_end_matches('/').to_owned()));
        }
        let path = PathBuf::from(named);
        let is_word = |word: &str| !word.is_empty() && !word.contains(['/', '\\']);
        let has_scheme = named.split_once(':').is_some_and(|(word, _)| is_word(word));
        match named.is_empty() || has_scheme && !path.exists() {
            true => Err(refused("is neither a URL, a folder nor a file")),
            false => Ok(Self::Path(path)),
        }
    }
}

/// Entries, some at a time.
pub(crate) type Pages = Pin<Box<dyn Stream<Item = Result<Vec<ImportEntry>, Error>> + Send>>;

/// A Rekor, or a folder with its answers.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Rekor(OtherRekor),
    Folder(Folder),
}

impl Source {
    /// The one that `--from` names. Waits at most `timeout` for the first answer of a Rekor.
    pub(crate) fn new(from: &str, ca: Option<&Path>, timeout: Duration) -> Result<Self, Error> {
        match Named::parse(from, FORMS)? {
            Named::Rekor(base) => Ok(Self::Rekor(OtherRekor::new(base, ca, timeout)?)),
            Named::Path(path) => Ok(Self::Folder(Folder::new(&path))),
            Named::Url(_) => Err(Error::Usage {
                message: format!(
                    "--from: `{from}` is the URL of a file, and a list of shards has no entries to import"
                ),
                hint: FORMS.into(),
            }),
        }
    }

    /// Its shards, oldest first. One without entries is left out.
    pub(crate) async fn shards(&self) -> Result<Vec<OldShard>, Error> {
        let (mut shards, mut start) = (Vec::new(), 0);
        let log = match self {
            Self::Rekor(rekor) => rekor.log().await?,
            Self::Folder(folder) => folder.log()?,
        };
        for tree in trees(&log).map_err(|fault| self.fault("", fault))? {
            let id = tree.tree_id.clone();
            let pem = match self {
                Self::Rekor(rekor) => rekor.key(&id).await?,
                Self::Folder(folder) => folder.key(&id)?,
            };
            let shard = OldShard::new(tree, &pem, start).map_err(|fault| self.fault(&id, fault))?;
            if let Some(shard) = shard {
                start = shard.end().map_err(|fault| self.fault(&id, fault))?;
                shards.push(shard);
            }
        }
        Ok(shards)
    }

    /// The entries of a shard from one of them on, in order, with so many requests at a time.
    pub(crate) fn entries(
        &self,
        shard: &OldShard,
        from: u64,
        connections: usize,
    ) -> Result<Pages, Error> {
        Ok(match self {
            Self::Rekor(rekor) => Box::pin(rekor.entries(shard, from, connections)),
            Self::Folder(folder) => Box::pin(folder.entries(shard, from)?),
        })
    }

    /// What is said while a Rekor does not answer; a folder always does.
    pub(crate) fn waits(&self) -> Option<Arc<Waits>> {
        match self {
            Self::Rekor(rekor) => Some(Arc::clone(&rekor.waits)),
            Self::Folder(_) => None,
        }
    }

    /// Where the key of a tree is, for a person.
    pub(crate) fn key_at(&self, tree_id: &str) -> String {
        match self {
            Self::Rekor(rekor) => {
                let url = rekor.url(&format!("log/publicKey?treeID={tree_id}"));
                format!("GET {url}")
            }
            Self::Folder(folder) => folder.key_of(tree_id).display().to_string(),
        }
    }

    /// The next step when the server has found that the old Rekor did not sign what it returned for this shard.
    pub(crate) fn not_signed(&self, shard: &OldShard) -> String {
        match self {
            Self::Rekor(rekor) => rekor.not_signed(),
            Self::Folder(folder) => folder.again(&folder.entries_of(&shard.tree_id)),
        }
    }

    /// The next step when the root of the copied entries of a shard is wrong: the server takes no others before `drop` was run.
    pub(crate) fn wrong_root(&self, shard: &OldShard, drop: &str) -> String {
        match self {
            Self::Rekor(rekor) => format!("run {drop} first; {}", rekor.not_signed()),
            Self::Folder(folder) => folder.drop_first(&shard.tree_id, drop),
        }
    }

    fn fault(&self, tree_id: &str, fault: Fault) -> Error {
        match self {
            Self::Rekor(rekor) => rekor.fault(fault),
            Self::Folder(folder) => folder.fault(tree_id, fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rekor_is_named_in_each_form() {
        let rekor = |text: &str| match Named::parse(text, FORMS) {
            Ok(Named::Rekor(base)) => base,
            other => panic!("{text}: {other:?}"),
        };
        for end in [
            "",
            "/",
            "/api/v1",
            "/api/v1/",
            "/api/v1/log",
            "/api/v1/log/",
        ] {
            for (base, start) in [("", ""), ("/neon", "rekor:"), ("/a/log", "")] {
                let url = format!("https://rekor.example.org{base}");
                assert_eq!(rekor(&format!("{start}{url}{end}")), url);
            }
        }
        let path = |text: &str| matches!(Named::parse(text, FORMS), Ok(Named::Path(_)));
        assert!(path("saved") && path("rekor:saved") && path("/a/b:c") && path("./a:b"));
        let file = Named::parse("rekor:https://example.org/sharding.yaml", FORMS);
        assert!(matches!(file, Ok(Named::Url(_))), "{file:?}");
        for wrong in [
            "",
            "rekor:",
            "trillian:bad.yaml",
            "rekor.example.org:3000",
            "https://",
            "https://example.org/?a=b",
        ] {
            assert!(Named::parse(wrong, FORMS).is_err(), "{wrong}");
        }
    }
}
