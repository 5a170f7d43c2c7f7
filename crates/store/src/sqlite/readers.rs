//! A few read-only connections.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use ambient::Crew;
use rusqlite::Connection;

use super::connection::{failure, open_reader};
use super::locked;
use super::look::ReadMode;
use crate::StoreError;

/// Reads that run at once.
const READERS: usize = 4;

/// Each connection is used by one thread at a time.
pub(super) struct Readers {
    path: PathBuf,
    crew: Arc<Crew>,
    idle: Mutex<Vec<Connection>>,
    /// How the file is read if nothing is to be written; replaced once a server has started on it.
    look: Option<Mutex<Arc<ReadMode>>>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, look: Option<Arc<ReadMode>>) -> Self {
        Self {
            path,
            crew: Crew::new(READERS),
            idle: Mutex::default(),
            look: look.map(Mutex::new),
        }
    }

    /// Reads on a connection of its own, on this thread.
    fn read<T>(&self, read: impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        loop {
            let look = self.look.as_ref().map(|look| Arc::clone(&locked(look)));
            let idle = self.idle().pop();
            let connection = match (idle, &look) {
                (Some(connection), _) => connection,
                (None, Some(look)) => look.connect()?,
                (None, None) => open_reader(&self.path)?,
            };
            let value = read(&connection).map_err(|error| failure(&error));
            if let (Some(look), Some(current)) = (&look, &self.look) {
                let mut current = locked(current);
                if !look.holds()? {
                    // Do not trust this read: a server has started, and may have written to the file meanwhile.
                    self.close();
                    *current = Arc::new(ReadMode::at(&self.path)?);
                    continue;
                }
                // Others have turned to another way already: the connection is of the old one.
                if !Arc::ptr_eq(look, &current) {
                    return value;
                }
                // A connection that failed is closed, not reused: its state is not worth guessing.
                let value = value?;
                self.idle().push(connection);
                return Ok(value);
            }
            let value = value?;
            self.idle().push(connection);
            return Ok(value);
        }
    }

    /// Reads on another thread. A caller that is not polled for a while, such as one of many that read ahead, holds up no other one.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = Arc::clone(self);
        let read = self.crew.run(move || readers.read(read));
        let cut_short = |_| StoreError::Io("a read was cut short".to_owned());
        read.await.map_err(cut_short)?
    }

    /// Closes the idle connections.
    pub(super) fn close(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        locked(&self.idle)
    }
}
