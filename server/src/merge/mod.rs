//! `logd merge PROGRAM`: one of the four programs, alone on the stores of a server.
//!
//! It accepts no writes and serves nothing. It must never make a store that does not exist: a mistyped path would look like a log without
//! work.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::{Finished, MergeOptions, Program, Programs, TroubleKind};
use logconfig::text::count;
use tokio::time::timeout;

use crate::args::Stores as Which;
use crate::error::{Error, at};
use crate::lifecycle::{Lifecycle, Sources};
use crate::run;
use crate::settings::{self, Settings};
use crate::telemetry;

/// How long `--once` may take to end after its work is done.
const END: Duration = Duration::from_secs(10);

/// Runs a program until it is asked to stop, or, once, until its work is done.
pub(crate) async fn run(program: Program, once: bool, which: &Which) -> Result<(), Error> {
    let mut lifecycle = Lifecycle::new()?;
    let file = which.settings();
    let text = settings::read_text(&file)?;
    let settings = Settings::parse(&text, &file)?;
    let hot = settings.hot();
    telemetry::set_filter(hot.filter.as_deref());
    for path in [&settings.stores.coordination, &settings.stores.objects] {
        path.metadata().map_err(at("read", path))?;
    }
    let options = MergeOptions {
        programs: Programs::from_iter([program]),
        writes: false,
        ..run::merge_options(&settings)?
    };
    let label = format!("merge {program}");
    let engine = tokio::select! {
        engine = run::open_engine(&settings, options, &label) => engine?,
        () = lifecycle.stop() => return Ok(()),
    };
    if once {
        let finished = tokio::select! {
            finished = engine.shutdown() => finished,
            () = lifecycle.stop() => return Ok(()),
        };
        return report(program, &finished);
    }
    let limited = Arc::clone(&engine);
    lifecycle.limited_by(move || crate::readiness::halted_in_words(&limited));
    run::say_halted(&engine);
    run::ready(&format!("logd ready: merge {program}\n"));
    let check = |text: &str, path: &Path| Settings::parse(text, path).map(|s| s.hot());
    let mut sources = Sources::file(&file, &text, &hot, check);
    // This process serves no clients, so there is nothing to wait for.
    let drain = Some(Duration::ZERO);
    let broken = engine.faults().reported();
    let served = lifecycle
        .serve(&mut sources, drain, Duration::ZERO, broken)
        .await;
    lifecycle.service.stopping();
    tracing::info!(%program, "stopping");
    let ended = tokio::select! {
        finished = timeout(settings.bounds.grace().max(END), engine.shutdown()) => match finished {
            Ok(finished) => report(program, &finished),
            Err(_) => {
                tracing::warn!("the program did not finish in time; the next start continues its work");
                engine.rest().await;
                Ok(())
            }
        },
        () = lifecycle.stop() => {
            tracing::warn!("second stop signal: the next start continues the unfinished work");
            Ok(())
        }
    };
    served.and(ended)
}

/// One line with the results, and an error if something failed.
fn report(program: Program, finished: &[Finished]) -> Result<(), Error> {
    run::print(&line(program, finished))?;
    let mut failed = Vec::new();
    for one in finished {
        if let Some(trouble) = one
            .trouble
            .as_ref()
            .filter(|t| t.kind != TroubleKind::Waits)
        {
            failed.push(format!("{}: {}", one.log, trouble.why));
        }
        let peers = one.peers.iter();
        failed.extend(peers.map(|(name, why)| format!("{}: {name}: {why}", one.log)));
    }
    if failed.is_empty() {
        return Ok(());
    }
    let detail = failed.join("\n  ");
    Err(Error::Merge { program, detail })
}

/// `integrate: dev: 1200 entries in 2 steps; system: nothing to do`.
fn line(program: Program, finished: &[Finished]) -> String {
    let mut line = format!("{program}:");
    for (at, one) in finished.iter().enumerate() {
        let before = if at == 0 { " " } else { "; " };
        let _ = write!(line, "{before}{}: ", one.log);
        let done = one.done;
        let _ = match (done.positions, &one.trouble) {
            (0, None) => write!(line, "nothing to do"),
            (0, Some(trouble)) if trouble.kind == TroubleKind::Waits => {
                write!(line, "waits, {}", trouble.why)
            }
            (0, Some(_)) => write!(line, "nothing done"),
            (steps, _) => {
                let (entries, steps) = (count(done.entries, "entry"), count(steps, "step"));
                write!(line, "{entries} in {steps}")
            }
        };
    }
    if finished.is_empty() {
        line.push_str(" there is no log");
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use engine::{Done, Trouble};

    use super::*;

    fn finished(log: &str, entries: u64, positions: u64, trouble: Option<Trouble>) -> Finished {
        Finished {
            log: log.to_owned(),
            program: Program::Publish,
            done: Done { entries, positions },
            trouble,
            peers: Vec::new(),
        }
    }

    #[test]
    fn a_line_says_what_was_done() {
        let waits = Some(Trouble::waits("1 of the 2 secondaries"));
        let all = [
            finished("a", 1, 1, None),
            finished("b", 1200, 3, None),
            finished("c", 0, 0, None),
            finished("d", 0, 0, waits),
        ];
        assert_eq!(
            line(Program::Publish, &all),
            "publish: a: 1 entry in 1 step; b: 1200 entries in 3 steps; c: nothing to do; d: waits, 1 of the 2 secondaries\n"
        );
        assert_eq!(
            line(Program::Distribute, &[]),
            "distribute: there is no log\n"
        );
    }

    #[test]
    fn what_waits_is_no_failure_and_what_failed_is() {
        let waits = finished("a", 0, 0, Some(Trouble::waits("x")));
        assert!(report(Program::Publish, &[waits]).is_ok());
        let failed = finished("a", 0, 0, Some(Trouble::new("the disk")));
        let error = report(Program::Publish, &[failed]).unwrap_err();
        assert!(error.to_string().contains("a: the disk"));
        let peer = Finished {
            peers: vec![("cdn".to_owned(), "away".to_owned())],
            ..finished("a", 5, 1, None)
        };
        assert!(report(Program::Distribute, &[peer]).is_err());
    }
}
