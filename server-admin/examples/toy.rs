//! A toy server with one log that can be frozen: `cargo run -p server-admin --example toy`, and meanwhile
//! `curl -X POST --unix-socket toy.sock http://toy/admin/v1/logs/toy/freeze`.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use admin_api::*;
use server_admin::*;

struct Toy {
    config: config::LogConfig,
    frozen: AtomicBool,
}

impl Host for Toy {
    fn logs(&self) -> Answer<'_, Vec<LogStatus>> {
        let mut status = LogStatus {
            log: "toy".to_owned(),
            ..LogStatus::default()
        };
        if self.frozen.load(SeqCst) {
            status.condition = LogCondition::Frozen;
        }
        Box::pin(async { Ok(vec![status]) })
    }
    fn config<'a>(&'a self, _: &'a str) -> Answer<'a, ConfigAnswer> {
        let (etag, config) = (self.config.etag(1), self.config.clone());
        Box::pin(async { Ok(ConfigAnswer { etag, config }) })
    }
    fn apply<'a>(
        &'a self,
        _: &'a str,
        what: Change,
        how: Mode,
        _: Caller,
    ) -> Answer<'a, Operation> {
        let mut done = Operation {
            log: "toy".to_owned(),
            ..Operation::default()
        };
        let answer = match what {
            Change::Freeze { .. } | Change::Unfreeze => {
                let freeze = matches!(what, Change::Freeze { .. });
                done.action = if freeze {
                    Action::Freeze
                } else {
                    Action::Unfreeze
                };
                if self.frozen.load(SeqCst) != freeze {
                    done.state = OperationState::Planned;
                }
                if how == Mode::Apply && self.frozen.swap(freeze, SeqCst) != freeze {
                    done.state = OperationState::Done;
                }
                Ok(done)
            }
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
    let host = Arc::new(Toy {
        config,
        frozen: AtomicBool::new(false),
    });
    let me = std::fs::metadata("/proc/self")?.uid();
    let access = Arc::new(Access::new().with_uid(me, [Permission::everything()]));
    let socket = Some(SocketOptions {
        path: "toy.sock".into(),
        mode: 0o600,
    });
    let options = Options {
        socket,
        ..Options::default()
    };
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or(()) };
    Ok(serve(host, access, options, stop).await?)
}
