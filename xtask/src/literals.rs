//! The string literals of Rust source, which are what a program says: messages, hints, errors, log lines, metric help.

/// The literals of more than one word, each with the line it begins on. A single word is a name of something: a key, a flag, a code.
pub(crate) fn sentences(text: &str) -> Vec<(usize, String)> {
    let all = literals(text).into_iter();
    all.filter(|(_, literal)| literal.trim().contains(' '))
        .collect()
}

/// The identifiers of a source, without those in comments and literals, each with its line.
pub(crate) fn identifiers(text: &str) -> Vec<(usize, &str)> {
    let (mut found, mut line, mut at) = (Vec::new(), 1, 0);
    let word = |c: char| c.is_alphanumeric() || c == '_';
    while at < text.len() {
        let rest = &text[at..];
        let (mut length, literal) = token(rest, text[..at].chars().next_back());
        if literal.is_none() && rest.starts_with(word) {
            length = rest.find(|c| !word(c)).unwrap_or(rest.len());
            found.push((line, &rest[..length]));
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    found
}

fn literals(text: &str) -> Vec<(usize, String)> {
    let (mut found, mut line, mut at) = (Vec::new(), 1, 0);
    while at < text.len() {
        let rest = &text[at..];
        let (length, literal) = token(rest, text[..at].chars().next_back());
        if let Some(literal) = literal {
            found.push((line, literal));
        }
        line += rest[..length].matches('\n').count();
        at += length;
    }
    found
}

/// The length of the next comment, literal or character, and what a string literal says.
fn token(rest: &str, before: Option<char>) -> (usize, Option<String>) {
    let to = |end: &str| rest.find(end).map_or(rest.len(), |at| at + end.len());
    let name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return (to("\n"), None);
    }
    if rest.starts_with("/*") {
        return (to("*/"), None);
    }
    if let Some(raw) = rest
        .strip_prefix('r')
        .filter(|_| !name || before == Some('b'))
    {
        let body = raw.trim_start_matches('#');
        let hashes = raw.len() - body.len();
        if let Some(body) = body.strip_prefix('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let length = body.find(&end).unwrap_or(body.len());
            let whole = (1 + hashes + 1 + length + end.len()).min(rest.len());
            return (whole, Some(body[..length].to_owned()));
        }
    }
    if let Some(body) = rest.strip_prefix('"') {
        return quoted(body);
    }
    // Not a lifetime, but a character, which may be a quote.
    if let Some(body) = rest.strip_prefix('\'') {
        let mut chars = body.char_indices();
        let first = chars.next().map(|(_, c)| c);
        let end = match first {
            Some('\\') => body
                .get(2..)
                .and_then(|rest| rest.find('\''))
                .map(|at| at + 2),
            _ => chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at),
        };
        if let Some(end) = end {
            return (1 + end + 1, None);
        }
    }
    (rest.chars().next().map_or(1, char::len_utf8), None)
}

/// A literal from behind its first quote. A line that continues on the next one is one line.
fn quoted(body: &str) -> (usize, Option<String>) {
    let (mut said, mut chars) = (String::new(), body.char_indices().peekable());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (1 + at + 1, Some(said)),
            '\\' => match chars.next() {
                Some((_, '\n')) => while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {},
                Some((_, 'n')) => said.push('\n'),
                Some((_, c)) => said.push(c),
                None => {}
            },
            c => said.push(c),
        }
    }
    (1 + body.len(), Some(said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_found_and_what_is_commented_is_not() {
        let text = "// \"not this\"\nlet a = \"say \\\"it\\\"\"; /* \"nor this\" */\nlet q = '\"'; let l: &'static str = r#\"raw \"one\" too\"#;\n\
                    let w = \"word\"; let e = '\\''; b\"and bytes\";\n\"over \\\n    two lines\"";
        let said = sentences(text);
        let expected = [
            (2, "say \"it\""),
            (3, "raw \"one\" too"),
            (4, "and bytes"),
            (5, "over two lines"),
        ];
        let expected = expected.map(|(line, text)| (line, text.to_owned()));
        assert_eq!(said, expected);
    }
}
