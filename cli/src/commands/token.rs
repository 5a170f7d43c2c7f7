//! `logctl token`: bearer tokens that the server manages.
//!
//! What must never happen: a token's text appears anywhere but once in the requested place, a private file or standard output.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Subcommand, ValueHint};
use serde::Serialize;
use wire::{NewToken, Token, Tokens};

use super::change::{ChangeArgs, parse_reason};
use super::{Session, audit_receipt};
use crate::cli::parse_between;
use crate::error::Error;
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};
use tlog::GlobalIndex;

/// The subcommands of `logctl token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; its text is shown once and cannot be shown again
    #[command(after_help = "Examples:
  logctl token create ci --scope shard:rotate:argon --expires 30d --out ci.token
  logctl token create ci --scope shard:rotate:argon --scope log:read:argon -o json | jq -r .secret")]
    Create(CreateArgs),
    /// List tokens, with the permissions and the expiry of each
    #[command(after_help = "Example:
  logctl token list")]
    List,
    /// Revoke a token at once
    #[command(after_help = "Example:
  logctl token revoke ci")]
    Revoke {
        /// Name of the token
        name: String,
        /// The reason, for the audit trail
        #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
        reason: Option<String>,
    },
}

/// The arguments of `logctl token create`.
#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// Name of the token; its bearer is token:NAME in the audit trail
    name: String,
    /// Permission of the token, as RESOURCE:VERB:LOG with `*` for any; repeat it for more
    #[arg(
        long = "scope",
        value_name = "SCOPE",
        required = true,
        value_delimiter = ','
    )]
    scopes: Vec<String>,
    /// Lifetime of the token: 12h, 30d; at most 365d
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = parse_lifetime)]
    expires: Duration,
    /// Write the token's text to a new file that only you can read, instead of standard output
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

/// At least a minute, at most a year.
fn parse_lifetime(text: &str) -> Result<Duration, String> {
    let year = Duration::from_secs(365 * 86_400);
    parse_between(text, Duration::from_secs(60), year, "from 1m to 365d")
}

pub(super) async fn run(session: &Session<'_>, command: TokenCommand) -> Result<Outcome, Error> {
    match command {
        TokenCommand::Create(args) => create(session, args).await,
        TokenCommand::List => list(session).await,
        TokenCommand::Revoke { name, .. } => revoke(session, checked(name)?).await,
    }
}

/// A name that can stand in a path, or why not.
fn checked(name: String) -> Result<String, Error> {
    let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    if (1..=63).contains(&name.len()) && name.bytes().all(plain) && name.bytes().any(|b| b != b'.')
    {
        return Ok(name);
    }
    Err(Error::Usage {
        message: format!(
            "`{name}` is not the name of a token: that is 1 to 63 of a-z, 0-9, `-` and `.`"
        ),
        hint: "`logctl token list` lists them".into(),
    })
}

/// A new token. It contains the text, so it has no `Debug` form.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    token: Token,
    /// Its text; absent when it is in `file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// The file that has its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_index: Option<u64>,
}

async fn create(session: &Session<'_>, args: CreateArgs) -> Result<Outcome, Error> {
    let CreateArgs {
        name,
        scopes,
        expires: lifetime,
        out,
        change: _,
    } = args;
    let name = checked(name)?;
    let server = session.server()?;
    session.ui.confirm(&format!(
        "make the token {name}, which may {} for {} from now?",
        scopes.join(", "),
        logconfig::Span::from_secs(lifetime.as_secs())
    ))?;
    let pins = audit_receipt::before(session, &server).await?;
    // The file first: a token whose text has nowhere to go is lost.
    let mut file = out.as_deref().map(reserve).transpose()?;
    let request = wire::TokenRequest {
        name,
        scopes,
        lifetime_seconds: lifetime.as_secs(),
    };
    let key = session.key()?;
    session.ui.stand(
        "the token may or may not have been made",
        format!(
            "look with `logctl token list`; `logctl token revoke {}` ends it",
            request.name
        ),
    );
    let made = server
        .admin
        .create_token(&request, session.asked(&key), session.deadline())
        .await;
    let kept = made.and_then(|made| {
        // Text from a server must be harmless before it goes to a terminal unchanged; otherwise none of it is shown.
        if !made.secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::Foreign {
                address: server.admin.address(),
                cause: "the token has characters that no token has".into(),
            });
        }
        if let (Some(file), Some(path)) = (&mut file, &out) {
            let text = format!("{}\n", made.secret);
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(|source| Error::Write {
                    what: path.display().to_string(),
                    source,
                })?;
        }
        Ok(made)
    });
    if let (Err(_), Some(path)) = (&kept, &out) {
        // It is our own file and empty.
        let _ = std::fs::remove_file(path);
    }
    let NewToken {
        secret,
        token,
        audit_index,
        audit,
    } = kept?;
    let (state, hint) = match &out {
        Some(path) => (
            format!("the token {} was made", token.name),
            format!("its text is in {}", path.display()),
        ),
        None => (
            format!("the token {} was made, and its text is lost", token.name),
            format!(
                "run the same command again within an hour with `--idempotency-key {key}`: it gives the token a new text"
            ),
        ),
    };
    session.ui.made(state, hint);
    let checked = audit_receipt::receipt(
        session,
        &server,
        pins,
        None,
        audit.as_ref(),
        audit_index.is_some(),
    )
    .await;
    let made = Made {
        secret: out.is_none().then_some(secret),
        file: out.map(|path| path.display().to_string()),
        token,
        audit_index: audit_index.map(GlobalIndex::get),
    };
    if made.secret.is_some() {
        session.ui.show(&made.about());
    }
    Outcome::with_trouble(&made, checked.err())
}

/// An empty file that only its owner can read, where none was.
pub(super) fn reserve(path: &Path) -> Result<std::fs::File, Error> {
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    opened.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => Error::Exists {
            path: path.to_owned(),
            force: false,
        },
        _ => Error::Write {
            what: path.display().to_string(),
            source,
        },
    })
}

impl Made {
    /// Everything but the text.
    fn about(&self) -> Page {
        let Token {
            name,
            scopes,
            expires_at,
            ..
        } = &self.token;
        Page::new().text(format!(
            "token {name} may {} until {expires_at}",
            scopes.join(", ")
        ))
    }
}

impl Present for Made {
    const KIND: &'static str = "NewToken";
    // `-o name` prints the secret, which is never shown again.
    const NAME: &'static str = "/secret";

    fn page(&self) -> Page {
        match (&self.secret, &self.file) {
            // Printed alone, so that a script can read it into a variable; the description is on standard error.
            (Some(secret), _) => Page::new().with(Block::Verbatim(format!("{secret}\n"))),
            (None, file) => self.about().text(format!(
                "its text is in {}, which only you can read",
                file.as_deref().unwrap_or_default()
            )),
        }
    }
}

#[derive(Debug, Serialize)]
struct TokenList {
    tokens: Vec<Token>,
}

async fn list(session: &Session<'_>) -> Result<Outcome, Error> {
    let server = session.server()?;
    let Tokens { tokens } = server.admin.tokens(server.deadline).await?;
    Outcome::done(&TokenList { tokens })
}

impl Present for TokenList {
    const KIND: &'static str = "TokenList";
    const LIST: Option<&'static str> = Some("tokens");
    const NAME: &'static str = "/name";

    fn page(&self) -> Page {
        let rows = self.tokens.iter().map(|token| {
            vec![
                token.name.as_str().into(),
                token.scopes.join(", ").into(),
                token.expires_at.as_str().into(),
                match &token.created_by {
                    Some(by) => by.as_str().into(),
                    None if token.revocable => "-".into(),
                    None => Cell::toned("the token file", Tone::Past),
                },
                Cell::maybe(token.created_at.as_deref()),
            ]
        });
        Page::listing(
            Block::Table {
                header: vec!["TOKEN", "MAY", "ENDS", "MADE BY", "MADE"],
                rows: rows.collect(),
                spare: 2,
            },
            "there is no token; `logctl token create NAME --scope RESOURCE:VERB:LOG` makes one",
        )
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenRevoked {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_index: Option<u64>,
}

async fn revoke(session: &Session<'_>, name: String) -> Result<Outcome, Error> {
    let server = session.server()?;
    session.ui.confirm(&format!(
        "revoke the token {name}? Requests with it are refused from now on."
    ))?;
    session.ui.stand(
        "the token may or may not have been revoked",
        format!("`logctl token revoke {name}` again is safe"),
    );
    let pins = audit_receipt::before(session, &server).await?;
    let revoked = server
        .admin
        .revoke_token(&name, session.asked(&session.key()?), session.deadline())
        .await?;
    session.ui.made(
        format!("the token {name} was revoked"),
        "`logctl token list` shows those that are left".into(),
    );
    let audited = revoked.audit_index.is_some();
    let checked = audit_receipt::receipt(
        session,
        &server,
        pins,
        None,
        revoked.audit.as_ref(),
        audited,
    )
    .await;
    let revoked = TokenRevoked {
        name: revoked.name,
        audit_index: revoked.audit_index.map(GlobalIndex::get),
    };
    Outcome::with_trouble(&revoked, checked.err())
}

impl Present for TokenRevoked {
    const KIND: &'static str = "TokenRevoked";
    const NAME: &'static str = "/name";

    fn page(&self) -> Page {
        Page::new().text(format!("token {} is revoked", self.name))
    }
}
