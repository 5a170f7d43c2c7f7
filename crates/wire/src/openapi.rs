//! The OpenAPI 3.1 document of the admin endpoint, made from [`ROUTES`](crate::routes::ROUTES) and the types of this crate.

use std::collections::BTreeMap;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::routes::{Answer, Base, Body, COMMON, Kind, ROUTES, Route, Scope};
use crate::{BASE, PROBLEM_TYPE, Problem, codes};

/// The place of the schemas in the document.
const SCHEMAS: &str = "/components/schemas";
/// The place of the answers that are problems, by status.
const RESPONSES: &str = "/components/responses";

/// The OpenAPI document. It is the same for every server of this version: a host answers 501 to a request that it does not support.
#[must_use]
pub fn openapi() -> Value {
    // The schemas say what a request may hold, not only what an answer holds: one definition serves both directions.
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
        })
        .for_deserialize()
        .into_generator();
    let mut paths = BTreeMap::<String, Map<String, Value>>::new();
    for route in ROUTES {
        let operation = operation(route, &mut generator);
        paths
            .entry(route.path.replace("{*", "{"))
            .or_default()
            .insert(route.method.as_str().to_lowercase(), operation);
    }
    let responses = problems(&mut generator);
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Administration of a transparency log",
            "version": "1",
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
            "description": INTRODUCTION,
        },
        "servers": [{"url": BASE}],
        "security": [{"bearer": []}, {"certificate": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token, or the secret of a session.",
                },
                "certificate": {
                    "type": "mutualTLS",
                    "description": "A client certificate that the server gives a role.",
                },
            },
        },
    })
}

const INTRODUCTION: &str = "\
Sizes count entries, times are RFC 3339 UTC strings, hashes lowercase hex. Over the Unix socket the caller is identified by \
the user ID and needs neither token nor certificate. Unknown query parameters and unknown members of a request are refused; clients \
ignore unknown members of answers. Each operation names the permission that it needs, `resource:verb`; the third part of \
a permission is a log's name or `*`.";

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": operation_id(route),
        "tags": [route.path.split('/').nth(1)],
        "summary": route.summary,
        "parameters": parameters(route),
        "responses": responses(route, generator),
        "x-problem-codes": codes_of(route).collect::<Vec<_>>(),
    });
    if let Some((need, scope)) = route.need {
        let on = match scope {
            Scope::Path => "the log of the path",
            Scope::Body => "the log of the body",
            Scope::Operation => "the log of the operation; other callers get 404",
            Scope::Some => "any log; the answer holds what the caller may see",
            Scope::NamedOrSome => {
                "the log of `?log=`, or any; the answer holds what the caller may see"
            }
            Scope::NamedOrAll => "the log of `?log=`, or all logs",
            Scope::All => "all logs (`*`)",
        };
        operation["description"] = format!("Needs `{need}` on {on}.").into();
        operation["x-permission"] = need.to_string().into();
    }
    if let Some(body) = body(route, generator) {
        operation["requestBody"] = body;
    }
    operation
}

/// The name of the route in camel case: `showConfig`.
fn operation_id(route: &Route) -> String {
    let name = format!("{:?}", route.name);
    let first = name.chars().next().unwrap_or_default().to_ascii_lowercase();
    name.chars().skip(1).fold(String::from(first), |mut id, c| {
        id.push(c);
        id
    })
}

fn parameters(route: &Route) -> Vec<Value> {
    let mut parameters = Vec::new();
    for segment in route.path.split('/') {
        let name = segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        if let Some(name) = name {
            parameters.push(path_parameter(name.trim_start_matches('*')));
        }
    }
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .for_deserialize()
        .into_generator();
    let query = (route.query)(&mut generator).to_value();
    if let Some(properties) = query["properties"].as_object() {
        parameters.extend(properties.iter().map(query_parameter));
    }
    let header = |name: &str, required: bool, pattern: &str, example: &str, description: &str| {
        json!({
            "name": name,
            "in": "header",
            "required": required,
            "description": description,
            "schema": {"type": "string", "pattern": pattern},
            "example": example,
        })
    };
    match route.kind {
        Kind::Plain => {}
        Kind::Keyed => parameters.push(idempotency(header)),
        Kind::Conditional => parameters.push(header(
            "If-None-Match",
            false,
            "^[\\t -~]*$",
            "\"g7-1a2b3c4d\"",
            "The ETag of what the caller has: 304 when it is still that.",
        )),
        Kind::Write(base) => {
            if base != Base::None {
                parameters.push(header(
                    "If-Match",
                    base == Base::Required,
                    "^\"g(0|[1-9][0-9]{0,17})(-[0-9a-f]{8})?\"$",
                    "\"g7-1a2b3c4d\"",
                    "The ETag of the configuration that the change was made from.",
                ));
            }
            parameters.push(idempotency(header));
        }
    }
    parameters
}

fn idempotency(header: impl Fn(&str, bool, &str, &str, &str) -> Value) -> Value {
    header(
        "Idempotency-Key",
        false,
        "^[!-~]{1,128}$",
        "5f0c7d3e1b",
        "The same key with the same change repeats the first answer; a token gets a new text.",
    )
}

fn path_parameter(name: &str) -> Value {
    const NAME: &str = "^[a-z0-9][a-z0-9.-]{0,62}$";
    let (pattern, example, description) = match name {
        "id" => (
            "^[0-9a-f]{32}$",
            "0123456789abcdef0123456789abcdef",
            "An operation's id.",
        ),
        "path" => (
            "^(shards|[a-z0-9][a-z0-9.-]{0,62}/(checkpoint|tile/(entries|[0-9]{1,2})/(x[0-9]{3}/){0,5}[0-9]{3}([.]p/[0-9]{1,3})?))$",
            "0/checkpoint",
            "An object's path, slashes and all.",
        ),
        "name" => (NAME, "ci", "A token's name."),
        _ => (NAME, "argon", "A log's name."),
    };
    json!({
        "name": name,
        "in": "path",
        "required": true,
        "description": description,
        "schema": {"type": "string", "pattern": pattern},
        "example": example,
    })
}

fn query_parameter((name, schema): (&String, &Value)) -> Value {
    let mut schema = schema.clone();
    let description = schema
        .as_object_mut()
        .and_then(|schema| schema.remove("description"));
    // In a query, an absent parameter stands for null: no text does.
    if let Some(types) = schema["type"].as_array() {
        let own = types.iter().find(|kind| *kind != "null").cloned();
        schema["type"] = own.unwrap_or_default();
    }
    if let Some(of) = schema["anyOf"].as_array() {
        let own = of.iter().find(|kind| kind["type"] != "null").cloned();
        schema = own.unwrap_or_default();
    }
    json!({
        "name": name,
        "in": "query",
        "required": false,
        "description": description,
        "schema": schema,
    })
}

fn body(route: &Route, generator: &mut SchemaGenerator) -> Option<Value> {
    let (shape, required, yaml) = match route.body {
        Body::None => return None,
        Body::Optional(shape) => (shape, false, false),
        Body::Json(shape) => (shape, true, false),
        Body::Document(shape) => (shape, true, true),
    };
    let mut media = json!({"schema": shape(generator).to_value()});
    if let Some(example) = route
        .example
        .and_then(|text| serde_json::from_str(text).ok())
    {
        media["example"] = example;
    }
    let mut content = Map::from_iter([("application/json".to_owned(), media.clone())]);
    if yaml {
        content.insert("application/yaml".to_owned(), media);
    }
    Some(json!({"required": required, "content": content}))
}

fn responses(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let any = json!({"type": "object"});
    let content = match route.answer {
        Answer::Json(shape) => {
            json!({"application/json": {"schema": shape(generator).to_value()}})
        }
        Answer::Followed(shape) => json!({
            "application/json": {"schema": shape(generator).to_value()},
            "text/event-stream": {"schema": {
                "type": "string",
                "description": "`operation` events with the operation as JSON, until its state is final; or, at the end, a `problem` event.",
            }},
        }),
        Answer::AnyJson => json!({"application/json": {"schema": any}}),
        Answer::Object => json!({
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "text/plain": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "array"}},
        }),
    };
    let mut good = json!({"description": route.summary, "content": content});
    let etag = json!({
        "description": "The configuration's entity tag; absent after a preview.",
        "schema": {"type": "string"},
    });
    let mut responses = BTreeMap::new();
    match route.kind {
        Kind::Plain | Kind::Keyed => {}
        Kind::Conditional => {
            good["headers"] = json!({"ETag": etag});
            let unchanged = json!({"description": "The document is the one that If-None-Match names", "headers": {"ETag": etag}});
            responses.insert("304".to_owned(), unchanged);
        }
        Kind::Write(_) => good["headers"] = json!({"ETag": etag}),
    }
    responses.insert("200".to_owned(), good);

    for code in codes_of(route) {
        if let Some((_, status, _)) = codes::find(code) {
            let response = json!({"$ref": format!("#{RESPONSES}/{status}")});
            responses.insert(status.to_string(), response);
        }
    }
    json!(responses)
}

fn codes_of(route: &Route) -> impl Iterator<Item = &'static str> {
    COMMON.iter().chain(route.codes).copied()
}

/// A response for each status of a problem.
fn problems(generator: &mut SchemaGenerator) -> BTreeMap<String, Value> {
    let mut problems = BTreeMap::<u16, Vec<String>>::new();
    for route in ROUTES {
        for (code, status, title) in codes_of(route).filter_map(codes::find) {
            let texts = problems.entry(status).or_default();
            let text = format!("`{code}`: {title}");
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
    }
    let problem = generator.subschema_for::<Problem>().to_value();
    let retry = |status| match status {
        429 | 503 => json!({"Retry-After": {
            "description": "Seconds after which to try again, if that helps.",
            "schema": {"type": "string", "pattern": "^[0-9]+$"},
        }}),
        _ => json!({}),
    };
    let response = |(status, texts): (u16, Vec<String>)| {
        let response = json!({
            "description": texts.join("; "),
            "headers": retry(status),
            "content": {PROBLEM_TYPE: {"schema": problem}},
        });
        (status.to_string(), response)
    };
    problems.into_iter().map(response).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every value below this one, itself included.
    fn all(value: &Value) -> Vec<&Value> {
        let mut found = vec![value];
        match value {
            Value::Array(items) => found.extend(items.iter().flat_map(all)),
            Value::Object(members) => found.extend(members.values().flat_map(all)),
            _ => {}
        }
        found
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let document = openapi();
        let mut used = BTreeSet::new();
        for value in all(&document) {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                continue;
            };
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
            used.insert(pointer.to_owned());
        }
        for place in [SCHEMAS, RESPONSES] {
            let there = document.pointer(place).unwrap().as_object().unwrap();
            for name in there.keys() {
                let pointer = format!("{place}/{name}");
                assert!(used.contains(&pointer), "{name} is used nowhere");
            }
        }
    }

    #[test]
    fn every_row_is_there_once_with_its_parameters() {
        let document = openapi();
        let mut ids = BTreeSet::new();
        for route in ROUTES {
            let path = route.path.replace("{*", "{");
            let method = route.method.as_str().to_lowercase();
            let operation = &document["paths"][&path][&method];
            assert!(ids.insert(operation["operationId"].to_string()), "{path}");
            let named: Vec<&str> = operation["parameters"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let wanted: Vec<&str> = path.split(['{', '}']).skip(1).step_by(2).collect();
            assert_eq!(named, wanted);
        }
        assert_eq!(ids.len(), ROUTES.len());
    }

    #[test]
    fn parameters_have_one_type_and_say_what_they_are() {
        let document = openapi();
        for value in all(&document) {
            if value.get("in").is_some() {
                assert!(value["schema"]["type"].is_string(), "{value}");
                assert!(value["description"].is_string(), "{value}");
            }
        }
        let put = &document["paths"]["/logs/{log}/config"]["put"];
        let names: Vec<_> = put["parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|parameter| (&parameter["name"], &parameter["required"]))
            .collect();
        assert_eq!(
            json!(names),
            json!([
                ["log", true],
                ["confirmWithin", false],
                ["dryRun", false],
                ["reason", false],
                ["If-Match", true],
                ["Idempotency-Key", false]
            ])
        );
    }
}
