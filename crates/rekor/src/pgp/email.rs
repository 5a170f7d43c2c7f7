//! The email addresses in the names of keys.

use super::packet::{self, Packet, Reader};
use super::ring::KeyBlocks;

/// The email addresses in a key that Rekor, or this log, has written. Nothing in it is verified again.
pub(crate) fn emails(canonical: &[u8]) -> Vec<String> {
    let Ok(blocks) = KeyBlocks::decode(canonical) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for block in &blocks.blocks {
        let mut reader = Reader(block);
        while let Ok(Some(Packet { tag, body })) = reader.packet() {
            if tag == packet::USER_ID {
                found.extend(of(body).map(str::to_owned));
            }
        }
    }
    found
}

/// The address in a name of the form `Name (comment) <address>`, if it looks like one.
pub(super) fn of(name: &[u8]) -> Option<&str> {
    let name = str::from_utf8(name).ok()?;
    // A comment in brackets may have an angle.
    let open = match (name.find('('), name.find('<')) {
        (Some(comment), Some(angle)) if comment < angle => {
            let end = comment + name[comment..].find(')')?;
            end + name[end..].find('<')?
        }
        (_, angle) => angle?,
    };
    let address = &name[open + 1..];
    let address = address.find('>').map_or(address, |end| &address[..end]);
    let address = address.trim();
    is_address(address).then_some(address)
}

fn is_address(text: &str) -> bool {
    let Some((user, host)) = text.rsplit_once('@') else {
        return false;
    };
    let in_word = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii();
    let in_user = |c: char| in_word(c) || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let is_part = |part: &str| !part.is_empty() && part.chars().all(in_user);
    let is_label = |label: &str| {
        let all = label.chars().all(|c| in_word(c) || "-_~".contains(c));
        all && label.starts_with(in_word) && label.ends_with(in_word)
    };
    let is_last = |label: &str| {
        let is_end = |c: char| in_word(c) && !c.is_ascii_digit();
        label.starts_with(is_end) && label.ends_with(is_end)
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let Some((_, last)) = host.rsplit_once('.') else {
        return false;
    };
    user.split('.').all(is_part) && host.split('.').all(is_label) && is_last(last)
}
