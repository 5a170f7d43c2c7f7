//! Publishing: the trusted root is written to a file, and a command of the operator takes it from there.
//!
//! What must never happen: half a file under its name, a command that keeps running after its time limit, or its output on standard output, which
//! belongs to the report.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

use crate::client::{Deadline, idempotency_key, seconds};
use crate::error::Error;

/// The variable that names the file for the command.
pub(super) const FILE: &str = "LOGCTL_TRUSTED_ROOT";

/// Replaces a file as a whole; a file with these bytes stays as it is.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Error> {
    if std::fs::read(path).is_ok_and(|now| now == text.as_bytes()) {
        return Ok(());
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let scratch = path.with_file_name(name);
    // An earlier run that ended in the middle, under the same process id, may have left one. Anything but a file is somebody else's.
    if std::fs::symlink_metadata(&scratch).is_ok_and(|there| there.is_file()) {
        let _ = std::fs::remove_file(&scratch);
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "an output of logctl, which is written again after a crash"
    )]
    let written = fill(&scratch, text, 0o644).and_then(|()| std::fs::rename(&scratch, path));
    written.map_err(|source| {
        // A file that was already there belongs to another run. The first error is the one to report.
        if source.kind() != io::ErrorKind::AlreadyExists {
            let _ = std::fs::remove_file(&scratch);
        }
        Error::Write {
            what: path.display().to_string(),
            source,
        }
    })
}

/// Writes a new file. What exists under this name, such as a link, is not followed.
fn fill(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A file that exists for as long as a command runs.
struct Passing(PathBuf);

impl Passing {
    fn new(text: &str) -> Result<Self, Error> {
        let name = format!("logctl-{}.json", idempotency_key()?);
        let path = std::env::temp_dir().join(name);
        fill(&path, text, 0o600).map_err(|source| Error::Write {
            what: path.display().to_string(),
            source,
        })?;
        Ok(Self(path))
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The processes of a command. Dropping this ends them, unless the command has ended by itself: a process that is left over could publish an older
/// file over a newer one.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0.take() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs the command in a shell, with the file's name in its environment. Its output goes to standard error.
pub(super) async fn run(
    command: &str,
    file: Option<&Path>,
    text: &str,
    about: [(&str, &str); 2],
    deadline: Deadline,
) -> Result<(), Error> {
    let passing = match file {
        Some(_) => None,
        None => Some(Passing::new(text)?),
    };
    let path = file.or(passing.as_ref().map(|file| file.0.as_path()));
    let path = path.map(std::path::absolute).transpose();
    let path = path.ok().flatten().unwrap_or_default();
    let failed = |why: String| Error::Publishing { why };
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env(FILE, path)
        .envs(about)
        .stdin(Stdio::null())
        .stdout(Stdio::from(io::stderr()))
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let mut group = Group(id.and_then(Pid::from_raw));
    let ended = tokio::time::timeout(deadline.left(), child.wait()).await;
    if ended.is_ok() {
        group.0 = None;
    }
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(failed(format!("failed ({status})"))),
        Ok(Err(error)) => Err(failed(format!("cannot be waited for: {error}"))),
        Err(_) => Err(failed(format!(
            "did not end within {}",
            seconds(deadline.limit())
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ABOUT: [(&str, &str); 2] = [("LOGCTL_LOG", "argon"), ("LOGCTL_SHARD", "b")];

    async fn sh(command: &str, file: Option<&Path>, limit: Duration) -> Result<(), String> {
        let deadline = Deadline::after(limit);
        let run = run(command, file, "the text", ABOUT, deadline).await;
        run.map_err(|error| error.to_string())
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn the_command_gets_the_file_and_what_it_is_about() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("seen");
        let command = format!(
            "cp $LOGCTL_TRUSTED_ROOT {0}; echo $LOGCTL_LOG $LOGCTL_SHARD $LOGCTL_TRUSTED_ROOT >> {0}",
            out.display()
        );
        sh(&command, None, MINUTE).await.unwrap();
        let seen = std::fs::read_to_string(&out).unwrap();
        let rest = seen.strip_prefix("the textargon b ").unwrap().trim_end();
        assert!(!Path::new(rest).exists(), "{rest}");
        let file = folder.path().join("named.json");
        write(&file, "named ").unwrap();
        sh(&command, Some(&file), MINUTE).await.unwrap();
        let seen = std::fs::read_to_string(&out).unwrap();
        assert!(
            seen.starts_with("named argon b ") && file.exists(),
            "{seen}"
        );
    }

    #[tokio::test]
    async fn a_command_that_fails_or_hangs_is_reported_without_its_words() {
        let failed = sh("exit 3 # s3cret", None, MINUTE).await.unwrap_err();
        assert!(failed.contains("exit status: 3"), "{failed}");
        assert!(!failed.contains("s3cret"), "{failed}");
        let hangs = sh("exec sleep 1000", None, Duration::from_millis(50)).await;
        assert!(hangs.unwrap_err().contains("did not end within"));
    }

    #[tokio::test]
    async fn what_a_command_started_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("id");
        // The child is known once the command waits for it.
        let command = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let hangs = sh(&command, None, Duration::from_secs(2)).await;
        assert!(hangs.unwrap_err().contains("did not end within"));
        let id = std::fs::read_to_string(&file).unwrap();
        let stat = format!("/proc/{}/stat", id.trim());
        // A process that nobody has waited for yet is dead as well.
        let lives = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        let dies = async {
            while lives() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(MINUTE, dies).await.unwrap();
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_not_touched_without_need() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.json");
        write(&path, "one").unwrap();
        let inode = |path: &Path| {
            use std::os::unix::fs::MetadataExt as _;
            std::fs::metadata(path).unwrap().ino()
        };
        let before = inode(&path);
        write(&path, "one").unwrap();
        assert_eq!(inode(&path), before);
        write(&path, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write(&folder.path().join("no/such"), "x").is_err());
    }

    #[test]
    fn a_link_under_the_scratch_name_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let scratch = at(&format!("root.json.{}", std::process::id()));
        std::fs::write(at("theirs"), "theirs").unwrap();
        std::os::unix::fs::symlink(at("theirs"), &scratch).unwrap();
        assert!(write(&at("root.json"), "one").is_err());
        assert_eq!(std::fs::read_to_string(at("theirs")).unwrap(), "theirs");
        assert!(scratch.is_symlink() && !at("root.json").exists());
        // A file that a crash left there is this program's own.
        std::fs::remove_file(&scratch).unwrap();
        std::fs::write(&scratch, "half").unwrap();
        write(&at("root.json"), "one").unwrap();
        assert_eq!(std::fs::read_to_string(at("root.json")).unwrap(), "one");
        assert!(!scratch.exists());
    }
}
