//! Turns `proto/` into Rust: messages (prost), gRPC stubs and the JSON routes of the `google.api.http` rules (tonic-build),
//! the JSON form of each message, the facts that options state (limits, reasons), and the descriptor set that reflection and
//! gateways read. And into what describes the API: the OpenAPI document, a page of it, and the tables of `docs/errors.md`.
//!
//! The parts are in `build/`: they are no part of the crate, and `src/` holds nothing else. What they cannot make sense of
//! stops the build, with its name.

#![allow(clippy::panic, reason = "a build stops by panicking")]
#![allow(clippy::format_push_string, reason = "what is written reads better so, and a build has the time")]

#[path = "build/comments.rs"]
mod comments;
#[path = "build/commit.rs"]
mod commit;
#[path = "build/examples.rs"]
mod examples;
#[path = "build/facts.rs"]
mod facts;
#[path = "build/http_rule.rs"]
mod http_rule;
#[path = "build/json.rs"]
mod json;
#[path = "build/openapi/mod.rs"]
mod openapi;
#[path = "build/page/mod.rs"]
mod page;
#[path = "build/rust.rs"]
mod rust;
#[path = "build/services.rs"]
mod services;
#[path = "build/tables.rs"]
mod tables;

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::ServiceDescriptor;
use prost_reflect::prost_types::FileDescriptorProto;
use sha2::{Digest, Sha256};

use comments::Comments;

/// Files of that package that hold options, which are for the build.
const OPTIONS: [&str; 2] = ["cartpromotions/v1/options.proto", "cartpromotions/v1/method_options.proto"];
/// The package whose messages and services become code. The others are read for their options and types only.
const PACKAGE: &str = "cartpromotions.v1";
/// An object kept as its own JSON text; see `wire/payload.rs`.
const STRUCT: &str = "google.protobuf.Struct";

fn main() -> Result<(), Box<dyn Error>> {
    for read in ["proto", "build"] {
        println!("cargo:rerun-if-changed={read}");
    }
    commit::tell();
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut compiler = protox::Compiler::new(["proto"])?;
    // The source info carries the comments into the descriptor set, for those who read it through reflection.
    compiler.include_imports(true).include_source_info(true).open_files(proto_files(Path::new("proto"))?)?;
    // Not through prost's own type: it knows no extensions, and drops the HTTP rules.
    fs::write(out.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;
    let pool = compiler.descriptor_pool();

    let mut set = compiler.file_descriptor_set();
    let becomes_code = |file: &FileDescriptorProto| file.package() == PACKAGE && !OPTIONS.contains(&file.name());
    set.file.retain(|file| becomes_code(file) || file.package() == "google.protobuf");
    let (generator, routes) = services::Generator::new(pool.clone());
    let mut config = prost_build::Config::new();
    config
        .extern_path(format!(".{STRUCT}"), "crate::wire::payload::Payload")
        .skip_debug([format!(".{PACKAGE}.ApiClient")])
        .service_generator(Box::new(generator))
        .compile_fds(set)?;

    let files: Vec<_> = pool.files().filter(|file| becomes_code(file.file_descriptor_proto())).collect();
    let (mut json, mut limits) = (String::new(), rust::general_limits());
    for message in pool.all_messages().filter(|message| files.contains(&message.parent_file())) {
        json::message_json(&mut json, &message)?;
        rust::limits(&mut limits, &message)?;
    }
    for kind in pool.all_enums().filter(|kind| files.contains(&kind.parent_file()) && kind.name() != "Reason") {
        json::enum_json(&mut json, &kind)?;
    }
    fs::write(out.join("json.rs"), json)?;
    fs::write(out.join("limits.rs"), limits)?;

    let services: Vec<_> = pool.services().filter(|service| service.package_name() == PACKAGE).collect();
    fs::write(out.join("routes.rs"), routes.borrow().write()?)?;

    let comments = Comments::of(&pool);
    let reasons = facts::reasons(&pool, &comments);
    write_facts(&out, &reasons, &services)?;
    let facts = openapi::ApiFacts { comments: &comments, reasons: &reasons };
    let document = openapi::document(&pool, &services, &facts);
    fs::write(out.join("openapi.json"), format!("{}\n", serde_json::to_string_pretty(&document)?))?;
    fs::write(out.join("docs.html"), page::page(&document, &reasons))?;
    let digest = STANDARD.encode(Sha256::digest(page::SCRIPT));
    println!("cargo:rustc-env=DOCS_SCRIPT_DIGEST=sha256-{digest}");
    Ok(())
}

/// Writes what the code, the tests and `docs/errors.md` take from the options of `proto/`.
fn write_facts(out: &Path, reasons: &[facts::Reason], services: &[ServiceDescriptor]) -> Result<(), Box<dyn Error>> {
    let (mut rust, mut codes, mut methods) = (String::new(), String::new(), String::from("rpcs! {\n"));
    rust::reasons(&mut rust, reasons)?;
    rust::services(&mut rust, services)?;
    rust::codes(&mut codes, reasons)?;
    for service in services {
        rust::test_methods(&mut methods, service)?;
        for method in service.methods() {
            examples::Example::of(method.name()).write(&out.join(format!("{}.json", method.name())))?;
        }
    }
    fs::write(out.join("reasons.rs"), rust)?;
    fs::write(out.join("codes.rs"), codes)?;
    fs::write(out.join("test_methods.rs"), methods + "}\n")?;
    fs::write(out.join("errors.md"), tables::tables(reasons, services))?;
    Ok(())
}

/// Returns every `.proto` below `folder`, named as imports name them.
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
