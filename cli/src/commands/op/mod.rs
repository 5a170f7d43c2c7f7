//! `logctl op`.

pub(super) mod confirm;
pub(super) mod list;
pub(super) mod show;
pub(super) mod wait;
pub(super) mod watch;

use crate::error::Error;

/// An operation's id, or why it is none.
fn checked(id: &str) -> Result<&str, Error> {
    let hexadecimal = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if id.len() == 32 && id.bytes().all(hexadecimal) {
        return Ok(id);
    }
    Err(Error::Usage {
        message: format!(
            "`{id}` is not the id of an operation: that is 32 lowercase hexadecimal digits"
        ),
        hint: "`logctl op list` lists them".into(),
    })
}
