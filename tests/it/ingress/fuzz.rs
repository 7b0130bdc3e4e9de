//! The port's own document, and a fuzzer of such documents: what it says is what the port does.

use std::path::Path;

use super::*;
use crate::cli::binary::program;

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_whatever_comes_as_its_document_says() {
    let dir = tempfile::tempdir().unwrap();
    let schema = json!({
        "type": "object", "required": ["do"], "additionalProperties": false,
        "properties": { "do": { "const": "done" }, "n": { "type": "integer" } },
    });
    let path = dir.path().join("order.json");
    std::fs::write(&path, schema.to_string()).unwrap();
    let rig = rig(&format!("[ingress.types.probe]\n[ingress.types.order]\nschema = '{}'", path.display())).await;
    let url = format!("http://{}/v1/openapi.json", rig.host().ingress_addr().unwrap());
    let schemathesis = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/clients/.schemathesis/bin/schemathesis");
    assert!(schemathesis.exists(), "run `bash tests/clients/setup.sh` first");
    // What a schema takes, a queue may still refuse: a character that SQS does not take, a body that
    // is no JSON for a type without a schema.
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,unsupported_method";
    let arguments =
        ["run", &url, "--checks", checks, "--max-examples", "40", "--seed", "7", "--phases", "coverage,fuzzing"];
    let arguments = arguments.into_iter().chain(["--workers", "2", "--no-color", "--warnings", "off"]);
    let ran = program(schemathesis, arguments).dir(dir.path()).compiles().run().await;
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.out, ran.err);
    rig.end().await;
}
