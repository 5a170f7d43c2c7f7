//! What clap says about a command line: help, version, or a refusal.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use super::{color, write_all};
use crate::exit;
use crate::manner::{ColorWhen, Form};
use crate::report;

/// Prints clap's output: help, version, or a refusal. With `-o json` standard output has one document, and a refusal is on standard error
/// as well: a job that keeps the document in a file shows it in its log.
pub fn usage(program: &str, error: &clap::Error, extra: Option<&str>, form: Form) -> ExitCode {
    let plain = plainly(&error.render().to_string());
    let asked = matches!(
        error.kind(),
        clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
    );
    let code = if asked { exit::DONE } else { exit::USAGE };
    if matches!(form, Form::Json | Form::Jsonl) {
        let document = if asked {
            serde_json::json!({ "apiVersion": report::API_VERSION, "kind": "Help", "text": plain })
        } else {
            // The first paragraph: `error: …` and its list.
            let paragraph: Vec<&str> = plain
                .lines()
                .take_while(|line| !line.is_empty())
                .map(str::trim)
                .collect();
            let message = paragraph.join(" ");
            let tip = plain
                .lines()
                .find_map(|line| line.trim_start().strip_prefix("tip: "));
            let help = format!("`{program} --help` lists the commands and options");
            report::usage_document(
                message.strip_prefix("error: ").unwrap_or(&message),
                extra.or(tip).unwrap_or(&help),
            )
        };
        let text = match form {
            Form::Jsonl => format!("{document}\n"),
            _ => format!("{document:#}\n"),
        };
        let _ = write_all(&mut io::stdout(), &text);
        if asked {
            return ExitCode::from(code);
        }
    }
    let terminal = if asked {
        io::stdout().is_terminal()
    } else {
        io::stderr().is_terminal()
    };
    let mut text = if color(ColorWhen::Auto, terminal) {
        plainly(&error.render().ansi().to_string())
    } else {
        plain
    };
    if let Some(extra) = extra {
        text.push_str(&format!("\nhint: {extra}\n"));
    }
    let _ = if asked {
        write_all(&mut io::stdout(), &text)
    } else {
        write_all(&mut io::stderr(), &text)
    };
    ExitCode::from(code)
}

/// Rust's words for a number that does not parse, in those of a user.
fn plainly(text: &str) -> String {
    [
        ("invalid digit found in string", "it is not a whole number"),
        ("cannot parse integer from empty string", "it is empty"),
        ("number too large to fit in target type", "it is too large"),
        ("number too small to fit in target type", "it is too small"),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (theirs, ours)| {
        text.replace(theirs, ours)
    })
}
