//! URLs of object stores: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`.
//!
//! What must never happen: a URL that carries a credential, or one that leads out of what a prefix allows.

use std::fmt;
use std::str::FromStr;

/// Longest URL, in bytes.
const MAX_URL: usize = 512;

/// The provider of an object store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BucketKind {
    /// Amazon S3 and compatible stores.
    S3,
    /// Google Cloud Storage, `gs://BUCKET/PREFIX`.
    Gcs,
    /// Azure Blob Storage, `az://CONTAINER/PREFIX`.
    Azure,
}

impl BucketKind {
    /// The scheme of its URLs.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3://",
            Self::Gcs => "gs://",
            Self::Azure => "az://",
        }
    }
}

/// A bucket, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketUrl {
    kind: BucketKind,
    bucket: String,
    /// Without slashes at either end; empty for the whole bucket.
    prefix: String,
}

/// Why a text is not the URL of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BucketUrlError {
    /// It begins with none of the known schemes.
    #[error("it does not begin with s3://, gs:// or az://")]
    Scheme,
    /// The part behind the scheme.
    #[error(
        "the name of a bucket has 3 to 222 lower-case letters, digits, dots, hyphens and underscores"
    )]
    Bucket,
    /// The part behind the bucket.
    #[error(
        "the parts of the path are not empty, no dots alone, and of letters, digits and -_.=+ only"
    )]
    Prefix,
    /// More than 512 bytes.
    #[error("it is too long")]
    Length,
}

impl BucketUrl {
    /// The provider of the object store.
    #[must_use]
    pub const fn kind(&self) -> BucketKind {
        self.kind
    }

    /// The name of the bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The path in it; empty for all of it.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The same bucket without the prefix.
    #[must_use]
    pub fn whole(&self) -> Self {
        Self {
            prefix: String::new(),
            ..self.clone()
        }
    }

    /// Whether this is `other`, or in it.
    #[must_use]
    pub fn within(&self, other: &Self) -> bool {
        let rest = self.prefix.strip_prefix(&other.prefix);
        self.kind == other.kind
            && self.bucket == other.bucket
            && rest.is_some_and(|rest| {
                other.prefix.is_empty() || rest.is_empty() || rest.starts_with('/')
            })
    }
}

fn bucket_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    (3..=222).contains(&bytes.len())
        && bytes.iter().all(|b| plain(*b) || b"-_.".contains(b))
        && bytes.first().is_some_and(|b| plain(*b))
        && bytes.last().is_some_and(|b| plain(*b))
        && !name.contains("..")
}

fn segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..")
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.=+".contains(&b))
}

impl FromStr for BucketUrl {
    type Err = BucketUrlError;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        if url.len() > MAX_URL {
            return Err(BucketUrlError::Length);
        }
        let kinds = [BucketKind::S3, BucketKind::Gcs, BucketKind::Azure];
        let mut found = kinds
            .iter()
            .filter_map(|kind| Some((*kind, url.strip_prefix(kind.scheme())?)));
        let (kind, rest) = found.next().ok_or(BucketUrlError::Scheme)?;
        let (bucket, prefix) = match rest.split_once('/') {
            Some((bucket, prefix)) => (bucket, Some(prefix)),
            None => (rest, None),
        };
        if !bucket_name(bucket) {
            return Err(BucketUrlError::Bucket);
        }
        if prefix.is_some_and(|prefix| !prefix.split('/').all(segment)) {
            return Err(BucketUrlError::Prefix);
        }
        Ok(Self {
            kind,
            bucket: bucket.to_owned(),
            prefix: prefix.unwrap_or_default().to_owned(),
        })
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.scheme(), self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> BucketUrl {
        text.parse().unwrap()
    }

    #[test]
    fn there_and_back() {
        for text in [
            "s3://bucket",
            "gs://a.b-c_d/logs",
            "az://container/a/b=c/.d",
        ] {
            assert_eq!(url(text).to_string(), text);
        }
        let parsed = url("s3://bucket/a/b");
        assert_eq!((parsed.bucket(), parsed.prefix()), ("bucket", "a/b"));
        assert_eq!(parsed.whole(), url("s3://bucket"));
    }

    #[test]
    fn what_is_none() {
        use BucketUrlError::{Bucket, Length, Prefix, Scheme};
        let long = format!("s3://bucket/{}", "x".repeat(600));
        for (text, why) in [
            ("", Scheme),
            ("file:///srv", Scheme),
            ("S3://bucket", Scheme),
            ("s3://", Bucket),
            ("s3://ab", Bucket),
            ("s3://key:secret@bucket", Bucket),
            ("s3://Bucket", Bucket),
            ("s3://.bucket", Bucket),
            ("s3://bu..cket", Bucket),
            ("s3://bucket?x=y", Bucket),
            ("s3://bucket/", Prefix),
            ("s3://bucket//a", Prefix),
            ("s3://bucket/a/", Prefix),
            ("s3://bucket/../a", Prefix),
            ("s3://bucket/a?sig=x", Prefix),
            ("s3://bucket/a b", Prefix),
            ("s3://bucket/%2e%2e", Prefix),
            (&long, Length),
        ] {
            assert_eq!(text.parse::<BucketUrl>(), Err(why), "{text}");
        }
    }

    #[test]
    fn only_what_a_prefix_allows() {
        let allowed = url("s3://bucket/logs");
        for inside in ["s3://bucket/logs", "s3://bucket/logs/cdn"] {
            assert!(url(inside).within(&allowed), "{inside}");
        }
        for outside in [
            "s3://bucket",
            "s3://bucket/log",
            "s3://bucket/logsx",
            "s3://bucket2/logs",
            "gs://bucket/logs",
        ] {
            assert!(!url(outside).within(&allowed), "{outside}");
        }
        assert!(url("s3://bucket/x").within(&url("s3://bucket")));
    }
}
