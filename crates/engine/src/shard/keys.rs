//! The key-encryption key, and shard keys sealed with it.
//!
//! A shard's signing key must be at every replica before the slot that uses it, so it lies in the coordination store, sealed. Each replica
//! gets the key-encryption key locally. What must never happen: a secret is in a log line, an error, a file that others can read, or in
//! memory after its use; a sealed key opens under another shard's name.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ambient::Random;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Version byte of a sealed key: AES-256-GCM; then 12 bytes of nonce, the ciphertext, 16 bytes of tag.
const VERSION: u8 = 1;

/// The error when the operating system gives no random numbers.
const NO_RANDOMNESS: KeyError = KeyError::Crypto("no random numbers");

/// Bytes of key and of seed.
pub(crate) const LEN: usize = 32;

/// The longest file that can be a key, bytes.
const MAX_FILE: u64 = 1024;

/// Why a key cannot be read, written or opened.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Others can read the file.
    #[error("{path} can be read by others (mode {mode:o}); run: chmod 600 {path}")]
    Readable {
        /// The file that others can read.
        path: PathBuf,
        /// The file's permission bits.
        mode: u32,
    },
    /// Not one line of base64 with 32 bytes in it.
    #[error("{0} is not 32 bytes in base64 on one line")]
    Malformed(String),
    /// The environment variable is not set.
    #[error("the environment variable {0} is not set")]
    Unset(String),
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file that could not be used.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A version of sealed keys that this program does not know.
    #[error("sealed key of unknown version {0}")]
    Version(u8),
    /// The key was sealed with another key-encryption key or for another context, or it is damaged.
    #[error(
        "the sealed key does not open: it is damaged, or sealed with another key-encryption key"
    )]
    Sealed,
    /// The cipher failed, or the operating system gives no random numbers.
    #[error("cryptography failed: {0}")]
    Crypto(&'static str),
}

/// The key-encryption key of an installation.
pub struct Kek(Zeroizing<[u8; LEN]>);

impl std::fmt::Debug for Kek {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kek(secret)")
    }
}

impl Kek {
    /// Reads a file with one line, 32 bytes in base64, that only its owner can read.
    ///
    /// # Errors
    /// [`KeyError::File`], [`KeyError::Readable`] or [`KeyError::Malformed`].
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        Self::parse(&read_secret(path)?, &path.display().to_string())
    }

    /// Reads the same line from an environment variable.
    ///
    /// # Errors
    /// [`KeyError::Unset`] or [`KeyError::Malformed`].
    pub fn from_env(variable: &str) -> Result<Self, KeyError> {
        let text = std::env::var(variable).map_err(|_| KeyError::Unset(variable.into()))?;
        Self::parse(
            &Zeroizing::new(text),
            &format!("the environment variable {variable}"),
        )
    }

    /// A new random key.
    ///
    /// # Errors
    /// [`KeyError::Crypto`] when the operating system gives no random numbers.
    pub fn generate(random: &Random) -> Result<Self, KeyError> {
        let mut key = Zeroizing::new([0; LEN]);
        random.fill(&mut *key).map_err(|_| NO_RANDOMNESS)?;
        Ok(Self(key))
    }

    /// Writes the key to a new file of mode 0600, durably.
    ///
    /// # Errors
    /// [`KeyError::File`]: also when the file exists.
    pub fn write_new(&self, path: &Path) -> Result<(), KeyError> {
        let mut line = Zeroizing::new(String::with_capacity(64));
        STANDARD.encode_string(self.0.as_slice(), &mut line);
        line.write_char('\n')
            .map_err(|_| KeyError::Crypto("formatting"))?;
        write_secret(path, &line)
    }

    /// Seals a shard's seed. `context` (log, tree ID, public key) is not secret; only the same one opens it.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn seal(
        &self,
        seed: &[u8; LEN],
        context: &str,
        random: &Random,
    ) -> Result<Vec<u8>, KeyError> {
        self.seal_bytes(seed, context, random)
    }

    /// Seals anything, the same way.
    ///
    /// # Errors
    /// [`KeyError::Crypto`].
    pub fn seal_bytes(
        &self,
        plain: &[u8],
        context: &str,
        random: &Random,
    ) -> Result<Vec<u8>, KeyError> {
        let nonce: [u8; NONCE_LEN] = random.bytes().map_err(|_| NO_RANDOMNESS)?;
        let mut buffer = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
        buffer.extend_from_slice(plain);
        let once = Nonce::assume_unique_for_key(nonce);
        self.cipher()?
            .seal_in_place_append_tag(once, Aad::from(associated(context)), &mut buffer)
            .map_err(|_| KeyError::Crypto("sealing"))?;
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&buffer);
        Ok(sealed)
    }

    /// Opens a seed that [`Kek::seal`] sealed.
    ///
    /// # Errors
    /// [`KeyError::Sealed`] or [`KeyError::Version`].
    pub fn open(&self, sealed: &[u8], context: &str) -> Result<Zeroizing<[u8; LEN]>, KeyError> {
        let seed = self.open_bytes(sealed, context)?;
        let mut opened = Zeroizing::new([0; LEN]);
        if seed.len() != LEN {
            return Err(KeyError::Sealed);
        }
        opened.copy_from_slice(&seed);
        Ok(opened)
    }

    /// Opens bytes that [`Kek::seal_bytes`] sealed.
    ///
    /// # Errors
    /// [`KeyError::Sealed`] or [`KeyError::Version`].
    pub fn open_bytes(&self, sealed: &[u8], context: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        match sealed.first() {
            Some(&VERSION) => {}
            Some(&other) => return Err(KeyError::Version(other)),
            None => return Err(KeyError::Sealed),
        }
        let (nonce, ciphertext) = sealed[1..]
            .split_at_checked(NONCE_LEN)
            .ok_or(KeyError::Sealed)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeyError::Sealed)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let length = self
            .cipher()?
            .open_in_place(nonce, Aad::from(associated(context)), &mut buffer)
            .map_err(|_| KeyError::Sealed)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }

    fn parse(text: &str, source: &str) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed(source.into());
        // Longer than any key: decoding needs room for a few bytes more than there are.
        let mut bytes = Zeroizing::new([0; 64]);
        let line = text.strip_suffix('\n').unwrap_or(text);
        let length = STANDARD
            .decode_slice(line.trim_end_matches('\r'), &mut *bytes)
            .map_err(|_| malformed())?;
        if length != LEN {
            return Err(malformed());
        }
        let mut key = Zeroizing::new([0; LEN]);
        key.copy_from_slice(&bytes[..LEN]);
        Ok(Self(key))
    }

    fn cipher(&self) -> Result<LessSafeKey, KeyError> {
        let key = UnboundKey::new(&AES_256_GCM, &*self.0).map_err(|_| KeyError::Crypto("key"))?;
        Ok(LessSafeKey::new(key))
    }
}

/// Reads a short file that only its owner can read.
///
/// # Errors
/// [`KeyError::File`] or [`KeyError::Readable`].
pub fn read_secret(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let failed = |source| KeyError::File {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    // Asked of the open file, so that the same file is checked and read.
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.mode() & 0o7777;
    if is_exposed(mode, metadata.uid()) {
        return Err(KeyError::Readable {
            path: path.to_owned(),
            mode,
        });
    }
    // Room for all of it, so that no copy is left behind when the buffer grows.
    let mut text = Zeroizing::new(String::with_capacity(2 * MAX_FILE as usize));
    file.take(MAX_FILE)
        .read_to_string(&mut text)
        .map_err(failed)?;
    Ok(text)
}

/// Whether a secret's file can be read by users for whom it is not meant. A file of root that a group may read is meant for that group:
/// clusters hand secrets to a process this way (mode 0440, `fsGroup`).
pub fn is_exposed(mode: u32, owner: u32) -> bool {
    let others = if owner == 0 { 0o037 } else { 0o077 };
    mode & others != 0
}

/// Writes a new file of mode 0600, durably and as a whole: a process that is killed leaves no half of a secret under this name.
///
/// # Errors
/// [`KeyError::File`]: also when the file exists.
pub fn write_secret(path: &Path, text: &str) -> Result<(), KeyError> {
    let failed = |source| KeyError::File {
        path: path.to_owned(),
        source,
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    // An earlier process with this number may have left it.
    let _ = std::fs::remove_file(&beside);
    let written = write_whole(&beside, text).and_then(|()| {
        // A link, unlike a new name, replaces nothing.
        match std::fs::hard_link(&beside, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                tracing::debug!(%error, "no links on this file system");
                write_whole(path, text)
            }
            linked => linked,
        }
    });
    let _ = std::fs::remove_file(&beside);
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let synced = || File::open(parent).and_then(|parent| parent.sync_all());
    written.and_then(|()| synced()).map_err(failed)
}

fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    // Half a key would be in the way of the next attempt; if it cannot be removed, the error is still the same.
    written.inspect_err(|_| drop(std::fs::remove_file(path)))
}

/// The data that is authenticated beside the seed. It includes the version, so that no later format can be passed off as this one.
fn associated(context: &str) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(context.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use proptest::prelude::*;

    use super::*;

    fn random() -> Random {
        ambient::Ambient::unset().random
    }

    proptest! {
        #[test]
        fn opens_only_unchanged_under_its_own_context(seed: [u8; LEN], context: String, at: prop::sample::Index, bit in 0..8) {
            let kek = Kek::generate(&random()).unwrap();
            let mut sealed = kek.seal(&seed, &context, &random()).unwrap();
            prop_assert_eq!(*kek.open(&sealed, &context).unwrap(), seed);
            prop_assert!(!sealed.windows(LEN).any(|window| window == seed));
            let other = format!("{context}x");
            prop_assert!(matches!(kek.open(&sealed, &other), Err(KeyError::Sealed)));
            prop_assert!(matches!(Kek::generate(&random()).unwrap().open(&sealed, &context), Err(KeyError::Sealed)));
            prop_assert_ne!(&sealed, &kek.seal(&seed, &context, &random()).unwrap());
            let short = at.index(sealed.len());
            prop_assert!(kek.open(&sealed[..short], &context).is_err());
            sealed[short] ^= 1u8 << bit;
            prop_assert!(kek.open(&sealed, &context).is_err());
        }
    }

    #[test]
    fn a_written_key_reads_back_and_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kek");
        let kek = Kek::generate(&random()).unwrap();
        kek.write_new(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let sealed = kek.seal(&[7; LEN], "a", &random()).unwrap();
        assert_eq!(
            *Kek::from_file(&path).unwrap().open(&sealed, "a").unwrap(),
            [7; LEN]
        );
        let again = Kek::generate(&random()).unwrap().write_new(&path);
        assert!(
            matches!(again, Err(KeyError::File { source, .. }) if source.kind() == ErrorKind::AlreadyExists)
        );
        assert!(Kek::from_file(&path).is_ok());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kek");
        Kek::generate(&random()).unwrap().write_new(&path).unwrap();
        for mode in [0o604, 0o620, 0o601, 0o644] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = Kek::from_file(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        assert!(Kek::from_file(&path).is_ok());
    }

    #[test]
    fn malformed_keys_are_refused_without_showing_them() {
        let good = STANDARD.encode([9; LEN]);
        let lines = [
            "",
            "\n",
            "AAAA",
            &good[..43],
            &format!("{good}\n\n"),
            &format!("{good} "),
            &"A".repeat(88),
            "ä",
        ];
        for line in lines {
            let error = Kek::parse(line, "test").unwrap_err();
            assert!(matches!(error, KeyError::Malformed(_)), "{line:?}");
        }
        for line in [good.clone(), format!("{good}\n"), format!("{good}\r\n")] {
            let kek = Kek::parse(&line, "test").unwrap();
            assert_eq!(format!("{kek:?}"), "Kek(secret)");
        }
        assert!(matches!(
            Kek::from_env("LOGD_KEK_THAT_IS_NOT_SET"),
            Err(KeyError::Unset(_))
        ));
    }
}
