use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

struct Port {
    addr: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
    held: std::sync::Weak<()>,
}

/// A port whose `/never` is not answered.
async fn port(limits: PortLimits) -> Port {
    let state = Arc::new(());
    let held = Arc::downgrade(&state);
    let router = Router::new()
        .route("/", get(|axum::Extension(_): axum::Extension<Arc<()>>| async { "here" }))
        .route("/never", get(std::future::pending::<&'static str>))
        .layer(axum::Extension(state));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let task = tokio::spawn(serve(listener, None, router, limits, stop.clone()));
    Port { addr, stop, task, held }
}

async fn connected(port: &Port, request: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(port.addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream
}

async fn some(stream: &mut TcpStream) -> String {
    let mut answer = vec![0; 4096];
    let len = stream.read(&mut answer).await.unwrap_or_default();
    String::from_utf8_lossy(&answer[..len]).into_owned()
}

fn short() -> PortLimits {
    let time = Duration::from_millis(200);
    PortLimits { header_timeout: time, request_timeout: time, ..crate::config::Admin::default().limits() }
}

#[tokio::test]
async fn a_slow_head_an_idle_connection_and_a_request_that_is_not_done_are_ended() {
    let port = port(short()).await;
    let mut slow = connected(&port, b"GET / HTTP/1.1\r\nhost:").await;
    let mut idle = connected(&port, REQUEST).await;
    assert!(some(&mut idle).await.ends_with("here"));
    let mut never = connected(&port, b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(some(&mut never).await.starts_with("HTTP/1.1 408"));
    for stream in [&mut slow, &mut idle, &mut never] {
        // A head that is late may be told so before the end.
        while !some(stream).await.is_empty() {}
    }
    port.stop.cancel();
    port.task.await.unwrap();
}

#[tokio::test]
async fn what_is_over_the_limit_waits_for_a_connection() {
    let port = port(PortLimits { max_connections: 1, ..short() }).await;
    let first = connected(&port, b"GET /").await;
    let mut second = connected(&port, REQUEST).await;
    // The first one's head is late, and so the second is answered.
    assert!(some(&mut second).await.ends_with("here"));
    drop(first);
    port.stop.cancel();
    port.task.await.unwrap();
}

#[tokio::test]
async fn a_stop_ends_every_connection_and_drops_what_they_held() {
    let port = port(crate::config::Admin::default().limits()).await;
    let mut open = connected(&port, REQUEST).await;
    assert!(some(&mut open).await.ends_with("here"));
    let mut never = connected(&port, b"GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut slow = connected(&port, b"GET / HT").await;
    port.stop.cancel();
    tokio::time::timeout(STOP_WITHIN * 5, port.task).await.expect("it ends").unwrap();
    assert!(port.held.upgrade().is_none(), "nothing holds its state");
    for stream in [&mut open, &mut never, &mut slow] {
        assert_eq!(some(stream).await, "");
    }
}
