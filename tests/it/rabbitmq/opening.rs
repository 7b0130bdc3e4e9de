//! What is wrong is said when a queue is opened: where, why, and what to do.

use std::time::Duration;

use wasq_core::clock;
use wasq_queues::rabbitmq::{QueueTopology, RabbitMq, RabbitMqConfig};
use wasq_queues::{Queue, QueueError};
use wasq_tests::servers::{PASSWORD, Server, free_port};

use super::{connect, count, message, new_name, new_queue, receive_one, send};
use crate::support::servers::{rabbitmq, started};

async fn refused(config: RabbitMqConfig) -> QueueError {
    let Err(error) = RabbitMq::connect(config).await else { panic!("it must not connect") };
    shows_no_password(&error);
    error
}

fn shows_no_password(error: &QueueError) {
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error}");
}

fn check(error: &QueueError, is_permanent: bool, code: &str, words: &[&str]) {
    shows_no_password(error);
    assert_eq!(matches!(error, QueueError::Permanent { .. }), is_permanent, "{error}");
    assert_eq!(error.code(), code, "{error}");
    for part in words {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

fn at(server: &Server) -> String {
    format!("127.0.0.1:{}", server.port())
}

#[tokio::test]
async fn a_wrong_user_password_or_vhost_is_named() {
    let (server, node) = (rabbitmq(), at(rabbitmq()));
    let wrong = server.url().replace(PASSWORD, "wrong");
    let error = refused(RabbitMqConfig::new(&wrong)).await;
    check(&error, true, "AccessRefused", &[&node, "Login was refused", "the password in `url`"]);
    assert!(error.says_denied());

    let elsewhere = server.url().replace("%2F", "elsewhere");
    let error = refused(RabbitMqConfig::new(&elsewhere)).await;
    check(&error, true, "NotAllowed", &[&node, "\"elsewhere\"", "add_vhost"]);
}

#[tokio::test]
async fn a_queue_that_is_not_there_is_named_and_how_to_make_it() {
    let server = rabbitmq();
    let rabbitmq = connect(server).await;
    let error = rabbitmq.queue("no such queue", 1).await.err().expect("it is not there");
    check(&error, true, "NotFound", &["\"no such queue\"", "\"/\"", "wasq topology apply"]);
    assert!(error.says_missing());
    // The connection is none the worse for it.
    assert_eq!(rabbitmq.queue("no such queue", 1).await.err().expect("nor now").code(), "NotFound");

    let config = RabbitMqConfig { exchange: "no such exchange".into(), ..RabbitMqConfig::new(&server.url()) };
    let error = RabbitMq::connect(config).await.unwrap().queue("outlet", 1).await.err().expect("it is not there");
    check(&error, true, "NotFound", &["the exchange \"no such exchange\""]);
}

#[tokio::test]
async fn rights_that_a_user_lacks_are_named_where_they_are_needed() {
    let server = rabbitmq();
    let (queue, user) = (new_queue(server).await, new_name());
    let rights = |read: &str, write: &str| {
        server.rabbitmqctl(&["set_permissions", "-p", "/", &user, "^$", write, read]).unwrap();
    };
    server.rabbitmqctl(&["add_user", &user, PASSWORD]).unwrap();
    rights("^$", "^$");
    let url = format!("amqp://{user}:{PASSWORD}@{}/%2F", at(server));
    let rabbitmq = RabbitMq::connect(RabbitMqConfig::new(&url)).await.unwrap();
    let theirs = rabbitmq.queue(queue.name(), 1).await.expect("anybody may ask whether a queue is there");
    let name = format!("{:?}", queue.name());
    let error = theirs.receive(1, Duration::ZERO, Duration::from_secs(30)).await.unwrap_err();
    check(&error, true, "AccessRefused", &[&name, "set_permissions"]);
    let error = theirs.send(&[message("x")]).await.remove(0).unwrap_err();
    check(&error, true, "AccessRefused", &["the default exchange", "set_permissions"]);
    let error = rabbitmq.declare(&QueueTopology::of(&RabbitMqConfig::default(), "theirs")).await.unwrap_err();
    check(&error, true, "AccessRefused", &["\"theirs\"", "set_permissions"]);

    rights(".*", ".*");
    send(&theirs, &["x"]).await;
    assert_eq!(receive_one(&theirs).await.body, "x");
}

#[tokio::test]
async fn nodes_are_tried_one_after_the_other() {
    let server = rabbitmq();
    let closed = free_port().unwrap();
    let (host, both) = (at(server), format!("127.0.0.1:{closed},{}", at(server)));
    let rabbitmq = RabbitMq::connect(RabbitMqConfig::new(&server.url().replace(&host, &both))).await.unwrap();
    let queue = rabbitmq.queue(new_queue(server).await.name(), 1).await.unwrap();
    count(&queue, "0", "0").await;

    let nobody = format!("127.0.0.1:{closed},127.0.0.1:{closed}");
    let error = refused(RabbitMqConfig::new(&server.url().replace(&host, &nobody))).await;
    check(&error, false, "NoAnswer", &[&format!("127.0.0.1:{closed}"), "refused"]);
}

/// Its kernel takes the connection, and nobody answers.
#[tokio::test]
async fn a_server_that_stands_still_is_given_up_in_time() {
    let mut server = started(Server::rabbitmq());
    let config = RabbitMqConfig { connect_timeout: Duration::from_millis(500), ..RabbitMqConfig::new(&server.url()) };
    server.stop().unwrap();
    let asked_at = clock::now();
    let error = refused(config.clone()).await;
    check(&error, false, "Timeout", &[&at(&server), "no answer within 500ms"]);
    assert!(asked_at.elapsed() < Duration::from_secs(5));
    server.cont().unwrap();
    RabbitMq::connect(config).await.expect("it answers again");
}

#[tokio::test]
async fn a_queue_leads_to_its_siblings() {
    let (first, second) = (new_queue(rabbitmq()).await, new_queue(rabbitmq()).await);
    shows_no_password(&QueueError::not_open(first.url()));
    for named in [second.name(), second.url()] {
        assert_eq!(first.sibling(named).await.unwrap().url(), second.url());
    }
    let error = first.sibling("no such queue").await.err().expect("it is not there");
    check(&error, true, "NotFound", &["no such queue"]);
}
