//! One server of each kind for all tests of a process; a test that stops or kills one starts its
//! own.

use std::sync::OnceLock;

use wasq_tests::servers::Server;

/// The PostgreSQL that tests share, each in a schema of its own.
pub fn postgres() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| started(Server::postgres()))
}

/// The Redis that tests share, each with a prefix of its own.
pub fn redis() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| started(Server::redis()))
}

/// The RabbitMQ that tests share, each with a queue of its own. It takes messages of 4 MiB.
pub fn rabbitmq() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| started(Server::rabbitmq_with(&["max_message_size = 4194304"])))
}

/// The broker of Kafka's protocol that tests share, each with topics of its own.
pub fn kafka() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| started(Server::kafka()))
}

/// The registry that tests share, each with repositories of its own.
pub fn registry() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| started(Server::registry()))
}

/// The server, or a panic that says what is missing.
pub fn started(server: Result<Server, impl std::fmt::Debug>) -> Server {
    server.unwrap_or_else(|error| panic!("{error:?}"))
}
