//! `logd hand-over`: ends the wait for the old secondaries after a change, although they have not accepted it.
//!
//! It is the last resort if they are lost with their keys. It never happens by itself: the command first says what it gives up, and
//! then records that in the audit trail.

use std::time::Duration;

use engine::{Audited, MergeOptions, Programs};
use tokio::time::timeout;

use crate::args::Stores as Which;
use crate::error::{Error, at};
use crate::run;
use crate::settings::Settings;

/// How long the end may take.
const END: Duration = Duration::from_secs(10);

/// Hands over; without `force`, only states the risk, and fails.
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
        let handed_over = if force {
            let actor = format!("uid:{}", rustix::process::getuid().as_raw());
            let audited = Audited::new(engine.clone());
            let handed_over = audited.hand_over_by_force(&log, actor).await;
            handed_over.map_err(|e| failed(e.to_string()))?
        } else if let Some((_, gives_up)) = log.held_by_before() {
            return Err(failed(format!(
                "log {name}: {gives_up}; with --force that is given up"
            )));
        } else {
            None
        };
        run::print(&match handed_over {
            Some(detail) => format!("handed over: {detail}\n"),
            None => format!("log {name}: no change of the secondaries waits to be handed over\n"),
        })
    };
    let done = done.await;
    if timeout(END, engine.shutdown()).await.is_err() {
        tracing::warn!("the engine did not stop in time; everything that was finished is durable");
    }
    done
}
