//! Every request that an admin endpoint understands, as one table.
//!
//! The endpoint's router, its OpenAPI document and a client's answer to "what may I do with this permission" all come from
//! here, so none of them can say what the others don't do.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::*;

/// The schema of a type, with what it refers to put into the generator's definitions.
pub type Shape = fn(&mut SchemaGenerator) -> Schema;

fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads; `HEAD` too.
    Get,
    /// Replaces.
    Put,
    /// Does.
    Post,
    /// Takes away.
    Delete,
}

impl Method {
    /// `GET`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// What a request needs: a permission without its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// `shard`.
    pub resource: &'static str,
    /// `rotate`.
    pub verb: &'static str,
}

impl fmt::Display for Need {
    /// `shard:rotate`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.resource, self.verb)
    }
}

/// On which logs the caller needs the permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// On the log in the path.
    Path,
    /// On the log in the body.
    Body,
    /// On the log of the operation. For anybody else the operation is not there.
    Operation,
    /// On any log. The answer holds only what the caller may see.
    Some,
    /// On the log of `?log=`; without it as [`Some`](Self::Some).
    NamedOrSome,
    /// On the log of `?log=`; without it as [`All`](Self::All).
    NamedOrAll,
    /// On all logs: `*`.
    All,
}

/// Which headers a request may have, beside the usual ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// None.
    Plain,
    /// A write with an `Idempotency-Key` that concerns no log: it has no `ETag`.
    Keyed,
    /// A read with `If-None-Match`; the answer has an `ETag`, or is 304.
    Conditional,
    /// A write with an `Idempotency-Key`; the answer has an `ETag`, except after a preview.
    Write(Base),
}

/// Whether a write says what it was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// `If-Match` is refused: nothing would compare it.
    None,
    /// `If-Match` is compared when it is there.
    Optional,
    /// Without `If-Match` it is 428.
    Required,
}

/// What stands in the body of a request.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// The request or the answer has no body.
    None,
    /// JSON; no body at all stands for `{}`.
    Optional(Shape),
    /// JSON.
    Json(Shape),
    /// A configuration document, YAML or JSON.
    Document(Shape),
}

/// What stands in the body of an answer with a status of 200.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// JSON.
    Json(Shape),
    /// JSON; with `Accept: text/event-stream` an event each time it changes.
    Followed(Shape),
    /// JSON of a shape that is not described further.
    AnyJson,
    /// The bytes of an object of a log (C2SP tlog-tiles); a checkpoint is text, the list of shards JSON.
    Object,
}

/// The name of a row of [`ROUTES`], in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table's rows say what they do")]
pub enum Name {
    WhoAmI,
    ListLogs,
    CreateLog,
    ShowLog,
    DeleteLog,
    UndeleteLog,
    FreezeLog,
    UnfreezeLog,
    ShowConfig,
    PutConfig,
    ListHistory,
    ShowMerge,
    ShowQos,
    SimulateQos,
    ListShards,
    PlanShard,
    RotateShard,
    ListOperations,
    ShowOperation,
    ConfirmOperation,
    ListReplicas,
    ShowDiagnostics,
    ListAudit,
    ShowAuditObject,
    ListTokens,
    CreateToken,
    RevokeToken,
    CreateSession,
    ShowOpenApi,
    ShowSchema,
}

impl Name {
    /// Its row.
    #[must_use]
    pub const fn route(self) -> &'static Route {
        &ROUTES[self as usize]
    }

    /// The permission that it needs, if any.
    #[must_use]
    pub const fn need(self) -> Option<Need> {
        match self.route().need {
            Some((need, _)) => Some(need),
            None => None,
        }
    }
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// How code refers to it.
    pub name: Name,
    /// Its method.
    pub method: Method,
    /// Its path below [`BASE`]. `{log}` is one segment, `{*path}` all that are left.
    pub path: &'static str,
    /// The permission that it needs; `None` needs nothing but authentication.
    pub need: Option<(Need, Scope)>,
    /// Its query parameters, as the properties of an object.
    pub query: Shape,
    /// Which headers it may have.
    pub kind: Kind,
    /// Its body.
    pub body: Body,
    /// What it answers when all is well.
    pub answer: Answer,
    /// The problem codes of its own, beside [`COMMON`].
    pub codes: &'static [&'static str],
    /// One line for a person.
    pub summary: &'static str,
    /// An example of its body.
    pub example: Option<&'static str>,
}

/// What every request may be told.
pub const COMMON: &[&str] = &[
    codes::BAD_REQUEST,
    codes::UNAUTHENTICATED,
    codes::FORBIDDEN,
    codes::BROWSER_REFUSED,
    // An empty name makes another path, which may take other methods.
    codes::METHOD_NOT_ALLOWED,
    codes::UNSUPPORTED_MEDIA_TYPE,
    codes::TOO_MANY,
    codes::INTERNAL,
    // Sessions and tokens are in the stores.
    codes::UNAVAILABLE,
];
/// What every read of the host may be told.
const READ: &[&str] = &[codes::NOT_FOUND, codes::UNSUPPORTED, codes::HALTED];
/// What a read with a body may be told.
const ASK: &[&str] = &[
    codes::NOT_FOUND,
    codes::REQUEST_TIMEOUT,
    codes::TOO_LARGE,
    codes::INVALID,
    codes::UNSUPPORTED,
    codes::HALTED,
];
/// What every change may be told.
const CHANGE: &[&str] = &[
    codes::NOT_FOUND,
    codes::REQUEST_TIMEOUT,
    codes::CONFLICT,
    codes::STALE,
    codes::TOO_LARGE,
    codes::INVALID,
    codes::KEY_REUSED,
    codes::UNSUPPORTED,
    codes::HALTED,
    codes::UNKNOWN_OUTCOME,
    codes::FULL,
];
/// A change that must say what it was made from.
const CHANGE_OF_BASE: &[&str] = &[
    codes::NOT_FOUND,
    codes::REQUEST_TIMEOUT,
    codes::CONFLICT,
    codes::STALE,
    codes::TOO_LARGE,
    codes::INVALID,
    codes::KEY_REUSED,
    codes::PRECONDITION_REQUIRED,
    codes::UNSUPPORTED,
    codes::HALTED,
    codes::UNKNOWN_OUTCOME,
    codes::FULL,
];

/// A read, to be completed.
const fn read(name: Name, path: &'static str, answer: Answer, summary: &'static str) -> Route {
    Route {
        name,
        method: Method::Get,
        path,
        need: None,
        query: shape::<NoQuery>,
        kind: Kind::Plain,
        body: Body::None,
        answer,
        codes: READ,
        summary,
        example: None,
    }
}

/// A change of a log, to be completed.
const fn change(name: Name, path: &'static str, body: Body, summary: &'static str) -> Route {
    Route {
        name,
        method: Method::Post,
        path,
        need: None,
        query: shape::<WriteQuery>,
        kind: Kind::Write(Base::None),
        body,
        answer: Answer::Json(shape::<Operation>),
        codes: CHANGE,
        summary,
        example: None,
    }
}

impl Route {
    const fn needs(self, resource: &'static str, verb: &'static str, scope: Scope) -> Self {
        let need = Some((Need { resource, verb }, scope));
        Self { need, ..self }
    }

    const fn asks(self, query: Shape) -> Self {
        Self { query, ..self }
    }

    const fn example(self, example: &'static str) -> Self {
        let example = Some(example);
        Self { example, ..self }
    }
}

/// All of them, in the order of [`Name`].
pub const ROUTES: &[Route] = &[
    Route {
        codes: &[],
        ..read(
            Name::WhoAmI,
            "/whoami",
            Answer::Json(shape::<WhoAmI>),
            "The caller and their permissions",
        )
    },
    read(
        Name::ListLogs,
        "/logs",
        Answer::Json(shape::<Logs>),
        "The logs that the caller may see",
    )
    .needs("log", "read", Scope::Some)
    .asks(shape::<LogsQuery>),
    change(
        Name::CreateLog,
        "/logs",
        Body::Json(shape::<CreateLogRequest>),
        "Create a log",
    )
    .needs("log", "create", Scope::Body)
    .example(
        r#"{"config": {"apiVersion": "logctl/v1", "kind": "LogConfig", "log": "argon", "origin": "log.example.org/argon", "shards": [{"name": "2026a", "state": "active"}]}}"#,
    ),
    read(
        Name::ShowLog,
        "/logs/{log}",
        Answer::Json(shape::<LogStatus>),
        "A log's condition, positions and shards",
    )
    .needs("log", "read", Scope::Path),
    Route {
        method: Method::Delete,
        ..change(
            Name::DeleteLog,
            "/logs/{log}",
            Body::Optional(shape::<NoRequest>),
            "Hide a frozen log; its data is kept",
        )
    }
    .needs("log", "delete", Scope::Path),
    change(
        Name::UndeleteLog,
        "/logs/{log}/undelete",
        Body::Optional(shape::<NoRequest>),
        "Show a deleted log again, still frozen",
    )
    .needs("log", "undelete", Scope::Path),
    change(
        Name::FreezeLog,
        "/logs/{log}/freeze",
        Body::Optional(shape::<FreezeRequest>),
        "Stop taking writes",
    )
    .needs("log", "freeze", Scope::Path)
    .example(r#"{"now": false}"#),
    change(
        Name::UnfreezeLog,
        "/logs/{log}/unfreeze",
        Body::Optional(shape::<UnfreezeRequest>),
        "Take writes again",
    )
    .needs("log", "unfreeze", Scope::Path),
    Route {
        kind: Kind::Conditional,
        ..read(
            Name::ShowConfig,
            "/logs/{log}/config",
            Answer::Json(shape::<ConfigAnswer>),
            "The running configuration, or that of an earlier generation",
        )
    }
    .needs("config", "read", Scope::Path)
    .asks(shape::<ConfigQuery>),
    Route {
        method: Method::Put,
        kind: Kind::Write(Base::Required),
        codes: CHANGE_OF_BASE,
        ..change(
            Name::PutConfig,
            "/logs/{log}/config",
            Body::Document(shape::<logconfig::LogConfig>),
            "Run this configuration",
        )
    }
    .needs("config", "write", Scope::Path)
    .asks(shape::<ConfigureQuery>)
    .example(
        r#"{"apiVersion": "logctl/v1", "kind": "LogConfig", "log": "argon", "origin": "log.example.org/argon", "shards": [{"name": "2026a", "state": "active"}], "merge": {"checkpointInterval": "1s"}}"#,
    ),
    read(
        Name::ListHistory,
        "/logs/{log}/history",
        Answer::Json(shape::<History>),
        "The decided changes of a log, newest first",
    )
    .needs("history", "read", Scope::Path),
    read(
        Name::ShowMerge,
        "/logs/{log}/merge",
        Answer::Json(shape::<MergeStatus>),
        "How far each program of the merge and each of its peers is, and what is lacking",
    )
    .needs("merge", "read", Scope::Path),
    read(
        Name::ShowQos,
        "/logs/{log}/qos",
        Answer::Json(shape::<QosStatus>),
        "How the writers of a log fare right now, by tier and tenant",
    )
    .needs("qos", "read", Scope::Path),
    Route {
        method: Method::Post,
        body: Body::Document(shape::<logconfig::LogConfig>),
        codes: ASK,
        ..read(
            Name::SimulateQos,
            "/logs/{log}/qos/simulate",
            Answer::Json(shape::<Simulation>),
            "What the tiers and tenants of a configuration would have done with recorded writes",
        )
    }
    .needs("qos", "simulate", Scope::Path)
    .asks(shape::<SimulateQuery>)
    .example(
        r#"{"apiVersion": "logctl/v1", "kind": "LogConfig", "log": "argon", "qos": {"tiers": [{"name": "standard", "maxMergeDelay": "60s"}], "tenants": [{"name": "default", "tiers": ["standard"], "anonymous": true}]}}"#,
    ),
    read(
        Name::ListShards,
        "/logs/{log}/shards",
        Answer::Json(shape::<Shards>),
        "A log's shards, oldest first",
    )
    .needs("shard", "read", Scope::Path),
    Route {
        kind: Kind::Write(Base::Optional),
        ..change(
            Name::PlanShard,
            "/logs/{log}/shards",
            Body::Optional(shape::<PlanRequest>),
            "Plan a shard",
        )
    }
    .needs("shard", "plan", Scope::Path)
    .example(r#"{"name": "2026c"}"#),
    Route {
        kind: Kind::Write(Base::Optional),
        ..change(
            Name::RotateShard,
            "/logs/{log}/rotations",
            Body::Optional(shape::<RotateRequest>),
            "Freeze the active shard and open the next",
        )
    }
    .needs("shard", "rotate", Scope::Path)
    .example(r#"{"name": "2026b"}"#),
    read(
        Name::ListOperations,
        "/operations",
        Answer::Json(shape::<Operations>),
        "The latest operations, newest first",
    )
    .needs("operation", "read", Scope::NamedOrSome)
    .asks(shape::<LogQuery>),
    read(
        Name::ShowOperation,
        "/operations/{id}",
        Answer::Followed(shape::<Operation>),
        "An operation, once or as it goes on",
    )
    .needs("operation", "read", Scope::Operation),
    change(
        Name::ConfirmOperation,
        "/operations/{id}/confirm",
        Body::Optional(shape::<NoRequest>),
        "Keep a change that would be taken back, over another connection than it was made over",
    )
    .needs("config", "write", Scope::Operation)
    .asks(shape::<ReasonQuery>),
    read(
        Name::ListReplicas,
        "/replicas",
        Answer::Json(shape::<Replicas>),
        "The server processes that share the stores",
    )
    .needs("replica", "read", Scope::NamedOrAll)
    .asks(shape::<LogQuery>),
    read(
        Name::ShowDiagnostics,
        "/diagnostics",
        Answer::Json(shape::<Diagnostics>),
        "What this replica finds out about itself and its stores",
    )
    .needs("server", "read", Scope::All),
    read(
        Name::ListAudit,
        "/audit",
        Answer::Json(shape::<AuditPage>),
        "A page of the audit trail, newest first",
    )
    .needs("audit", "read", Scope::All)
    .asks(shape::<TrailQuery>),
    read(
        Name::ShowAuditObject,
        "/audit/tree/{*path}",
        Answer::Object,
        "The audit trail as a verifiable log: shards, SHARD/checkpoint, SHARD/tile/… (C2SP tlog-tiles)",
    )
    .needs("audit", "read", Scope::All),
    read(
        Name::ListTokens,
        "/tokens",
        Answer::Json(shape::<Tokens>),
        "The bearer tokens, without their texts",
    )
    .needs("token", "read", Scope::All),
    Route {
        query: shape::<ReasonQuery>,
        kind: Kind::Keyed,
        answer: Answer::Json(shape::<NewToken>),
        ..change(
            Name::CreateToken,
            "/tokens",
            Body::Json(shape::<TokenRequest>),
            "Make a bearer token that may do no more than the caller",
        )
    }
    .needs("token", "create", Scope::All)
    .example(r#"{"name": "ci", "scopes": ["shard:rotate:argon"], "lifetimeSeconds": 86400}"#),
    Route {
        method: Method::Delete,
        query: shape::<ReasonQuery>,
        kind: Kind::Plain,
        answer: Answer::Json(shape::<Revoked>),
        ..change(
            Name::RevokeToken,
            "/tokens/{name}",
            Body::Optional(shape::<NoRequest>),
            "Revoke a bearer token",
        )
    }
    .needs("token", "revoke", Scope::All),
    Route {
        query: shape::<NoQuery>,
        kind: Kind::Plain,
        answer: Answer::Json(shape::<Session>),
        ..change(
            Name::CreateSession,
            "/sessions",
            Body::Optional(shape::<NoRequest>),
            "Exchange an OIDC identity token, sent as the bearer, for a short session",
        )
    },
    Route {
        codes: &[],
        ..read(
            Name::ShowOpenApi,
            "/openapi.json",
            Answer::AnyJson,
            "This endpoint's OpenAPI document",
        )
    },
    Route {
        codes: &[],
        ..read(
            Name::ShowSchema,
            "/schema",
            Answer::AnyJson,
            "The JSON Schema of the configuration document",
        )
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_rows_are_in_the_same_order() {
        for (index, route) in ROUTES.iter().enumerate() {
            assert_eq!(route.name as usize, index, "{:?}", route.name);
            assert_eq!(route.name.route().path, route.path);
        }
        assert_eq!(Name::ShowSchema as usize + 1, ROUTES.len());
    }

    #[test]
    fn each_request_has_one_row_with_known_codes() {
        for (index, route) in ROUTES.iter().enumerate() {
            let same = |other: &&Route| (other.method, other.path) == (route.method, route.path);
            assert_eq!(ROUTES[index + 1..].iter().find(same).map(|r| r.name), None);
            for code in COMMON.iter().chain(route.codes) {
                assert!(codes::find(code).is_some(), "{code}");
            }
            assert!(!COMMON.iter().any(|code| route.codes.contains(code)));
        }
    }

    #[test]
    fn examples_are_what_the_server_would_accept() {
        fn accepted<T: serde::de::DeserializeOwned>(text: &str) {
            if let Err(error) = serde_json::from_str::<T>(text) {
                panic!("{text}: {error}");
            }
        }
        for route in ROUTES {
            let Some(text) = route.example else { continue };
            match route.name {
                Name::CreateLog => accepted::<CreateLogRequest>(text),
                Name::FreezeLog => accepted::<FreezeRequest>(text),
                Name::PutConfig | Name::SimulateQos => {
                    assert_eq!(logconfig::parse(text).map(|_| ()), Ok(()))
                }
                Name::PlanShard => accepted::<PlanRequest>(text),
                Name::RotateShard => accepted::<RotateRequest>(text),
                Name::CreateToken => accepted::<TokenRequest>(text),
                name => panic!("{name:?}: say here what its example is"),
            }
        }
    }
}
