//! What is wrong is said when a queue is opened or used: where, why, and what to do.

use std::time::Duration;

use wasq_queues::redis::{Redis, RedisConfig, RedisOrder, StreamTopology};
use wasq_queues::{Queue, QueueError};
use wasq_tests::servers::{PASSWORD, Server, free_port};

use super::{LONG, Other, connect, message, new_name, new_queue, receive_one, send};
use crate::support::servers::{redis, started};

async fn refused(config: RedisConfig) -> QueueError {
    let Err(error) = Redis::connect(&config).await else { panic!("it must not connect") };
    error
}

fn check(error: &QueueError, is_permanent: bool, code: &str, parts: &[&str]) {
    assert!(!format!("{error} {error:?}").contains(PASSWORD), "{error}");
    assert_eq!(matches!(error, QueueError::Permanent { .. }), is_permanent, "{error}");
    assert_eq!(error.code(), code, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

fn at(server: &Server) -> String {
    format!("Redis at 127.0.0.1:{}/0", server.port())
}

#[tokio::test]
async fn a_wrong_password_user_or_database_is_named() {
    let (server, endpoint) = (redis(), at(redis()));
    for wrong in [server.url().replace(PASSWORD, "wrong"), server.url().replace(&format!(":{PASSWORD}@"), "nobody:x@")]
    {
        let error = refused(RedisConfig::new(&wrong)).await;
        check(&error, true, "AccessRefused", &[&endpoint, "the password in `url`"]);
        assert!(error.says_denied());
    }
    let error = refused(RedisConfig::new(&server.url().replace(&format!(":{PASSWORD}@"), ""))).await;
    check(&error, true, "AccessRefused", &["the password in `url`"]);
    let error = refused(RedisConfig::new(&server.url().replace("/0", "/999"))).await;
    check(&error, true, "NoDatabase", &["another database at the end of `url`"]);
}

#[tokio::test]
async fn settings_that_cannot_be_right_are_refused() {
    for (config, expect) in [
        (RedisConfig::new("http://u:pa55@a"), "neither redis nor rediss"),
        (RedisConfig { group: String::new(), ..RedisConfig::new("redis://a") }, "`group` is empty"),
        (RedisConfig { ca_file: Some("/nowhere".into()), ..RedisConfig::new("rediss://a") }, "`ca_file` /nowhere"),
    ] {
        let error = refused(config).await;
        check(&error, true, "Configuration", &[expect]);
        assert!(error.needs_other_settings() && !error.to_string().contains("pa55"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_or_does_not_answer_may_come() {
    let url = format!("redis://:{PASSWORD}@127.0.0.1:{}/0", free_port().unwrap());
    check(&refused(RedisConfig::new(&url)).await, false, "NoAnswer", &["127.0.0.1", "refused"]);
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://:{PASSWORD}@{}/0", deaf.local_addr().unwrap());
    let error = refused(RedisConfig::new(&url)).await;
    assert!(matches!(&error, QueueError::Transient { .. }), "{error}");
    check(&error, false, "Timeout", &["127.0.0.1"]);
}

#[tokio::test]
async fn a_stream_or_a_group_that_is_not_there_is_named_and_how_to_make_it() {
    let (redis_server, config) = (connect(redis()).await, RedisConfig::default());
    let name = new_name();
    let open = async |is_outlet| redis_server.queue(&config, &name, is_outlet).await.err().expect("it is not there");
    for is_outlet in [false, true] {
        let error = open(is_outlet).await;
        check(&error, true, "NotFound", &[&name, "no such stream", "wasq topology apply"]);
        assert!(error.says_missing());
    }
    redis_server.declare(&StreamTopology { name: name.clone(), group: None }).await.unwrap();
    let error = open(false).await;
    check(&error, true, "NotFound", &["no group \"wasq\"", &format!("XGROUP CREATE {name} wasq 0 MKSTREAM")]);
    let outlet = redis_server.queue(&config, &name, true).await.expect("an outlet needs no group");
    send(&outlet, &["sent before there is a group"]).await;
    assert!(outlet.attributes().await.unwrap().is_empty());
    for _ in 0..2 {
        redis_server.declare(&StreamTopology::of(&config, &name)).await.expect("what is there stays as it is");
    }
    let queue = redis_server.queue(&config, &name, false).await.unwrap();
    assert_eq!(receive_one(&queue).await.body, "sent before there is a group");
}

#[tokio::test]
async fn a_stream_that_is_deleted_is_missed_by_every_call() {
    let queue = new_queue(redis()).await;
    send(&queue, &["x"]).await;
    let delivery = receive_one(&queue).await;
    let _: usize = Other::connect(redis()).await.ask(&["DEL", queue.name()]).await;
    let receipt = delivery.receipt;
    for error in [
        queue.send(&[message("x")]).await.remove(0).err(),
        queue.receive(1, Duration::from_secs(2), LONG).await.err(),
        queue.delete(std::slice::from_ref(&receipt)).await.remove(0).err(),
        queue.change_visibility(&[(receipt, 5)]).await.remove(0).err(),
        queue.attributes().await.err(),
    ] {
        check(&error.expect("it fails"), true, "NotFound", &[queue.name(), "wasq topology apply"]);
    }
    assert_eq!(queue.oldest().await.unwrap(), None);
    let length: usize = Other::connect(redis()).await.ask(&["EXISTS", queue.name()]).await;
    assert_eq!(length, 0, "nothing makes a stream but the command");
}

#[tokio::test]
async fn a_key_that_is_no_stream_is_named_and_left_alone() {
    let (redis_server, config, name) = (connect(redis()).await, RedisConfig::default(), new_name());
    let _: usize = Other::connect(redis()).await.ask(&["RPUSH", &name, "a job"]).await;
    let opened = redis_server.queue(&config, &name, false).await.err().expect("it is a list");
    let declared = redis_server.declare(&StreamTopology::of(&config, &name)).await.unwrap_err();
    let outlet = redis_server.declare(&StreamTopology { name: name.clone(), group: None }).await.unwrap_err();
    for error in [opened, declared, outlet] {
        check(&error, true, "WrongType", &[&name, "a list, not a stream", "[….redis] stream"]);
    }
    let queue = new_queue(redis()).await;
    let mut other = Other::connect(redis()).await;
    let _: redis::Value = other.ask(&["SET", queue.name(), "x"]).await;
    check(&queue.send(&[message("x")]).await.remove(0).unwrap_err(), true, "WrongType", &[queue.name()]);
    check(&queue.receive(1, Duration::ZERO, LONG).await.unwrap_err(), true, "WrongType", &[queue.name()]);
}

#[tokio::test]
async fn rights_that_a_user_lacks_are_named_where_they_are_needed() {
    let (server, queue, user) = (redis(), new_queue(redis()).await, new_name());
    let mut other = Other::connect(server).await;
    let url = server.url().replace(&format!(":{PASSWORD}@"), &format!("{user}:{PASSWORD}@"));
    let config = RedisConfig::new(&url);
    let mut rights = async |rights: &[&str]| {
        let mut command = vec!["ACL", "SETUSER", &user, "reset", "on"];
        let password = format!(">{PASSWORD}");
        command.push(&password);
        command.extend(rights);
        let _: String = other.ask(&command).await;
    };
    let keys = format!("~{}*", queue.name());
    // As docs/operate/redis.md has them.
    let host = [
        "+info",
        "+ping",
        "+type",
        "+evalsha",
        "+script|load",
        "+xreadgroup",
        "+xread",
        "+xadd",
        "+xrange",
        "+xpending",
        "+xclaim",
        "+xack",
        "+xdel",
        "+xlen",
        "+xinfo",
        "+xgroup|delconsumer",
    ];
    rights(&[&[keys.as_str()], &host[..]].concat()).await;
    let limited = Redis::connect(&config).await.unwrap().queue(&config, queue.name(), false).await.unwrap();
    send(&limited, &["x", "y"]).await;
    let one = receive_one(&limited).await;
    super::put_back(&limited, &one).await;
    let all = super::receive_all(&limited, 2).await;
    super::delete(&limited, &all).await;
    super::count(&limited, "0", "0").await;
    limited.oldest().await.unwrap();
    let in_order = RedisConfig { order: RedisOrder::Stream, ..config.clone() };
    let in_order = Redis::connect(&config).await.unwrap().queue(&in_order, queue.name(), false).await.unwrap();
    super::comes_nothing(&in_order).await;
    send(&in_order, &["x"]).await;
    super::delete(&in_order, &[receive_one(&in_order).await]).await;

    rights(&[keys.as_str(), "+type", "+xpending", "+xreadgroup"]).await;
    let limited = Redis::connect(&config).await.unwrap().queue(&config, queue.name(), false).await.unwrap();
    let error = limited.send(&[message("x")]).await.remove(0).unwrap_err();
    check(&error, true, "AccessRefused", &["xadd", "ACL SETUSER"]);
    assert!(error.says_denied());
    check(&limited.receive(1, Duration::ZERO, LONG).await.unwrap_err(), true, "AccessRefused", &["evalsha"]);
    rights(&["~other", "+@all"]).await;
    let error = Redis::connect(&config).await.unwrap().queue(&config, queue.name(), false).await.err().unwrap();
    check(&error, true, "AccessRefused", &[queue.name(), "docs/operate/redis.md"]);
}

#[tokio::test]
async fn a_server_that_would_drop_streams_is_refused_and_one_that_is_full_is_named() {
    let server = started(Server::redis_with(&["--maxmemory-policy", "allkeys-lru"]));
    let error = refused(RedisConfig::new(&server.url())).await;
    check(&error, true, "Evicts", &["allkeys-lru", "noeviction"]);
    let mut other = Other::connect(&server).await;
    let _: String = other.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
    let queue = new_queue(&server).await;
    let _: String = other.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    check(&queue.send(&[message("x")]).await.remove(0).unwrap_err(), false, "OutOfMemory", &["maxmemory"]);
    let _: String = other.ask(&["CONFIG", "SET", "maxmemory", "0"]).await;
    send(&queue, &["x"]).await;
}
