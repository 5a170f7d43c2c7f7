//! A program that prints the token, as password managers and cloud tools do.
//!
//! What must never happen: an endless wait for it, or its output in a message.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::secret::{LIMIT, Token};
use crate::client::{Deadline, seconds};
use crate::error::Error;

/// Somebody may have to touch a key or type a code.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// How many bytes of its error output are shown.
const COMPLAINT: u64 = 4 * 1024;

/// Runs the program; its output is the token.
pub(super) async fn run(words: &[String], deadline: Deadline) -> Result<Token, Error> {
    let [program, arguments @ ..] = words else {
        return Err(Error::Bug("a token command without a program".into()));
    };
    let failed = |message: String| Error::Login {
        message: format!("the token command `{program}` {message}"),
        hint: "run it by hand: it has to print the token, and nothing else, to its standard output"
            .into(),
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let patience = COMMAND_TIMEOUT.min(deadline.left());
    let work = async { tokio::join!(read(out, LIMIT), read(err, COMPLAINT), child.wait()) };
    let (out, err, status) = match tokio::time::timeout(patience, work).await {
        Ok((out, err, Ok(status))) => (out, err, status),
        Ok((_, _, Err(error))) => return Err(failed(format!("cannot be waited for: {error}"))),
        Err(_) => return Err(failed(format!("did not end within {}", seconds(patience)))),
    };
    if !status.success() {
        return Err(failed(format!(
            "failed ({status}){}",
            complaint(&err, &out)
        )));
    }
    Token::parse(&out).ok_or_else(|| failed(format!("printed no token{}", complaint(&err, &out))))
}

/// Reads to the end, and keeps the beginning: a program that cannot write would never end.
async fn read(stream: Option<impl AsyncRead + Unpin>, limit: u64) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(stream) = stream {
        let mut stream = stream.take(limit);
        // After an error, only the bytes read before it are used.
        let _ = stream.read_to_end(&mut kept).await;
        let _ = tokio::io::copy(&mut stream.into_inner(), &mut tokio::io::sink()).await;
    }
    kept
}

/// The program's standard error without its standard output: some tools repeat the token there.
fn complaint(err: &[u8], out: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(err).trim().to_owned();
    let printed = String::from_utf8_lossy(out);
    for word in printed.split_whitespace().filter(|word| word.len() > 3) {
        text = text.replace(word, "[secret]");
    }
    if text.is_empty() {
        text
    } else {
        format!(": {text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, limit: Duration) -> Result<Token, Error> {
        let words = ["sh", "-c", script].map(str::to_owned);
        run(&words, Deadline::after(limit)).await
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn its_output_is_the_token() {
        let token = sh("echo note >&2; echo s3cret", LONG).await.unwrap();
        assert_eq!(token.expose(), "s3cret");
    }

    #[tokio::test]
    async fn its_complaint_is_shown_and_its_output_is_not() {
        for (script, message) in [
            (
                "echo s3cret; echo 'not s3cret, expired' >&2; exit 3",
                "exit status: 3): not [secret], expired",
            ),
            ("echo s3cret two; echo why >&2", "printed no token: why"),
            ("true", "printed no token"),
            (
                "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; exit 1",
                "failed",
            ),
        ] {
            let error = sh(script, LONG).await.unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            assert!(!error.contains("s3cret") && error.len() < 20_000, "{error}");
        }
        let missing = run(&["/no/such/program".to_owned()], Deadline::after(LONG)).await;
        assert!(missing.unwrap_err().to_string().contains("cannot be run"));
    }

    #[tokio::test]
    async fn it_is_not_waited_for_without_end() {
        let error = sh("sleep 1000", Duration::from_millis(50))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("did not end within"), "{error}");
    }
}
