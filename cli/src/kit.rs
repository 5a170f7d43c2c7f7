//! The parts that `logload` shares with `logctl`: finding a log, reading its public address, showing a result to people and scripts.

pub use crate::auditor::{Source, SourceError};
pub use crate::auth::secret::Token;
pub use crate::cli::{parse_between, parse_timeout, wanted_form};
pub use crate::client::{Public, cause, transport};
pub use crate::commands::document::read as read_document;
pub use crate::commands::{LogAddress, Session, now, rfc3339};
pub use crate::drive;
pub use crate::error::Error;
pub use crate::file::File;
pub use crate::generate::Program;
pub use crate::interrupt::ended;
pub use crate::manner::{ColorWhen, Form, Manner, Output};
pub use crate::numbers::{grouped, latency, thousands};
pub use crate::render::{Look, page as rendered};
pub use crate::report::{Block, Cell, Outcome, Page, Present, Tone};
pub use crate::settings::{Address, Overrides};
pub use crate::ui::{Phase, Ui, usage};
