//! `docs/use/aws-events.md`: its examples are what `wasq decode` prints.
//!
//! An example is a `json` block, directly followed by a `text` block with what is printed. Between
//! the two may be a `toml` block: the config whose queue reads the message; without one it is read
//! with `--envelope auto`. Bodies are left out, and so are the plugins, of which there are none.

use super::document;
use crate::cli::binary::wasq;

/// How many examples the page has at least.
const EXAMPLES_MIN: usize = 15;

struct Example {
    body: String,
    config: Option<String>,
    prints: String,
}

/// A block of the page: what it is of, its text, and whether nothing stands between it and the one
/// before.
struct Block {
    kind: String,
    text: String,
    follows: bool,
}

#[tokio::test]
async fn each_example_of_the_aws_events_page_is_what_decode_prints() {
    let examples = examples(&document("aws-events.md"));
    let plain = examples.iter().filter(|example| example.config.is_none()).count();
    assert!(plain >= EXAMPLES_MIN, "only {plain} examples were found");
    for example in examples {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("plugins")).unwrap();
        std::fs::write(dir.path().join("message.json"), &example.body).unwrap();
        let mut arguments = vec!["decode", "--body", "@./message.json"];
        match &example.config {
            Some(config) => {
                std::fs::write(dir.path().join("wasq.toml"), config).unwrap();
                arguments.extend(["--config", "wasq.toml"]);
            }
            None => arguments.extend(["--envelope", "auto"]),
        }
        let ran = wasq(arguments).dir(dir.path()).run().await;
        let printed = without_bodies(&ran.out);
        assert_eq!(printed, example.prints, "of the message\n{}\nis printed:\n{printed}\n{}", example.body, ran.err);
        let invalid = printed.starts_with("invalid ");
        assert_eq!(ran.code, Some(i32::from(invalid)), "exit code for the message\n{}", example.body);
    }
}

fn examples(page: &str) -> Vec<Example> {
    let blocks = blocks(page);
    let mut examples = Vec::new();
    for (index, block) in blocks.iter().enumerate().filter(|(_, block)| block.kind == "text" && block.follows) {
        let before = |count: usize| index.checked_sub(count).map(|at| &blocks[at]);
        let (message, config) = match before(1) {
            Some(config) if config.kind == "toml" && config.follows => (before(2), Some(config.text.clone())),
            other => (other, None),
        };
        if let Some(message) = message.filter(|message| message.kind == "json") {
            examples.push(Example { body: message.text.clone(), config, prints: block.text.clone() });
        }
    }
    examples
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut follows = false;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        match line.strip_prefix("```") {
            Some(kind) => {
                let text: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
                blocks.push(Block { kind: kind.to_owned(), text: text.join("\n"), follows });
                follows = true;
            }
            None => follows = follows && line.trim().is_empty(),
        }
    }
    blocks
}

/// What is printed of each message: it begins with the type, and ends with the body.
fn without_bodies(out: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut in_body = false;
    for line in out.lines() {
        if line.starts_with("type ") {
            if in_body {
                kept.push("");
            }
            in_body = false;
        }
        in_body |= line.starts_with("body ");
        if !in_body && !line.starts_with("plugin ") {
            kept.push(line);
        }
    }
    kept.join("\n")
}
