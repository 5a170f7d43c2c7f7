//! Sessions, kept from one run to the next: an identity token works once, and a job runs `logctl` more often.
//!
//! What must never happen: one job uses another's session. So a session is kept for the context, the address and the exact credential that
//! it was made for.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use wire::Session;

use super::secret::{Token, read_private};
use crate::private;

/// A session that ends sooner is not used.
const MARGIN: Duration = Duration::from_secs(60);

/// The file for the session of `key`; `None` without a folder for sessions.
pub(super) fn path(key: &[u8]) -> Option<PathBuf> {
    Some(folder()?.join(format!("{}.json", tlog::leaf_hash(key))))
}

/// The session in that file, unless it has expired.
pub(super) fn load(path: &Path) -> Option<Token> {
    let session: Session = serde_json::from_slice(&read_private("the session", path).ok()?).ok()?;
    let ends = SystemTime::from(session.expires_at.parse::<Timestamp>().ok()?);
    let lasts = ends > SystemTime::now() + MARGIN;
    Token::parse(session.secret.as_bytes()).filter(|_| lasts)
}

/// Keeps a session. Failing to is no reason to stop: it lasts for this run.
pub(super) fn store(path: &Path, session: &Session) {
    if let Ok(bytes) = serde_json::to_vec(session) {
        let _ = private::write(path, &bytes);
    }
}

/// The folder that ends with the login of this user, or otherwise one that outlasts it.
fn folder() -> Option<PathBuf> {
    let set = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let home = set("XDG_RUNTIME_DIR")
        .or_else(|| set("XDG_STATE_HOME"))
        .or_else(|| set("HOME").map(|home| home.join(".local/state")))?;
    Some(home.join("logctl").join("sessions"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(ends_in: i64) -> Session {
        let ends = Timestamp::from_second(Timestamp::now().as_second() + ends_in).unwrap();
        Session {
            secret: "s3ssion".into(),
            actor: "oidc:ci".into(),
            permissions: Vec::new(),
            expires_at: ends.to_string(),
        }
    }

    #[test]
    fn a_session_is_used_while_it_lasts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sessions/a.json");
        assert!(load(&path).is_none());
        for (ends_in, lasts) in [(600, true), (30, false), (-600, false)] {
            store(&path, &session(ends_in));
            assert_eq!(load(&path).is_some(), lasts, "{ends_in}");
        }
    }

    #[test]
    fn a_session_that_others_can_read_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        store(&path, &session(600));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(load(&path).is_none());
    }
}
