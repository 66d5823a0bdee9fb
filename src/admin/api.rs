//! Routes that describe themselves: what serves a request also writes its part of the OpenAPI
//! document, so neither can be changed without the other.

use std::collections::BTreeMap;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::{Method, StatusCode};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::error::{Cause, Failure};
use crate::release::RELEASE;

/// The routes of an API, and their description.
pub struct Api<S> {
    protected: Router<S>,
    open: Router<S>,
    paths: Map<String, Value>,
    generator: SchemaGenerator,
}

/// One method of one path.
pub struct Operation<S> {
    method: Method,
    handler: MethodRouter<S>,
    id: &'static str,
    summary: &'static str,
    description: &'static str,
    tag: &'static str,
    parameters: Vec<Value>,
    body: Option<(&'static str, SchemaOf)>,
    answers: BTreeMap<u16, Response>,
    open: bool,
}

struct Response {
    description: String,
    content: Option<(&'static str, SchemaOf)>,
}

/// The type of most bodies.
const JSON: &str = "application/json";

type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The chapters, in the order in which one reads them.
const TAGS: [&str; 9] = [
    "Functions",
    "Scaling",
    "History",
    "Asynchronous calls",
    "Secrets",
    "Namespaces",
    "Logs",
    "Configuration",
    "System",
];

/// The error that every refusal consists of.
#[derive(JsonSchema)]
#[schemars(rename = "Error")]
#[allow(dead_code, reason = "only its schema is used")]
struct ErrorBody {
    /// A sentence for people.
    error: String,
    /// One word for programs.
    reason: String,
}

impl<S: Clone + Send + Sync + 'static> Api<S> {
    /// An API without routes.
    pub fn new() -> Self {
        let settings = SchemaSettings::draft2020_12()
            .with(|settings| settings.definitions_path = "/components/schemas".into());
        Self {
            protected: Router::new(),
            open: Router::new(),
            paths: Map::new(),
            generator: settings.into_generator(),
        }
    }

    /// Adds a path with its operations. Names in `{}` are parameters.
    pub fn route<const N: usize>(mut self, path: &str, operations: [Operation<S>; N]) -> Self {
        let mut item = Map::new();
        let mut methods = MethodRouter::new();
        let open = operations.iter().all(|operation| operation.open);
        for mut operation in operations {
            let name = operation.method.as_str().to_ascii_lowercase();
            item.insert(name, operation.describe(path, &mut self.generator));
            methods = methods.merge(operation.handler);
        }
        let router = if open {
            &mut self.open
        } else {
            &mut self.protected
        };
        *router = std::mem::take(router).route(path, methods);
        self.paths.insert(path.to_owned(), item.into());
        self
    }

    /// What asks for a password, what does not, and the OpenAPI 3.1 document about both.
    pub fn finish(mut self) -> (Router<S>, Router<S>, Value) {
        let document = json!({
            "openapi": "3.1.0",
            "info": {
                "title": "gateway",
                "version": RELEASE,
                "summary": "Functions behind HTTP: the management API",
                "description": "The API of the OpenFaaS gateway, and what this gateway has beside \
                    it. Functions themselves are called at `/function/NAME`, with any method, and \
                    ask for no password. With a remote provider its own statuses and words are \
                    passed on. Errors of the gateway's own carry the header `X-Gateway-Error` with \
                    the reason.",
                "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
            },
            "tags": TAGS.map(|name| json!({ "name": name })),
            // Relative to the document: it works behind a prefix as well.
            "servers": [{ "url": ".." }],
            "security": [{ "basic": [] }],
            "paths": self.paths,
            "components": {
                "securitySchemes": { "basic": { "type": "http", "scheme": "basic" } },
                "schemas": self.generator.take_definitions(true),
            },
        });
        (self.protected, self.open, document)
    }
}

impl<S: Clone + Send + Sync + 'static> Operation<S> {
    /// An operation that `handler` serves. `id` is its name for programs, `tag` its chapter.
    pub fn new<H, T>(
        method: Method,
        handler: H,
        id: &'static str,
        tag: &'static str,
        summary: &'static str,
    ) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        // Only the methods of this file are given.
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        Self {
            method,
            handler: on(filter, handler),
            id,
            summary,
            description: "",
            tag,
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            open: false,
        }
    }

    /// Says more than the summary does.
    pub fn about(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    /// It asks for no password.
    pub fn open(mut self) -> Self {
        self.open = true;
        self
    }

    /// It takes a parameter in the query; `schema` is a JSON Schema.
    pub fn query(mut self, name: &str, schema: Value, description: &str) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "query", "schema": schema, "description": description,
        }));
        self
    }

    /// It takes a parameter in the query that must not be left out.
    pub fn needs(mut self, name: &str, schema: Value, description: &str) -> Self {
        self.parameters.push(json!({
            "name": name, "in": "query", "schema": schema, "description": description,
            "required": true,
        }));
        self
    }

    /// It reads a JSON body, and refuses what is none in JSON.
    pub fn body<T: JsonSchema>(self) -> Self {
        self.takes::<T>().refuses(&[Cause::BadRequest])
    }

    /// It reads a JSON body, and says itself what it thinks of others.
    pub fn takes<T: JsonSchema>(mut self) -> Self {
        self.body = Some((JSON, |generator| generator.subschema_for::<T>()));
        self
    }

    /// It reads a text of this type, and refuses what it cannot read.
    pub fn text(mut self, kind: &'static str) -> Self {
        self.body = Some((kind, |generator| generator.subschema_for::<String>()));
        self.refuses(&[Cause::BadRequest])
    }

    /// It answers with JSON.
    pub fn json<T: JsonSchema>(self, status: StatusCode, description: &str) -> Self {
        self.content::<T>(status, JSON, description)
    }

    /// It answers with a document of this type; the schema is of its text or of one of its lines.
    pub fn content<T: JsonSchema>(
        mut self,
        status: StatusCode,
        kind: &'static str,
        description: &str,
    ) -> Self {
        let response = Response {
            description: description.to_owned(),
            content: Some((kind, |generator| generator.subschema_for::<T>())),
        };
        self.answers.insert(status.as_u16(), response);
        self
    }

    /// It answers without a body.
    pub fn empty(mut self, status: StatusCode, description: &str) -> Self {
        let response = Response {
            description: description.to_owned(),
            content: None,
        };
        self.answers.insert(status.as_u16(), response);
        self
    }

    /// It may be refused for these causes.
    pub fn refuses(mut self, causes: &[Cause]) -> Self {
        for cause in causes {
            self.refused(cause.status(), cause.describe());
        }
        self
    }

    fn refused(&mut self, status: StatusCode, description: &str) {
        let response = self
            .answers
            .entry(status.as_u16())
            .or_insert_with(|| Response {
                description: String::new(),
                content: Some((JSON, |generator| generator.subschema_for::<ErrorBody>())),
            });
        if !response.description.contains(description) {
            if !response.description.is_empty() {
                response.description.push_str("; or: ");
            }
            response.description.push_str(description);
        }
    }

    /// What can befall every request before an operation sees it.
    fn guarded(&mut self) {
        self.refused(StatusCode::BAD_REQUEST, "The request is not one of HTTP");
        self.refused(
            Failure::LineFull(0).status(),
            "Too many requests to the API at once; try again",
        );
        if !self.open {
            let text: SchemaOf = |generator| generator.subschema_for::<String>();
            self.answers.insert(
                StatusCode::UNAUTHORIZED.as_u16(),
                Response {
                    description: "The credentials are missing or wrong".to_owned(),
                    content: Some(("text/plain", text)),
                },
            );
            for cause in [
                Cause::TooManyFailures,
                Cause::CrossOrigin,
                Cause::BadHost,
                Cause::AuthProxyFailed,
            ] {
                self.refused(cause.status(), cause.describe());
            }
        }
        if self.body.is_some() {
            self.refused(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body is longer than 1 MiB",
            );
            self.refused(
                StatusCode::REQUEST_TIMEOUT,
                "The body did not arrive in time",
            );
        }
    }

    fn describe(&mut self, path: &str, generator: &mut SchemaGenerator) -> Value {
        self.guarded();
        let mut parameters = path_parameters(path);
        parameters.append(&mut self.parameters);
        let mut responses = Map::new();
        for (status, response) in &self.answers {
            let mut described = json!({ "description": response.description });
            if let Some((kind, schema)) = response.content {
                described["content"] = json!({ kind: { "schema": schema(generator) } });
            }
            responses.insert(status.to_string(), described);
        }
        let mut operation = json!({
            "operationId": self.id, "tags": [self.tag], "summary": self.summary,
            "parameters": parameters, "responses": responses,
        });
        if !self.description.is_empty() {
            operation["description"] = json!(self.description);
        }
        if let Some((kind, schema)) = self.body {
            operation["requestBody"] = json!({
                "required": true,
                "content": { kind: { "schema": schema(generator) } },
            });
        }
        if self.open {
            operation["security"] = json!([]);
        }
        operation
    }
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name| {
        json!({
            "name": name, "in": "path", "required": true,
            "schema": { "type": "string", "pattern": "^[-a-zA-Z_0-9.]+$" },
        })
    };
    names.map(parameter).collect()
}
