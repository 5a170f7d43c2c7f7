//! Every request that an admin endpoint understands, as one table.
//!
//! The endpoint's router, its OpenAPI document and a client's answer to "what may I do with this permission" all come from
//! here, so they cannot differ.

mod table;

use std::fmt;

use schemars::{Schema, SchemaGenerator};

pub use table::{COMMON, ROUTES};

/// The schema of a type, with what it refers to put into the generator's definitions.
pub type Shape = fn(&mut SchemaGenerator) -> Schema;

/// The method of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Changes nothing; `HEAD` is answered too.
    Get,
    /// Replaces what the path names.
    Put,
    /// Makes a change, or computes the effect of a document.
    Post,
    /// Removes what the path names.
    Delete,
}

impl Method {
    /// The method as text: `GET`.
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

/// A permission that a request needs, without its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The resource: `shard`, `log`, `config`.
    pub resource: &'static str,
    /// The action on it: `rotate`, `read`.
    pub verb: &'static str,
}

impl fmt::Display for Need {
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
    /// On the log of the operation. Callers without it get 404.
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

/// The headers that a request may have beside the usual ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// None but the usual ones.
    Plain,
    /// A write with an `Idempotency-Key` that concerns no log: it has no `ETag`.
    Keyed,
    /// A read with `If-None-Match`; the answer has an `ETag`, or is 304.
    Conditional,
    /// A write with an `Idempotency-Key`; the answer has an `ETag`, except after a preview.
    Write(Base),
}

/// The rule for the base of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// `If-Match` is refused: nothing would compare it.
    None,
    /// `If-Match` is compared when it is there.
    Optional,
    /// Without `If-Match` it is 428.
    Required,
}

/// The body of a request.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// The request or the answer has no body.
    None,
    /// JSON; an absent body stands for `{}`.
    Optional(Shape),
    /// A JSON document of this shape.
    Json(Shape),
    /// A configuration document, YAML or JSON.
    Document(Shape),
}

/// The body of an answer with a status of 200.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// A JSON document of this shape.
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
    BeginImport,
    AddToImport,
    DropImport,
    ShowConfig,
    PutConfig,
    ListHistory,
    ShowMerge,
    ShowQos,
    SimulateQos,
    ListShards,
    PlanShard,
    RotateShard,
    AnnounceShard,
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
    /// Its row of [`ROUTES`].
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

/// A request that the endpoint understands: a row of [`ROUTES`].
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// How code refers to it.
    pub name: Name,
    /// Its method; one path may have several.
    pub method: Method,
    /// Its path below [`BASE`](crate::BASE). `{log}` is one segment, `{*path}` all that are left.
    pub path: &'static str,
    /// The permission that it needs; `None` needs nothing but authentication.
    pub need: Option<(Need, Scope)>,
    /// Its query parameters, as the properties of an object.
    pub query: Shape,
    /// The headers that it may have.
    pub kind: Kind,
    /// The content of its body.
    pub body: Body,
    /// The content of the answer with status 200.
    pub answer: Answer,
    /// Its problem codes beside [`COMMON`].
    pub codes: &'static [&'static str],
    /// A summary in one line.
    pub summary: &'static str,
    /// An example of its body.
    pub example: Option<&'static str>,
}
