//! The archive with what belongs to it, the checksums and the signature.

use std::process::Command;

use super::{MADE, make, pack, run, text};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The triple of this machine: releases are for Linux with glibc.
fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

#[test]
fn the_checksums_and_their_signature_hold_for_every_file() {
    let made = &*MADE;
    let check = |dir: &std::path::Path| {
        let sums = Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(dir).output();
        sums.expect("coreutils are there").status.success()
    };
    let verify = |dir: &std::path::Path| {
        let (public, sums) = (text(&made.dir.path().join("minisign.pub")), text(&dir.join("SHA256SUMS")));
        let verified = Command::new("minisign").args(["-V", "-p", &public, "-m", &sums]).output();
        verified.expect("minisign is set up")
    };
    assert!(check(&made.release.directory));
    let verified = verify(&made.release.directory);
    let said = String::from_utf8_lossy(&verified.stdout);
    assert!(verified.status.success() && said.contains(&format!("wasq {VERSION}")), "{said}");
    let sums = std::fs::read_to_string(made.release.directory.join("SHA256SUMS")).unwrap();
    for file in &made.release.files {
        assert!(sums.contains(&file.name) || file.name.starts_with("SHA256SUMS"), "{} has no checksum", file.name);
    }

    // A file that somebody has changed, and checksums that were made to fit it.
    let other = tempfile::tempdir().unwrap();
    for file in &made.release.files {
        std::fs::copy(made.release.directory.join(&file.name), other.path().join(&file.name)).unwrap();
    }
    std::fs::write(other.path().join("wasq.rb"), "system \"true\"").unwrap();
    assert!(!check(other.path()));
    let forged = sums.replace(&run("sha256sum", &[&text(&made.file("wasq.rb", ""))])[..64], &"0".repeat(64));
    assert_ne!(forged, sums);
    std::fs::write(other.path().join("SHA256SUMS"), forged).unwrap();
    assert!(!verify(other.path()).status.success());
}

#[test]
fn the_archive_has_the_binary_its_completions_man_pages_schemas_and_licences() {
    let made = &*MADE;
    let dir = tempfile::tempdir().unwrap();
    run("tar", &["-xzf", &text(&made.file("wasq-", ".tar.gz")), "-C", &text(dir.path())]);
    let inside = dir.path().join(format!("wasq-{VERSION}-{}", target()));
    assert_eq!(run(&text(&inside.join("wasq")), &["-V"]), format!("wasq {VERSION}\n"));
    let check = |path: &str, parts: &[&str]| {
        let read = std::fs::read_to_string(inside.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        for part in parts {
            assert!(read.contains(part), "{path} does not have {part:?}");
        }
    };
    check("completions/wasq.bash", &["_wasq", "dlq"]);
    check("completions/_wasq", &["#compdef wasq"]);
    check("completions/wasq.fish", &["complete -c wasq"]);
    check("man/man1/wasq.1", &[".TH wasq 1", "local\\-queue"]);
    check("man/man1/wasq-dlq-replay.1", &[".TH", "canary"]);
    check("schemas/wasq.schema.json", &["draft-07", "unroutable_after"]);
    check("schemas/plugin.schema.json", &["draft-07", "allowed_outbound_hosts"]);
    check("LICENSE-MIT", &["Permission is hereby granted"]);
    check("LICENSE-APACHE", &["Apache License"]);
    check("THIRD-PARTY.md", &["| tokio |", "| wasmtime |", "| rustls |", "Apache License"]);
    let third_party = std::fs::read_to_string(inside.join("THIRD-PARTY.md")).unwrap();
    assert!(!third_party.contains("| serde_derive |"), "what is only compiled with is not in the binary");
}

#[test]
fn the_same_binary_gives_the_same_files() {
    let made = &*MADE;
    let out = tempfile::tempdir().unwrap();
    let again = pack(&out.path().join("again"), &made.dir.path().join("wasq"), &[]);
    let sums = |release: &wasq_dist::Release| -> Vec<(String, String)> {
        // A signature has a random part.
        let files = release.files.iter().filter(|file| file.name != "SHA256SUMS.minisig");
        files.map(|file| (file.name.clone(), file.sha256.clone())).collect()
    };
    assert_eq!(sums(&again), sums(&made.release));
}

#[test]
fn cargo_binstall_and_homebrew_find_the_archive() {
    let made = &*MADE;
    let archive = made.file("wasq-", ".tar.gz");
    let archive = archive.file_name().unwrap().to_str().unwrap();
    let manifest: toml::Table = include_str!("../../../host/Cargo.toml").parse().unwrap();
    let binstall = &manifest["package"]["metadata"]["binstall"];
    let filled = |key: &str| {
        let text = binstall[key].as_str().unwrap();
        let values = [("{ repo }", "REPO"), ("{ version }", VERSION), ("{ target }", &target()), ("{ bin }", "wasq")];
        values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    };
    assert_eq!(filled("pkg-url"), format!("REPO/releases/download/v{VERSION}/{archive}"));
    let listed = run("tar", &["-tzf", &text(&made.file("wasq-", ".tar.gz"))]);
    assert!(listed.lines().any(|path| path == filled("bin-dir")), "{listed}");

    let formula = std::fs::read_to_string(made.file("wasq.rb", "")).unwrap();
    let sum = made.release.files.iter().find(|file| file.name == archive).unwrap();
    for part in [&format!("/releases/download/v{VERSION}/{archive}\""), &format!("sha256 \"{}\"", sum.sha256)] {
        assert!(formula.contains(part.as_str()), "{formula}");
    }
    assert!(!formula.contains('{') || formula.contains("#{bin}"), "{formula}");
    let described: serde_json::Value =
        serde_json::from_slice(&std::fs::read(made.file("release.json", "")).unwrap()).unwrap();
    assert_eq!((&described["version"], &described["image"]["tags"][0]), (&VERSION.into(), &VERSION.into()));
}

#[test]
fn the_bill_of_materials_names_what_is_in_the_binary_and_no_path_of_this_machine() {
    let made = &*MADE;
    let text = std::fs::read_to_string(made.file("wasq-", ".cdx.json")).unwrap();
    let bill: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    let component = &bill["metadata"]["component"];
    assert_eq!((&component["name"], &component["version"]), (&"wasq".into(), &VERSION.into()));
    let names: Vec<_> =
        bill["components"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    for (name, is_there) in
        [("wasmtime", true), ("wasq-queues", true), ("moxcms", false), ("rdkafka", false), ("wat", false)]
    {
        assert_eq!(names.contains(&name), is_there, "{name}: {names:?}");
    }
    assert!(!text.contains("null"), "the format knows no null");
    assert!(!text.contains(env!("CARGO_MANIFEST_DIR")) && !text.contains("/tmp/"), "it has paths of this machine");
}

#[test]
fn what_is_missing_for_a_release_is_said_before_it_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_wasq"));
    let check = |out: &str, more: &[&str], parts: &[&str]| {
        let error = make(&dir.path().join(out), binary, more).err().expect("nothing can be made");
        let error = format!("{error:#}");
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    check("a", &["--minisign-key", "no/such.key"], &["no/such.key", "minisign -G"]);
    check("d", &["--sbom-tool", "no/such/tool"], &["cargo install --locked cargo-cyclonedx", "--no-sbom"]);
    let two = ["--target", "x86_64-unknown-linux-gnu", "--target", "aarch64-unknown-linux-gnu"];
    check("b", &two, &["--binary", "one --target"]);
    std::fs::create_dir(dir.path().join("mine")).unwrap();
    std::fs::write(dir.path().join("mine/notes"), "mine").unwrap();
    check("mine", &[], &["mine", "--out"]);
    assert!(dir.path().join("mine/notes").exists());
    let text_file = dir.path().join("mine/notes");
    let error = make(&dir.path().join("c"), &text_file, &[]).err().expect("it is no binary");
    assert!(format!("{error:#}").contains("notes"), "{error:#}");
}
