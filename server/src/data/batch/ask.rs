//! Reads the request line and head of a batch. Pure.

use engine::UploadId;
use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};

use crate::data::refusal::{Refusal, shown};

/// The encoding of the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// `application/octet-stream`: C2SP bundle encoding, 16-bit length and entry.
    Bundle,
    /// `application/x-ndjson`: one JSON object a line.
    Lines,
}

/// The upload and the part of it that a body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// The upload, if it is one that can be resumed.
    pub(super) upload: Option<UploadId>,
    /// Entries of the upload before this body.
    pub(super) offset: u64,
}

/// The encoding that the head names; none is guessed.
pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let codings = headers.get_all(CONTENT_ENCODING);
    let encoded = |coding: &HeaderValue| !coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if codings.iter().any(encoded) {
        return Err(Refusal::encoded("a batch"));
    }
    let kind = headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes());
    let media = kind.and_then(|kind| kind.split(|byte| *byte == b';').next());
    match media.map(<[u8]>::trim_ascii) {
        Some(media) if media.eq_ignore_ascii_case(b"application/octet-stream") => {
            Ok(Encoding::Bundle)
        }
        Some(media) if media.eq_ignore_ascii_case(b"application/x-ndjson") => Ok(Encoding::Lines),
        _ => Err(Refusal::unsupported(
            "content-type must be application/octet-stream (entries, each after its 16-bit length) or application/x-ndjson (a line {\"entry\":\"<base64>\"} each)",
        )),
    }
}

/// Reads the parameters `?upload=ID&offset=N`.
pub(super) fn part(query: Option<&str>) -> Result<Part, Refusal> {
    let (mut upload, mut offset) = (None, None);
    for pair in query
        .unwrap_or_default()
        .split('&')
        .filter(|p| !p.is_empty())
    {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let twice = match name {
            "upload" => {
                let id: UploadId = value.parse().map_err(|_| {
                    Refusal::bad(format!(
                        "upload={} must be 32 lowercase hex digits, chosen at random",
                        shown(value)
                    ))
                })?;
                upload.replace(id).is_some()
            }
            "offset" => {
                let digits = value.bytes().all(|byte| byte.is_ascii_digit());
                let number = value.parse().ok().filter(|_| digits).ok_or_else(|| {
                    Refusal::bad(format!(
                        "offset={} must be how many entries of the upload come before this body",
                        shown(value)
                    ))
                })?;
                offset.replace(number).is_some()
            }
            _ => {
                return Err(Refusal::bad(format!(
                    "{} is not a parameter of add-batch; there are upload and offset",
                    shown(name)
                )));
            }
        };
        if twice {
            return Err(Refusal::bad(format!("{name} was given twice")));
        }
    }
    if offset.is_some() && upload.is_none() {
        return Err(Refusal::bad(
            "offset needs upload=ID: it counts within an upload",
        ));
    }
    Ok(Part {
        upload,
        offset: offset.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_parameters_once_each() {
        let id = "00112233445566778899aabbccddeeff";
        let upload = Some(id.parse().unwrap());
        for (query, expected) in [
            (String::new(), Part::default()),
            (format!("upload={id}"), Part { upload, offset: 0 }),
            (format!("upload={id}&offset=7"), Part { upload, offset: 7 }),
            (format!("offset=0&upload={id}&"), Part { upload, offset: 0 }),
        ] {
            assert_eq!(part(Some(&query)), Ok(expected), "{query}");
        }
        for (query, needle) in [
            ("upload=".to_owned(), "32 lowercase"),
            ("upload=x".to_owned(), "32 lowercase"),
            (format!("upload={}", id.to_uppercase()), "32 lowercase"),
            (format!("upload={id}&upload={id}"), "twice"),
            (format!("upload={id}&offset=-1"), "how many"),
            (format!("upload={id}&offset=+1"), "how many"),
            (format!("upload={id}&offset="), "how many"),
            (
                format!("upload={id}&offset=18446744073709551616"),
                "how many",
            ),
            ("offset=3".to_owned(), "needs upload"),
            ("uplaod=x".to_owned(), "uplaod is not"),
        ] {
            let refusal = part(Some(&query)).unwrap_err();
            assert_eq!(refusal.code.1, 400);
            assert!(refusal.detail.contains(needle), "{}", refusal.detail);
        }
    }

    #[test]
    fn the_encoding_is_named_not_guessed() {
        let ask = |kind: Option<&'static str>, coding: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(kind) = kind {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            }
            if let Some(coding) = coding {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
            }
            encoding(&headers).map_err(|refusal| refusal.code.1)
        };
        assert_eq!(
            ask(Some("Application/Octet-Stream"), None),
            Ok(Encoding::Bundle)
        );
        assert_eq!(
            ask(
                Some("application/x-ndjson ; charset=utf-8"),
                Some("identity")
            ),
            Ok(Encoding::Lines)
        );
        for (kind, coding) in [
            (None, None),
            (Some("text/plain"), None),
            (Some("application/json"), None),
            (Some("application/octet-stream"), Some("gzip")),
            (Some("application/x-ndjson"), Some("zstd")),
        ] {
            assert_eq!(ask(kind, coding), Err(415), "{kind:?} {coding:?}");
        }
    }
}
