//! The generated code that is checked in is what the `.proto` files say.
//!
//! `UPDATE_GENERATED=1 cargo test -p holdfast-proto --test generated_code` writes it anew.

use std::{fs, path::Path};

const FILES: [&str; 9] = [
    "enrolment.proto",
    "fleet.proto",
    "gateway.proto",
    "guard.proto",
    "image.proto",
    "link.proto",
    "operator.proto",
    "peer.proto",
    "task.proto",
];

/// Messages that carry a secret; `wire.rs` gives them a Debug that says nothing.
const SECRETS: [&str; 10] = [
    "EnrolRequest",
    "EnrolHostResponse",
    "InviteOperatorResponse",
    "OpenStream",
    "SendImage",
    "ReceiveImage",
    "RelayWait",
    "OpenRepositoryResponse",
    "DirectAccess",
    "ExportRepositoryKeyResponse",
];

#[test]
fn checked_in_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = FILES.map(|file| format!("holdfast/v1/{file}"));
    let descriptors = protox::compile(files, [root]).expect("the .proto files compile");
    let out = tempfile::tempdir().expect("a temporary directory");
    tonic_prost_build::configure()
        .out_dir(out.path())
        // Table data pass through without a copy.
        .bytes(".holdfast.v1.SendRequest.data")
        .bytes(".holdfast.v1.GetObjectResponse.data")
        .bytes(".holdfast.v1.PutObjectRequest.data")
        .skip_debug(SECRETS)
        .compile_fds(descriptors)
        .expect("code is generated");

    let fresh = fs::read_to_string(out.path().join("holdfast.v1.rs")).expect("generated file");
    let kept = root.join("src/gen/holdfast.v1.rs");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::create_dir_all(kept.parent().expect("a parent")).expect("src/gen");
        fs::write(&kept, &fresh).expect("write generated code");
    }
    let current = fs::read_to_string(&kept).unwrap_or_default();
    assert!(
        current == fresh,
        "{} is not current: run with UPDATE_GENERATED=1",
        kept.display()
    );
}
