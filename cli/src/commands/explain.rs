//! `--explain-auth`: the permissions that a command needs, from the table behind the server's router, and whether the caller has them.
//!
//! What must never happen: the command itself runs, or a permission is named that the server does not ask for.

use serde::Serialize;
use wire::WhoAmI;
use wire::routes::{Name, ROUTES, Scope};

use super::api::ApiArgs;
use super::audit::AuditCommand;
use super::config::{ApplyArgs, ConfigCommand, DiffArgs, PlanArgs};
use super::context::ContextCommand;
use super::import::ImportArgs;
use super::import_rekor::{ImportSource, RekorAsks};
use super::log::LogCommand;
use super::merge::MergeCommand;
use super::op::OpCommand;
use super::qos::QosCommand;
use super::shard::{ShardArgs, ShardCommand, ShardStep};
use super::token::TokenCommand;
use super::{Session, document};
use crate::cli::Command;
use crate::error::Error;
use crate::file::File;
use crate::report::{Block, Cell, Outcome, Page, Present, Tone};

#[derive(Debug, Serialize)]
struct Explained {
    command: String,
    needs: Vec<Need>,
    /// The caller, as the server sees it; absent when the server could not be asked.
    caller: Option<WhoAmI>,
    /// Why the server could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    unasked: Option<String>,
}

#[derive(Debug, Serialize)]
struct Need {
    /// `shard:rotate:argon`; absent where any caller that the server knows will do.
    permission: Option<String>,
    request: String,
    #[serde(rename = "for")]
    purpose: &'static str,
    /// Whether the command always needs it; the others are for a question, or for a rare wait.
    always: bool,
    /// Whether the caller has it, when the server could be asked.
    held: Option<bool>,
}

pub(super) async fn run(
    session: &Session<'_>,
    command: &Command,
    spelled: String,
) -> Result<Outcome, Error> {
    let Asks { always, sometimes } = asks(command);
    let mut log = match named(command) {
        Some(log) => Some(log),
        None => created(command).await.or(session.overrides.log.clone()),
    };
    let (mut caller, mut unasked) = (None, None);
    if !(always.is_empty() && sometimes.is_empty()) {
        match session.server() {
            Ok(server) => {
                log = log.or_else(|| server.settings.log.clone());
                if log.is_none() {
                    log = of_file(command).await;
                }
                match server.admin.whoami(server.deadline).await {
                    Ok(answer) => caller = Some(answer),
                    Err(error) if is_local(&error) => return Err(error),
                    Err(error) => unasked = Some(error.to_string()),
                }
            }
            Err(error) if is_local(&error) => return Err(error),
            Err(error) => unasked = Some(error.to_string()),
        }
    }
    let need = |always: bool| {
        let (log, caller) = (log.as_deref(), caller.as_ref());
        move |name: &Name| need(*name, always, log, caller)
    };
    let needs: Vec<Need> = always
        .iter()
        .map(need(true))
        .chain(sometimes.iter().map(need(false)))
        .collect();
    let lacking: Vec<String> = needs
        .iter()
        .filter(|need| need.always && need.held == Some(false))
        .filter_map(|need| need.permission.clone())
        .collect();
    let trouble = (!lacking.is_empty()).then_some(Error::Lacking {
        permissions: lacking,
    });
    Outcome::with_trouble(
        &Explained {
            command: spelled,
            needs,
            caller,
            unasked,
        },
        trouble,
    )
}

/// Whether a file of the caller is at fault: then the command would fail as well, whatever the permissions.
fn is_local(error: &Error) -> bool {
    matches!(
        error,
        Error::Read { .. }
            | Error::SecretExposed { .. }
            | Error::SecretEmpty { .. }
            | Error::Tls { .. }
            | Error::ContextFile { .. }
    )
}

fn need(name: Name, always: bool, log: Option<&str>, caller: Option<&WhoAmI>) -> Need {
    let route = name.route();
    let wanted = route.need.map(|(need, scope)| {
        let on = match (scope, log) {
            (Scope::All, _) => Some("*"),
            (Scope::Some, _) | (_, None) => None,
            (_, Some(log)) => Some(log),
        };
        (need, on)
    });
    let holds = |caller: &WhoAmI| {
        wanted.is_none_or(|(need, on)| {
            caller
                .permissions
                .iter()
                .any(|held| covers(held, need.resource, need.verb, on))
        })
    };
    Need {
        permission: wanted.map(|(need, on)| format!("{need}:{}", on.unwrap_or("LOG"))),
        request: format!("{} {}{}", route.method.as_str(), wire::BASE, route.path),
        purpose: route.summary,
        always,
        held: caller.map(holds),
    }
}

/// Whether a permission covers a need on a log; on any, when the log is not known.
fn covers(held: &str, resource: &str, verb: &str, log: Option<&str>) -> bool {
    let mut parts = held.split(':');
    let mut part = |wanted: Option<&str>| {
        parts
            .next()
            .is_some_and(|part| part == "*" || wanted.is_none_or(|wanted| part == wanted))
    };
    part(Some(resource)) && part(Some(verb)) && part(log)
}

/// The log that the command's own arguments name.
fn named(command: &Command) -> Option<String> {
    let Command::Api(ApiArgs { path, .. }) = command else {
        return command.log_by_name();
    };
    let rest = super::api::resource(path)?
        .strip_prefix("logs/")?
        .to_owned();
    let log = rest.split(['/', '?']).next()?;
    (!log.is_empty()).then(|| log.to_owned())
}

/// The log that a command creates: its file says which, whatever log is in use.
async fn created(command: &Command) -> Option<String> {
    match command {
        Command::Log(LogCommand::Create { file, .. }) => document_log(file).await,
        Command::Import(ImportArgs {
            source: Some(ImportSource::Rekor(args)),
            ..
        }) => document_log(args.file.as_ref()?).await,
        _ => None,
    }
}

/// The log that a command's file is for, where nothing else names one.
async fn of_file(command: &Command) -> Option<String> {
    match command {
        Command::Shard(ShardArgs {
            use_config: Some(file),
            ..
        })
        | Command::Config(
            ConfigCommand::Diff(DiffArgs {
                file: Some(file), ..
            })
            | ConfigCommand::Plan(PlanArgs { file, .. }),
        ) => document_log(file).await,
        Command::Config(ConfigCommand::Apply(ApplyArgs { file, .. }))
            if *file != File::Standard =>
        {
            let (_, bytes) = document::read_bytes(file, logconfig::MAX_PLAN_BYTES)
                .await
                .ok()?;
            Some(logconfig::Plan::decode(&bytes).ok()?.log.to_string())
        }
        _ => None,
    }
}

async fn document_log(file: &File) -> Option<String> {
    // Piped input is for the command itself.
    if *file == File::Standard {
        return None;
    }
    let document = document::Document::read(file).await.ok()?;
    Some(document.config.log.to_string())
}

/// The requests that a command makes to the server.
#[derive(Debug, Default)]
struct Asks {
    always: Vec<Name>,
    sometimes: Vec<Name>,
}

/// Requests that are made in any case.
fn always(names: &[Name]) -> Asks {
    Asks {
        always: names.to_vec(),
        sometimes: Vec::new(),
    }
}

/// A change, which is followed until every replica runs it. The log must be known for the question.
fn change(name: Name) -> Asks {
    // The answer names the replicas; the command asks again about those that are behind.
    always(&[name]).and(&[Name::ShowOperation, Name::ShowLog, Name::ListReplicas])
}

impl Asks {
    /// Adds the requests of a later step.
    fn with(mut self, later: Self) -> Self {
        self.always.extend(later.always);
        self.sometimes.extend(later.sometimes);
        self
    }

    /// Adds requests that are made only if needed.
    fn and(mut self, names: &[Name]) -> Self {
        self.sometimes.extend_from_slice(names);
        self
    }
}

fn asks(command: &Command) -> Asks {
    use Name::*;
    match command {
        Command::Shard(args) => shard(args),
        Command::Status => always(&[ListLogs, ListReplicas]).and(&[ShowLog, Name::WhoAmI]),
        Command::Config(command) => config(command),
        Command::Qos(QosCommand::List) => always(&[ShowConfig]).and(&[Name::WhoAmI]),
        Command::Qos(QosCommand::Show { .. }) => {
            always(&[ShowConfig, ShowQos]).and(&[Name::WhoAmI])
        }
        Command::Qos(QosCommand::Set(_)) => always(&[ShowConfig, PutConfig]).and(&[
            ShowOperation,
            ShowLog,
            ListReplicas,
            Name::WhoAmI,
        ]),
        Command::Qos(QosCommand::Simulate(_)) => {
            always(&[SimulateQos]).and(&[ShowLog, Name::WhoAmI])
        }
        Command::Merge(MergeCommand::Status) => always(&[ShowMerge]),
        Command::Op(OpCommand::List) => always(&[ListOperations]),
        Command::Op(OpCommand::Show { .. }) => always(&[ShowOperation]).and(&[ListOperations]),
        Command::Op(OpCommand::Wait { .. } | OpCommand::Watch { .. }) => {
            always(&[ShowOperation]).and(&[ListReplicas, ListOperations])
        }
        Command::Op(OpCommand::Confirm { .. }) => {
            always(&[ConfirmOperation]).and(&[ShowOperation, ListOperations])
        }
        Command::Log(LogCommand::Freeze { .. }) => change(FreezeLog),
        Command::Log(LogCommand::Unfreeze { .. }) => change(UnfreezeLog),
        Command::Log(LogCommand::List { .. }) => always(&[ListLogs]),
        Command::Log(LogCommand::Create { .. }) => change(CreateLog),
        Command::Log(LogCommand::Delete { .. }) => change(DeleteLog),
        Command::Log(LogCommand::Undelete { .. }) => change(UndeleteLog),
        Command::Token(TokenCommand::Create(_)) => always(&[CreateToken]),
        Command::Token(TokenCommand::List) => always(&[ListTokens]),
        Command::Token(TokenCommand::Revoke { .. }) => always(&[RevokeToken]).and(&[ListTokens]),
        Command::Audit(AuditCommand::List { .. }) => always(&[ListAudit]),
        Command::Audit(AuditCommand::Verify { .. }) => always(&[ShowAuditObject]),
        // Everything else comes from the log's public address, like anybody's.
        Command::Receipt(_) => Asks::default().and(&[ShowLog]),
        Command::Doctor => {
            always(&[Name::WhoAmI]).and(&[ListTokens, ShowLog, ShowDiagnostics, ShowAuditObject])
        }
        Command::Import(ImportArgs {
            source: Some(ImportSource::Rekor(args)),
            ..
        }) => match args.asks() {
            RekorAsks::Nothing => Asks::default(),
            RekorAsks::Preview => always(&[BeginImport]),
            RekorAsks::Drop => always(&[DropImport]),
            RekorAsks::Import => always(&[BeginImport, AddToImport]).with(change(CreateLog)),
        },
        // Entries go to the log's public address, like any writer's.
        Command::Import(_) | Command::Load(_) => Asks::default().and(&[ListLogs, ShowLog]),
        Command::Top(_) => always(&[ListLogs]).and(&[ShowQos]),
        Command::Context(ContextCommand::Show { check: true, .. })
        | Command::Whoami
        | Command::Version => always(&[Name::WhoAmI]),
        Command::Api(ApiArgs { method, path, .. }) => Asks {
            always: route(method, path).into_iter().collect(),
            sometimes: Vec::new(),
        },
        Command::Context(
            ContextCommand::List
            | ContextCommand::Use { .. }
            | ContextCommand::Set { .. }
            | ContextCommand::Delete { .. }
            | ContextCommand::Show { check: false, .. },
        )
        | Command::Completions(_)
        | Command::Help(_)
        | Command::Man(_) => Asks::default(),
    }
}

fn shard(args: &ShardArgs) -> Asks {
    use Name::*;
    match (&args.create_config, &args.use_config, &args.command) {
        _ if args.is_offline() => Asks::default(),
        (Some(_), _, _) => always(&[ShowConfig]),
        (_, Some(_), _) => change(PutConfig),
        (_, _, None | Some(ShardCommand::List | ShardCommand::Show { .. })) => always(&[ShowLog]),
        // Everything else comes from the log's public address, like anybody's.
        (_, _, Some(ShardCommand::Verify(_))) => Asks::default().and(&[ShowLog]),
        (_, _, Some(ShardCommand::Export(_))) => always(&[ShowConfig]).and(&[ShowLog, ListHistory]),
        (_, _, Some(ShardCommand::Step(step))) => match step {
            ShardStep::Plan { announce, .. } if announce.announce => {
                change(AnnounceShard).and(&[PlanShard, ShowConfig, ListHistory])
            }
            ShardStep::Plan { .. } => change(PlanShard),
            ShardStep::Unplan { .. } => edit(),
            ShardStep::Rotate { announce, .. } if announce.announce => {
                change(RotateShard).and(&[PlanShard, AnnounceShard, ShowConfig, ListHistory])
            }
            ShardStep::Rotate { .. } => change(RotateShard),
            ShardStep::Freeze { .. } => change(FreezeLog),
            ShardStep::Unfreeze { .. } => change(UnfreezeLog),
        },
    }
}

fn config(command: &ConfigCommand) -> Asks {
    use Name::*;
    match command {
        ConfigCommand::Validate { .. } | ConfigCommand::Schema => Asks::default(),
        ConfigCommand::Show { .. } => always(&[ShowConfig]),
        ConfigCommand::Diff(args) if args.generation.is_some() => always(&[ShowConfig]),
        ConfigCommand::Diff(_) => always(&[PutConfig]).and(&[ShowLog]),
        ConfigCommand::Plan(_) => always(&[ShowConfig, PutConfig]).and(&[ShowLog, Name::WhoAmI]),
        ConfigCommand::Apply(_) => change(PutConfig).and(&[ShowConfig]),
        ConfigCommand::Edit(_) => edit(),
        ConfigCommand::Rollback(_) => always(&[ShowConfig, PutConfig]).and(&[
            ShowOperation,
            ShowLog,
            ListHistory,
            ListReplicas,
        ]),
        ConfigCommand::History(_) => always(&[ListHistory]),
    }
}

/// A change of the running document.
fn edit() -> Asks {
    use Name::*;
    always(&[ShowConfig, PutConfig]).and(&[ShowOperation, ShowLog, ListReplicas])
}

/// The request that a method and a path mean.
fn route(method: &str, path: &str) -> Option<Name> {
    let resource = super::api::resource(path)?;
    let path = resource.split('?').next().unwrap_or_default();
    let matches = |pattern: &str| {
        let mut words = path.split('/');
        for part in pattern.trim_start_matches('/').split('/') {
            match words.next() {
                Some(_) if part.starts_with("{*") => return true,
                Some(word) if part.starts_with('{') && !word.is_empty() => {}
                Some(word) if word == part => {}
                _ => return false,
            }
        }
        words.next().is_none()
    };
    ROUTES
        .iter()
        .find(|route| route.method.as_str() == method && matches(route.path))
        .map(|route| route.name)
}

impl Present for Explained {
    const KIND: &'static str = "AuthExplained";
    const LIST: Option<&'static str> = Some("needs");
    const NAME: &'static str = "/permission";

    fn page(&self) -> Page {
        if self.needs.is_empty() {
            return Page::new().text(format!("{} asks the server for nothing", self.command));
        }
        let rows = self.needs.iter().map(|need| {
            let held = match need.held {
                Some(true) => Cell::toned("yes", Tone::Good),
                Some(false) => Cell::toned("no", Tone::Bad),
                None => "?".into(),
            };
            vec![
                need.permission.as_deref().unwrap_or("any caller").into(),
                held,
                if need.always { "always" } else { "sometimes" }.into(),
                need.request.as_str().into(),
                need.purpose.into(),
            ]
        });
        let page = Page::new()
            .text(format!("{} was not run; it needs", self.command))
            .with(Block::Table {
                header: vec!["PERMISSION", "YOURS", "NEEDED", "REQUEST", "FOR"],
                rows: rows.collect(),
                spare: 1,
            });
        match (&self.caller, &self.unasked) {
            (Some(caller), _) => page.text(format!(
                "you are {}, and may: {}",
                caller.actor,
                caller.permissions.join(", ")
            )),
            (None, Some(why)) => page.text(format!(
                "cannot tell whether you have these permissions: {why}"
            )),
            (None, None) => page,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_cover_needs() {
        for (held, log, covered) in [
            ("*:*:*", Some("argon"), true),
            ("shard:*:argon", Some("argon"), true),
            ("shard:rotate:argon", Some("argon"), true),
            ("shard:rotate:argon", Some("boron"), false),
            ("shard:rotate:argon", None, true),
            ("shard:rotate:argon", Some("*"), false),
            ("shard:plan:*", Some("argon"), false),
            ("log:rotate:*", Some("argon"), false),
        ] {
            assert_eq!(covers(held, "shard", "rotate", log), covered, "{held}");
        }
    }

    #[test]
    fn paths_are_found_in_the_table() {
        for (method, path, name) in [
            ("GET", "logs", Some(Name::ListLogs)),
            (
                "GET",
                "/admin/v1/logs/argon/config?generation=3",
                Some(Name::ShowConfig),
            ),
            ("PUT", "/logs/argon/config", Some(Name::PutConfig)),
            (
                "GET",
                "audit/tree/2026a/tile/0/000",
                Some(Name::ShowAuditObject),
            ),
            ("DELETE", "tokens/ci", Some(Name::RevokeToken)),
            ("GET", "nothing", None),
            ("GET", "logs/argon/config/more", None),
        ] {
            assert_eq!(route(method, path), name, "{path}");
        }
    }
}
