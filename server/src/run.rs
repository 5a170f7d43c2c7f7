//! Runs each command of the command line, in the runtime that it needs.

mod admin;
mod config_check;
mod engine;
mod metrics;
mod output;
mod runtime;
mod serve;

use std::path::Path;

use self::runtime::with_runtime;
use self::serve::DevFolder;
use crate::args::{Command, LogFormat};
use crate::dev::{self, Prepared};
use crate::error::Error;
use crate::exit::Ended;
use crate::handover;
use crate::init;
use crate::lifecycle::Sources;
use crate::restore;
use crate::secondary;
use crate::settings::{self, Settings};
use crate::telemetry;
use crate::{backup, frontend, fsck, indexes, merge};

pub(crate) use self::engine::{create, merge_options, open_engine};
pub(crate) use self::metrics::export;
pub(crate) use self::output::{print, ready, say_halted};
pub(crate) use self::runtime::with_small_runtime;

/// Runs a command to its end.
pub(crate) fn command(command: Command) -> Result<Ended, Error> {
    match command {
        Command::ConfigExample => {
            print(settings::EXAMPLE)?;
            Ok(Ended::Done)
        }
        Command::ConfigCheck { file, output } => config_check::run(&file, output),
        Command::Init(asked) => {
            telemetry::start(LogFormat::Text);
            with_runtime(init::run(asked))
        }
        Command::Fsck { stores, output } => fsck::run(&stores, output),
        Command::Backup { stores, to, output } => backup::run(&stores, &to, output),
        Command::Dev(dev) => {
            telemetry::start(dev.format);
            let Prepared {
                settings,
                dir,
                first,
            } = dev::prepare(&dev)?;
            let folder = DevFolder {
                dir: &dir,
                first: first.is_some(),
                rekor: dev.rekor,
            };
            let drain = dev.drain.map(|span| span.duration());
            let outcome = with_runtime(serve::run(
                &settings,
                Sources::default(),
                drain,
                Some(folder),
            ));
            // Only now may another server become the first.
            drop(first);
            outcome
        }
        Command::Secondary {
            from,
            drain,
            format,
        } => {
            telemetry::start(format);
            let (settings, sources) = from.settings()?;
            telemetry::set_filter(settings.hot().filter.as_deref());
            let drain = drain.map(|span| span.duration());
            with_runtime(secondary::run(&settings, sources, drain))
        }
        Command::Restore { args, format } => {
            telemetry::start(format);
            with_runtime(restore::run(args))
        }
        Command::SecondaryKey { file, name } => {
            secondary::show_key(&file, name.as_deref())?;
            Ok(Ended::Done)
        }
        Command::Merge {
            program,
            once,
            stores,
            format,
        } => {
            telemetry::start(format);
            with_runtime(merge::run(program, once, &stores))
        }
        Command::HandOver {
            log,
            force,
            stores,
            format,
        } => {
            telemetry::start(format);
            with_runtime(handover::run(&log, force, &stores))
        }
        Command::IndexRebuild { which, format } => {
            telemetry::start(format);
            with_runtime(indexes::rebuild(&which))
        }
        Command::Frontend(options) => {
            telemetry::start(options.format);
            with_runtime(frontend::run(&options))
        }
        Command::Serve {
            config,
            drain,
            format,
        } => {
            telemetry::start(format);
            let text = settings::read_text(&config)?;
            let settings = Settings::parse(&text, &config)?;
            let hot = settings.hot();
            telemetry::set_filter(hot.filter.as_deref());
            let check = |text: &str, path: &Path| Settings::parse(text, path).map(|s| s.hot());
            let sources = Sources::file(&config, &text, &hot, check);
            let drain = drain.map(|span| span.duration());
            with_runtime(serve::run(&settings, sources, drain, None))
        }
    }
}
