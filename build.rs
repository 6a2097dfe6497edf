//! Turns `proto/` into Rust: messages and gRPC stubs (prost, tonic), the descriptor set that reflection and gateways
//! read, the JSON form of each message, and the JSON door's routes from the `google.api.http` rules. And into what tells
//! people of the JSON door: the OpenAPI document and a page of it.
//!
//! Its parts are in `build/`: they are no part of the crate, and `src/` holds nothing else. What they cannot make sense of
//! stops the build, with its name.

#![allow(clippy::panic, reason = "a build stops by panicking")]
#![allow(clippy::format_push_string, reason = "what is written reads better so, and a build has the time")]

#[path = "build/comments.rs"]
mod comments;
#[path = "build/errors.rs"]
mod errors;
#[path = "build/examples.rs"]
mod examples;
#[path = "build/hints.rs"]
mod hints;
#[path = "build/http_rule.rs"]
mod http_rule;
#[path = "build/json.rs"]
mod json;
#[path = "build/openapi/mod.rs"]
mod openapi;
#[path = "build/page/mod.rs"]
mod page;
#[path = "build/routes.rs"]
mod routes;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// The package whose messages and services become code. The others are read for their options and types only.
const PACKAGE: &str = "cartpromotions.v1";
/// An object kept as its own JSON text; see `wire/payload.rs`.
const STRUCT: &str = "google.protobuf.Struct";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for read in ["proto", "build", errors::TABLE] {
        println!("cargo:rerun-if-changed={read}");
    }
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut compiler = protox::Compiler::new(["proto"])?;
    // The source info carries the comments into the descriptor set, for those who read it through reflection.
    compiler.include_imports(true).include_source_info(true).open_files(proto_files(Path::new("proto"))?)?;
    // Not through prost's own type: it knows no extensions, and drops the HTTP rules.
    fs::write(out.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;
    let pool = compiler.descriptor_pool();

    let mut set = compiler.file_descriptor_set();
    set.file.retain(|file| [PACKAGE, "google.protobuf"].contains(&file.package()));
    let mut config = prost_build::Config::new();
    config
        .extern_path(format!(".{STRUCT}"), "crate::wire::payload::Payload")
        .skip_debug([format!(".{PACKAGE}.ApiClient")])
        .service_generator(
            tonic_prost_build::configure().codec_path("crate::transport::codec::Codec").service_generator(),
        )
        .compile_fds(set)?;

    let ours = |package: &str| package == PACKAGE;
    let mut json = String::new();
    for message in pool.all_messages().filter(|message| ours(message.package_name())) {
        json::message_json(&mut json, &message)?;
    }
    for kind in pool.all_enums().filter(|kind| ours(kind.package_name())) {
        json::enum_json(&mut json, &kind)?;
    }
    fs::write(out.join("json.rs"), json)?;

    let services: Vec<_> = pool.services().filter(|service| ours(service.package_name())).collect();
    let mut routes = String::new();
    for service in &services {
        routes::service_routes(&mut routes, service)?;
    }
    fs::write(out.join("json_routes.rs"), routes)?;

    let document = openapi::document(&pool, &services);
    fs::write(out.join("openapi.json"), format!("{}\n", serde_json::to_string_pretty(&document)?))?;
    fs::write(out.join("docs.html"), page::page(&document))?;
    let digest = STANDARD.encode(Sha256::digest(page::SCRIPT));
    println!("cargo:rustc-env=DOCS_SCRIPT_DIGEST=sha256-{digest}");
    Ok(())
}

/// Every `.proto` below `folder`, named as imports name them.
fn proto_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(proto_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path.strip_prefix("proto").unwrap_or(&path).to_owned());
        }
    }
    files.sort();
    Ok(files)
}
