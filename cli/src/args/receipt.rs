//! `logctl receipt`: what a log promised.

use std::path::PathBuf;

use clap::Subcommand;

/// What to do with a receipt.
#[derive(Debug, Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Check a receipt, and whether the log has kept what it promised
    #[command(
        after_help = "A receipt is what a writer gets who asks with `Prefer: respond-async`. It names the leaf hash of the entry and the time by
which it is published, signed by the shard that was active. A promise that was not kept ends with exit code 12.

Examples:
  logctl receipt verify entry.receipt --url https://log.example.org
  logctl receipt verify entry.receipt --offline --vkey log.example.org/2026a+1f2e3d4c+AbCd..."
    )]
    Verify {
        /// The receipt; - is standard input
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// A key that may have signed it; without one, the key that the log lists for the shard
        #[arg(long = "vkey", value_name = "KEY")]
        vkeys: Vec<String>,
        /// Where readers reach the log; the context's, or the server's word, when absent
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        /// Check the signature only; needs --vkey
        #[arg(long, conflicts_with = "url", requires = "vkeys")]
        offline: bool,
    },
}
