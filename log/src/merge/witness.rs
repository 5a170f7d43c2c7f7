//! Cosignatures of witnesses (C2SP tlog-witness), as the configuration's policy asks for them.

use super::program::Trouble;
use crate::log::Core;
use crate::shard::Shard;

/// The checkpoint with the cosignatures that `witnesses.policy` asks for, or why it does not have them; then it is asked for
/// again. `note` is signed by the shard and carries the cosignatures of its secondaries.
pub(crate) async fn cosign(core: &Core, shard: &Shard, note: String) -> Result<String, Trouble> {
    let witnesses = &core.config().witnesses;
    match witnesses.policy() {
        Ok(policy) if policy.is_none() => Ok(note),
        Ok(_) => Err(Trouble::new(format!(
            "shard {}: this server cannot ask witnesses",
            shard.name
        ))),
        Err(e) => Err(Trouble::new(format!("witnesses.policy: {e}"))),
    }
}
