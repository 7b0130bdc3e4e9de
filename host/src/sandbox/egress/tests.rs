//! Outbound HTTP as a guest sees it, against servers of the tests' own.

mod limits;
mod proxied;
mod reach;
mod server;
mod sign;
mod tls;

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use wasmtime_wasi_http::{RequestOptions, WasiBody, WasiHttpHooks};

use super::resolve::Resolver;
use super::*;
use crate::config::{Config, Limits};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// What a guest gets, or the words of its error.
type Got = Result<http::Response<Bytes>, String>;

/// The config with these lines and a change.
fn config(lines: &str, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::parse(&format!("{lines}\n[queues.none]"), Path::new("wasq.toml")).unwrap();
    change(&mut config);
    config
}

/// One message's way out of the plugin `mail`.
fn hooks(config: &Config, allowed: &[String], resolver: Resolver) -> Hooks {
    let egress = Dialer::with_resolver(config, resolver).unwrap().egress("mail", allowed).unwrap();
    let limits = Arc::new(config.limits.clone());
    let trace = Trace { traceparent: Some(TRACEPARENT.into()), ..Trace::default() };
    Hooks::new(Arc::new(egress), limits, Arc::default(), trace, Arc::default())
}

/// Every name is at this address.
fn at(address: &'static str) -> Resolver {
    Arc::new(move |_, port| {
        Box::pin(async move { Ok(vec![(address.parse::<std::net::IpAddr>().unwrap(), port).into()]) })
    })
}

fn get(url: &str) -> http::Request<WasiBody> {
    request("GET", url, Bytes::new())
}

fn request(method: &str, url: &str, body: Bytes) -> http::Request<WasiBody> {
    let body = Full::new(body).map_err(|error| match error {}).boxed_unsync();
    http::Request::builder().method(method).uri(url).body(body).unwrap()
}

/// The head of the answer, its body not read.
async fn begin(hooks: &mut Hooks, request: http::Request<WasiBody>) -> Result<http::Response<WasiBody>, String> {
    begin_within(hooks, request, None).await
}

async fn begin_within(
    hooks: &mut Hooks,
    request: http::Request<WasiBody>,
    options: Option<RequestOptions>,
) -> Result<http::Response<WasiBody>, String> {
    let sent = hooks.send_request(request, options, Box::new(async { Ok(()) }));
    Ok(Pin::from(sent).await.map_err(|error| error.to_string())?.0)
}

/// The whole answer.
async fn send(hooks: &mut Hooks, request: http::Request<WasiBody>) -> Got {
    send_within(hooks, request, None).await
}

async fn send_within(hooks: &mut Hooks, request: http::Request<WasiBody>, options: Option<RequestOptions>) -> Got {
    let (parts, body) = begin_within(hooks, request, options).await?.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?;
    Ok(http::Response::from_parts(parts, body.to_bytes()))
}

/// Wants an error with these words in it.
#[track_caller]
fn refused(got: Got, expect: &str) {
    match got {
        Ok(response) => panic!("got {}, wanted an error with {expect:?}", response.status()),
        Err(error) => assert!(error.contains(expect), "{error:?} has no {expect:?}"),
    }
}
