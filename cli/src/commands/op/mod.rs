//! `logctl op`.

pub(super) mod confirm;
pub(super) mod list;
pub(super) mod show;
pub(super) mod wait;
pub(super) mod watch;

use crate::commands::Server;
use crate::error::{Error, count};

/// Digits of an operation's id.
const DIGITS: usize = 32;
/// Digits that are enough where only one operation begins with them.
const FEWEST: usize = 4;

/// Refuses what is no id, nor the beginning of one.
fn checked(id: &str) -> Result<&str, Error> {
    let hexadecimal = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !(FEWEST..=DIGITS).contains(&id.len()) || !id.bytes().all(hexadecimal) {
        return Err(Error::Usage {
            message: format!(
                "`{id}` is not the id of an operation: that is {DIGITS} lowercase hexadecimal digits, or the first {FEWEST} or more of them"
            ),
            hint: "`logctl op list` lists them".into(),
        });
    }
    Ok(id)
}

/// The whole id of the operation that is meant: as it was given, or the only one that begins like this.
async fn whole(server: &Server, id: &str) -> Result<String, Error> {
    if id.len() == DIGITS {
        return Ok(id.to_owned());
    }
    let listed = server.admin.operations(None, server.deadline).await?;
    let ids = listed.operations.into_iter().map(|operation| operation.id);
    let mut found: Vec<String> = ids.filter(|whole| whole.starts_with(id)).collect();
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Error::NotFound {
            kind: "operation that begins with",
            name: id.to_owned(),
            known: Vec::new(),
        }),
        many => Err(Error::Usage {
            message: format!("{} begin with {id}", count(many, "operation")),
            hint: format!("give more digits: {}", found.join(", ")),
        }),
    }
}
