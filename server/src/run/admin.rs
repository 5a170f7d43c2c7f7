//! The admin endpoint as the settings describe it: its listeners, who may use it, and the files that `logctl doctor` checks.

use std::sync::Arc;

use ambient::Ambient;
use server_admin::{Access, Listeners, Options, Permission, SocketOptions, TcpOptions};

use crate::admin::Files;
use crate::error::Error;
use crate::settings::{Admin, KekSource, Settings};

pub(super) fn admin_error(error: server_admin::Error) -> Error {
    Error::Admin(plane_http::causes(&error))
}

/// Binds the admin endpoint, for the callers that the settings name.
pub(super) fn admin_listeners(admin: &Admin) -> Result<Listeners, Error> {
    let mut access = Access::new(Ambient::system());
    let mode = match &admin.users {
        // Peer credentials decide, not the file's mode.
        Some(users) => {
            for user in users {
                access = access.with_uid(user.uid, admin.permissions(&user.permissions));
            }
            0o666
        }
        None => {
            // Root could read the stores anyway.
            for uid in [0, rustix::process::getuid().as_raw()] {
                access = access.with_uid(uid, [Permission::everything()]);
            }
            0o600
        }
    };
    for client in &admin.certificates {
        let permissions = admin.permissions(&client.permissions);
        access = access.with_certificate(client.client.clone(), permissions);
    }
    for rule in admin.identity_rules() {
        access = access.with_identity(rule).map_err(admin_error)?;
    }
    if let Some(tokens) = &admin.tokens {
        access = access.with_tokens(tokens).map_err(admin_error)?;
    }
    let options = Options {
        socket: admin
            .socket
            .clone()
            .map(|path| SocketOptions { path, mode }),
        tcp: admin.listen.map(|address| TcpOptions {
            address,
            tls: admin.tls.as_ref().map(|files| server_admin::TlsFiles {
                certificate: files.cert.clone(),
                key: files.key.clone(),
                client_ca: files.client_ca.clone(),
            }),
        }),
        ..Options::default()
    };
    Listeners::bind(Arc::new(access), options).map_err(admin_error)
}

/// The files that the server's own diagnosis (`logctl doctor`) checks.
pub(super) fn files(settings: &Settings) -> Files {
    let mut files = Files::default();
    if let KekSource::File(path) = &settings.kek {
        files.secrets.push(path.clone());
    }
    let data = settings.data.tls.iter().map(|tls| (&tls.cert, &tls.key));
    let admin = settings.admin.tls.iter().map(|tls| (&tls.cert, &tls.key));
    for (certificate, key) in data.chain(admin) {
        files.secrets.push(key.clone());
        files.certificates.push(certificate.clone());
    }
    files
}
