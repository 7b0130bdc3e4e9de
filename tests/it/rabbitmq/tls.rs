//! TLS to RabbitMQ.

use std::os::unix::fs::PermissionsExt;

use wasq_queues::rabbitmq::{QueueType, RabbitMq, RabbitMqConfig};
use wasq_tests::servers::{PASSWORD, Server, free_port};

use super::{make, new_name, receive_one, send};
use crate::cli::binary::program;
use crate::support::servers::started;

#[tokio::test]
async fn a_server_is_trusted_by_the_configs_certificate_only() {
    let dir = tempfile::tempdir().unwrap();
    // The server runs as another user.
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let (key, certificate) = (dir.path().join("key.pem"), dir.path().join("certificate.pem"));
    let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    let files = ["-keyout", key.to_str().unwrap(), "-out", certificate.to_str().unwrap()];
    let constraint = ["-addext", "basicConstraints=critical,CA:FALSE"];
    let make_it = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
    let arguments = make_it.into_iter().chain(subject).chain(constraint).chain(files);
    program("openssl", arguments).check(0, &[]).await;
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();

    let port = free_port().unwrap();
    let server = started(Server::rabbitmq_with(&[
        &format!("listeners.ssl.1 = 127.0.0.1:{port}"),
        &format!("ssl_options.cacertfile = {}", certificate.display()),
        &format!("ssl_options.certfile = {}", certificate.display()),
        &format!("ssl_options.keyfile = {}", key.display()),
    ]));
    let url = format!("amqps://wasq:{PASSWORD}@localhost:{port}/%2F");
    let trusting = RabbitMqConfig { ca_file: Some(certificate), ..RabbitMqConfig::new(&url) };
    let queue = make(&RabbitMq::connect(trusting.clone()).await.unwrap(), &new_name(), QueueType::Classic).await;
    send(&queue, &["by TLS"]).await;
    assert_eq!(receive_one(&queue).await.body, "by TLS");

    let plain = format!("amqps://wasq:{PASSWORD}@localhost:{}/%2F", server.port());
    let other_name = url.replace("localhost", "127.0.0.1");
    for (config, expect) in [
        (RabbitMqConfig::new(&url), "certificate"),
        (RabbitMqConfig { url: wasq_core::secret::Secret(other_name), ..trusting.clone() }, "certificate"),
        (RabbitMqConfig { url: wasq_core::secret::Secret(plain), ..trusting }, ""),
    ] {
        let Err(error) = RabbitMq::connect(config).await else { panic!("it must not connect") };
        let words = error.to_string();
        assert!(words.contains(expect) && !words.contains(PASSWORD), "{words}");
    }
}
