//! What a message costs that comes in by the ingress port, beside one that its producer sends to the
//! queue itself: so many requests a second, at an even pace, whether the ones before are answered or
//! not. Queue, host and clients are in one process.
//!
//! `cargo run --profile dist -p wasq-bench --example ingress`

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;
use wasq::config::Config;
use wasq::host::Host;
use wasq_core::clock;
use wasq_local_sqs::{LocalSqs, Options};
use wasq_queues::sqs::Sqs;
use wasq_queues::{Outgoing, Queue};

const RATES: [u64; 3] = [250, 1_000, 2_000];
const SECONDS: u64 = 10;
const BODY: &str = r#"{"order_id":"7c1f6a52","customer":"Ada","total_cents":4200,"items":[{"sku":"a-1","count":2}]}"#;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let queue = LocalSqs::start(Options::new(dir.path().join("sqs")).port(0)).await?;
    for name in ["orders", "orders-dlq"] {
        queue.create_queue(name).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    }
    let plugins = dir.path().join("plugins");
    std::fs::create_dir(&plugins)?;
    // Nobody takes the messages: what is measured is their way in.
    let text = format!(
        "plugins_dir = '{}'\ngrant_all = true\nledger = {{ store = 'local', path = '{}' }}\n\
         aws = {{ endpoint_url = '{}', region = 'eu-central-1' }}\nadmin = {{ listen = '127.0.0.1:0' }}\n\
         [queues.orders]\ndlq = 'orders-dlq'\nconcurrency = 1\n[ingress]\nlisten = '127.0.0.1:0'\n[ingress.types.order]\n",
        plugins.display(),
        dir.path().join("ledger").display(),
        queue.endpoint_url(),
    );
    let config = Config::parse(&text, Path::new("wasq.toml"))?;
    let sqs = Sqs::connect(&config.aws).await;
    let direct = Arc::new(sqs.queue("orders").await?);
    let host = Host::start(config).await?;
    let addr = host.ingress_addr().context("the port listens")?;
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();

    println!("| requests a second | way | answered | p50 | p99 | most | CPU a message, all parts |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for rate in RATES {
        let send = || {
            let client = client.clone();
            async move {
                let request = http::Request::post(format!("http://{addr}/v1/messages/order"));
                let request = request.header("content-type", "application/json").body(Full::new(Bytes::from(BODY)))?;
                let response = client.request(request).await?;
                let status = response.status();
                response.into_body().collect().await?;
                anyhow::ensure!(status == 202, "{status}");
                Ok(())
            }
        };
        row(rate, "ingress", send).await?;
        let send = || {
            let queue = direct.clone();
            async move {
                let (attributes, body) = (Default::default(), Bytes::from(BODY));
                let message = Outgoing { body, attributes, delay_s: 0, group: None, deduplication_id: None };
                queue.send(&[message]).await.remove(0)?;
                Ok(())
            }
        };
        row(rate, "the queue itself", send).await?;
    }
    host.shutdown(std::future::ready(())).await;
    queue.shutdown().await;
    Ok(())
}

/// Sends at an even pace, and prints how long the answers took from when each was to be sent.
async fn row<F>(rate: u64, way: &str, send: impl Fn() -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let (began, cpu) = (clock::now(), clock::process_cpu());
    let mut sends = Vec::new();
    for n in 0..rate * SECONDS {
        let at: Instant = began + Duration::from_secs_f64(n as f64 / rate as f64);
        tokio::time::sleep_until(at).await;
        let send = send();
        sends.push(tokio::spawn(async move { send.await.map(|()| at.elapsed()) }));
    }
    let mut times: Vec<Duration> = Vec::new();
    for sent in join_all(sends).await {
        times.push(sent??);
    }
    let cpu = (clock::process_cpu() - cpu) / times.len() as u32;
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1_000.0;
    println!(
        "| {rate} | {way} | {} | {:.1} ms | {:.1} ms | {:.1} ms | {} µs |",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        cpu.as_micros()
    );
    Ok(())
}
