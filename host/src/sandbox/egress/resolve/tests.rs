use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A resolver that gives these answers, one after the other; each is addresses with spaces between.
fn answers(answers: &'static [&'static str]) -> Resolver {
    let next = Arc::new(AtomicUsize::new(0));
    Arc::new(move |_, port| {
        let answer = answers[next.fetch_add(1, Ordering::Relaxed)];
        let addresses = answer.split_whitespace().map(|text| SocketAddr::new(text.parse().unwrap(), port)).collect();
        Box::pin(async move { Ok(addresses) })
    })
}

#[tokio::test]
async fn a_name_is_denied_for_any_of_its_addresses() {
    let check = async |answer: &'static [&'static str], open: &str, expect: bool| {
        let addresses = Addresses::new(&[open.to_owned()], answers(answer)).unwrap();
        let found = addresses.of("api.example", 80).await;
        assert_eq!(found.is_ok(), expect, "{answer:?} with {open} open gave {found:?}");
    };
    let other = "other.example:80";
    check(&["8.8.8.8 2606:4700::1111"], other, true).await;
    check(&["8.8.8.8 10.0.0.1"], other, false).await;
    check(&["2606:4700::1111 fd00:ec2::254"], other, false).await;
    check(&["169.254.169.254"], other, false).await;
    check(&["127.0.0.1"], other, false).await;
    check(&["::ffff:127.0.0.1"], other, false).await;
    check(&["64:ff9b::a9fe:a9fe"], other, false).await;
    check(&[""], other, false).await;
    check(&["127.0.0.1"], "api.example:80", true).await;
    check(&["127.0.0.1"], "API.example.:80", true).await;
    check(&["127.0.0.1"], "api.example:81", false).await;
    check(&["10.0.0.1 169.254.169.254"], "api.example:80", false).await;
}

#[tokio::test]
async fn an_answer_that_changes_is_checked_each_time() {
    let addresses = Addresses::new(&[], answers(&["8.8.8.8", "127.0.0.1"])).unwrap();
    assert_eq!(addresses.of("rebind.example", 80).await.unwrap(), ["8.8.8.8:80".parse().unwrap()]);
    assert!(matches!(addresses.of("rebind.example", 80).await, Err(DialError::Prohibited { .. })));
}

#[tokio::test]
async fn an_address_is_never_looked_up_and_opened_as_it_is() {
    let addresses = Addresses::new(&["169.254.169.254:80".to_owned(), "[::1]:80".to_owned()], answers(&[])).unwrap();
    assert!(addresses.of("169.254.169.254", 80).await.is_ok(), "the operator wrote this very address");
    assert!(addresses.of("::1", 80).await.is_ok());
    assert!(matches!(addresses.of("169.254.169.254", 81).await, Err(DialError::Prohibited { .. })));
    assert!(matches!(addresses.of("127.0.0.1", 80).await, Err(DialError::Prohibited { .. })));
}

#[test]
fn what_is_closed_is_known_without_a_look_up_where_the_address_is_written_or_the_machine_itself() {
    let check = |host: &str, port: u16, expect: Option<&str>| {
        let open = ["127.0.0.1:7799".to_owned(), "localhost:7799".to_owned()];
        let closed = Addresses::new(&open, answers(&[])).unwrap().closed(host, port);
        match (&closed, expect) {
            (Some(error), Some(part)) => assert!(error.to_string().contains(part), "{host}: {error}"),
            (closed, expect) => assert!(closed.is_none() && expect.is_none(), "{host}:{port} gave {closed:?}"),
        }
    };
    check("127.0.0.1", 7799, None);
    check("127.0.0.1", 7798, Some("egress.open_hosts = [\"127.0.0.1:7798\"]"));
    check("::1", 80, Some("egress.open_hosts = [\"[::1]:80\"]"));
    check("169.254.169.254", 80, Some("egress.open_hosts"));
    check("localhost", 7799, None);
    check("localhost", 80, Some("egress.open_hosts = [\"localhost:80\"]"));
    check("a.localhost", 80, Some("egress.open_hosts"));
    check("8.8.8.8", 80, None);
    check("api.example", 80, None);
}

#[test]
fn what_no_setting_opens_is_not_told_to_be_opened() {
    let addresses = Addresses::new(&["api.example:80".to_owned()], answers(&[])).unwrap();
    let error = addresses.check("api.example", 80, "169.254.169.254".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("no setting opens") && !error.contains("egress.open_hosts"), "{error}");
}

#[tokio::test]
async fn the_system_resolves_localhost_and_it_is_denied() {
    let addresses = Addresses::new(&[], system()).unwrap();
    assert!(matches!(addresses.of("localhost", 80).await, Err(DialError::Prohibited { .. })));
}
