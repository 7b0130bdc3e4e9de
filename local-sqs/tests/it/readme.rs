//! The README, held against the endpoint.

use serde_json::json;

use super::support::Server;

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_in_the_readme_is_one() {
    let server = Server::start().await;
    let readme = include_str!("../../README.md");
    let table = readme.split("| operations | |").nth(1).unwrap().split("\n\n").next().unwrap();
    let words = table.split(|c: char| !c.is_ascii_alphanumeric());
    let operations: Vec<_> = words.filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase())).collect();
    assert_eq!(operations.len(), 23);
    for operation in operations {
        let answer = server.json(operation, json!({})).await;
        let is_one = answer.status == 200 || answer.error().0 != "InvalidAction";
        assert!(is_one, "{operation}: {}", answer.body);
    }
}
