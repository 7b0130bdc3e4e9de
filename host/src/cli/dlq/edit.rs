//! `wasq dlq edit`.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use serde_json::Value;
use tempfile::TempPath;
use tokio_util::sync::CancellationToken;

use super::replay::{Resend, replay};
use super::report::report;
use super::target::{DlqHandle, Opened, print_notes};
use super::view::cut;
use crate::cli::body::read_body;
use crate::dlq::letter_view::LetterView;
use crate::dlq::replayed_message::ReplayOptions;
use wasq_queues::QueueRules;

/// Changes that are shown of a body; and characters of a value in them.
const CHANGES_MAX: usize = 40;
const VALUE_CHARS: usize = 100;

/// Edit the body of one dead letter, and replay it.
///
/// Opens the body in $VISUAL or $EDITOR; the letter stays in the DLQ meanwhile, to be seen by
/// others. A body that was JSON must be JSON again. Then shows what has changed, and replays that
/// letter with the new body. Its key stays: a message that was dead-lettered starts afresh under
/// it, so --again is only needed for what is done. An unchanged body is not replayed.
#[derive(Args)]
pub struct Edit {
    /// The letter's message id in the DLQ, or the first part of it.
    id: String,
    /// The new body, instead of an editor: `-` reads stdin, `@FILE` a file.
    #[arg(long, value_name = "BODY")]
    body: Option<String>,
    /// Shows what would change, and replays nothing.
    #[arg(long)]
    dry_run: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    resend: Resend,
    #[command(flatten)]
    dlq: DlqHandle,
}

impl Edit {
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<ExitCode> {
        let opened = self.dlq.open().await?;
        // Nothing is in hand while somebody types.
        let view = look_up(&opened, &self.id, &stop).await?;
        let before = std::str::from_utf8(&view.delivery.body).context("the body is no text")?;
        let draft = match &self.body {
            Some(body) => {
                let body =
                    String::from_utf8(read_body(body)?).context("the new body is no UTF-8: only text can be edited")?;
                check(before, &body).context("the new body is refused")?;
                Draft { body, file: None }
            }
            None => in_editor(&view.id().0, before, &stop).await?,
        };
        if draft.body == before {
            println!("the body is unchanged; nothing replayed");
            return Ok(ExitCode::SUCCESS);
        }
        for line in changes(before, &draft.body) {
            eprintln!("{line}");
        }
        if self.dry_run {
            println!("nothing replayed: --dry-run");
            return Ok(ExitCode::SUCCESS);
        }
        let sent = self.send(&opened, &view, Bytes::from(draft.body), stop).await;
        let kept = match draft.file {
            Some(file) if !sent.as_ref().is_ok_and(|code| *code == ExitCode::SUCCESS) => {
                format!("; your text is kept in {}", keep(file)?.display())
            }
            Some(_) | None => String::new(),
        };
        match sent {
            Ok(code) if code == ExitCode::SUCCESS => Ok(code),
            Ok(code) => {
                eprintln!("not replayed{kept}");
                Ok(code)
            }
            Err(error) => Err(error.context(format!("not replayed{kept}"))),
        }
    }

    /// Takes the letter again, and replays it with its new body.
    async fn send(
        &self,
        opened: &Opened,
        view: &LetterView,
        body: Bytes,
        stop: CancellationToken,
    ) -> anyhow::Result<ExitCode> {
        let mut plan = self.resend.plan();
        plan.how = ReplayOptions { body: Some(body), ..plan.how };
        let mut sources = opened.sources(self.resend.to()).await?;
        let queue = sources.of(view).await.map_err(anyhow::Error::msg)?;
        view.replayed(&QueueRules::of_broker(&*queue), &plan.how)?;

        let mut reader = opened.reader().await?;
        let again = opened.find(&mut reader, &view.id().0, &stop).await;
        let ended = match again {
            Ok(again) => Ok(replay(opened, &mut reader, &mut sources, &plan, Some(&again), &stop).await),
            Err(error) => Err(error.context("the letter has left the DLQ, or is hidden by another command")),
        };
        print_notes(&reader.put_back().await);
        let (summary, left) = ended?;
        Ok(report(opened, &summary, left?, &plan, self.json))
    }
}

/// What somebody wrote, and the file that has it.
struct Draft {
    body: String,
    file: Option<TempPath>,
}

/// Reads the letter and puts it back.
async fn look_up(opened: &Opened, id: &str, stop: &CancellationToken) -> anyhow::Result<LetterView> {
    let mut reader = opened.reader().await?;
    let view = opened.find(&mut reader, id, stop).await;
    print_notes(&reader.put_back().await);
    view
}

/// Lets the user edit, until what was JSON is JSON or the user gives up.
async fn in_editor(id: &str, before: &str, stop: &CancellationToken) -> anyhow::Result<Draft> {
    let editor = ["VISUAL", "EDITOR"].iter().filter_map(|name| std::env::var(name).ok()).find(|text| !text.is_empty());
    let editor = editor.context("no editor: set VISUAL or EDITOR, or give the new body with --body")?;
    let suffix = if is_json(before) { ".json" } else { ".txt" };
    let prefix = format!("wasq-{}-", id.chars().take(8).collect::<String>());
    let file = tempfile::Builder::new().prefix(&prefix).suffix(suffix).tempfile();
    let mut file = file.context("cannot make a temporary file")?;
    file.write_all(before.as_bytes()).context("cannot write a temporary file")?;
    let path = file.into_temp_path();
    loop {
        let body = match edited(&editor, &path, before).await {
            Ok(body) => body,
            Err(error) => return Err(error.context(format!("your text is kept in {}", keep(path)?.display()))),
        };
        let Err(error) = check(before, &body) else { return Ok(Draft { body, file: Some(path) }) };
        if std::io::stdin().is_terminal() {
            eprintln!("{error:#}");
            if ask("edit again?", true, stop).await? {
                continue;
            }
        }
        return Err(error.context(format!("nothing replayed; your text is kept in {}", keep(path)?.display())));
    }
}

/// Runs the editor, and reads what it left.
async fn edited(editor: &str, path: &Path, before: &str) -> anyhow::Result<String> {
    // Through a shell, as git does: an editor may come with arguments.
    let mut command = tokio::process::Command::new("sh");
    command.arg("-c").arg(format!("{editor} \"$0\"")).arg(path);
    let status = command.status().await.with_context(|| format!("cannot start the editor `{editor}`"))?;
    if !status.success() {
        bail!("the editor `{editor}` ended with {status}; nothing replayed");
    }
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut text = String::from_utf8(text).context("the text is no UTF-8: only text can be edited")?;
    // Editors end a file with a newline. It is none of the body's if that had none.
    if text.ends_with('\n') && !before.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}

fn keep(path: TempPath) -> anyhow::Result<PathBuf> {
    path.keep().context("cannot keep the temporary file")
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok()
}

/// What was JSON must be JSON.
fn check(before: &str, after: &str) -> anyhow::Result<()> {
    if !is_json(before) {
        return Ok(());
    }
    let parsed: Result<Value, _> = serde_json::from_str(after);
    parsed.map(drop).context("the new body is not valid JSON, but the original was")
}

/// The differences between two bodies: of JSON the values by their pointers, of text the lines.
fn changes(before: &str, after: &str) -> Vec<String> {
    let mut lines = Vec::new();
    match (serde_json::from_str::<Value>(before), serde_json::from_str::<Value>(after)) {
        (Ok(before), Ok(after)) => compare(String::new(), &before, &after, &mut lines),
        _ => {
            let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
            let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
            let tail = old[same..].iter().rev().zip(new[same..].iter().rev()).take_while(|(a, b)| a == b).count();
            lines.extend(old[same..old.len() - tail].iter().map(|line| format!("- {}", cut(line, VALUE_CHARS))));
            lines.extend(new[same..new.len() - tail].iter().map(|line| format!("+ {}", cut(line, VALUE_CHARS))));
        }
    }
    if lines.is_empty() {
        lines.push("only white space has changed".into());
    }
    if lines.len() > CHANGES_MAX {
        let more = lines.len() - CHANGES_MAX;
        lines.truncate(CHANGES_MAX);
        lines.push(format!("and {more} more changes"));
    }
    lines
}

fn compare(pointer: String, before: &Value, after: &Value, lines: &mut Vec<String>) {
    let shown = |value: &Value| cut(&value.to_string(), VALUE_CHARS);
    let name = |key: &str| format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
    let mut entry = |name: String, before: Option<&Value>, after: Option<&Value>| match (before, after) {
        (Some(before), Some(after)) => compare(name, before, after, lines),
        (Some(before), None) => lines.push(format!("- {name} {}", shown(before))),
        (None, Some(after)) => lines.push(format!("+ {name} {}", shown(after))),
        (None, None) => {}
    };
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                entry(name(key), Some(value), new.get(key));
            }
            for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                entry(name(key), None, Some(value));
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for index in 0..old.len().max(new.len()) {
                entry(name(&index.to_string()), old.get(index), new.get(index));
            }
        }
        (old, new) if old == new => {}
        (old, new) => {
            let at = if pointer.is_empty() { "/" } else { &pointer };
            lines.push(format!("~ {at} {} -> {}", shown(old), shown(new)));
        }
    }
}

/// Asks on the terminal. Enter is `default`; so is the end of the input, and a stop is no.
pub async fn ask(question: &str, default: bool, stop: &CancellationToken) -> anyhow::Result<bool> {
    let choice = if default { "[Y/n]" } else { "[y/N]" };
    eprint!("{question} {choice} ");
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).map(|_| line)
    });
    let line = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(false),
        line = answer => line.context("reading the answer panicked")?.context("cannot read the answer")?,
    };
    Ok(match line.trim().to_ascii_lowercase().as_str() {
        "" => default,
        answer => matches!(answer, "y" | "yes"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_json_must_be_json() {
        assert!(check("{}", r#"{"a":1}"#).is_ok());
        assert!(check("{}", "{").is_err_and(|error| format!("{error:#}").contains("line 1 column 1")));
        assert!(check("no json", "{").is_ok());
    }

    #[test]
    fn changes_are_shown_by_value_or_by_line() {
        let check = |before: &str, after: &str, expect: &[&str]| assert_eq!(changes(before, after), expect);
        check(
            r#"{"a":1,"b":{"c/d":[1,2]},"e":0}"#,
            r#"{"a":2,"b":{"c/d":[1,3,4]},"f":null}"#,
            &["~ /a 1 -> 2", "~ /b/c~1d/1 2 -> 3", "+ /b/c~1d/2 4", "- /e 0", "+ /f null"],
        );
        check("1", "2", &["~ / 1 -> 2"]);
        check("{}", "{ }", &["only white space has changed"]);
        check("a\nb\nc", "a\nx\nc", &["- b", "+ x"]);
        check("a\na", "a", &["- a"]);
        assert_eq!(changes("x", &"y\n".repeat(100)).len(), CHANGES_MAX + 1);
    }
}
