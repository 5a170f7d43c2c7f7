//! `logctl config validate FILE`: all checks that need no server.

use serde::Serialize;

use crate::commands::document::Document;
use crate::error::{Error, count};
use crate::file::File;
use crate::report::{Outcome, Page, Present};

#[derive(Debug, Serialize)]
struct Valid {
    file: String,
    log: String,
    shards: usize,
}

pub(super) async fn run(file: &File) -> Result<Outcome, Error> {
    let document = Document::read(file).await?;
    let log = document.config.log.as_str().to_owned();
    Outcome::done(&Valid {
        file: document.subject,
        log,
        shards: document.config.shards.len(),
    })
}

impl Present for Valid {
    const KIND: &'static str = "ConfigValid";
    const NAME: &'static str = "/file";

    fn page(&self) -> Page {
        let shards = count(self.shards, "shard");
        Page::new().text(format!(
            "{} is valid: log {}, {shards}",
            self.file, self.log
        ))
    }
}
