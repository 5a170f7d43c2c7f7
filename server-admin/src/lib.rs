//! The admin endpoint of a transparency log as a plug-in: any Rust server mounts it.
//!
//! The server supplies a [`Host`]: what logs there are, and how one is changed. The plug-in does the rest: who is
//! calling ([`Access`]), what they may do ([`Permission`]), what they ask for (parsing, preconditions, limits) and how they are
//! told what went wrong (RFC 9457 problem documents). The types on the wire are in [`wire`]; no engine is known
//! here.
//!
//! # Embedding
//!
//! With listeners of its own, which is the usual way: they share no socket and, with [`Listeners::serve_apart`], no
//! runtime with the server, so an overloaded server can still be administered.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use server_admin::{Access, Ambient, Host, Listeners, Options, Permission, SocketOptions, TcpOptions, TlsFiles};
//! # async fn embed(host: Arc<dyn Host>, uid: u32) -> Result<(), server_admin::Error> {
//! let access = Access::new(Ambient::system())
//!     .with_uid(uid, [Permission::everything()])          // over the Unix socket
//!     .with_tokens("/var/lib/logd/tokens.toml")?;         // over TCP
//! let tls = TlsFiles::new("/etc/logd/tls.crt", "/etc/logd/tls.key");
//! let options = Options {
//!     socket: Some(SocketOptions { path: "/run/logd/admin.sock".into(), mode: 0o600 }),
//!     tcp: Some(TcpOptions { address: ([127, 0, 0, 1], 7071).into(), tls: Some(tls) }),
//!     ..Options::default()
//! };
//! let running = Listeners::bind(Arc::new(access), options)?.serve_apart(host)?;
//! // … until the server stops:
//! running.stop().await
//! # }
//! ```
//!
//! Or in a server that listens already: [`router`] claims the paths under [`wire::BASE`] and leaves all others, and
//! the fallback, to the router it is merged or nested in. Its callers authenticate with tokens; where the listener knows
//! more, it says so with an `Extension<`[`Peer`]`>` on each request.
//!
//! ```
//! # use std::sync::Arc;
//! # use server_admin::{Access, Host, router};
//! # fn embed(own: axum::Router, host: Arc<dyn Host>, access: Access) -> axum::Router {
//! own.merge(router(host, Arc::new(access)))
//! # }
//! ```
//!
//! `examples/toy.rs` is a whole server in under 80 lines. `docs/plugin.md` is the guide: what each method of [`Host`] brings to
//! the operators, and the security model.
//!
//! # What to implement
//!
//! To begin with, three methods of [`Host`]: [`logs`](Host::logs) (which there are), [`config`](Host::config) (what one runs)
//! and [`apply`](Host::apply) (how it is changed; its contract is in the documentation of [`Host`]). With these, `logctl` shows
//! the logs and makes the changes that `apply` knows; the others are refused with 501, as is what belongs to a method that is
//! not there. Then, in the order of what they bring:
//!
//! | method | for |
//! |---|---|
//! | [`history`](Host::history), [`operations`](Host::operations) | who changed what; waiting for a change and following it |
//! | [`replicas`](Host::replicas) | whether a change runs everywhere, and who lags behind |
//! | [`config_at`](Host::config_at) | roll-backs, differences with earlier generations |
//! | [`merge`](Host::merge) | how far each program of the merge and each of its peers is |
//! | [`qos`](Host::qos), [`simulate`](Host::simulate) | how writers fare, and what other tiers would do |
//! | [`confirm`](Host::confirm) | changes that go back by themselves unless they are confirmed |
//! | [`record`](Host::record), [`audit`](Host::audit), [`audit_object`](Host::audit_object) | an audit trail that clients verify |
//! | [`remember`](Host::remember), [`recall`](Host::recall), [`forget`](Host::forget) | tokens made at run time, OIDC sessions |
//! | [`diagnose`](Host::diagnose) | `logctl doctor` |
//!
//! # Security
//!
//! Default deny: a caller has the permissions that [`Access`] names, on the logs that it names, and no others; they are checked
//! before anything is looked up. A credential that is offered decides alone. Secrets are stored hashed and compared in constant
//! time. Browsers and encoded bodies are refused, and everything that a caller controls is bounded ([`Limits`]).
//!
//! # Callers
//!
//! | who | shows | is called |
//! |---|---|---|
//! | a process on this machine | its user id, over the Unix socket ([`Access::with_uid`]) | `uid:0 (root)` |
//! | a client with a certificate of the client CA | a SAN URI or its key ([`Access::with_certificate`], [`TlsFiles::client_ca`]) | `cert:URI`, `cert:sha256:…` |
//! | a CI job | its provider's identity token, once: `POST sessions` ([`Access::with_identity`]) | `oidc:RULE` |
//! | anybody else | a bearer token, of a file ([`Access::with_tokens`]) or made by `POST tokens` | `token:NAME` |
//!
//! A bearer token that is offered decides, then the certificate, then the user id. Sessions, used identity tokens and the tokens of `POST
//! tokens` are in the host's memory ([`Host::remember`]), so all replicas know the same. Failed logins are limited per source, and the
//! audit trail records them ([`Host::record`]) without being flooded.
//!
//! # Requests
//!
//! | resource under `/admin/v1` | |
//! |---|---|
//! | `whoami` | GET: the caller and their permissions |
//! | `logs` | GET: the status of each; with `?deleted=true` of those that were deleted. POST: creates one |
//! | `logs/{log}` | GET: its status. DELETE: hides it (it must be frozen; its data is kept) |
//! | `logs/{log}/undelete`, `…/freeze`, `…/unfreeze` | POST |
//! | `logs/{log}/config` | GET: the document, with its `ETag`; that of an earlier generation with `?generation=N`. PUT: replaces it (YAML or JSON); needs `If-Match`; with `?confirmWithin=10m` it goes back by itself unless it is confirmed |
//! | `logs/{log}/history` | GET: decided changes |
//! | `logs/{log}/merge` | GET: how far each program of its merge and each peer is |
//! | `logs/{log}/qos` | GET: how its writers fare, by tier and tenant |
//! | `logs/{log}/qos/simulate?since=24h` | POST: a document; what it would have done with the recorded writes |
//! | `logs/{log}/shards` | GET: shards. POST: plans one |
//! | `logs/{log}/rotations` | POST: freezes the active shard and opens the next |
//! | `operations?log=` | GET |
//! | `operations/{id}` | GET: once, or with `Accept: text/event-stream` as it proceeds |
//! | `operations/{id}/confirm` | POST: keeps a change that was made with `confirmWithin` |
//! | `replicas?log=`, `diagnostics` | GET |
//! | `audit?before=&limit=&log=` | GET: the trail, newest first |
//! | `audit/tree/SHARD/…` | GET: the trail as a verifiable log (C2SP tlog-tiles) |
//! | `tokens`, `tokens/{name}` | GET, POST, DELETE: bearer tokens |
//! | `sessions` | POST: exchanges an OIDC identity token for a short session |
//! | `openapi.json`, `schema` | GET: this table for programs; the schema of the document |
//!
//! The table for programs is [`wire::routes::ROUTES`]; the router is made from it, and so is `openapi.json`.
//!
//! - `?dryRun=true` previews a write. An `Idempotency-Key` makes it repeatable. `?reason=TEXT` goes into the audit trail and the history.
//! - `If-Match` holds one strong tag: `"g7-1a2b3c4d"`, or `"g7"` for whatever has that generation. `*`, lists and weak
//!   tags are 400: they don't say what the change was made from. It is required for PUT (428), may be given for
//!   rotations and shards, and is refused where nothing would compare it.
//! - What the router does not understand it refuses: unknown query parameters, unknown members, other content types,
//!   encoded bodies, `If-None-Match` on a write.
//! - Requests from browsers (`Origin` or any `Sec-Fetch-` header) are refused and no CORS header is ever sent.
//! - Before its authentication nobody learns more than that there is an admin endpoint. Without the permission nobody
//!   learns whether a log exists.

mod access;
mod body;
mod error;
mod etag;
mod host;
mod limits;
mod listen;
mod permission;
mod problem;
mod resources;
mod router;

pub use access::{
    Access, BadClientName, ClientCertificate, ClientName, IdentityRule, Peer, Secret, issue,
};
pub use ambient::Ambient;
pub use error::Error;
pub use etag::{BadBase, Base};
pub use host::{
    Answer, AuditQuery, Caller, Capabilities, Change, Event, Host, HostError, ImportStep, Mode,
};
pub use limits::Limits;
pub use listen::{Listeners, Options, Running, SocketOptions, TcpOptions, serve};
pub use permission::{BadPermission, Permission};
pub use plane_http::{Error as ListenError, TlsFiles};
pub use resources::events::Stopping;
pub use router::{router, router_with};

/// The guide's examples are tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/plugin.md")]
struct Guide;
