//! The secondary's own key: `PRIVATE+KEY+<name>+<id>+<base64 of type and seed>`, on one line of a file that only its owner can
//! read. The type is that of cosignatures: the key must sign nothing else.

use std::io::ErrorKind;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::{read_secret, write_secret};
use tlog::Cosigner;

use crate::error::{Error, key_file};

const PREFIX: &str = "PRIVATE+KEY+";
const TYPE: u8 = 0x04;

fn secret(error: engine::KeyError) -> Error {
    let kept =
        "a key is never replaced: without --name the command shows the public half of this one";
    key_file("the secondary's key", (ErrorKind::AlreadyExists, kept))(error)
}

pub(super) fn read(path: &Path) -> Result<Cosigner, Error> {
    if !path.exists() {
        return Err(Error::Secret(format!(
            "there is no key at {0}; make one: logd secondary key --file {0} --name NAME",
            path.display()
        )));
    }
    let text = read_secret(path).map_err(secret)?;
    parse(text.trim_end()).ok_or_else(|| {
        Error::Secret(format!(
            "{} is not the key of a secondary (`logd secondary key` makes one)",
            path.display()
        ))
    })
}

fn parse(line: &str) -> Option<Cosigner> {
    let mut parts = line.strip_prefix(PREFIX)?.splitn(3, '+');
    let (name, id, material) = (parts.next()?, parts.next()?, parts.next()?);
    let mut bytes = [0; 33];
    // Decoding needs room for a few more bytes than it returns.
    let mut room = [0; 64];
    let length = STANDARD.decode_slice(material, &mut room).ok()?;
    bytes.copy_from_slice(room.get(..length).filter(|bytes| bytes.len() == 33)?);
    let (kind, seed) = bytes.split_first_chunk::<1>()?;
    let cosigner = Cosigner::from_seed(name, seed.try_into().ok()?).ok()?;
    let same = format!("{:08x}", cosigner.verifier().id()) == id;
    (kind == &[TYPE] && same).then_some(cosigner)
}

/// Makes the key if there is none, and prints its public half.
pub(crate) fn show(path: &Path, name: Option<&str>) -> Result<(), Error> {
    if let Some(name) = name {
        let seed: [u8; 32] = ambient::Random::system()
            .bytes()
            .map_err(|e| Error::Secret(e.to_string()))?;
        let cosigner =
            Cosigner::from_seed(name, &seed).map_err(|e| Error::Secret(e.to_string()))?;
        let mut material = [TYPE; 33];
        material[1..].copy_from_slice(&seed);
        let line = format!(
            "{PREFIX}{name}+{:08x}+{}\n",
            cosigner.verifier().id(),
            STANDARD.encode(material)
        );
        write_secret(path, &line).map_err(secret)?;
    }
    crate::run::print(&format!("{}\n", read(path)?.verifier()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_others_may_not_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mirror.key");
        assert!(read(&path).unwrap_err().to_string().contains("make one"));
        show(&path, Some("mirror.example.org")).unwrap();
        let key = read(&path).unwrap();
        assert_eq!(key.verifier().name(), "mirror.example.org");
        let hint = |error: Error| error.hint().unwrap_or_default().into_owned();
        let kept = show(&path, Some("other")).unwrap_err();
        assert!(hint(kept).contains("a key is never replaced"));
        let nowhere = show(&dir.path().join("none/mirror.key"), Some("other")).unwrap_err();
        assert!(hint(nowhere).contains("check the path"));
        show(&path, None).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        for bad in [
            text.replace("mirror", "m"),
            text.replace("+BA", "+AA"),
            text.replace("PRIVATE", ""),
            "x".into(),
        ] {
            std::fs::write(&path, bad).unwrap();
            let shown = read(&path).err().map(|e| e.to_string());
            assert!(shown.is_none_or(|e| e.contains("is not the key")));
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("chmod 600"));
        assert!(show(&dir.path().join("n"), Some("a b")).is_err());
    }
}
