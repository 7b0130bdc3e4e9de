//! A TCP proxy in this process: it can cut its connections, refuse new ones for a while, and slow
//! them down. Where a server tells its clients where to connect to, it has them told its own
//! address.

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

/// How long it stays closed at most.
const CLOSED_MAX: Duration = Duration::from_secs(600);
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
        Self::with(upstream, false).await
    }

    /// Before a broker of Kafka's protocol, whose clients connect to where it says that it is: they
    /// are told that it is here.
    pub async fn start_in_place_of(upstream: SocketAddr) -> Result<Self> {
        Self::with(upstream, true).await
    }

    async fn with(upstream: SocketAddr, in_its_place: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let told = in_its_place.then(|| Swap { from: as_kafka_says(upstream), to: as_kafka_says(addr) });
        let now = clock::now();
        let weather =
            Weather { cut: CancellationToken::new(), refused_until: now, delay: Duration::ZERO, delayed_until: now };
        let weather = Arc::new(Mutex::new(weather));
        let task = tokio::spawn(accept(listener, upstream, told, weather.clone()));
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

    /// Cuts every connection, and refuses new ones until it is opened.
    pub fn close(&self) {
        self.cut(CLOSED_MAX);
    }

    pub fn open(&self) {
        lock(&self.weather).refused_until = clock::now();
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

async fn accept(listener: TcpListener, upstream: SocketAddr, told: Option<Swap>, weather: Arc<Mutex<Weather>>) {
    while let Ok((client, _)) = listener.accept().await {
        let cut = {
            let weather = lock(&weather);
            if weather.refused_until > clock::now() {
                continue;
            }
            weather.cut.clone()
        };
        let (weather, told) = (weather.clone(), told.clone());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = cut.cancelled() => {}
                // A connection that breaks is what it is for: both ends are closed.
                _ = join(client, upstream, told.as_ref(), &weather) => {}
            }
        });
    }
}

async fn join(
    client: TcpStream,
    upstream: SocketAddr,
    told: Option<&Swap>,
    weather: &Mutex<Weather>,
) -> std::io::Result<()> {
    let server = TcpStream::connect(upstream).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let answers = async {
        match told {
            None => copy(from_server, to_client, weather).await,
            Some(told) => copy_answers(from_server, to_client, told, weather).await,
        }
    };
    tokio::try_join!(copy(from_client, to_server, weather), answers)?;
    Ok(())
}

/// Bytes that others take the place of: as many.
#[derive(Clone)]
struct Swap {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl Swap {
    fn apply(&self, bytes: &mut [u8]) {
        let mut at = 0;
        while at + self.from.len() <= bytes.len() {
            let here = &mut bytes[at..at + self.from.len()];
            if *here == self.from {
                here.copy_from_slice(&self.to);
            }
            at += 1;
        }
    }
}

/// A broker's address as it stands in Kafka's answers, behind the length of its name.
fn as_kafka_says(addr: SocketAddr) -> Vec<u8> {
    let mut bytes = addr.ip().to_string().into_bytes();
    bytes.extend(u32::from(addr.port()).to_be_bytes());
    bytes
}

/// Copies Kafka's answers, each with its length before it.
async fn copy_answers(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    told: &Swap,
    weather: &Mutex<Weather>,
) -> std::io::Result<()> {
    loop {
        let length = match from.read_u32().await {
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return to.shutdown().await,
            Err(error) => return Err(error),
        };
        let mut answer = vec![0; length as usize];
        from.read_exact(&mut answer).await?;
        told.apply(&mut answer);
        delayed(weather).await;
        to.write_u32(length).await?;
        to.write_all(&answer).await?;
    }
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
        delayed(weather).await;
        to.write_all(&chunk[..count]).await?;
    }
}

async fn delayed(weather: &Mutex<Weather>) {
    let delay = {
        let weather = lock(weather);
        (weather.delayed_until > clock::now()).then_some(weather.delay)
    };
    if let Some(delay) = delay {
        tokio::time::sleep(delay).await;
    }
}
