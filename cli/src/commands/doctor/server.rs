//! Checks the connection to the server, and asks the server to check itself.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use logconfig::SYSTEM;
use wire::{Diagnostics, codes};

use super::Check;
use crate::commands::{Server, Session, audit_receipt, log_name, version};
use crate::error::Error;
use crate::exit;
use crate::settings::Settings;

/// An answer that takes longer than this is slow, even over a long distance.
const SLOW: std::time::Duration = std::time::Duration::from_secs(1);
/// Limits for a warning and a critical finding: with clocks further apart, sessions and tokens expire at another time than they say.
const SKEW: [SignedDuration; 2] = [SignedDuration::from_secs(5), SignedDuration::from_secs(60)];
/// A token or certificate that ends sooner is due for replacement.
const SOON: [SignedDuration; 2] = [
    SignedDuration::from_hours(14 * 24),
    SignedDuration::from_hours(24),
];

/// Adds the findings; an error is the reason why the server did not answer at all.
pub(super) async fn checks(
    session: &Session<'_>,
    settings: Settings,
    checks: &mut Vec<Check>,
) -> Result<Option<Error>, Error> {
    let server = match session.connect(settings) {
        Ok(server) => server,
        Err(error) => return Ok(Some(failed("endpoint", error, checks))),
    };
    let (admin, deadline) = (&server.admin, server.deadline);
    let began = Instant::now();
    let caller = match admin.whoami(deadline).await {
        Ok(caller) => caller,
        Err(error) => return Ok(Some(failed("endpoint", error, checks))),
    };
    let took = began.elapsed();
    let measured = format!(
        "{} answers in {} ms, you are {}",
        admin.address(),
        took.as_millis(),
        caller.actor
    );
    checks.push(if took > SLOW {
        Check::worry(
            "endpoint",
            measured,
            "check the load of the server and the network path to it",
        )
    } else {
        Check::fine("endpoint", measured)
    });
    checks.push(versions(caller.server.as_deref()));
    checks.push(trail(session, &server).await);
    if let Some(end) = admin.certificate_end(deadline).await {
        let remedy = "replace the certificate of the admin endpoint; the server takes a new file without a restart";
        checks.push(ending("endpoint-certificate", end, remedy));
    }
    if let Some(name) = caller.actor.strip_prefix("token:") {
        checks.extend(token(name, admin.tokens(deadline).await));
    }
    // As for `status`: a log that the context names does not hide the others. One that was named in this call does, and must exist.
    let named = session.overrides.log.as_deref();
    if let Some(name) = named {
        match admin.log(&log_name(name)?, deadline).await {
            Err(Error::Problem(problem)) if problem.code == codes::FORBIDDEN => {
                checks.push(Check::worry(
                    "log",
                    format!(
                        "it was not checked whether there is a log {name}: {}",
                        problem.detail
                    ),
                    "ask the log's operator for log:read",
                ));
            }
            found => {
                found?;
            }
        }
    }
    let before = Timestamp::now();
    match admin.diagnostics(deadline).await {
        Ok(Diagnostics {
            time,
            replica,
            checks: theirs,
        }) => {
            checks.extend(skew(&time, before, Timestamp::now()));
            let theirs = theirs
                .into_iter()
                .filter(|diagnosis| concerns(diagnosis.log.as_deref(), named));
            checks.extend(theirs.map(|diagnosis| Check {
                by: replica.clone(),
                diagnosis,
            }));
            Ok(None)
        }
        Err(Error::Problem(problem))
            if [codes::FORBIDDEN, codes::UNSUPPORTED, codes::NOT_FOUND]
                .contains(&problem.code.as_str()) =>
        {
            checks.push(Check::worry(
                "diagnostics",
                format!("the server says nothing about itself: {}", problem.detail),
                "ask the log's operator for server:read:*",
            ));
            Ok(None)
        }
        Err(error) => Ok(Some(failed("diagnostics", error, checks))),
    }
}

/// Whether a finding about a log, or about the server, is asked for. A halted audit trail stops the changes of every log.
fn concerns(log: Option<&str>, named: Option<&str>) -> bool {
    match (log, named) {
        (Some(log), Some(named)) => log == named || log == SYSTEM,
        _ => true,
    }
}

fn failed(check: &str, error: Error, checks: &mut Vec<Check>) -> Error {
    checks.push(Check::harm(
        check,
        error.to_string(),
        exit::row(&error).hint,
    ));
    error
}

fn skew(theirs: &str, before: Timestamp, after: Timestamp) -> Option<Check> {
    let theirs: Timestamp = theirs.parse().ok()?;
    // Their clock was read somewhere between the two readings of ours.
    let apart = if theirs < before {
        before.duration_since(theirs)
    } else if theirs > after {
        after.duration_since(theirs).abs()
    } else {
        SignedDuration::ZERO
    };
    let measured = format!("{:.1} s apart from the server's", apart.as_secs_f64());
    let remedy = "synchronise both clocks (NTP)";
    Some(match apart {
        apart if apart > SKEW[1] => Check::harm("clock-skew", measured, remedy),
        apart if apart > SKEW[0] => Check::worry("clock-skew", measured, remedy),
        _ => Check::fine("clock-skew", measured),
    })
}

/// The versions of this program and of the server. They work together across versions, without the features that only one of them has.
fn versions(server: Option<&str>) -> Check {
    let Some(server) = server else {
        return Check::fine(
            "version",
            format!("logctl {}; the server does not say", version::OWN),
        );
    };
    let measured = format!("logctl {}, {server}", version::OWN);
    match server.split_once(' ') {
        Some(("logd", theirs)) if theirs != version::OWN => Check::worry(
            "version",
            measured,
            "use a logctl of the server's version: features that only one of them has do not work",
        ),
        _ => Check::fine("version", measured),
    }
}

/// Whether the audit trail is the one that this user has seen before.
async fn trail(session: &Session<'_>, server: &Server) -> Check {
    const CHECK: &str = "audit-trail";
    let harm = |error: Error| Check::harm(CHECK, error.to_string(), exit::row(&error).hint);
    let mut pins = match audit_receipt::load(server) {
        Ok(pins) => pins,
        Err(error) => return harm(error),
    };
    let Some(seen) = pins.shards.last().map(|shard| shard.pinned.clone()) else {
        return match pins.why_not_kept() {
            Some(error) => Check::worry(
                CHECK,
                format!("nothing is pinned, and nothing can be: {error}"),
                "make that folder writable, or set XDG_STATE_HOME to one that is: without a pin a rewrite of the audit trail is not noticed",
            ),
            None if !pins.are_kept() => Check::fine(
                CHECK,
                "nothing is pinned, and nothing can be: neither XDG_STATE_HOME nor HOME is set",
            ),
            None => Check::fine(CHECK, "nothing is pinned yet; the first change pins it"),
        };
    };
    match audit_receipt::holds(session, server, &mut pins).await {
        Ok(true) => Check::fine(
            CHECK,
            format!(
                "the one that was pinned on {} at size {}",
                seen.at, seen.size
            ),
        ),
        Ok(false) => Check::worry(
            CHECK,
            "the server does not show its audit trail, so it cannot be compared with the one that was pinned",
            "if the log `system` is halted, see there; else ask the server's operator for audit:read:*",
        ),
        Err(error) => harm(error),
    }
}

/// When the caller's own token ends. A caller who may not list tokens gets no warning.
fn token(name: &str, tokens: Result<wire::Tokens, Error>) -> Option<Check> {
    let end = tokens
        .ok()?
        .tokens
        .into_iter()
        .find(|token| token.name == name)?;
    let remedy =
        format!("make another with `logctl token create`, then `logctl token revoke {name}`");
    Some(ending(
        "token-expiry",
        end.expires_at.parse().ok()?,
        &remedy,
    ))
}

fn ending(check: &str, end: Timestamp, remedy: &str) -> Check {
    let left = end.duration_since(Timestamp::now());
    let measured = format!("ends {end}");
    if left < SOON[1] {
        Check::harm(check, measured, remedy)
    } else if left < SOON[0] {
        Check::worry(check, measured, remedy)
    } else {
        Check::fine(check, measured)
    }
}
