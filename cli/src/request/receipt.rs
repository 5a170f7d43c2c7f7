//! `logctl receipt`, resolved.

use super::File;
use crate::args::ReceiptCommand;

/// What to do with a receipt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReceiptRequest {
    /// `receipt verify`.
    Verify {
        /// Where the receipt is.
        file: File,
        /// Keys that may have signed it.
        vkeys: Vec<String>,
        /// Where readers reach the log.
        url: Option<String>,
        /// Only the signature.
        offline: bool,
    },
}

impl From<ReceiptCommand> for ReceiptRequest {
    fn from(command: ReceiptCommand) -> Self {
        let ReceiptCommand::Verify {
            file,
            vkeys,
            url,
            offline,
        } = command;
        Self::Verify {
            file: file.into(),
            vkeys,
            url,
            offline,
        }
    }
}

impl ReceiptRequest {
    /// The subcommand's name as it is typed.
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Verify { .. } => "verify",
        }
    }
}
