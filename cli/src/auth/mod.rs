//! Credentials: a bearer token from a file, from a program, or for the identity of a CI job.
//!
//! What must never happen: a secret in a message, in a `Debug` form or in a file that others can read; an identity token
//! spent twice, for it works once.

mod cache;
mod command;
mod oidc;
pub(crate) mod secret;

use std::sync::{Mutex, PoisonError};

use reqwest::Client;

use crate::client::Deadline;
use crate::error::Error;
use crate::settings::{Endpoint, Login};
use secret::Token;

/// How this run logs in to one endpoint.
#[derive(Debug)]
pub(crate) struct Auth {
    login: Login,
    /// The context and the address, which sessions are kept for.
    place: String,
    /// The token that was sent last. Locked only for moments, never over a wait.
    held: Mutex<Option<Token>>,
}

impl Auth {
    /// Reads nothing yet: a credential is read when it is needed.
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        Self {
            login: endpoint.login.clone(),
            place: format!("{}\n{}", endpoint.context, endpoint.address),
            held: Mutex::new(None),
        }
    }

    /// The token to send, when there is one to send. `exchange` is where sessions are made.
    pub(crate) async fn token(
        &self,
        http: &Client,
        exchange: &str,
        deadline: Deadline,
    ) -> Result<Option<Token>, Error> {
        if let Some(token) = self.held().clone() {
            return Ok(Some(token));
        }
        let token = match &self.login {
            Login::None => return Ok(None),
            Login::File(path) => Token::read(path)?,
            Login::Command(words) => command::run(words, deadline).await?,
            Login::Oidc(identity) => {
                oidc::session(identity, &self.place, http, exchange, deadline).await?
            }
        };
        *self.held() = Some(token.clone());
        Ok(Some(token))
    }

    /// Called when the server refused the token. Returns whether another can be tried: a session may have ended, and a new one can be made.
    pub(crate) fn refused(&self) -> bool {
        let Login::Oidc(identity) = &self.login else {
            return false;
        };
        self.held().take().is_some() && oidc::forget(identity, &self.place)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Option<Token>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
