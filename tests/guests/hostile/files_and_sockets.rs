//! Reads, writes and lists files, connects, listens, sends a datagram and looks a name up; says
//! what of it went well.

use std::fs;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use wasq_sdk::{Context, Failure};

#[wasq_sdk::handler]
fn handle(_cx: &Context) -> Result<(), Failure> {
    let local = ("127.0.0.1", 9);
    let tries = [
        ("read", fs::read("/etc/hostname").is_ok()),
        ("write", fs::write("/tmp/wasq-files-and-sockets", "here").is_ok()),
        ("list", fs::read_dir(".").is_ok()),
        ("climb", fs::read("../../../../etc/hostname").is_ok()),
        ("connect", TcpStream::connect(local).is_ok()),
        ("listen", TcpListener::bind(("127.0.0.1", 0)).is_ok()),
        ("datagram", UdpSocket::bind(("0.0.0.0", 0)).and_then(|socket| socket.send_to(b"x", local)).is_ok()),
        ("look up", ("localhost", 80).to_socket_addrs().is_ok()),
    ];
    let went_well: Vec<_> = tries.iter().filter(|(_, went)| *went).map(|(what, _)| *what).collect();
    match went_well.is_empty() {
        true => Err(Failure::reject("nothing but errors")),
        false => Err(Failure::reject(went_well.join(", "))),
    }
}
