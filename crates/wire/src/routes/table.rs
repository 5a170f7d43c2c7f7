//! The table: one row for each request, and the problems that rows have in common.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{Answer, Base, Body, Kind, Method, Name, Need, Route, Scope, Shape};
use crate::*;

fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Problem codes of every request.
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
/// Problem codes of every read of the host.
const READ: &[&str] = &[codes::NOT_FOUND, codes::UNSUPPORTED, codes::HALTED];
/// Problem codes of a read with a body.
const ASK: &[&str] = &[
    codes::NOT_FOUND,
    codes::REQUEST_TIMEOUT,
    codes::TOO_LARGE,
    codes::INVALID,
    codes::UNSUPPORTED,
    codes::HALTED,
];
/// Problem codes of every change.
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
/// Problem codes of an import and of the creation that ends one.
const IMPORT: &[&str] = &[
    codes::NOT_FOUND,
    codes::REQUEST_TIMEOUT,
    codes::CONFLICT,
    codes::STALE,
    codes::TOO_LARGE,
    codes::INVALID,
    codes::UNVERIFIED,
    codes::KEY_REUSED,
    codes::UNSUPPORTED,
    codes::HALTED,
    codes::UNKNOWN_OUTCOME,
    codes::FULL,
];
/// Problem codes of a change that must name its base.
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
    Route {
        codes: IMPORT,
        ..change(
            Name::CreateLog,
            "/logs",
            Body::Json(shape::<CreateLogRequest>),
            "Create a log",
        )
    }
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
        "Stop accepting writes",
    )
    .needs("log", "freeze", Scope::Path)
    .example(r#"{"now": false}"#),
    change(
        Name::UnfreezeLog,
        "/logs/{log}/unfreeze",
        Body::Optional(shape::<UnfreezeRequest>),
        "Accept writes again",
    )
    .needs("log", "unfreeze", Scope::Path),
    Route {
        method: Method::Put,
        query: shape::<PreviewQuery>,
        kind: Kind::Keyed,
        codes: IMPORT,
        answer: Answer::Json(shape::<ImportProgress>),
        ..change(
            Name::BeginImport,
            "/logs/{log}/import",
            Body::Json(shape::<ImportRequest>),
            "Begin to import another Rekor's shards into a new log, or show the progress of that import",
        )
    }
    .needs("log", "create", Scope::Path)
    .example(
        r#"{"shards": [{"treeId": "3904496407287907110", "publicKey": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE…", "signedTreeHead": "rekor.example.org - 3904496407287907110\n3\n…"}]}"#,
    ),
    Route {
        query: shape::<NoQuery>,
        kind: Kind::Keyed,
        codes: IMPORT,
        answer: Answer::Json(shape::<ImportProgress>),
        ..change(
            Name::AddToImport,
            "/logs/{log}/import",
            Body::Json(shape::<ImportPage>),
            "Add entries to an imported shard",
        )
    }
    .needs("log", "create", Scope::Path)
    .example(
        r#"{"treeId": "3904496407287907110", "from": 0, "entries": [{"body": "eyJhcGlWZXJzaW9uIjoiMC4wLjEi…", "integratedTime": 1790000000, "signedEntryTimestamp": "MEUCIQ…"}]}"#,
    ),
    Route {
        method: Method::Delete,
        query: shape::<NoQuery>,
        kind: Kind::Keyed,
        answer: Answer::Json(shape::<ImportDropped>),
        ..change(
            Name::DropImport,
            "/logs/{log}/import",
            Body::Optional(shape::<NoRequest>),
            "Drop an import before its log is created",
        )
    }
    .needs("log", "create", Scope::Path),
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
    change(
        Name::AnnounceShard,
        "/logs/{log}/announcements",
        Body::Json(shape::<AnnounceRequest>),
        "Record that a shard's key was seen where clients look",
    )
    .needs("shard", "announce", Scope::Path)
    .example(
        r#"{"shard": "2026b", "key": "2sm2M9oVbG2eFwl5JsvKTq5mCxLXvVlBJKpUYYwBjfM=", "seenAt": ["https://example.org/trusted_root.json"]}"#,
    ),
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
        "An operation, once or while it makes progress",
    )
    .needs("operation", "read", Scope::Operation),
    change(
        Name::ConfirmOperation,
        "/operations/{id}/confirm",
        Body::Optional(shape::<NoRequest>),
        "Confirm a change on probation, over another connection than it was made over",
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
                Name::AnnounceShard => accepted::<AnnounceRequest>(text),
                Name::CreateToken => accepted::<TokenRequest>(text),
                Name::BeginImport => accepted::<ImportRequest>(text),
                Name::AddToImport => accepted::<ImportPage>(text),
                name => panic!("{name:?}: say here what its example is"),
            }
        }
    }
}
