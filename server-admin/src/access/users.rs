//! The name of a user id on this machine.
//!
//! A name is for people: roles are bound to the id. What must never happen: a request waits for a directory service, or an actor's id
//! changes with its name.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The file with the names of local users (passwd(5)).
const USERS: &str = "/etc/passwd";
/// More than any machine has; the rest is not read.
const LIMIT: u64 = 1 << 20;

/// `uid:0 (root)`, or `uid:0` where the machine has no name for it.
pub(super) fn actor(uid: u32) -> String {
    match name(Path::new(USERS), uid) {
        Some(name) => format!("uid:{uid} ({name})"),
        None => format!("uid:{uid}"),
    }
}

fn name(users: &Path, uid: u32) -> Option<String> {
    let mut text = Vec::new();
    File::open(users)
        .ok()?
        .take(LIMIT)
        .read_to_end(&mut text)
        .ok()?;
    let text = String::from_utf8_lossy(&text);
    let plain = |name: &&str| {
        (1..=32).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    let found = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    found.filter(plain).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let users = folder.path().join("passwd");
        assert_eq!(name(&users, 0), None);
        let text = "root:x:0:0:root:/root:/bin/sh\nbroken\nops.night:x:1000:1000::/:/bin/sh\n\
                    a b:x:7:7::/:/bin/sh\n";
        std::fs::write(&users, text).unwrap();
        assert_eq!(name(&users, 0).as_deref(), Some("root"));
        assert_eq!(name(&users, 1000).as_deref(), Some("ops.night"));
        // A name that could be mistaken for something else is not used.
        for nobody in [7, 1, 1001] {
            assert_eq!(name(&users, nobody), None);
        }
    }
}
