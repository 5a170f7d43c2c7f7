//! A toy server with a page of its own and a log that can be frozen: `cargo run -p server-admin --example toy`, and meanwhile
//! `curl --unix-socket toy.sock http://toy/` and `curl -X POST --unix-socket toy.sock http://toy/admin/v1/logs/toy/freeze`.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use axum::extract::{ConnectInfo, Request, connect_info::Connected};
use axum::{Router, middleware::map_request, routing::get, serve::IncomingStream};
use server_admin::*;
use tokio::net::UnixListener;
use wire::*;

/// Its configuration, and whether it is frozen.
struct Toy(logconfig::LogConfig, AtomicBool);

impl Host for Toy {
    fn logs(&self) -> Answer<'_, Vec<LogStatus>> {
        let status = LogStatus {
            log: "toy".to_owned(),
            condition: match self.1.load(SeqCst) {
                true => LogCondition::Frozen,
                false => LogCondition::Open,
            },
            ..LogStatus::default()
        };
        Box::pin(async { Ok(vec![status]) })
    }
    fn config<'a>(&'a self, _: &'a str) -> Answer<'a, ConfigAnswer> {
        let (etag, config) = (self.0.etag(0), self.0.clone());
        Box::pin(async { Ok(ConfigAnswer { etag, config }) })
    }
    fn apply<'a>(&'a self, _: &'a str, c: Change, m: Mode, _: Caller) -> Answer<'a, Operation> {
        let state = match (c, m) {
            (Change::Freeze(_), _) if self.1.load(SeqCst) => Ok(OperationState::Unchanged),
            (Change::Freeze(_), Mode::Preview) => Ok(OperationState::Planned),
            (Change::Freeze(_), Mode::Apply) => {
                self.1.store(true, SeqCst);
                Ok(OperationState::Done)
            }
            _ => Err(HostError::Unsupported("a toy only freezes".to_owned())),
        };
        let answer = state.map(|state| Operation {
            action: Action::Freeze,
            state,
            etag: self.0.etag(0),
            ..Operation::default()
        });
        Box::pin(async { answer })
    }
}

#[derive(Clone)]
struct Who(Option<Peer>);
impl Connected<IncomingStream<'_, UnixListener>> for Who {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let user = stream.io().peer_cred();
        Self(user.ok().map(|user| Peer::unix(user.uid())))
    }
}
async fn introduce(ConnectInfo(Who(peer)): ConnectInfo<Who>, mut request: Request) -> Request {
    peer.map(|peer| request.extensions_mut().insert(peer));
    request
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = logconfig::LogConfig::new("toy".parse()?, "example.org/toy".into(), "a".parse()?);
    let toy = Arc::new(Toy(config, AtomicBool::new(false)));
    let me = std::fs::metadata("/proc/self")?.uid();
    #[expect(clippy::disallowed_methods, reason = "a binary makes it, once")]
    let ambient = Ambient::system();
    let access = Access::new(ambient).with_uid(me, [Permission::everything()]);
    let admin = router(toy.clone(), Arc::new(access)).layer(map_request(introduce));
    let page = get(async move || format!("frozen: {}\n", toy.1.load(SeqCst)));
    let app = Router::new().route("/", page).merge(admin);
    let app = app.into_make_service_with_connect_info::<Who>();
    Ok(axum::serve(UnixListener::bind("toy.sock")?, app).await?)
}
