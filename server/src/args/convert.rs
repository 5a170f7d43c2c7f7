//! From clap's types to a plain [`Command`].

use std::path::Path;

use clap::CommandFactory as _;

use super::*;
use crate::indexes::Which;
use crate::lifecycle::Sources;
use crate::restore::NewFolder;
use crate::settings::{Bounds, Logging, Metrics, SecondarySettings, read_text};

impl SecondaryFrom {
    /// The settings, checked, and where they come from.
    pub(crate) fn settings(&self) -> Result<(SecondarySettings, Sources), Error> {
        match self.clone() {
            Self::Config(path) => {
                let text = read_text(&path)?;
                let settings = SecondarySettings::parse(&text, &path)?;
                let check = |text: &str, path: &Path| {
                    SecondarySettings::parse(text, path).map(|settings| settings.hot())
                };
                let sources = Sources::file(&path, &text, &settings.hot(), check);
                Ok((settings, sources))
            }
            Self::Flags {
                dir,
                listen,
                logs,
                metrics,
            } => {
                let settings = SecondarySettings {
                    listen,
                    tls: None,
                    dir,
                    key: None,
                    logs,
                    metrics: metrics.map(|listen| Metrics { listen }),
                    bounds: Bounds::default(),
                    log: Logging::default(),
                };
                match settings.wrong() {
                    None => Ok((settings, Sources::default())),
                    Some((_, problem)) => Err(Error::Usage(
                        Cli::command().error(clap::error::ErrorKind::ValueValidation, problem),
                    )),
                }
            }
        }
    }
}

impl From<ProgramArg> for engine::Program {
    fn from(program: ProgramArg) -> Self {
        match program {
            ProgramArg::Integrate => Self::Integrate,
            ProgramArg::Replicate => Self::Replicate,
            ProgramArg::Publish => Self::Publish,
            ProgramArg::Distribute => Self::Distribute,
        }
    }
}

impl From<RestoreCommand> for Command {
    fn from(args: RestoreCommand) -> Self {
        Self::Restore {
            format: args.log_format,
            args: RestoreArgs {
                origin: args.log,
                from: args.from,
                kek: args.kek,
                into: args.dir.map(|dir| NewFolder {
                    dir,
                    force: args.force,
                }),
                ca: args.ca,
            },
        }
    }
}

impl From<SecondaryArgs> for Command {
    fn from(args: SecondaryArgs) -> Self {
        if let Some(SecondaryVerb::Key { file, name }) = args.verb {
            return Self::SecondaryKey { file, name };
        }
        // clap requires one of them.
        let from = match (args.config, args.dir) {
            (Some(config), _) => SecondaryFrom::Config(config),
            (None, dir) => SecondaryFrom::Flags {
                dir: dir.unwrap_or_default(),
                listen: args.listen,
                logs: args.log,
                metrics: args.metrics,
            },
        };
        Self::Secondary {
            from,
            drain: args.drain,
            format: args.log_format,
        }
    }
}

impl From<StoresArgs> for Stores {
    fn from(args: StoresArgs) -> Self {
        // clap requires one of them.
        match (args.dir, args.config) {
            (_, Some(config)) => Self::Config(config),
            (dir, None) => Self::Dir(dir.unwrap_or_default()),
        }
    }
}

impl From<Cli> for Command {
    fn from(cli: Cli) -> Self {
        match cli.verb {
            Verb::Dev(DevArgs {
                dir,
                listen,
                admin,
                metrics,
                rekor,
                merge,
                drain,
                log_format,
            }) => Self::Dev(Dev {
                dir,
                listen,
                admin,
                metrics,
                rekor,
                merge: merge.into_iter().map(Into::into).collect(),
                drain,
                format: log_format,
            }),
            Verb::Serve(ServeArgs {
                config,
                drain,
                log_format,
            }) => Self::Serve {
                config,
                drain,
                format: log_format,
            },
            Verb::Fsck(FsckArgs { stores, output }) => Self::Fsck {
                stores: stores.into(),
                output,
            },
            Verb::Backup(BackupArgs { stores, to, output }) => Self::Backup {
                stores: stores.into(),
                to,
                output,
            },
            Verb::Merge(MergeArgs {
                program,
                once,
                stores,
                log_format,
            }) => Self::Merge {
                program: program.into(),
                once,
                stores: stores.into(),
                format: log_format,
            },
            Verb::HandOver(HandOverArgs {
                log,
                force,
                stores,
                log_format,
            }) => Self::HandOver {
                log,
                force,
                stores: stores.into(),
                format: log_format,
            },
            Verb::Index {
                verb:
                    IndexVerb::Rebuild(RebuildArgs {
                        log,
                        stores,
                        log_format,
                    }),
            } => Self::IndexRebuild {
                which: Which {
                    log,
                    stores: stores.into(),
                },
                format: log_format,
            },
            Verb::Frontend(FrontendArgs {
                dir,
                listen,
                cert,
                key,
                drain,
                log_format,
            }) => Self::Frontend(FrontendOptions {
                dir,
                listen,
                tls: cert.zip(key),
                drain,
                format: log_format,
            }),
            Verb::Secondary(args) => args.into(),
            Verb::Restore(args) => args.into(),
            Verb::Init(InitArgs {
                dir,
                origin,
                log,
                listen,
                admin,
                yes,
            }) => Self::Init(Init {
                dir,
                origin,
                log,
                listen,
                admin,
                yes,
            }),
            Verb::Config { verb } => match verb {
                ConfigVerb::Example => Self::ConfigExample,
                ConfigVerb::Check { file, output } => Self::ConfigCheck { file, output },
            },
        }
    }
}
