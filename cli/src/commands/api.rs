//! `logctl api METHOD PATH`: sends one request in the caller's name, and prints the answer unchanged.

use clap::ValueHint;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;

use super::change::ChangeArgs;
use super::{Session, document};
use crate::client::{Raw, with_reason};
use crate::error::Error;
use crate::file::File;
use crate::report::{Block, Outcome, Page, Present};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  logctl api GET logs/argon
  logctl api GET openapi.json
  logctl api PUT logs/argon/config?dryRun=true --body next.json --if-match g7-1a2b3c4d
  logctl api POST logs/argon/freeze --body - --yes < freeze.json")]
pub(crate) struct ApiArgs {
    /// GET, POST, PUT or DELETE; all but GET ask first, except with ?dryRun=true
    #[arg(value_parser = PossibleValuesParser::new(["GET", "POST", "PUT", "DELETE"]).map(|name| name.to_uppercase()), ignore_case = true, hide_possible_values = true)]
    pub(crate) method: String,
    /// Path of the request below /admin/v1
    pub(crate) path: String,
    /// File to send (`-`: standard input), JSON or YAML
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) body: Option<File>,
    /// Entity tag that the change is based on
    #[arg(long, value_name = "TAG")]
    pub(crate) if_match: Option<String>,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    content_type: String,
    /// JSON as it is, text as a string; absent when it is neither.
    body: Option<Value>,
    /// Length of the body in bytes.
    length: usize,
}

/// The longest body; no server takes a larger one.
const LIMIT: usize = 16 << 20;

pub(super) async fn run(session: &Session<'_>, args: ApiArgs) -> Result<Outcome, Error> {
    let ApiArgs {
        method,
        path,
        body,
        if_match,
        change: _,
    } = args;
    let Some(resource) = resource(&path) else {
        return Err(Error::Usage {
            message: format!("`{path}` is no path of the admin endpoint"),
            hint: "write it as logs/NAME or /admin/v1/logs/NAME; `logctl api GET openapi.json` describes all of them".into(),
        });
    };
    let body = match body {
        Some(file) => {
            let (what, bytes) = document::read_bytes(&file, LIMIT).await?;
            if bytes.len() > LIMIT {
                let source = std::io::Error::from(std::io::ErrorKind::FileTooLarge);
                return Err(Error::Read { what, source });
            }
            Some(bytes)
        }
        None => None,
    };
    let reason = session.change.reason.as_deref();
    let resource = with_reason(resource, reason);
    let server = session.server()?;
    let reads = method == "GET" || resource.contains("dryRun=true");
    if !reads {
        session.ui.confirm(&format!("{method} {resource}?"))?;
        session.ui.stand(
            "the change may or may not have been made",
            "look with `logctl status` and `logctl op list`",
        );
    }
    let sent = format!("{method} {resource}");
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|error| Error::Bug(format!("{method}: {error}")))?;
    let answer = server
        .admin
        .raw(
            method,
            &resource,
            body,
            if_match.as_deref(),
            session.change.idempotency_key.as_deref(),
            session.deadline(),
        )
        .await?;
    if !reads {
        session.ui.made(
            format!("{sent} was answered with {}", answer.status),
            "look with `logctl status` and `logctl op list` before you send it again; with `--idempotency-key` it is not made twice".into(),
        );
    }
    Outcome::done(&Answered::from(answer))
}

/// The path below the endpoint's base; `None` for a path that could lead elsewhere.
pub(super) fn resource(path: &str) -> Option<&str> {
    let path = path.strip_prefix(wire::BASE).unwrap_or(path);
    let path = path.strip_prefix('/').unwrap_or(path);
    let sound = !path.is_empty()
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
        && !path
            .split(['/', '?'])
            .any(|part| part.is_empty() || part == "." || part == "..")
        && !path.contains("://");
    sound.then_some(path)
}

impl From<Raw> for Answered {
    fn from(raw: Raw) -> Self {
        let text = std::str::from_utf8(&raw.body).ok();
        let json = raw.media.starts_with("application/json");
        let body = match text {
            Some(text) if json => serde_json::from_str(text).ok(),
            Some(text) if !raw.media.starts_with("application/octet-stream") => {
                Some(Value::from(text))
            }
            _ => None,
        };
        Self {
            status: raw.status,
            etag: raw.etag,
            content_type: raw.media,
            body,
            length: raw.body.len(),
        }
    }
}

impl Present for Answered {
    const KIND: &'static str = "Answer";
    const NAME: &'static str = "/etag";

    fn page(&self) -> Page {
        match &self.body {
            Some(Value::String(text)) => {
                Page::new().with(Block::Verbatim(crate::render::clean(text)))
            }
            Some(json) => Page::new().with(Block::Verbatim(format!("{json:#}"))),
            None => Page::new().text(format!(
                "{}: {} bytes of {}, not shown",
                self.status, self.length, self.content_type
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_base() {
        for (path, found) in [
            ("logs", Some("logs")),
            ("/logs/a?dryRun=true", Some("logs/a?dryRun=true")),
            ("/admin/v1/whoami", Some("whoami")),
            ("", None),
            ("/", None),
            ("../metrics", None),
            ("logs/../../x", None),
            ("logs//x", None),
            ("https://example.org/x", None),
            ("logs/a b", None),
            ("logs#x", None),
        ] {
            assert_eq!(resource(path), found, "{path}");
        }
    }
}
