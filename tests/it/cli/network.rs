//! AWS behind a proxy that makes tunnels and a private authority, and queues of several regions.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::binary::{Wasq, program, wasq};
use super::{good, install, place};
use crate::support::{Rig, Setup};

/// A proxy whose tunnels all end at one plain server, as AWS's endpoints with a certificate of the
/// test's own authority. It notes where each one was to lead.
struct Proxy {
    addr: SocketAddr,
    ca: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
    _files: TempDir,
}

impl Proxy {
    async fn to(server: String) -> Self {
        let files = tempfile::tempdir().unwrap();
        let openssl = async |arguments: &str| {
            program("openssl", arguments.split(' ')).dir(&files).check(0, &[]).await;
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=corporate")).await;
        openssl(&format!("req {key} -keyout leaf.key -out leaf.csr -subj /CN=aws")).await;
        let names = "subjectAltName = DNS:*.eu-west-1.amazonaws.com,DNS:*.us-east-1.amazonaws.com,\
                     DNS:*.sqs.eu-west-1.vpce.amazonaws.com\nbasicConstraints = CA:FALSE\n";
        std::fs::write(files.path().join("leaf.ext"), names).unwrap();
        openssl(
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile leaf.ext -out leaf.pem",
        )
        .await;
        let certificate = CertificateDer::from_pem_file(files.path().join("leaf.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(files.path().join("leaf.key")).unwrap();
        let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (addr, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let noted = asked.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(tunnel(client, acceptor.clone(), server.clone(), noted.clone()));
            }
        });
        Self { addr, ca: files.path().join("ca.pem"), asked, _files: files }
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked.dedup();
        asked
    }
}

async fn tunnel(mut client: TcpStream, acceptor: TlsAcceptor, server: String, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    asked.lock().unwrap().push(head.split(' ').nth(1).unwrap_or_default().to_owned());
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    // A client that does not trust the certificate ends it here.
    let Ok(mut client) = acceptor.accept(client).await else { return };
    let mut server = TcpStream::connect(server).await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

async fn rig() -> (Rig, Proxy) {
    let rig = Setup::new().without_host().await;
    let proxy = Proxy::to(rig.sqs.endpoint_url().trim_start_matches("http://").to_owned()).await;
    (rig, proxy)
}

/// `check --live` of these queues at AWS.
fn check(dir: &TempDir) -> Wasq {
    let keys = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")];
    keys.iter().fold(wasq(["check", "--live"]).dir(dir), |check, (name, value)| check.env(name, value))
}

fn config(queues: &str) -> TempDir {
    let dir = place(&format!("aws = {{ region = 'eu-west-1' }}\n{queues}"));
    install(&dir.path().join("plugins"), "good", &good(), "");
    dir
}

#[tokio::test]
async fn aws_is_reached_through_the_proxy_and_trusted_by_the_bundle() {
    let (rig, proxy) = rig().await;
    let dir = config("[queues.jobs]\ndlq = 'jobs-dlq'\n");
    let url = format!("http://{}", proxy.addr);
    let through = || check(&dir).env("HTTPS_PROXY", &url);
    through().env("AWS_CA_BUNDLE", &proxy.ca).check(0, &["jobs with the DLQ jobs-dlq"]).await;
    assert_eq!(proxy.asked(), ["sqs.eu-west-1.amazonaws.com:443"]);
    through().check(1, &["UnknownIssuer"]).await;
    through().env("AWS_CA_BUNDLE", "/nowhere.pem").check(1, &["AWS_CA_BUNDLE /nowhere.pem", "No such file"]).await;
    let plugin = dir.path().join("plugins/good.toml");
    through().env("AWS_CA_BUNDLE", &plugin).check(1, &["AWS_CA_BUNDLE", "no certificate"]).await;
    check(&dir).env("HTTPS_PROXY", "socks5://u:s3cret@p").check(1, &["HTTPS_PROXY is no proxy's URL"]).await;
    rig.end().await;
}

#[tokio::test]
async fn what_no_proxy_names_and_what_is_on_this_machine_is_reached_without_it() {
    let (rig, proxy) = rig().await;
    let dir = config("[queues.jobs]\ndlq = 'jobs-dlq'\n");
    let url = format!("http://{}", proxy.addr);
    // Not through the proxy, and so to a name that is not there.
    let exempt = check(&dir).env("HTTPS_PROXY", &url).env("NO_PROXY", ".invalid");
    exempt.env("AWS_ENDPOINT_URL", "https://sqs.invalid").check(1, &["cannot resolve sqs.invalid"]).await;
    let local = check(&dir).env("HTTP_PROXY", &url).env("AWS_ENDPOINT_URL", rig.sqs.endpoint_url());
    local.check(0, &["jobs with the DLQ jobs-dlq"]).await;
    assert_eq!(proxy.asked(), Vec::<String>::new());
    rig.end().await;
}

#[tokio::test]
async fn queues_of_several_regions_and_of_a_vpc_endpoint_are_each_asked_where_they_are() {
    let (rig, proxy) = rig().await;
    let vpce = "vpce-0a1.sqs.eu-west-1.vpce.amazonaws.com";
    let dir = config(&format!(
        "[queues.one]\nurl = 'https://sqs.us-east-1.amazonaws.com/000000000000/jobs'\n\
         dlq = 'arn:aws:sqs:eu-west-1:000000000000:jobs-dlq'\n\
         [outlets.two]\nurl = 'https://{vpce}/000000000000/jobs'\n"
    ));
    let through = || check(&dir).env("HTTPS_PROXY", format!("http://{}", proxy.addr)).env("AWS_CA_BUNDLE", &proxy.ca);
    through().check(0, &["jobs with the DLQ jobs-dlq", "jobs, only sent to"]).await;
    let regions = ["sqs.eu-west-1.amazonaws.com:443", "sqs.us-east-1.amazonaws.com:443"];
    assert_eq!(proxy.asked(), [regions[0], regions[1], &format!("{vpce}:443")]);
    // FIPS is asked for by variable, and where a queue's own URL names a host, that one is.
    proxy.asked.lock().unwrap().clear();
    through().env("AWS_USE_FIPS_ENDPOINT", "true").run().await;
    let asked = proxy.asked();
    assert!(asked.contains(&format!("{vpce}:443")), "{asked:?}");
    assert!(asked.iter().filter(|host| **host != format!("{vpce}:443")).all(|host| host.contains("fips")), "{asked:?}");
    rig.end().await;
}
