//! The problem codes of the data plane, with their HTTP status and title.
//!
//! Statuses follow what load tools expect: 429, 502, 503 and 504 mean "later", so they are used only where the entry was definitely not
//! accepted and trying again makes sense; anything else is final.

use crate::codes::Code;

/// 400: the request is malformed.
pub const BAD_REQUEST: Code = ("bad-request", 400, "Bad Request");
/// 400: part of a writer's advice is not understood.
pub const BAD_ADVICE: Code = ("bad-advice", 400, "Bad Request");
/// 400: the body of a batch is malformed.
pub const BAD_BATCH: Code = ("bad-batch", 400, "Bad Request");
/// 400: this write cannot get a promise.
pub const NO_PROMISE: Code = ("no-promise", 400, "Bad Request");
/// 401: a token is needed, and there is none or an invalid one.
pub const UNAUTHENTICATED: Code = ("unauthenticated", 401, "Unauthorized");
/// 404: it does not exist, or not yet.
pub const NOT_FOUND: Code = ("not-found", 404, "Not Found");
/// 404: no log of this name.
pub const UNKNOWN_LOG: Code = ("unknown-log", 404, "Not Found");
/// 404: the log has no shard of this name.
pub const UNKNOWN_SHARD: Code = ("unknown-shard", 404, "Not Found");
/// 405: the resource does not have this method.
pub const METHOD_NOT_ALLOWED: Code = ("method-not-allowed", 405, "Method Not Allowed");
/// 408: the body did not arrive in time.
pub const SLOW_BODY: Code = ("slow-body", 408, "Request Timeout");
/// 409: the log accepts no writes.
pub const FROZEN: Code = ("frozen", 409, "Conflict");
/// 409: the log takes entries through its front for Sigstore's clients alone.
pub const FRONTED: Code = ("fronted", 409, "Conflict");
/// 409: the log is about to freeze.
pub const CLOSING: Code = ("closing", 409, "Conflict");
/// 409: `Log-Shard` is not the active shard.
pub const WRONG_SHARD: Code = ("wrong-shard", 409, "Conflict");
/// 409: the offset is not where the upload stands.
pub const UPLOAD_OFFSET: Code = ("upload-offset", 409, "Conflict");
/// 409: a newer request continues this upload.
pub const UPLOAD_SUPERSEDED: Code = ("upload-superseded", 409, "Conflict");
/// 410: the log's operator deleted it.
pub const DELETED: Code = ("deleted", 410, "Gone");
/// 413: the entry is too large.
pub const TOO_LARGE: Code = ("too-large", 413, "Payload Too Large");
/// 413: the batch lies in more ranges than an answer can list.
pub const TOO_MANY_RANGES: Code = ("too-many-ranges", 413, "Payload Too Large");
/// 415: the content type is wrong, or the body compressed.
pub const UNSUPPORTED_MEDIA_TYPE: Code = ("unsupported-media-type", 415, "Unsupported Media Type");
/// 422: the key belongs to a write with another body.
pub const KEY_REUSED: Code = ("idempotency-key-reused", 422, "Unprocessable Entity");
/// 429: over the tenant's rate.
pub const LIMITED: Code = ("limited", 429, "Too Many Requests");
/// 500: it is unknown whether the entry was ordered; not 503, since trying again may write it twice.
pub const UNKNOWN_OUTCOME: Code = ("unknown-outcome", 500, "Internal Server Error");
/// 500: the requested object is damaged in the store.
pub const DAMAGED: Code = ("damaged", 500, "Internal Server Error");
/// 500: the store did not answer.
pub const STORE_FAILED: Code = ("store-failed", 500, "Internal Server Error");
/// 503: the log is halted on this server.
pub const HALTED: Code = ("halted", 503, "Service Unavailable");
/// 503: the promise asked for can't be kept beside the earlier ones.
pub const NO_ROOM: Code = ("no-room", 503, "Service Unavailable");
/// 503: the server has more work than it can accept.
pub const OVERLOADED: Code = ("overloaded", 503, "Service Unavailable");
/// 503: the server is stopping.
pub const SHUTTING_DOWN: Code = ("shutting-down", 503, "Service Unavailable");
/// 503: the server is still recovering.
pub const STARTING: Code = ("starting", 503, "Service Unavailable");
/// 503: the memory for long answers is used up.
pub const TOO_MANY_ANSWERS: Code = ("too-many-answers", 503, "Service Unavailable");
/// 503: the server is already reading as many batches as it can.
pub const TOO_MANY_BATCHES: Code = ("too-many-batches", 503, "Service Unavailable");
/// 503: the memory for request bodies is used up, and this one was not read.
pub const TOO_MANY_BODIES: Code = ("too-many-bodies", 503, "Service Unavailable");
/// 503: the first checkpoint is not signed yet.
pub const UNSIGNED: Code = ("unsigned", 503, "Service Unavailable");
/// 503: the first checkpoint waits for its witnesses.
pub const UNWITNESSED: Code = ("unwitnessed", 503, "Service Unavailable");
/// 503: an earlier request for this upload still waits for its chunks.
pub const UPLOAD_BUSY: Code = ("upload-busy", 503, "Service Unavailable");
/// 507: no space for new entries.
pub const FULL: Code = ("full", 507, "Insufficient Storage");
