//! An object store's errors for an operator: the cause and the store's own code for it. Never the rest of the store's answer: that
//! repeats parts of the request, and with them its signature.

use std::error::Error as _;

use ::store::StoreError;
use object_store::Error;

/// The longest code that is repeated.
const LONGEST: usize = 64;
/// The longest cause, characters.
const LONGEST_CAUSE: usize = 200;

/// The error as the engine knows errors.
pub(super) fn told(doing: &str, path: &str, error: &Error) -> StoreError {
    StoreError::Io(format!("{doing} {path}: {}", cause(error)))
}

/// Why something could not be opened or done, in one line.
pub(super) fn cause(error: &Error) -> String {
    let text = chain(error);
    let code = code(&text).map_or_else(String::new, |code| format!(" ({code})"));
    match error {
        Error::PermissionDenied { .. } => format!(
            "access denied{code}: check the credentials in the environment and their permissions"
        ),
        Error::Unauthenticated { .. } => {
            format!("not authenticated{code}: check the credentials in the environment")
        }
        Error::NotFound { .. } if no_bucket(error) => "there is no such bucket".to_owned(),
        _ => match status(&text) {
            Some(status) => format!("the store answered {status}{code}"),
            None => innermost(error),
        },
    }
}

/// Whether the bucket itself does not exist.
pub(super) fn no_bucket(error: &Error) -> bool {
    let text = chain(error);
    let code = code(&text);
    code.is_some_and(|code| {
        matches!(
            code,
            "NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted"
        )
    })
}

/// All causes in one text, to search in, not to show.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}\n{inner}");
        source = inner.source();
    }
    text
}

/// `<Code>` of the XML that all three answer with.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let plain = code.len() <= LONGEST && code.bytes().all(|b| b.is_ascii_alphanumeric());
    (plain && !code.is_empty()).then_some(code)
}

/// The HTTP status of an answer that was an error: `503 Service Unavailable`.
fn status(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("non-2xx status code: ")?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == ' '))?;
    Some(rest[..end].trim_end())
}

/// The last cause: that a connection was refused, a name not found, a certificate unknown.
fn innermost(error: &Error) -> String {
    let mut last = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        last = inner.to_string();
        source = inner.source();
    }
    // Bodies begin with one of these.
    let end = last.find(['<', '{', '\n']).unwrap_or(last.len());
    last[..end].chars().take(LONGEST_CAUSE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> Error {
        Error::Generic {
            store: "S3",
            source: text.to_owned().into(),
        }
    }

    #[test]
    fn the_cause_and_the_code_and_nothing_that_was_sent() {
        let body = "Server returned non-2xx status code: 403 Forbidden: <?xml?><Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>AKIASECRET</AWSAccessKeyId><CanonicalRequest>x-amz-security-token:SECRET</CanonicalRequest></Error>";
        let said = cause(&error(body));
        assert_eq!(
            said,
            "the store answered 403 Forbidden (SignatureDoesNotMatch)"
        );
        let denied = Error::PermissionDenied {
            path: "x".to_owned(),
            source: body.to_owned().into(),
        };
        let said = cause(&denied);
        assert!(
            said.contains("SignatureDoesNotMatch") && said.contains("credentials"),
            "{said}"
        );
        assert!(!said.contains("SECRET"), "{said}");
        let json = "failed: {\"error\": \"SECRET\"}";
        assert_eq!(cause(&error(json)), "failed: ");
        assert_eq!(
            cause(&error("Connection refused (os error 111)")),
            "Connection refused (os error 111)"
        );
        let plain = "Server returned non-2xx status code: 502 Bad Gateway: SECRET";
        assert_eq!(cause(&error(plain)), "the store answered 502 Bad Gateway");
    }

    #[test]
    fn a_missing_bucket_is_no_missing_object() {
        let gone = |code: &str| Error::NotFound {
            path: "x".to_owned(),
            source: format!("<Error><Code>{code}</Code></Error>").into(),
        };
        assert!(no_bucket(&gone("NoSuchBucket")));
        assert!(!no_bucket(&gone("NoSuchKey")));
    }
}
