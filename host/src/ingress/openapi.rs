//! What the port takes and answers, as OpenAPI 3.1 has it: made of the config that it serves.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};

use super::app::App;
use super::attributes::{GROUP, KEY};
use super::batch::NDJSON;
use super::types::IngressTypes;
use crate::config::{Ingress, IngressTypeConfig};

pub async fn get(State(app): State<Arc<App>>) -> Json<Value> {
    Json(document(&app.config.ingress, &app.types))
}

/// The document. Types that the config does not name are under `{type}`.
pub fn document(config: &Ingress, types: &IngressTypes) -> Value {
    let mut paths = Map::new();
    for (kind, of) in &config.types {
        let body = types.schema(kind).cloned().unwrap_or_else(|| json!({}));
        paths.insert(path_of(kind), json!({ "post": operation(config, Some((kind, of)), &body) }));
    }
    let mut any = operation(config, None, &json!({}));
    let kind = json!({ "name": "type", "in": "path", "required": true, "description": "The messages' type.",
                       "schema": { "type": "string", "minLength": 1, "maxLength": 256 } });
    if let Some(parameters) = any["parameters"].as_array_mut() {
        parameters.insert(0, kind);
    }
    paths.insert("/v1/messages/{type}".into(), json!({ "post": any }));
    paths.insert("/v1/callbacks/{token}".into(), json!({ "post": callback(config) }));
    let document = json!({ "get": {
        "operationId": "document", "summary": "This document.",
        "responses": { "200": { "description": "The document.", "content": { "application/json": { "schema": { "type": "object" } } } } },
    } });
    paths.insert("/v1/openapi.json".into(), document);
    json!({
        "openapi": "3.1.0",
        "info": { "title": "wasq ingress", "version": env!("CARGO_PKG_VERSION"),
                  "description": "Messages for queues, and answers that messages wait for. What is answered with 202 is in its queue." },
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": {
                "Accepted": { "type": "object", "required": ["message_id", "key"], "properties": {
                    "message_id": { "type": "string", "description": "The queue's id of the message." },
                    "key": { "type": "string", "description": "The key by which a twin is recognised." } } },
                "Answer": { "type": "object", "required": ["status"], "properties": {
                    "status": { "type": "integer", "description": "What this message alone would be answered with." },
                    "error": { "type": "string" }, "message_id": { "type": "string" }, "key": { "type": "string" } } },
                "Failure": { "type": "object", "required": ["error"], "properties": { "error": { "type": "string" } } },
            },
        },
    })
}

fn path_of(kind: &str) -> String {
    let kind = percent_encoding::utf8_percent_encode(kind, percent_encoding::NON_ALPHANUMERIC).to_string();
    // What need not be escaped is easier to read.
    format!("/v1/messages/{}", kind.replace("%5F", "_").replace("%2D", "-").replace("%2E", "."))
}

fn operation(config: &Ingress, of: Option<(&String, &IngressTypeConfig)>, body: &Value) -> Value {
    let has_signature = of.is_some_and(|(_, of)| of.signature.is_some());
    let media = of.map_or_else(|| vec!["application/json".to_owned()], |(_, of)| of.content_types.clone());
    let mut content = Map::new();
    for media in &media {
        let one = if media == "application/json" { body.clone() } else { json!({}) };
        content.insert(media.clone(), json!({ "schema": one }));
    }
    if media.iter().any(|media| media == "application/json") {
        content.insert(NDJSON.into(), json!({ "schema": { "type": "string", "description": "A message a line." } }));
    }
    let header = |name: &str, description: &str| {
        json!({ "name": name, "in": "header", "description": description,
                "schema": { "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9._-]+$" } })
    };
    let query = |name: &str, schema: Value, description: &str| json!({ "name": name, "in": "query", "description": description, "schema": schema });
    let parameters = json!([
        header(
            KEY,
            "The key by which a twin is recognised. Of several messages each has a `#` and its place behind it."
        ),
        header(GROUP, "The message group, for a FIFO queue or a fair queue."),
        query(
            "delay",
            json!({ "type": "string", "pattern": "^[0-9]{1,9}$" }),
            "How long before it is delivered: seconds, or with a unit, as 90s, 2h or 3days."
        ),
        query("at", json!({ "type": "string", "format": "date-time" }), "When it is delivered. Not beside `delay`."),
        query(
            "batch",
            json!({ "type": "boolean" }),
            "Whether the body is a JSON array of several messages. Default: if it is an array."
        ),
    ]);
    let mut operation = json!({
        "operationId": of.map_or_else(|| "send".to_owned(), |(kind, _)| format!("send-{kind}")),
        "summary": of.map_or_else(|| "Send a message.".to_owned(), |(kind, _)| format!("Send a message of the type {kind}.")),
        "description": "A header `x-wasq-attribute-NAME` becomes the message's attribute NAME.",
        "parameters": parameters,
        "requestBody": { "required": true, "content": content },
        "responses": responses(json!({
            "202": answer("In its queue.", json!({ "oneOf": [
                { "$ref": "#/components/schemas/Accepted" },
                { "type": "array", "items": { "$ref": "#/components/schemas/Answer" } } ] })),
            "207": answer("Some of the messages are in their queue: each has its answer.",
                json!({ "type": "array", "items": { "$ref": "#/components/schemas/Answer" } })),
        }), &[400, 401, 403, 404, 408, 413, 415, 422, 429, 503]),
    });
    if !has_signature {
        let token = json!([{ "token": [] }]);
        let or_none = json!([{}, { "token": [] }]);
        operation["security"] = if config.takes_anonymous() { or_none } else { token };
    }
    operation
}

fn callback(config: &Ingress) -> Value {
    json!({
        "operationId": "answer",
        "summary": "Answer a message that waits. A token is good for one answer.",
        "parameters": [{ "name": "token", "in": "path", "required": true,
                         "schema": { "type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[A-Za-z0-9_-]+$" } }],
        "requestBody": { "content": { "*/*": { "schema": { "type": "string", "maxLength": config.max_callback.as_u64() } } } },
        "responses": responses(json!({ "202": answer("The message comes back with this body.", json!({ "type": "object" })) }),
            &[400, 404, 408, 413, 503]),
    })
}

fn answer(description: &str, schema: Value) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

fn responses(mut good: Value, failures: &[u16]) -> Value {
    for status in failures {
        let description = match status {
            400 => "The request makes no sense.",
            401 => "There is no token, or it is not known; or the signature is wrong.",
            403 => "The token may not send this type.",
            404 => "There is no such type, or nothing waits for this.",
            408 => "It was not done in time (ingress.request_timeout).",
            413 => "The body is too large, or has too many messages.",
            415 => "The media type is not taken.",
            422 => "The body is not as its schema has it.",
            429 => "Too many messages, or the queue is too full: again after `Retry-After`.",
            _ => "The queue does not answer. Nothing was kept.",
        };
        let schema = json!({ "$ref": "#/components/schemas/Failure" });
        let mut failure = answer(description, schema);
        if [429, 503].contains(status) {
            failure["headers"] =
                json!({ "Retry-After": { "schema": { "type": "integer" }, "description": "Seconds." } });
        }
        good[status.to_string()] = failure;
    }
    good
}
