//! The parser of signed notes.

use tlog::{Checkpoint, MAX_SIGNATURES, Note, Signer};

/// A text is a note of bounded size, or none; nobody signed it whose key has not seen it, and signing what it says gives a
/// note that verifies.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let signer = Signer::from_seed("fuzz", &[7; 32]).expect("a name and a seed");
    if let Ok(note) = Note::parse(text) {
        assert!((1..=MAX_SIGNATURES).contains(&note.signatures.len()));
        assert!(text.starts_with(note.text));
        assert!(note.verify(&[signer.verifier()]).is_err());
        let signed = tlog::sign(note.text, &[&signer]).expect("what a note says can be signed");
        let again = Note::parse(&signed).expect("what is signed is a note");
        assert_eq!(again.text, note.text);
        assert!(again.verify(&[signer.verifier()]).is_ok());
    }
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.to_text(), text, "a checkpoint has one spelling");
    }
}
