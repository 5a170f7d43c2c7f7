//! The parser of the configuration document.

use logconfig::{LogConfig, MAX_FINDINGS, parse};

/// A text is a document that survives being written and read, or is refused with findings that point into it.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match parse(text) {
        Ok(document) => {
            survives(&document, &document.to_yaml());
            survives(&document, &document.to_json());
        }
        Err(findings) => {
            // One more says that there are more.
            assert!((1..=MAX_FINDINGS + 1).contains(&findings.len()));
            for finding in findings {
                assert!(!finding.message.is_empty());
                assert!(finding.pointer.is_empty() || finding.pointer.starts_with('/'));
                let lines = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
                assert!(
                    finding
                        .line
                        .is_none_or(|line| (1..=lines + 1).contains(&line))
                );
            }
        }
    }
}

fn survives(document: &LogConfig, text: &str) {
    match parse(text) {
        Ok(again) => assert_eq!(again.canonical(), document.canonical(), "{text}"),
        Err(findings) => panic!("{findings:?} in what was written: {text}"),
    }
}
