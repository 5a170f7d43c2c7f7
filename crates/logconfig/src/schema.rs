//! The JSON Schema of the document. Editors use it, generated files take their comments from it, and [`crate::parse`] checks
//! documents against it: one description of the document, not three.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::model::LogConfig;

/// The address at which editors find the schema; also its `$id`.
pub const SCHEMA_ID: &str = "https://logctl.dev/schema/logctl-v1.json";

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    // Inlined, so that a reader needs to follow no reference.
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .for_deserialize();
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<LogConfig>();
    schema.insert("$id".to_owned(), SCHEMA_ID.into());
    // Their defaults depend on other fields; an operator would never get the empty values that stand for them.
    for field in ["/properties/origin", "/properties/shards"] {
        if let Some(Value::Object(field)) = schema.pointer_mut(field) {
            field.remove("default");
        }
    }
    schema.to_value()
});

/// JSON Schema (2020-12) of [`LogConfig`], without references.
#[must_use]
pub fn schema() -> Value {
    SCHEMA.clone()
}

pub(crate) fn schema_ref() -> &'static Value {
    &SCHEMA
}
