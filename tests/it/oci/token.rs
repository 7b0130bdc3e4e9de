//! A registry that wants a token of another server, and whose blobs are with a third one, as the
//! large public registries have it. Such a registry is small enough to be written here.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use parking_lot::Mutex;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::{docker_config, plugin};
use crate::cli::binary::{Wasq, wasq};

const TOKEN: &str = "a-token-of-the-server";

/// What the servers do, and what they were asked.
struct Registry {
    component: Vec<u8>,
    /// What is sent in its place.
    sent: Vec<u8>,
    host: String,
    blobs: String,
    log: Mutex<Vec<String>>,
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn authorization(headers: &HeaderMap) -> String {
    headers.get(header::AUTHORIZATION).map_or("nothing".into(), |value| value.to_str().unwrap().to_owned())
}

impl Registry {
    fn note(&self, text: String) {
        self.log.lock().push(text);
    }

    fn manifest(&self) -> Value {
        json!({
            "schemaVersion": 2,
            "config": { "mediaType": "application/vnd.wasm.config.v0+json", "digest": digest(b"{}"), "size": 2 },
            "layers": [{ "mediaType": "application/wasm", "digest": digest(&self.component), "size": self.component.len() }],
        })
    }
}

async fn registry(State(registry): State<Arc<Registry>>, request: Request) -> Response {
    if authorization(request.headers()) != format!("Bearer {TOKEN}") {
        let ask = format!(
            r#"Bearer realm="http://{}/token",service="the registry",scope="repository:a/b:pull""#,
            registry.host
        );
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, ask)]).into_response();
    }
    if request.uri().path().contains("/manifests/") {
        return registry.manifest().to_string().into_response();
    }
    let to = format!("http://{}/blob?signature=x", registry.blobs);
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
}

async fn token(State(registry): State<Arc<Registry>>, request: Request) -> Json<Value> {
    let asked = format!("{} {}", request.uri().query().unwrap_or_default(), authorization(request.headers()));
    registry.note(format!("GET {asked}"));
    Json(json!({ "token": TOKEN }))
}

async fn refresh(State(registry): State<Arc<Registry>>, body: String) -> Json<Value> {
    registry.note(format!("POST {body}"));
    Json(json!({ "access_token": TOKEN }))
}

async fn blob(State(registry): State<Arc<Registry>>, headers: HeaderMap) -> Vec<u8> {
    registry.note(format!("blob with {}", authorization(&headers)));
    registry.sent.clone()
}

/// The servers, and a directory for docker's config.
async fn start(component: Vec<u8>, sent: Vec<u8>) -> (Arc<Registry>, TempDir) {
    let bind = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (own, blobs) = (bind().await, bind().await);
    let address = |listener: &tokio::net::TcpListener| listener.local_addr().unwrap().to_string();
    let registry =
        Arc::new(Registry { component, sent, host: address(&own), blobs: address(&blobs), log: Mutex::default() });
    let routes = Router::new().route("/token", get(token).merge(post(refresh))).fallback(registry_of());
    tokio::spawn(axum::serve(own, routes.with_state(registry.clone())).into_future());
    let routes = Router::new().route("/blob", get(blob)).with_state(registry.clone());
    tokio::spawn(axum::serve(blobs, routes).into_future());
    (registry, tempfile::tempdir().unwrap())
}

fn registry_of() -> axum::routing::MethodRouter<Arc<Registry>> {
    axum::routing::any(self::registry)
}

fn pull(registry: &Registry, dir: &TempDir, auth: &Value) -> Wasq {
    let config = docker_config(dir.path(), &json!({ "auths": { registry.host.clone(): auth } }));
    let reference = format!("oci://{}/a/b:1", registry.host);
    wasq(["pull", &reference, "--out", "x.wasm"]).dir(dir).env("DOCKER_CONFIG", config)
}

const SCOPE: &str = "service=the+registry&scope=repository%3Aa%2Fb%3Apull";

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_fetched_as_the_registry_asks_and_stays_with_it() {
    let component = plugin("receipt", "one");
    let (registry, dir) = start(component.clone(), component.clone()).await;
    // ada:pw
    pull(&registry, &dir, &json!({ "auth": "YWRhOnB3" })).check(0, &["x.wasm"]).await;
    assert_eq!(std::fs::read(dir.path().join("x.wasm")).unwrap(), component);
    // The third server is told nothing.
    let expect = [format!("GET {SCOPE} Basic YWRhOnB3"), "blob with nothing".to_owned()];
    assert_eq!(std::mem::take(&mut *registry.log.lock()), expect);
    pull(&registry, &dir, &json!({})).check(0, &["x.wasm"]).await;
    assert_eq!(std::mem::take(&mut *registry.log.lock())[0], format!("GET {SCOPE} nothing"));
    pull(&registry, &dir, &json!({ "identitytoken": "refresh-me" })).check(0, &["x.wasm"]).await;
    let form = format!("POST grant_type=refresh_token&refresh_token=refresh-me&client_id=wasq&{SCOPE}");
    assert_eq!(registry.log.lock()[0], form);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_what_the_digest_says_are_refused() {
    let (good, other) = (plugin("receipt", "one"), plugin("receipt", "two"));
    assert_eq!(good.len(), other.len());
    let (registry, dir) = start(good.clone(), other).await;
    pull(&registry, &dir, &json!({})).check(1, &[&digest(&good), "was asked for"]).await;
    assert!(!dir.path().join("x.wasm").exists());
    let (registry, dir) = start(good.clone(), [good, vec![0]].concat()).await;
    pull(&registry, &dir, &json!({})).check(1, &["a blob of over its"]).await;
}
