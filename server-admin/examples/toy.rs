//! A toy server with one log that can be frozen: `cargo run -p server-admin --example toy`, and meanwhile
//! `curl -X POST --unix-socket toy.sock http://toy/admin/v1/logs/toy/freeze`.

use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};

use admin_api::*;
use server_admin::*;

struct Toy(config::LogConfig, Mutex<LogCondition>);

impl Toy {
    fn turn(&self, wanted: LogCondition, action: Action, mode: Mode) -> Operation {
        let mut condition = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        let state = match mode {
            _ if *condition == wanted => OperationState::Unchanged,
            Mode::Preview => OperationState::Planned,
            Mode::Apply => OperationState::Done,
        };
        if mode == Mode::Apply {
            *condition = wanted;
        }
        Operation {
            log: "toy".to_owned(),
            etag: self.0.etag(0),
            action,
            state,
            ..Operation::default()
        }
    }
}

impl Host for Toy {
    fn logs(&self) -> Answer<'_, Vec<LogStatus>> {
        let status = LogStatus {
            log: "toy".to_owned(),
            etag: self.0.etag(0),
            condition: *self.1.lock().unwrap_or_else(PoisonError::into_inner),
            ..LogStatus::default()
        };
        Box::pin(async { Ok(vec![status]) })
    }
    fn config<'a>(&'a self, _: &'a str) -> Answer<'a, ConfigAnswer> {
        let (etag, config) = (self.0.etag(0), self.0.clone());
        Box::pin(async { Ok(ConfigAnswer { etag, config }) })
    }
    fn apply<'a>(&'a self, _: &'a str, c: Change, m: Mode, _: Caller) -> Answer<'a, Operation> {
        let answer = match c {
            Change::Freeze { .. } => Ok(self.turn(LogCondition::Frozen, Action::Freeze, m)),
            Change::Unfreeze => Ok(self.turn(LogCondition::Open, Action::Unfreeze, m)),
            _ => Err(HostError::Conflict("a toy only freezes".to_owned())),
        };
        Box::pin(async { answer })
    }
    fn history<'a>(&'a self, _: &'a str) -> Answer<'a, Vec<HistoryItem>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn operations<'a>(&'a self, _: Option<&'a str>) -> Answer<'a, Vec<Operation>> {
        Box::pin(async { Ok(Vec::new()) })
    }
    fn replicas<'a>(&'a self, _: Option<&'a str>) -> Answer<'a, Vec<Replica>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = config::LogConfig::new("toy".parse()?, "example.org/toy".into(), "a".parse()?);
    let host = Arc::new(Toy(config, Mutex::default()));
    let me = std::fs::metadata("/proc/self")?.uid();
    let access = Arc::new(Access::new().with_uid(me, [Permission::everything()]));
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or(()) };
    Ok(serve(host, access, Options::on_socket("toy.sock"), stop).await?)
}
