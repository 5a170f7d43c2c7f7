//! The line that answers a question, read key by key.
//!
//! What must never happen: a question that nothing can end. Ctrl-D, Esc and a terminal that is gone all leave it without an answer.

use std::io;

use console::{Key, Term};

/// What a key does to the line.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The line has changed: draw this character, or take the last one away.
    Draw(char),
    Rub,
    Nothing,
    Done,
    /// There is no answer.
    Left,
    Interrupted,
}

/// Asks on standard error. `None`: the user left the question without an answer. `stays`: whether the answer remains on the screen.
pub(super) fn line(prompt: &str, stays: bool) -> io::Result<Option<String>> {
    let term = Term::stderr();
    term.write_str(&format!("{prompt}: "))?;
    let mut line = String::new();
    let left = loop {
        let key = match term.read_key_raw() {
            Ok(key) => key,
            // Nobody is at the other end any more.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break true,
            Err(error) => return Err(error),
        };
        match step(&mut line, &key) {
            Step::Draw(letter) => term.write_str(letter.encode_utf8(&mut [0; 4]))?,
            Step::Rub => term.clear_chars(1)?,
            Step::Nothing => {}
            Step::Done => break false,
            Step::Left => break true,
            Step::Interrupted => return Err(io::ErrorKind::Interrupted.into()),
        }
    };
    match stays || left {
        true => term.write_line("")?,
        false => term.clear_line()?,
    }
    Ok((!left).then_some(line))
}

fn step(line: &mut String, key: &Key) -> Step {
    match key {
        Key::Enter => Step::Done,
        // The terminal itself takes a Ctrl-D that comes before the question, and gives a zero in its place.
        Key::Escape | Key::Char('\u{4}' | '\0') => Step::Left,
        Key::CtrlC => Step::Interrupted,
        Key::Backspace => match line.pop() {
            Some(_) => Step::Rub,
            None => Step::Nothing,
        },
        Key::Char(letter) if !letter.is_control() => {
            line.push(*letter);
            Step::Draw(*letter)
        }
        _ => Step::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_its_effect() {
        let mut line = String::new();
        let keys = "nö".chars().map(Key::Char);
        for key in keys.chain([Key::Backspace, Key::Backspace, Key::Char('y')]) {
            assert!(matches!(step(&mut line, &key), Step::Draw(_) | Step::Rub));
        }
        assert_eq!(line, "y");
        for (key, expected) in [
            (Key::Enter, Step::Done),
            (Key::Escape, Step::Left),
            (Key::Char('\u{4}'), Step::Left),
            (Key::Char('\0'), Step::Left),
            (Key::CtrlC, Step::Interrupted),
            (Key::ArrowLeft, Step::Nothing),
            (Key::Char('\u{7}'), Step::Nothing),
        ] {
            assert_eq!(step(&mut line, &key), expected, "{key:?}");
        }
        assert_eq!(line, "y");
        assert_eq!(step(&mut String::new(), &Key::Backspace), Step::Nothing);
    }
}
