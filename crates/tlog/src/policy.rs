//! Trust policies (C2SP tlog-policy): which logs and witnesses are known, and which of the witnesses together are enough.
//!
//! A policy decides what is believed. So a policy that is not fully understood is refused whole, with the wrong line, and a witness can
//! count only once: neither two names for one key nor two memberships are possible. A key of an unknown algorithm, such as ML-DSA, is not a
//! mistake: its witness never counts, and its log never signs.

use std::collections::HashMap;

use crate::cosignature::{COSIGNATURE, CosignerKey};
use crate::key::{ECDSA, ED25519, VerifierKey, is_unknown_vkey};

/// The most lines of each kind; a checkpoint carries at most 100 signatures.
const MOST: usize = 64;
/// The longest policy, bytes.
const LONGEST: usize = 64 * 1024;

/// A witness of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWitness {
    /// Its name in this policy.
    pub name: String,
    /// The key that checks its cosignatures.
    pub key: CosignerKey,
    /// The URL to which checkpoints are sent: the submission prefix of C2SP tlog-witness.
    pub url: Option<String>,
}

/// A member that counts as one vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Witness(usize),
    /// A witness whose key is of an algorithm that is not known here: it never counts.
    Unknown,
    Group(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    needed: usize,
    members: Vec<Member>,
}

/// The trusted logs, and the groups of witnesses that are enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The logs, each with its URL.
    pub logs: Vec<(VerifierKey, Option<String>)>,
    /// The witnesses, each with its URL if it has one.
    pub witnesses: Vec<PolicyWitness>,
    /// Names of the witnesses whose keys are of algorithms that are not known here: they never count.
    pub unknown: Vec<String>,
    groups: Vec<Group>,
    /// `None` for `quorum none`.
    quorum: Option<Member>,
}

/// Why a text is not a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct PolicyError {
    /// The line, from 1; the line after the last one for what is missing.
    pub line: usize,
    /// The fault of the line.
    pub problem: String,
}

#[derive(Default)]
struct Reader {
    logs: Vec<(VerifierKey, Option<String>)>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    quorum: Option<Option<Member>>,
    unknown: Vec<String>,
    never: Vec<String>,
    names: HashMap<String, (Member, bool)>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let items: Vec<&str> = line
            .split([' ', '\t'])
            .filter(|item| !item.is_empty())
            .collect();
        match items.as_slice() {
            [] => Ok(()),
            ["log", vkey] => self.log(vkey, None),
            ["log", vkey, url] => self.log(vkey, Some(url)),
            ["log", ..] => Err("expected: log VKEY [URL]".into()),
            ["witness", name, vkey] => self.witness(name, vkey, None),
            ["witness", name, vkey, url] => self.witness(name, vkey, Some(url)),
            ["witness", ..] => Err("expected: witness NAME VKEY [URL]".into()),
            ["group", name, needed, members @ ..] => self.group(name, needed, members),
            ["group", ..] => Err("expected: group NAME all|any|K NAME...".into()),
            ["quorum", name] => self.quorum(name),
            ["quorum", ..] => Err("expected: quorum NAME, or: quorum none".into()),
            [word, ..] => Err(format!(
                "`{word}` is not one of log, witness, group and quorum"
            )),
        }
    }

    fn log(&mut self, vkey: &str, url: Option<&str>) -> Result<(), String> {
        if is_unknown_vkey(vkey, &[ED25519, ECDSA]) && vkey.parse::<CosignerKey>().is_err() {
            return self.unknown(vkey);
        }
        let key: VerifierKey = vkey.parse().map_err(|e| format!("{e}"))?;
        if self.logs.len() == MOST {
            return Err(format!("more than {MOST} logs"));
        }
        if self
            .logs
            .iter()
            .any(|(known, _)| known.bytes() == key.bytes())
        {
            return Err(format!("the key of log {} is listed twice", key.name()));
        }
        self.logs.push((key, url.map(str::to_owned)));
        Ok(())
    }

    fn define(&mut self, name: &str, member: Member) -> Result<(), String> {
        if name == "none" {
            return Err("`none` is reserved".into());
        }
        match self.names.insert(name.to_owned(), (member, false)) {
            None => Ok(()),
            Some(_) => Err(format!("`{name}` is defined twice")),
        }
    }

    /// Takes a key of an unknown algorithm, each once.
    fn unknown(&mut self, vkey: &str) -> Result<(), String> {
        if self.unknown.len() == MOST {
            return Err(format!("more than {MOST} keys of unknown algorithms"));
        }
        if self.unknown.iter().any(|known| known == vkey) {
            return Err("this key is listed twice".into());
        }
        self.unknown.push(vkey.to_owned());
        Ok(())
    }

    fn witness(&mut self, name: &str, vkey: &str, url: Option<&str>) -> Result<(), String> {
        if is_unknown_vkey(vkey, &[COSIGNATURE]) && vkey.parse::<VerifierKey>().is_err() {
            self.unknown(vkey)?;
            self.define(name, Member::Unknown)?;
            self.never.push(name.to_owned());
            return Ok(());
        }
        let key: CosignerKey = vkey.parse().map_err(|e| format!("{e}"))?;
        if self.witnesses.len() == MOST {
            return Err(format!("more than {MOST} witnesses"));
        }
        if let Some(known) = self
            .witnesses
            .iter()
            .find(|known| known.key.bytes() == key.bytes())
        {
            return Err(format!("{name} has the key of {}", known.name));
        }
        self.define(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(PolicyWitness {
            name: name.to_owned(),
            key,
            url: url.map(str::to_owned),
        });
        Ok(())
    }

    fn group(&mut self, name: &str, needed: &str, names: &[&str]) -> Result<(), String> {
        if self.groups.len() == MOST {
            return Err(format!("more than {MOST} groups"));
        }
        let needed = match needed {
            "all" => names.len(),
            "any" => 1,
            number if number.bytes().all(|b| b.is_ascii_digit()) => number
                .parse()
                .map_err(|_| format!("`{number}` is not a number of members"))?,
            other => return Err(format!("`{other}` is not all, any or a number")),
        };
        if needed == 0 || needed > names.len() {
            return Err(format!(
                "{needed} of {} members can't be required",
                names.len()
            ));
        }
        let mut members = Vec::with_capacity(names.len());
        for member in names {
            match self.names.get_mut(*member) {
                None => return Err(format!("`{member}` is not defined above")),
                Some((_, true)) => return Err(format!("`{member}` is a member twice")),
                Some((found, taken)) => {
                    *taken = true;
                    members.push(*found);
                }
            }
        }
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { needed, members });
        Ok(())
    }

    fn quorum(&mut self, name: &str) -> Result<(), String> {
        if self.quorum.is_some() {
            return Err("a second quorum".into());
        }
        self.quorum = Some(match name {
            "none" => None,
            name => Some(
                self.names
                    .get(name)
                    .ok_or_else(|| format!("`{name}` is not defined above"))?
                    .0,
            ),
        });
        Ok(())
    }
}

impl Policy {
    /// The policy without logs and witnesses, which asks for nothing.
    pub fn none() -> Self {
        Self {
            logs: Vec::new(),
            witnesses: Vec::new(),
            unknown: Vec::new(),
            groups: Vec::new(),
            quorum: None,
        }
    }

    /// Reads a policy.
    ///
    /// # Errors
    /// [`PolicyError`] with the first line that is not understood.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        Self::from_bytes(text.as_bytes())
    }

    /// Reads a policy as it is in a file: bytes, of which a comment may have any but control characters (C2SP tlog-policy).
    ///
    /// # Errors
    /// [`PolicyError`] with the first line that is not understood.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PolicyError> {
        let error = |line, problem: String| PolicyError { line, problem };
        if bytes.len() > LONGEST {
            return Err(error(1, format!("longer than {LONGEST} bytes")));
        }
        let mut reader = Reader::default();
        let mut lines = 0;
        for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            lines = at + 1;
            if line
                .iter()
                .any(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f)
            {
                return Err(error(lines, "a control character".into()));
            }
            let first = line.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
            if first == Some(&b'#') {
                continue;
            }
            let line = std::str::from_utf8(line)
                .map_err(|_| error(lines, "outside a comment the text must be UTF-8".into()))?;
            reader.line(line).map_err(|problem| error(lines, problem))?;
        }
        let quorum = reader.quorum.ok_or_else(|| {
            error(
                lines + 1,
                "no quorum line; write `quorum none` for no cosignature".into(),
            )
        })?;
        Ok(Self {
            logs: reader.logs,
            witnesses: reader.witnesses,
            unknown: reader.never,
            groups: reader.groups,
            quorum,
        })
    }

    /// Whether the policy asks for no cosignature at all.
    pub fn is_none(&self) -> bool {
        self.quorum.is_none()
    }

    /// Whether the witnesses for which `cosigned` says yes are enough; it is asked by position in
    /// [`witnesses`](Self::witnesses).
    pub fn satisfied(&self, cosigned: impl Fn(usize) -> bool) -> bool {
        // A group only names what stands above it, so one pass is enough.
        let mut groups = Vec::with_capacity(self.groups.len());
        let vote = |groups: &[bool], member: &Member| match *member {
            Member::Witness(at) => cosigned(at),
            Member::Unknown => false,
            Member::Group(at) => groups.get(at).copied().unwrap_or(false),
        };
        for group in &self.groups {
            let votes = group.members.iter().filter(|m| vote(&groups, m)).count();
            groups.push(votes >= group.needed);
        }
        self.quorum
            .as_ref()
            .is_none_or(|member| vote(&groups, member))
    }
}
