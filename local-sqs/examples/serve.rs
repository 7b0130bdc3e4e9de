//! The endpoint by itself: `cargo run -p wasq-local-sqs --example serve -- DIR [ADDRESS:PORT]`.

use std::error::Error;
use std::net::SocketAddr;

use wasq_local_sqs::{LocalSqs, Options};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("give a directory for its data")?;
    let mut options = Options::new(dir);
    if let Some(addr) = arguments.next() {
        options.addr = addr.parse::<SocketAddr>()?;
    }
    let sqs = LocalSqs::start(options).await?;
    println!("{}", sqs.endpoint_url());
    tokio::signal::ctrl_c().await?;
    sqs.shutdown().await;
    Ok(())
}
