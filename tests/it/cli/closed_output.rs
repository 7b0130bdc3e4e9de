//! Output that nobody reads to its end.

use std::process::{Command, Stdio};

#[test]
fn a_command_whose_output_is_closed_ends_without_a_word() {
    let dir = super::place("[queues.jobs]");
    for arguments in [&["completions", "bash"][..], &["decode", "--body", r#"{"type":"t"}"#], &["check"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_wasq"));
        let command = command.args(arguments).current_dir(&dir).stdout(writer).stderr(Stdio::piped());
        let ran = command.spawn().unwrap().wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&ran.stderr);
        assert_eq!((ran.status.code(), err.as_ref()), (Some(141), ""), "{arguments:?}");
    }
}
