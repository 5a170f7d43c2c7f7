//! The flags that every command takes that changes something.

use clap::Args;
use wire::MAX_REASON;

/// How to ask for a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct ChangeArgs {
    /// Why, for the audit trail and the history
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(crate) reason: Option<String>,
    /// Continue the request that had this key, or name a new one: however often it is sent, it is made once
    #[arg(long, value_name = "KEY", value_parser = parse_key)]
    pub(crate) idempotency_key: Option<String>,
}

/// What a server accepts as a reason.
pub(super) fn parse_reason(text: &str) -> Result<String, String> {
    let sound =
        (1..=MAX_REASON).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if sound {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "a reason is one line of 1 to {MAX_REASON} characters"
        ))
    }
}

/// What a server accepts as a key.
fn parse_key(text: &str) -> Result<String, String> {
    let sound = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if sound {
        Ok(text.to_owned())
    } else {
        Err("a key is 1 to 128 visible ASCII characters".to_owned())
    }
}
