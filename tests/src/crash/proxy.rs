//! A TCP proxy in this process: it can cut its connections, refuse new ones for a while, and slow
//! them down.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasq_core::clock;

/// Bytes that are copied at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// A proxy before one server. It ends when it is dropped.
pub struct Proxy {
    addr: SocketAddr,
    weather: Arc<Mutex<Weather>>,
    task: JoinHandle<()>,
}

struct Weather {
    /// Cancelled when the connections that there are shall be cut.
    cut: CancellationToken,
    refused_until: Instant,
    /// How long each chunk waits, and until when.
    delay: Duration,
    delayed_until: Instant,
}

impl Proxy {
    pub async fn start(upstream: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let now = clock::now();
        let weather =
            Weather { cut: CancellationToken::new(), refused_until: now, delay: Duration::ZERO, delayed_until: now };
        let weather = Arc::new(Mutex::new(weather));
        let task = tokio::spawn(accept(listener, upstream, weather.clone()));
        Ok(Self { addr, weather, task })
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Cuts every connection, and refuses new ones for so long.
    pub fn cut(&self, refused_for: Duration) {
        let mut weather = lock(&self.weather);
        weather.refused_until = clock::now() + refused_for;
        std::mem::take(&mut weather.cut).cancel();
    }

    /// Delays whatever comes through, for so long.
    pub fn delay(&self, delay: Duration, lasting: Duration) {
        let mut weather = lock(&self.weather);
        weather.delay = delay;
        weather.delayed_until = clock::now() + lasting;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        lock(&self.weather).cut.cancel();
    }
}

fn lock(weather: &Mutex<Weather>) -> std::sync::MutexGuard<'_, Weather> {
    // It is only ever set whole.
    weather.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, upstream: SocketAddr, weather: Arc<Mutex<Weather>>) {
    while let Ok((client, _)) = listener.accept().await {
        let cut = {
            let weather = lock(&weather);
            if weather.refused_until > clock::now() {
                continue;
            }
            weather.cut.clone()
        };
        let weather = weather.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = cut.cancelled() => {}
                // A connection that breaks is what it is for: both ends are closed.
                _ = join(client, upstream, &weather) => {}
            }
        });
    }
}

async fn join(client: TcpStream, upstream: SocketAddr, weather: &Mutex<Weather>) -> std::io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(copy(from_client, to_server, weather), copy(from_server, to_client, weather))?;
    Ok(())
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    weather: &Mutex<Weather>,
) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = from.read(&mut chunk).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        let delay = {
            let weather = lock(weather);
            (weather.delayed_until > clock::now()).then_some(weather.delay)
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        to.write_all(&chunk[..count]).await?;
    }
}
