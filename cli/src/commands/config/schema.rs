//! `logctl config schema`: the JSON schema, for editors and other checkers.

use crate::error::Error;
use crate::report::{Block, Outcome, Page, Report};

pub(super) fn run() -> Result<Outcome, Error> {
    let schema = logconfig::schema();
    let page = Page::new().with(Block::Verbatim(format!("{schema:#}\n")));
    Ok(Outcome {
        report: Report::document(schema, page),
        trouble: None,
    })
}
