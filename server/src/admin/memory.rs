//! The rows of sessions, tokens and used identity tokens: the engine's shared memory behind the plug-in's interface.

use engine::MemoryError;
use jiff::Timestamp;
use server_admin::HostError;

use super::EngineHost;
use tlog::UnixMillis;

fn failed(error: MemoryError) -> HostError {
    match error {
        // Only a bug of the plug-in asks for such a row.
        MemoryError::Unfit(_) => HostError::Internal(error.to_string()),
        MemoryError::Store(store::StoreError::Full(place)) => HostError::Full(place),
        MemoryError::Older(_) | MemoryError::Store(_) => HostError::Unavailable(error.to_string()),
    }
}

impl EngineHost {
    pub(super) async fn put_row(
        &self,
        key: &str,
        value: &str,
        until: Timestamp,
    ) -> Result<bool, HostError> {
        let until = u64::try_from(until.as_millisecond()).unwrap_or(0);
        let put = self
            .engine
            .remember(key, value, UnixMillis::new(until))
            .await;
        put.map_err(failed)
    }

    pub(super) async fn rows(&self, prefix: &str) -> Result<Vec<(String, String)>, HostError> {
        self.engine.recall(prefix).await.map_err(failed)
    }

    pub(super) async fn delete_row(&self, key: &str) -> Result<bool, HostError> {
        self.engine.forget(key).await.map_err(failed)
    }
}
