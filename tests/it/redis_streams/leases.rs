//! Whose a message is, for how long, and how it goes back.

use std::time::Duration;

use futures::FutureExt;
use wasq_core::clock;
use wasq_core::message::Receipt;
use wasq_queues::Queue;

use super::{
    LONG, MOMENT, SOON, change, comes_nothing, count, delete, hide, is_lost, new_queue, other_host, put_back, receipts,
    receive, receive_all, receive_one, send, texts,
};
use crate::support::servers::redis;

/// A lease whose end a test waits for.
const SHORT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn what_is_put_back_comes_again_at_once_and_is_counted() {
    let queue = new_queue(redis()).await;
    send(&queue, &["x"]).await;
    let began = clock::now();
    let mut seen = Vec::new();
    for _ in 0..5 {
        let delivery = receive_one(&queue).await;
        put_back(&queue, &delivery).await;
        seen.push((delivery.message_id, delivery.receive_count));
    }
    assert_eq!(seen.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(seen.iter().all(|(id, _)| *id == seen[0].0), "it is one message");
    assert!(clock::now() < began + Duration::from_secs(2), "the host knows what it has put back");
    count(&queue, "1", "0").await;
}

#[tokio::test]
async fn a_receive_that_waits_gets_what_is_put_back_meanwhile() {
    let queue = new_queue(redis()).await;
    send(&queue, &["x"]).await;
    let delivery = receive_one(&queue).await;
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { receive_one(&queue).await }
    });
    comes_nothing(&queue).await;
    let put_back_at = clock::now();
    put_back(&queue, &delivery).await;
    assert_eq!(waiting.await.unwrap().receive_count, 2);
    assert!(clock::now() < put_back_at + Duration::from_millis(700), "it was not awaited by looking now and then");
}

#[tokio::test]
async fn a_lease_that_nobody_renews_ends_and_one_that_is_renewed_does_not() {
    let queue = new_queue(redis()).await;
    send(&queue, &["renewed", "left"]).await;
    let both = receive(&queue, 2, SHORT).await;
    let received_at = both[0].received_at;
    let (renewed, left) = both.into_iter().partition::<Vec<_>, _>(|delivery| delivery.body == "renewed");
    tokio::time::sleep_until(received_at + SHORT / 2).await;
    change(&queue, &renewed[0], 2).await.unwrap();
    let again = receive_one(&queue).await;
    assert_eq!((&again.body[..], again.receive_count), (&b"left"[..], 2));
    assert!(clock::now() >= received_at + SHORT - Duration::from_millis(50), "it came early");
    let answers = queue.delete(&receipts(&left)).await;
    assert!(is_lost(&answers[0]), "its lease has ended: {answers:?}");
    delete(&queue, &renewed).await;
    delete(&queue, &[again]).await;
    count(&queue, "0", "0").await;
}

#[tokio::test]
async fn a_renewal_may_be_shorter_and_is_never_longer_than_the_visibility() {
    let queue = new_queue(redis()).await;
    for (visibility, renewal) in [(LONG, 1), (Duration::from_secs(1), 600)] {
        send(&queue, &["x"]).await;
        let first = receive(&queue, 1, visibility).await.remove(0);
        let changed_at = clock::now();
        change(&queue, &first, renewal).await.unwrap();
        // Who has a short time itself looks for what others have for a short time.
        let again = receive(&queue, 1, visibility).await.remove(0);
        let waited = clock::now() - changed_at;
        assert!(waited >= Duration::from_millis(950) && waited < Duration::from_secs(10), "{waited:?}");
        assert!(again.receive_count >= 2);
        delete(&queue, &[again]).await;
    }
}

#[tokio::test]
async fn what_is_hidden_shows_again_at_its_time() {
    let queue = new_queue(redis()).await;
    send(&queue, &["hidden", "let go"]).await;
    let both = receive_all(&queue, 2).await;
    let (hidden, let_go) = both.into_iter().partition::<Vec<_>, _>(|delivery| delivery.body == "hidden");
    let hidden_at = clock::now();
    let changes = [(hidden[0].receipt.clone(), 2), (let_go[0].receipt.clone(), 0)];
    for answer in queue.hide(&changes).await {
        answer.unwrap();
    }
    assert!(is_lost(&change(&queue, &hidden[0], 600).await), "a renewal that is late keeps nothing hidden");
    assert_eq!(receive_one(&queue).await.body, "let go");
    let again = receive_one(&queue).await;
    assert_eq!((&again.body[..], again.receive_count), (&b"hidden"[..], 2));
    let late = clock::now() - hidden_at;
    assert!(late >= Duration::from_secs(2) && late < Duration::from_millis(2_900), "{late:?}");
}

#[tokio::test]
async fn another_host_gets_what_was_hidden_too() {
    let queue = new_queue(redis()).await;
    let other = other_host(redis(), &queue).await;
    send(&queue, &["hidden", "put back"]).await;
    let both = receive_all(&queue, 2).await;
    let seconds = |body: &[u8]| if body == b"hidden" { 1 } else { 0 };
    let hidden_at = clock::now();
    for delivery in &both {
        hide(&queue, delivery, seconds(&delivery.body)).await.unwrap();
    }
    assert_eq!(receive_one(&other).await.body, "put back");
    assert_eq!(receive_one(&other).await.body, "hidden");
    assert!(clock::now() >= hidden_at + Duration::from_millis(950), "it showed early");
    comes_nothing(&queue).await;
}

#[tokio::test]
async fn a_lease_is_as_long_as_its_holder_says_and_not_as_another_one_would_have_it() {
    let queue = new_queue(redis()).await;
    let other = other_host(redis(), &queue).await;
    send(&queue, &["x"]).await;
    let held = receive_one(&queue).await;
    for visibility in [Duration::ZERO, Duration::from_millis(100)] {
        let received = other.receive(10, Duration::from_millis(1_500), visibility).await.unwrap();
        assert!(received.is_empty(), "{received:?}");
    }
    delete(&queue, &[held]).await;
}

#[tokio::test]
async fn a_receipt_is_good_once_and_for_its_own_delivery() {
    let queue = new_queue(redis()).await;
    send(&queue, &["x", "y"]).await;
    let (first, second) = (receive_one(&queue).await, receive_one(&queue).await);
    delete(&queue, std::slice::from_ref(&first)).await;
    let (receipt, elsewhere) = (|text: &str| Receipt(text.into()), new_queue(redis()).await);
    let other_count = receipt(&second.receipt.0.replacen(":1:", ":2:", 1));
    let other_entry = receipt(&second.receipt.0.replacen('-', "-9", 1));
    let mut uuid = second.receipt.0.clone();
    uuid.replace_range(uuid.len() - 20..uuid.len() - 18, "zz");
    for (queue, receipt) in [
        (&queue, first.receipt.clone()),
        (&queue, receipt("AQEB")),
        (&queue, other_count),
        (&queue, other_entry),
        (&queue, receipt(&uuid)),
        (&elsewhere, second.receipt.clone()),
    ] {
        let deleted = queue.delete(std::slice::from_ref(&receipt)).await;
        let hidden = queue.hide(&[(receipt.clone(), 5)]).await;
        let changed = queue.change_visibility(&[(receipt.clone(), 5), (receipt.clone(), 0)]).await;
        let answers: Vec<_> = deleted.iter().chain(&hidden).chain(&changed).collect();
        assert_eq!(answers.len(), 4);
        assert!(answers.iter().all(|answer| is_lost(answer)), "{receipt:?}: {answers:?}");
    }
    let answers = queue.delete(&[first.receipt.clone(), receipt("AQEB"), second.receipt.clone()]).await;
    assert!(is_lost(&answers[0]) && is_lost(&answers[1]) && answers[2].is_ok(), "{answers:?}");
    count(&queue, "0", "0").await;
}

#[tokio::test]
async fn a_receipt_of_an_earlier_delivery_settles_no_later_one() {
    let queue = new_queue(redis()).await;
    let other = other_host(redis(), &queue).await;
    send(&queue, &["x"]).await;
    let mut stale = vec![receive_one(&queue).await];
    put_back(&queue, &stale[0]).await;
    stale.push(receive_one(&other).await);
    put_back(&other, &stale[1]).await;
    let now = receive_one(&queue).await;
    for old in &stale {
        for host in [&queue, &other] {
            let answers = [
                change(host, old, 5).await,
                hide(host, old, 0).await,
                host.delete(&receipts(std::slice::from_ref(old))).await.remove(0),
            ];
            assert!(answers.iter().all(is_lost), "{answers:?}");
        }
    }
    change(&queue, &now, 600).await.expect("it is still ours");
    delete(&queue, &[now]).await;
}

#[tokio::test]
async fn a_renewal_over_a_connection_of_its_own_is_good_for_the_queue() {
    let queue = new_queue(redis()).await;
    send(&queue, &["x"]).await;
    let delivery = receive(&queue, 1, Duration::from_secs(1)).await.remove(0);
    let receipt = delivery.receipt.clone();
    let keeper = std::thread::spawn({
        let queue = queue.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let own = queue.with_own_connection().await.expect("it has one");
                for _ in 0..6 {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    own.change_visibility(&[(receipt.clone(), 1)]).await.remove(0).expect("it is ours");
                }
            });
        }
    });
    let received = queue.receive(1, Duration::from_millis(1_700), LONG).await.unwrap();
    assert!(received.is_empty(), "{received:?}");
    keeper.join().unwrap();
    delete(&queue, &[delivery]).await;
}

#[tokio::test]
async fn a_receive_that_is_dropped_loses_nothing() {
    let queue = new_queue(redis()).await;
    // Given up in every state that it can be in.
    for polls in 0..40 {
        let receive = queue.receive(10, SOON, LONG);
        tokio::pin!(receive);
        for _ in 0..polls {
            if receive.as_mut().now_or_never().is_some() {
                panic!("nothing is there");
            }
            tokio::task::yield_now().await;
        }
    }
    send(&queue, &["a", "b", "c"]).await;
    for polls in 0..40 {
        let receive = queue.receive(1, SOON, LONG);
        tokio::pin!(receive);
        for _ in 0..polls {
            if let Some(received) = receive.as_mut().now_or_never() {
                put_back(&queue, &received.unwrap()[0]).await;
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let all = receive_all(&queue, 3).await;
    assert_eq!(texts(&all), ["a", "b", "c"]);
    delete(&queue, &all).await;
}

#[tokio::test]
async fn a_receive_takes_as_many_as_it_may_and_answers_in_time() {
    let queue = new_queue(redis()).await;
    let began = clock::now();
    assert!(queue.receive(10, Duration::ZERO, LONG).await.unwrap().is_empty());
    assert!(clock::now() < began + Duration::from_millis(500));
    comes_nothing(&queue).await;
    assert!(clock::now() < began + MOMENT + Duration::from_secs(1));
    send(&queue, &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"]).await;
    assert_eq!(queue.receive(3, Duration::ZERO, LONG).await.unwrap().len(), 3);
    let rest = receive(&queue, 100, LONG).await;
    assert!(rest.len() <= 10, "{}", rest.len());
}
