use std::sync::{Condvar, Mutex};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_file_system_that_does_not_answer_holds_up_nobody_else() {
    static ANSWERS: (Mutex<bool>, Condvar) = (Mutex::new(true), Condvar::new());
    let answers = |now| {
        *ANSWERS.0.lock().unwrap() = now;
        ANSWERS.1.notify_all();
    };
    let mut watch = Watch::with(Path::new("."), |_| {
        drop(ANSWERS.1.wait_while(ANSWERS.0.lock().unwrap(), |answers| !*answers).unwrap());
        Listing::default()
    })
    .await;
    answers(false);
    // The runtime has one thread: a look on it would never come back here.
    let changed = watch.changed(|| true);
    let mut changed = std::pin::pin!(changed);
    let others = async {
        tokio::time::advance(2 * LOOK).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = &mut changed => panic!("the directory has not answered"),
        () = others => {}
    }
    answers(true);
    changed.await;
}

#[tokio::test]
async fn a_change_is_told_once_when_it_has_come_to_rest() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("a.wasm", "1");
    let mut watch = Watch::new(dir.path()).await;
    let mut look = || watch.look(Listing::of(dir.path()));
    assert!(!look());
    write("a.wasm", "12");
    assert!(!look(), "it may still be written");
    write("a.wasm", "123");
    assert!(!look(), "it was still written");
    assert!(look());
    assert!(!look(), "told already");
    write("notes.txt", "no plugin");
    assert!(!look() && !look());
    std::fs::remove_file(dir.path().join("a.wasm")).unwrap();
    assert!(!look() && look());
}
