//! A CI job's identity, exchanged once for a session. GitHub Actions is asked for an identity token by its request
//! protocol; GitLab, and anybody else, puts one into an environment variable or a file.
//!
//! What must never happen: the job's own credentials are sent anywhere but to the address that the job's runner names.

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use wire::{PROBLEM_TYPE, Problem, Session, codes};

use super::cache;
use super::secret::{LIMIT, Token};
use crate::client::{self, Deadline};
use crate::error::Error;
use crate::settings::{Address, IdentitySource, IdentityToken, is_loopback};

/// The environment variables for the address where GitHub Actions makes identity tokens, and for its credential.
const ACTIONS_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const ACTIONS_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// A session's secret: the one kept from an earlier run, else a new one.
pub(super) async fn session(
    identity: &IdentityToken,
    place: &str,
    http: &Client,
    exchange: &str,
    deadline: Deadline,
) -> Result<Token, Error> {
    let credential = credential(&identity.from)?;
    let kept = kept(identity, place, &credential);
    if let Some(token) = kept.as_deref().and_then(cache::load) {
        return Ok(token);
    }
    let identity_token = match &identity.from {
        IdentitySource::Actions => request(&identity.audience, &credential, deadline).await?,
        IdentitySource::Variable(_) | IdentitySource::File(_) => credential,
    };
    let session = trade(&identity_token, identity, http, exchange, deadline).await?;
    if let Some(path) = &kept {
        cache::store(path, &session);
    }
    Token::parse(session.secret.as_bytes()).ok_or_else(|| Error::Foreign {
        address: exchange.to_owned(),
        cause: "a session without a secret".into(),
    })
}

/// Forgets the session that was kept; whether a new one can be asked for. Only Actions makes another identity token.
pub(super) fn forget(identity: &IdentityToken, place: &str) -> bool {
    let Ok(credential) = credential(&identity.from) else {
        return false;
    };
    if let Some(path) = kept(identity, place, &credential) {
        let _ = std::fs::remove_file(path);
    }
    identity.from == IdentitySource::Actions
}

fn kept(identity: &IdentityToken, place: &str, credential: &Token) -> Option<std::path::PathBuf> {
    let key = format!("{place}\n{}\n{}", identity.audience, credential.expose());
    cache::path(key.as_bytes())
}

/// The credential that only this job has: the identity token, or the one for which Actions makes it.
fn credential(from: &IdentitySource) -> Result<Token, Error> {
    match from {
        IdentitySource::File(path) => Token::read(path),
        IdentitySource::Variable(name) => variable(name).ok_or_else(|| Error::Login {
            message: format!("the environment variable {name} holds no identity token"),
            hint: format!("in GitLab, declare it in the job: `id_tokens: {{ {name}: {{ aud: … }} }}`"),
        }),
        IdentitySource::Actions => variable(ACTIONS_TOKEN).ok_or_else(|| Error::Login {
            message: format!("no identity token: {ACTIONS_TOKEN} is not set"),
            hint: "in GitHub Actions, give the job `permissions: id-token: write`; elsewhere name the variable that holds the identity token: `logctl context set NAME oidc.token_env=VARIABLE`".into(),
        }),
    }
}

fn variable(name: &str) -> Option<Token> {
    Token::parse(std::env::var_os(name)?.as_encoded_bytes())
}

/// Asks GitHub Actions for an identity token.
async fn request(audience: &str, credential: &Token, deadline: Deadline) -> Result<Token, Error> {
    #[derive(Deserialize)]
    struct Answer {
        value: String,
    }
    let failed = |message: String| Error::Login {
        message: format!("GitHub Actions gives no identity token: {message}"),
        hint: "check that the job has `permissions: id-token: write`, and run it again".into(),
    };
    let text =
        std::env::var(ACTIONS_URL).map_err(|_| failed(format!("{ACTIONS_URL} is not set")))?;
    let mut url: Url = text
        .parse()
        .map_err(|error| failed(format!("{ACTIONS_URL}: {error}")))?;
    let local = url.host_str().is_some_and(is_loopback);
    if !(url.scheme() == "https" || (url.scheme() == "http" && local)) {
        return Err(failed(format!("{ACTIONS_URL} is not https")));
    }
    url.query_pairs_mut().append_pair("audience", audience);
    let http = client::transport(&Address::Url(url.as_str().to_owned()), None, None)?;
    let answer = http
        .get(url)
        .bearer_auth(credential.expose())
        .header(ACCEPT, "application/json")
        .timeout(deadline.left())
        .send()
        .await
        .map_err(|error| failed(client::cause(&error)))?;
    if !answer.status().is_success() {
        return Err(failed(format!("it answers {}", answer.status())));
    }
    let body = body(answer).await.map_err(failed)?;
    // The body is in no message: it may hold the token in a form that is not understood.
    serde_json::from_slice::<Answer>(&body)
        .ok()
        .and_then(|answer| Token::parse(answer.value.as_bytes()))
        .ok_or_else(|| failed("its answer holds none".into()))
}

/// Exchanges an identity token.
async fn trade(
    token: &Token,
    identity: &IdentityToken,
    http: &Client,
    exchange: &str,
    deadline: Deadline,
) -> Result<Session, Error> {
    let unreachable = |cause: String| Error::Unreachable {
        address: exchange.to_owned(),
        cause,
        hint: "no session was begun; run the command again".into(),
    };
    let answer = http
        .post(exchange)
        .bearer_auth(token.expose())
        .header(ACCEPT, "application/json")
        .header(CONTENT_TYPE, "application/json")
        .header("idempotency-key", client::idempotency_key()?)
        .timeout(deadline.left())
        .body("{}")
        .send()
        .await
        .map_err(|error| unreachable(client::cause(&error)))?;
    let status = answer.status();
    let is_problem = answer
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with(PROBLEM_TYPE));
    let body = body(answer).await.map_err(unreachable)?;
    if status.is_success() {
        // The parser's error must not be in a message either.
        return serde_json::from_slice(&body).map_err(|_| Error::Foreign {
            address: exchange.to_owned(),
            cause: "the answer is not a session".into(),
        });
    }
    match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) if is_problem && problem.code == codes::UNAUTHENTICATED => Err(Error::Login {
            message: format!("the server refuses the identity token: {}", problem.detail),
            hint: refused(identity),
        }),
        Ok(problem) if is_problem && status != StatusCode::NOT_FOUND => {
            Err(Error::Problem(Box::new(problem)))
        }
        _ => Err(Error::Foreign {
            address: exchange.to_owned(),
            cause: format!("it does not create sessions: {status}"),
        }),
    }
}

fn refused(identity: &IdentityToken) -> String {
    let audience = &identity.audience;
    let once = match identity.from {
        IdentitySource::Actions => "",
        IdentitySource::Variable(_) | IdentitySource::File(_) => {
            "; it works once, and its session lasts minutes: a later job needs one of its own"
        }
    };
    format!(
        "the server has to expect the audience `{audience}` and to know the issuer and the claims of this job{once}"
    )
}

/// An answer's body, which is small.
async fn body(mut answer: Response) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|error| client::cause(&error))?
    {
        bytes.extend_from_slice(&chunk);
        if bytes.len() as u64 > LIMIT {
            return Err(format!("the answer is larger than {LIMIT} bytes"));
        }
    }
    Ok(bytes)
}
