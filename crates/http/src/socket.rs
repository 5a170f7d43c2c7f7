//! The Unix socket's place in the file system.
//!
//! A socket file outlives a server that was killed. What must never happen: a live server's socket is taken away, or a file that is no
//! socket is deleted. The folder is locked while the file is checked and replaced, so two servers that start at once can't both find it
//! dead.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::error::Error;

/// Our file; removed on drop, unless another took its place. Drop it before the listener: while the listener is open, the
/// file's inode can't belong to another.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Listens at a path. The file has this mode; peer credentials decide about permissions anyway.
pub(crate) fn listen(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), Error> {
    let failed = |source| Error::Listen {
        address: path.display().to_string(),
        source,
    };
    let folder = folder(path).map_err(failed)?;
    folder.lock().map_err(failed)?;
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(Error::NotASocket(path.to_owned()));
        }
        Ok(_) if answers(path).map_err(failed)? => return Err(Error::SocketInUse(path.to_owned())),
        Ok(_) => fs::remove_file(path).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    let file = SocketFile {
        path: path.to_owned(),
        device: metadata.dev(),
        inode: metadata.ino(),
    };
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
    Ok((listener, file))
}

/// Whether a server is behind the socket. Never blocks: a server too busy to accept is alive too.
fn answers(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    match connect(&socket, &SocketAddrUnix::new(path)?) {
        Ok(()) | Err(Errno::AGAIN) => Ok(true),
        Err(Errno::CONNREFUSED) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn folder(path: &Path) -> io::Result<File> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent),
        _ => File::open("."),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Without the lock, or on any error, the file stays: the next server finds it dead and replaces it.
        let Ok(folder) = folder(&self.path) else {
            return;
        };
        let ours =
            |metadata: fs::Metadata| (metadata.dev(), metadata.ino()) == (self.device, self.inode);
        if folder.try_lock().is_ok() && fs::symlink_metadata(&self.path).is_ok_and(ours) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a dead server leaves its file");

        let (listener, file) = listen(&path, 0o600).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(matches!(listen(&path, 0o600), Err(Error::SocketInUse(_))));
        drop(file);
        assert!(!path.exists());
        drop(listener);
        listen(&path, 0o666).unwrap();
    }

    #[test]
    fn of_many_that_start_at_once_one_listens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| listen(&path, 0o600)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        assert!(
            outcomes
                .iter()
                .flat_map(|outcome| outcome.as_ref().err())
                .all(|e| matches!(e, Error::SocketInUse(_)))
        );
        assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, "data").unwrap();
        assert!(matches!(listen(&path, 0o600), Err(Error::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"data");

        let path = folder.path().join("admin.sock");
        let (_listener, file) = listen(&path, 0o600).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(file);
        assert!(path.exists());
        assert!(matches!(
            listen(&folder.path().join("no/such/folder"), 0o600),
            Err(Error::Listen { .. })
        ));
        assert!(matches!(
            listen(&folder.path().join("x".repeat(200)), 0o600),
            Err(Error::Listen { .. })
        ));
    }
}
