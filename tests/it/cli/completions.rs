//! Completion scripts that the shells can read.

use super::binary::{program, wasq};

#[tokio::test]
async fn every_shell_gets_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        wasq(["completions", shell]).check(0, &["wasq", "invoke", "dlq", "completions"]).await;
    }
}

#[tokio::test]
async fn bash_completes_a_command_with_it() {
    let script = wasq(["completions", "bash"]).run().await.out;
    let ask = "source /dev/stdin; COMP_WORDS=(wasq inv); COMP_CWORD=1; _wasq wasq inv wasq; echo \"${COMPREPLY[@]}\"";
    program("bash", ["-c", ask]).input(&script).check(0, &["invoke"]).await;
}
