//! Sigstore's own clients, unmodified, and a private Sigstore around the log that they sign against: `tests/sigstore`.
//!
//! The clients are looked for in the folder that `TESTS_SIGSTORE` names; `cargo xtask test` installs them where it can.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use sha2::Digest as _;

/// Names the folder with the clients.
pub const SIGSTORE: &str = "TESTS_SIGSTORE";

/// Whom the certificate authority's certificates name.
const EMAIL: &str = "dev@logd.test";
const ISSUER: &str = "http://oidc.test";

/// A client that signs and verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Cosign,
    Go,
    Python,
    /// sigstore-js on node 20.
    Js4,
    /// sigstore-js on node 24.
    Js5,
}

impl Client {
    /// Every client that signs and verifies.
    pub const ALL: [Self; 5] = [Self::Cosign, Self::Go, Self::Python, Self::Js4, Self::Js5];
}

/// The certificate authority, time stamps and tokens around a log; it ends when this is dropped.
#[derive(Debug)]
pub struct Sigstore {
    clients: PathBuf,
    /// Its files, those of the clients, and what tests put there.
    pub folder: tempfile::TempDir,
    token: String,
    child: Child,
    /// It ends when this is closed.
    _stdin: ChildStdin,
}

impl Drop for Sigstore {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sigstore {
    /// Starts it; nothing where the clients are not installed.
    ///
    /// # Errors
    /// When it ends before it is ready.
    pub fn start() -> Result<Option<Self>> {
        let Some(clients) = std::env::var_os(SIGSTORE).map(PathBuf::from) else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("sigstore");
        let mut child = Command::new(clients.join("python/bin/python"))
            .arg("-B")
            .arg(kit.join("stack.py"))
            .arg("--dir")
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the private Sigstore")?;
        let stdin = child.stdin.take().context("stdin is a pipe")?;
        let stdout = child.stdout.take().context("stdout is a pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let ready: Value =
            serde_json::from_str(&line).context("the private Sigstore is not ready")?;
        let token = ready["files"]["token"].as_str().context("a token")?;
        let token = std::fs::read_to_string(token)?;
        Ok(Some(Self {
            clients,
            folder,
            token,
            child,
            _stdin: stdin,
        }))
    }

    /// A file of its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program, with a home and a folder of its own.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.clients.join(program));
        command
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("COSIGN_PASSWORD", "")
            .stdin(Stdio::null());
        command
    }

    /// Runs a command, and answers what it wrote to standard output.
    fn output(mut command: Command) -> Result<String> {
        let output = command.output().with_context(|| format!("{command:?}"))?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("{command:?}: {}\n{stdout}\n{stderr}", output.status);
        }
        Ok(stdout)
    }

    /// Signs the file `artifact` with a certificate, and writes the bundle.
    ///
    /// # Errors
    /// With what the client said.
    pub fn sign(&self, client: Client, artifact: &str, bundle: &str) -> Result<()> {
        let words: Vec<&str> = match client {
            Client::Cosign => vec![
                "sign-blob",
                "-y",
                "--identity-token",
                "token",
                "--signing-config",
                "signing_config.json",
                "--trusted-root",
                "trusted_root.json",
                "--bundle",
                bundle,
                artifact,
            ],
            Client::Go => vec![
                "-id-token",
                &self.token,
                "-rekor",
                "-tsa",
                "-signing-config",
                "signing_config.json",
                "-trusted-root",
                "trusted_root.json",
                artifact,
            ],
            Client::Python => vec![
                "--trust-config",
                "client_trust_config.json",
                "sign",
                "--identity-token",
                &self.token,
                "--bundle",
                bundle,
                "--overwrite",
                artifact,
            ],
            Client::Js4 | Client::Js5 => vec![
                "sign",
                "--signing-config",
                "signing_config.json",
                "--token",
                "token",
                "--bundle",
                bundle,
                artifact,
            ],
        };
        let mut command = self.program(client, "sigstore-go-signing");
        command.args(words);
        let stdout = Self::output(command)?;
        if client == Client::Go {
            // The bundle comes after some lines of text.
            let begin = stdout.find("\n{").context("no bundle")?;
            std::fs::write(self.file(bundle), &stdout[begin..])?;
        }
        ensure!(self.file(bundle).is_file(), "{client:?} wrote no bundle");
        Ok(())
    }

    /// Verifies a bundle over the file `artifact`.
    ///
    /// # Errors
    /// With what the client said.
    pub fn verify(&self, client: Client, artifact: &str, bundle: &str) -> Result<()> {
        let words: Vec<&str> = match client {
            Client::Cosign => vec![
                "verify-blob",
                "--trusted-root",
                "trusted_root.json",
                "--bundle",
                bundle,
                "--certificate-identity",
                EMAIL,
                "--certificate-oidc-issuer",
                ISSUER,
                artifact,
            ],
            Client::Go => vec![
                "-artifact",
                artifact,
                "-trustedrootJSONpath",
                "trusted_root.json",
                "-expectedSAN",
                EMAIL,
                "-expectedIssuer",
                ISSUER,
                bundle,
            ],
            Client::Python => vec![
                "--trust-config",
                "client_trust_config.json",
                "verify",
                "identity",
                "--bundle",
                bundle,
                "--cert-identity",
                EMAIL,
                "--cert-oidc-issuer",
                ISSUER,
                artifact,
            ],
            Client::Js4 | Client::Js5 => vec![
                "verify",
                "--trusted-root",
                "trusted_root.json",
                "--identity",
                EMAIL,
                "--issuer",
                ISSUER,
                "--bundle",
                bundle,
                artifact,
            ],
        };
        let mut command = self.program(client, "sigstore-go-verification");
        command.args(words);
        Self::output(command).map(drop)
    }

    /// Runs rekor-cli against a server; what it said.
    ///
    /// # Errors
    /// With what it said.
    pub fn rekor_cli(&self, server: &str, words: &str) -> Result<String> {
        let mut command = self.command("bin/rekor-cli");
        command
            .args(words.split_whitespace())
            .args(["--rekor_server", server]);
        Self::output(command)
    }

    /// Makes the key that [`Sigstore::upload`] signs with.
    ///
    /// # Errors
    /// When openssl is not there.
    pub fn key(&self) -> Result<()> {
        self.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem")?;
        self.openssl("pkey -in key.pem -pubout -out public.pem")
    }

    /// Writes and signs an artifact; the words with which rekor-cli uploads it.
    ///
    /// # Errors
    /// When openssl is not there.
    pub fn upload(&self, name: &str, content: &str) -> Result<String> {
        std::fs::write(self.file(name), content)?;
        self.openssl(&format!(
            "dgst -sha256 -sign key.pem -out {name}.sig {name}"
        ))?;
        let hash = hex(&sha2::Sha256::digest(content));
        Ok(format!(
            "upload --type hashedrekord --artifact-hash {hash} --signature {name}.sig --public-key public.pem --pki-format x509"
        ))
    }

    fn openssl(&self, words: &str) -> Result<()> {
        let mut command = Command::new("openssl");
        command
            .current_dir(self.folder.path())
            .args(words.split_whitespace());
        Self::output(command).map(drop)
    }

    /// Makes an attestation of an artifact with cosign, which then verifies it.
    ///
    /// # Errors
    /// With what it said.
    pub fn attest(&self, artifact: &str, bundle: &str) -> Result<()> {
        let content = std::fs::read(self.file(artifact))?;
        let statement = serde_json::json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": artifact, "digest": {"sha256": hex(&sha2::Sha256::digest(content))}}],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {"buildType": "https://example.org/build", "externalParameters": {}},
                "runDetails": {"builder": {"id": "https://example.org/builder"}},
            },
        });
        std::fs::write(self.file("statement.json"), statement.to_string())?;
        let mut attest = self.command("bin/cosign");
        attest.args([
            "attest-blob",
            "-y",
            "--identity-token",
            "token",
            "--signing-config",
            "signing_config.json",
            "--trusted-root",
            "trusted_root.json",
            "--statement",
            "statement.json",
            "--bundle",
            bundle,
            artifact,
        ]);
        Self::output(attest)?;
        let mut verify = self.command("bin/cosign");
        verify.args([
            "verify-blob-attestation",
            "--trusted-root",
            "trusted_root.json",
            "--bundle",
            bundle,
            "--type",
            "slsaprovenance1",
            "--certificate-identity",
            EMAIL,
            "--certificate-oidc-issuer",
            ISSUER,
            artifact,
        ]);
        Self::output(verify).map(drop)
    }

    fn program(&self, client: Client, go: &str) -> Command {
        let js = |name: &str| {
            let mut command = self.command(&format!("{name}/node"));
            command.arg(self.clients.join(name).join("client.js"));
            command
        };
        match client {
            Client::Cosign => self.command("bin/cosign"),
            Client::Go => self.command(&format!("bin/{go}")),
            Client::Python => self.command("python/bin/sigstore"),
            Client::Js4 => js("js4"),
            Client::Js5 => js("js5"),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
