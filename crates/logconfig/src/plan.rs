//! A change as a file: made and reviewed now, applied later, unchanged.
//!
//! A plan holds the whole base, the whole next document and the effect that the server computed, under one digest. What must never
//! happen: a plan does something else than what was reviewed. So it is decoded strictly, its digest covers every byte that matters, and
//! everything that follows from the documents (tags, differences) is computed again and compared.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::diff::{Difference, diff};
use crate::finding::{Finding, Problem, join, quote};
use crate::model::{ApiVersion, LogConfig};
use crate::name::LogName;
use crate::tree::MAX_BYTES;

/// The longest plan that is read: two documents, their differences, and a little more.
pub const MAX_PLAN_BYTES: usize = 4 * MAX_BYTES;

const HINT: &str = "make it again: `logctl config plan FILE -o plan.json`";

/// A change that was computed and not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// The log to change.
    pub log: LogName,
    /// The document that ran when it was made; the plan can only be applied to it.
    pub base: PlanDocument,
    /// The configuration that is to run: exactly this, in its canonical form, and from then on under this entity tag.
    pub next: PlanDocument,
    /// The differences from base to next, in an operator's words.
    pub differences: Vec<Difference>,
    /// When it was made, RFC 3339.
    pub made_at: String,
    /// The actor that made it, as the server knows it: `uid:0`, `token:ci`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
}

/// A document and the name of its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanDocument {
    /// The generation that runs it.
    pub generation: u64,
    /// `g<generation>-<sha256 prefix>`, without quotes.
    pub etag: String,
    /// The document, as [`LogConfig::stripped`] has it.
    pub config: LogConfig,
}

/// The file: the plan, and SHA-256 over its canonical JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: ApiVersion,
    kind: Kind,
    digest: String,
    plan: Plan,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    ConfigPlan,
}

impl PlanDocument {
    /// A document as a generation runs it.
    #[must_use]
    pub fn new(config: &LogConfig, generation: u64) -> Self {
        Self {
            generation,
            etag: config.etag(generation),
            config: config.stripped(),
        }
    }

    fn check(&self, log: &LogName, pointer: &str) -> Result<(), Finding> {
        let findings = self.config.validate();
        if let Some(first) = findings.into_iter().next() {
            let at = format!("{pointer}/config{}", first.pointer);
            return Err(Problem::new(first.code, first.message).hint(HINT).at(at));
        }
        let edited = |field: &str, message: String| {
            Err(Problem::new("plan-edited", message)
                .hint(HINT)
                .at(format!("{pointer}/{field}")))
        };
        if self.config.log != *log {
            return edited(
                "config/log",
                format!(
                    "the plan is for {log}, this document is of {}",
                    self.config.log
                ),
            );
        }
        if self.config != self.config.stripped() {
            return edited("config", "the document is not in its canonical form".into());
        }
        let etag = self.config.etag(self.generation);
        if self.etag != etag {
            let message = format!("this document is {etag}, not {}", quote(&self.etag));
            return edited("etag", message);
        }
        Ok(())
    }
}

impl Plan {
    /// The plan that leads from one document to another.
    #[must_use]
    pub fn new(
        base: PlanDocument,
        next: PlanDocument,
        made_at: String,
        made_by: Option<String>,
    ) -> Self {
        Self {
            log: base.config.log.clone(),
            differences: diff(&base.config, &next.config),
            base,
            next,
            made_at,
            made_by,
        }
    }

    /// Reads a plan's file. A plan that was edited is refused, whether or not its digest was edited too.
    ///
    /// # Errors
    /// The first fault, with a pointer into the file, and with line and column if it is a fault of the JSON itself.
    pub fn decode(bytes: &[u8]) -> Result<Self, Finding> {
        let not_a_plan = |message: String| {
            Problem::new("not-a-plan", message).hint(
                "a plan is made by `logctl config plan FILE -o plan.json`; a document is applied by `logctl shard --use-config FILE`",
            )
        };
        if bytes.len() > MAX_PLAN_BYTES {
            let message = format!("a plan has at most {MAX_PLAN_BYTES} bytes");
            return Err(not_a_plan(message).at(""));
        }
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let file: File = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            use serde_path_to_error::Segment;
            let pointer =
                error
                    .path()
                    .iter()
                    .fold(String::new(), |pointer, segment| match segment {
                        Segment::Seq { index } => join(&pointer, &index.to_string()),
                        Segment::Map { key } => join(&pointer, key),
                        Segment::Enum { .. } | Segment::Unknown => pointer,
                    });
            placed(not_a_plan(reason(error.inner())).at(pointer), error.inner())
        })?;
        json.end()
            .map_err(|error| placed(not_a_plan(reason(&error)).at(""), &error))?;
        file.plan.check()?;
        if file.digest != file.plan.digest() {
            let message = "the plan is not what it was when it was made: its digest differs";
            return Err(Problem::new("plan-edited", message)
                .hint(HINT)
                .at("/digest"));
        }
        Ok(file.plan)
    }

    /// The plan's file: indented JSON.
    #[must_use]
    pub fn encode(&self) -> String {
        let file = File {
            api_version: ApiVersion::V1,
            kind: Kind::ConfigPlan,
            digest: self.digest(),
            plan: self.clone(),
        };
        json(&file, serde_json::to_string_pretty) + "\n"
    }

    /// `sha256:` and the hex SHA-256 of its canonical JSON: fields in their order, no white space.
    #[must_use]
    pub fn digest(&self) -> String {
        let digest = Sha256::digest(json(self, serde_json::to_vec));
        format!("sha256:{}", tlog::hex(&digest))
    }

    /// All that follows from the documents is compared with them.
    fn check(&self) -> Result<(), Finding> {
        self.base.check(&self.log, "/plan/base")?;
        self.next.check(&self.log, "/plan/next")?;
        if self.differences != diff(&self.base.config, &self.next.config) {
            let message = "these are not the differences between the plan's two documents";
            return Err(Problem::new("plan-edited", message)
                .hint(HINT)
                .at("/plan/differences"));
        }
        Ok(())
    }
}

/// The message without serde_json's own position, which the finding has.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) if error.line() > 0 => text[..end].to_owned(),
        _ => text,
    }
}

fn placed(mut finding: Finding, error: &serde_json::Error) -> Finding {
    if error.line() > 0 {
        finding.line = u32::try_from(error.line()).ok();
        finding.column = u32::try_from(error.column().max(1)).ok();
    }
    finding
}

/// Strings, integers and structs of those, which always serialise.
#[expect(
    clippy::expect_used,
    reason = "serde_json fails only on maps with non-string keys and on failing Serialize impls; a plan has neither"
)]
fn json<T, O>(value: &T, write: impl FnOnce(&T) -> serde_json::Result<O>) -> O {
    write(value).expect("a plan serialises")
}
