//! Servers that note what arrives: one that speaks HTTP well, and one that says what a test wrote.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A server on a loopback port, until it is dropped.
pub struct Server {
    pub addr: SocketAddr,
    pub seen: Arc<Seen>,
    accepting: JoinHandle<()>,
}

/// What arrived.
#[derive(Default)]
pub struct Seen {
    pub connections: AtomicUsize,
    pub open: AtomicUsize,
    pub requests: Mutex<Vec<http::request::Parts>>,
}

impl Server {
    /// Answers 200 with the request's body; `/to/URL` with a redirect to it; `/status/N` with N and
    /// `Retry-After: 7`; `/headers/N` with N headers.
    pub async fn start() -> Self {
        Self::on("127.0.0.1:0".parse().unwrap()).await.unwrap()
    }

    pub async fn on(addr: SocketAddr) -> std::io::Result<Self> {
        Self::accept(addr, |stream, seen| async move { serve(stream, false, seen).await }).await
    }

    /// As [`Server::start`], over TLS; HTTP/2 where both sides want it.
    pub async fn tls(acceptor: TlsAcceptor) -> Self {
        let serve_tls = move |stream, seen| {
            let acceptor = acceptor.clone();
            async move {
                // A client that does not trust the certificate ends it here.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                serve(stream, http2, seen).await;
            }
        };
        Self::accept("127.0.0.1:0".parse().unwrap(), serve_tls).await.unwrap()
    }

    /// Says `start` after a request's head; then one more byte in a chunk every few ms, for ever,
    /// or nothing.
    pub async fn says(start: impl Into<String>, drips: bool) -> Self {
        let start: Arc<str> = start.into().into();
        let say = move |mut stream: TcpStream, _| {
            let start = start.clone();
            async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                let mut said = stream.write_all(start.as_bytes()).await;
                while said.is_ok() {
                    match drips {
                        true => tokio::time::sleep(Duration::from_millis(5)).await,
                        false => std::future::pending().await,
                    }
                    said = stream.write_all(b"1\r\nx\r\n").await;
                }
            }
        };
        Self::accept("127.0.0.1:0".parse().unwrap(), say).await.unwrap()
    }

    async fn accept<F>(
        addr: SocketAddr,
        serve: impl Fn(TcpStream, Arc<Seen>) -> F + Send + Sync + 'static,
    ) -> std::io::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(addr).await?;
        let (addr, seen) = (listener.local_addr()?, Arc::new(Seen::default()));
        let noted = seen.clone();
        let accepting = tokio::spawn(async move {
            let mut serving = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                noted.connections.fetch_add(1, Ordering::SeqCst);
                noted.open.fetch_add(1, Ordering::SeqCst);
                let (served, noted) = (serve(stream, noted.clone()), noted.clone());
                serving.spawn(async move {
                    served.await;
                    noted.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Ok(Self { addr, seen, accepting })
    }

    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub fn count(&self) -> usize {
        self.seen.requests.lock().len()
    }

    /// The last request that arrived.
    pub fn last(&self) -> http::request::Parts {
        self.seen.requests.lock().last().expect("a request arrived").clone()
    }

    /// Waits until every connection is closed.
    pub async fn until_closed(&self) {
        let closed = async {
            while self.seen.open.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), closed).await.expect("the connections are closed in time");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S, http2: bool, seen: Arc<Seen>) {
    let service = service_fn(move |request| answer(request, seen.clone()));
    let stream = TokioIo::new(stream);
    // However the connection ends, the client's side of it is what a test looks at.
    let _ = match http2 {
        true => hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await,
        false => hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await,
    };
}

async fn answer(request: http::Request<Incoming>, seen: Arc<Seen>) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    seen.requests.lock().push(parts.clone());
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = parts.uri.path();
    let response = http::Response::builder();
    let number = |text: &str| text.parse::<u16>().unwrap();
    let response = match path[1..].split_once('/') {
        Some(("to", url)) => response.status(302).header("location", url),
        Some(("status", status)) => response.status(number(status)).header("retry-after", "7"),
        Some(("headers", count)) => (0..number(count)).fold(response, |with, nth| with.header(format!("h-{nth}"), "x")),
        Some(_) | None => response,
    };
    Ok(response.body(Full::new(body)).unwrap())
}
