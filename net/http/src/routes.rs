//! Routes together with their descriptions, so that the specification has what is served.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::app::App;

type Describe = fn(&mut SchemaGenerator) -> Schema;

/// What is said of a route.
pub(crate) struct Doc {
    summary: &'static str,
    takes: Option<Describe>,
    gives: Option<Describe>,
    status: u16,
}

impl Doc {
    pub(crate) fn new(summary: &'static str) -> Self {
        Self { summary, takes: None, gives: None, status: 200 }
    }

    /// The body that it takes.
    pub(crate) fn takes<T: JsonSchema>(self) -> Self {
        Self { takes: Some(|generator| generator.subschema_for::<T>()), ..self }
    }

    /// The body that it answers with.
    pub(crate) fn gives<T: JsonSchema>(self) -> Self {
        Self { gives: Some(|generator| generator.subschema_for::<T>()), ..self }
    }

    /// The status when it is not 200.
    pub(crate) fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }
}

struct Documented {
    method: &'static str,
    path: &'static str,
    doc: Doc,
}

/// Routes and what is said of them.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<Arc<App>>,
    documented: Vec<Documented>,
}

impl Routes {
    fn add<H, T>(
        self,
        method: (MethodFilter, &'static str),
        path: &'static str,
        handler: H,
        doc: Doc,
    ) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let Self { router, mut documented } = self;
        documented.push(Documented { method: method.1, path, doc });
        Self { router: router.route(path, on(method.0, handler)), documented }
    }

    pub(crate) fn get<H: Handler<T, Arc<App>>, T: 'static>(
        self,
        path: &'static str,
        handler: H,
        doc: Doc,
    ) -> Self {
        self.add((MethodFilter::GET, "get"), path, handler, doc)
    }

    pub(crate) fn post<H: Handler<T, Arc<App>>, T: 'static>(
        self,
        path: &'static str,
        handler: H,
        doc: Doc,
    ) -> Self {
        self.add((MethodFilter::POST, "post"), path, handler, doc)
    }

    pub(crate) fn put<H: Handler<T, Arc<App>>, T: 'static>(
        self,
        path: &'static str,
        handler: H,
        doc: Doc,
    ) -> Self {
        self.add((MethodFilter::PUT, "put"), path, handler, doc)
    }

    pub(crate) fn delete<H: Handler<T, Arc<App>>, T: 'static>(
        self,
        path: &'static str,
        handler: H,
        doc: Doc,
    ) -> Self {
        self.add((MethodFilter::DELETE, "delete"), path, handler, doc)
    }

    pub(crate) fn merge(self, other: Self) -> Self {
        let Self { router, mut documented } = self;
        documented.extend(other.documented);
        Self { router: router.merge(other.router), documented }
    }

    pub(crate) fn router(self) -> Router<Arc<App>> {
        self.router
    }

    /// The specification of all routes, as OpenAPI 3.1, whose schemas are JSON Schema.
    pub(crate) fn specification(&self, base: &str) -> Value {
        let mut settings = schemars::generate::SchemaSettings::draft2020_12();
        settings.definitions_path = "/components/schemas".into();
        let mut generator = settings.into_generator();
        let failed = content(generator.subschema_for::<crate::error::Envelope<'_>>());
        let mut paths = Map::new();
        for Documented { method, path, doc } in &self.documented {
            let mut operation = json!({ "summary": doc.summary, "parameters": parameters(path) });
            if let Some(takes) = doc.takes {
                operation["requestBody"] = json!({ "content": content(takes(&mut generator)) });
            }
            let given = doc.gives.map(|gives| content(gives(&mut generator))).unwrap_or_default();
            let mut done = json!({ "description": "done" });
            if !given.is_null() {
                done["content"] = given;
            }
            let status = doc.status.to_string();
            let error = json!({ "description": "not done", "content": failed });
            operation["responses"] = json!({ status: done, "default": error });
            let methods = paths.entry(format!("{base}{path}")).or_insert_with(|| json!({}));
            methods[*method] = operation;
        }
        json!({
            "openapi": "3.1.0",
            "info": { "title": "jobbie", "version": env!("CARGO_PKG_VERSION") },
            "paths": paths,
            "components": { "schemas": generator.take_definitions(true) },
        })
    }
}

fn content(schema: Schema) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let one = |name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    names.map(one).collect()
}
