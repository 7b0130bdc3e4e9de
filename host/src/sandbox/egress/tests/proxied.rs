//! Requests through a proxy that makes tunnels.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::server::Server;
use super::*;
use crate::config::Secret;

/// A proxy that connects every tunnel to one server, and notes the heads of the requests.
struct Tunnels {
    addr: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Tunnels {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, heads) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let noted = heads.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let noted = noted.clone();
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(client.read_u8().await.unwrap());
                    }
                    let head = String::from_utf8(head).unwrap();
                    let is_refused = head.contains("refused.test");
                    noted.lock().unwrap().push(head);
                    if is_refused {
                        return client.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.unwrap();
                    }
                    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                    let mut server = TcpStream::connect(server).await.unwrap();
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { addr, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn config(&self, open_hosts: &[String]) -> Config {
        config("", |config| {
            config.egress.proxy = Some(Secret(format!("http://user:s3cret@{}", self.addr)));
            config.egress.open_hosts = open_hosts.to_vec();
        })
    }
}

/// No name is known here: only the proxy may know it.
fn nowhere() -> Resolver {
    Arc::new(|_, _| Box::pin(async { Err(std::io::Error::other("no such name")) }))
}

fn allowed() -> [String; 2] {
    ["http://*.test".to_owned(), "http://*.test:8080".to_owned()]
}

#[tokio::test]
async fn a_request_goes_through_a_tunnel_with_the_proxys_password_and_nothing_of_the_guests() {
    let server = Server::start().await;
    let proxy = Tunnels::to(server.addr).await;
    let mut hooks = hooks(&proxy.config(&[]), &allowed(), nowhere());
    let mut request = get("http://api.test/private/path");
    request.headers_mut().insert("authorization", "Bearer of-the-guest".parse().unwrap());
    assert_eq!(send(&mut hooks, request).await.unwrap().status(), 200);
    let heads = proxy.heads();
    assert!(heads[0].starts_with("CONNECT api.test:80 HTTP/1.1\r\n"), "{heads:?}");
    // "user:s3cret"
    assert!(heads[0].to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjpzm2nyzxq="), "{heads:?}");
    assert!(!heads[0].contains("of-the-guest") && !heads[0].contains("private"), "{heads:?}");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn what_the_host_can_resolve_is_checked_before_the_proxy_is_asked() {
    let server = Server::start().await;
    let proxy = Tunnels::to(server.addr).await;
    for address in ["10.0.0.1", "127.0.0.1", "169.254.169.254"] {
        let mut hooks = hooks(&proxy.config(&[]), &allowed(), at(address));
        refused(send(&mut hooks, get("http://api.test/")).await, "prohibited");
    }
    let literal = ["http://10.0.0.1".to_owned(), "http://169.254.169.254".to_owned()];
    for url in &literal {
        refused(send(&mut hooks(&proxy.config(&[]), &literal, nowhere()), get(url)).await, "prohibited");
    }
    assert_eq!(proxy.heads(), Vec::<String>::new());
    // A public address is no reason against it.
    send(&mut hooks(&proxy.config(&[]), &allowed(), at("8.8.8.8")), get("http://api.test/")).await.unwrap();
    assert_eq!(proxy.heads().len(), 1);
}

#[tokio::test]
async fn what_the_operator_opens_is_reached_without_the_proxy() {
    let server = Server::start().await;
    let proxy = Tunnels::to(server.addr).await;
    let port = server.port();
    let allowed = [format!("http://api.test:{port}")];
    let config = proxy.config(&[format!("api.test:{port}")]);
    send(&mut hooks(&config, &allowed, at("127.0.0.1")), get(&format!("http://api.test:{port}/"))).await.unwrap();
    assert_eq!((server.count(), proxy.heads().len()), (1, 0));
}

#[tokio::test]
async fn a_proxy_that_refuses_or_is_not_there_is_named_without_its_password() {
    let server = Server::start().await;
    let proxy = Tunnels::to(server.addr).await;
    let got = send(&mut hooks(&proxy.config(&[]), &allowed(), nowhere()), get("http://refused.test/")).await;
    let error = got.unwrap_err();
    let named = format!("no connection through the proxy http://{} (egress.proxy)", proxy.addr);
    assert!(error.contains(&named) && !error.contains("s3cret"), "{error}");
    let gone = config("", |config| config.egress.proxy = Some(Secret("http://proxy.invalid:1".into())));
    let error = send(&mut hooks(&gone, &allowed(), nowhere()), get("http://api.test/")).await.unwrap_err();
    assert!(error.contains("http://proxy.invalid:1") && error.contains("cannot resolve proxy.invalid"), "{error}");
}

#[test]
fn a_proxy_that_cannot_be_used_is_refused() {
    let check = |proxy: &str, part: &str| {
        let config = config("", |config| config.egress.proxy = Some(Secret(proxy.to_owned())));
        let error = Dialer::with_resolver(&config, nowhere()).err().expect("it is refused").to_string();
        assert!(error.contains(part) && error.contains("egress.proxy") && !error.contains("s3cret"), "{error}");
    };
    check("socks5://u:s3cret@p.example", "socks5");
    check("https://u:s3cret@p.example", "by TLS");
}
