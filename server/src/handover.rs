//! `logd hand-over`: ends the wait for the old secondaries after a change, although they have not taken it.
//!
//! It is the last resort if they are lost with their keys. It never happens by itself: the command first says what it gives up, and
//! then records that in the audit trail.

use std::time::Duration;

use engine::{MergeOptions, Programs};
use tokio::time::timeout;

use crate::admin::{Audit, Event};
use crate::args::Stores as Which;
use crate::error::{Error, at};
use crate::rfc3339::now;
use crate::run;
use crate::settings::Settings;

/// How long the end may take.
const END: Duration = Duration::from_secs(10);

/// Hands over, or with `force` absent says what that would give up.
pub(crate) async fn run(name: &str, force: bool, which: &Which) -> Result<(), Error> {
    let settings = Settings::read(&which.settings())?;
    for path in [&settings.stores.coordination, &settings.stores.objects] {
        path.metadata().map_err(at("read", path))?;
    }
    let options = MergeOptions {
        programs: Programs::NONE,
        ..run::merge_options(&settings)?
    };
    let engine = run::open_engine(&settings, options, "hand-over").await?;
    let done = async {
        let failed = |why: String| Error::HandOver(why);
        let log = engine
            .log(name)
            .ok_or_else(|| failed(format!("there is no log {name} in these stores")))?;
        let Some((generation, gives_up)) = log.held_by_before() else {
            return run::print(&format!(
                "log {name}: no change of the secondaries waits to be handed over\n"
            ));
        };
        if !force {
            return Err(failed(format!(
                "log {name}: {gives_up}; with --force that is given up"
            )));
        }
        let detail = format!("log {name}: {gives_up}");
        let event = Event {
            action: "hand-over-forced".to_owned(),
            actor: format!("uid:{}", rustix::process::getuid().as_raw()),
            detail: detail.clone(),
            replica: engine.replica_id().to_owned(),
            time: now(),
        };
        let audit = Audit::new(engine.clone());
        audit
            .event(event)
            .await
            .map_err(|e| failed(e.to_string()))?;
        log.hand_over_by_force(generation)
            .await
            .map_err(|e| failed(e.to_string()))?;
        run::print(&format!("handed over: {detail}\n"))
    };
    let done = done.await;
    if timeout(END, engine.shutdown()).await.is_err() {
        tracing::warn!("it did not end in time; what was done is durable");
    }
    done
}
