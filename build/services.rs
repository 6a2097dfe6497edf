//! The gRPC stubs of each service, and beside them its JSON routes: both from one description of the service, which is an
//! implementation of the `Service` and `Method` traits of `tonic-build`.
//!
//! The stubs go to where prost writes the messages, and are what `tonic-build` makes of the description. The routes are in
//! `routes.rs`, which `transport/routes.rs` includes. A new service costs no line in `src/` for either.

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;

use heck::ToSnakeCase;
use proc_macro2::TokenStream;
use prost_reflect::DescriptorPool;
use tonic_build::{CodeGenBuilder, Method, Service};

use crate::http_rule::{Body, HttpRule, rules};

/// Reads and writes the messages of every method.
const CODEC: &str = "crate::transport::codec::Codec";
/// Module of the messages, for code outside of it.
const MESSAGES: &str = "crate::proto";

/// A service, with the HTTP forms of its methods.
struct HttpService {
    service: prost_build::Service,
    methods: Vec<HttpMethod>,
}

/// A method, with its HTTP forms.
struct HttpMethod {
    method: prost_build::Method,
    rules: Vec<HttpRule>,
}

impl HttpService {
    fn new(service: prost_build::Service, pool: &DescriptorPool) -> Self {
        let name = format!("{}.{}", service.package, service.proto_name);
        let described = pool.get_service_by_name(&name).unwrap_or_else(|| panic!("{name} is not described"));
        let method = |method: &prost_build::Method| {
            let described = described.methods().find(|one| one.name() == method.proto_name);
            let rules = described.map(|described| rules(&described));
            HttpMethod {
                method: method.clone(),
                rules: rules.unwrap_or_else(|| panic!("{name}/{} is not described", method.proto_name)),
            }
        };
        Self { methods: service.methods.iter().map(method).collect(), service }
    }
}

impl Service for HttpService {
    type Comment = String;
    type Method = HttpMethod;

    fn name(&self) -> &str {
        &self.service.name
    }

    fn package(&self) -> &str {
        &self.service.package
    }

    fn identifier(&self) -> &str {
        &self.service.proto_name
    }

    fn methods(&self) -> &[HttpMethod] {
        &self.methods
    }

    fn comment(&self) -> &[String] {
        &self.service.comments.leading
    }
}

impl Method for HttpMethod {
    type Comment = String;

    fn name(&self) -> &str {
        &self.method.name
    }

    fn identifier(&self) -> &str {
        &self.method.proto_name
    }

    fn codec_path(&self) -> &str {
        CODEC
    }

    fn client_streaming(&self) -> bool {
        self.method.client_streaming
    }

    fn server_streaming(&self) -> bool {
        self.method.server_streaming
    }

    fn comment(&self) -> &[String] {
        &self.method.comments.leading
    }

    fn deprecated(&self) -> bool {
        self.method.options.deprecated()
    }

    fn request_response_name(&self, messages: &str, _: bool) -> (TokenStream, TokenStream) {
        let path = |name: &str| {
            let path = format!("{messages}::{name}").parse::<TokenStream>();
            path.unwrap_or_else(|error| panic!("{}: {name}: {error}", self.method.proto_name))
        };
        (path(&self.method.input_type), path(&self.method.output_type))
    }
}

/// Routes of all services.
#[derive(Default)]
pub struct Routes {
    /// A function for each service, that returns its JSON routes.
    functions: String,
    /// Rust names of the services.
    services: Vec<String>,
    /// Full names of the methods, as paths of gRPC have them after the slash.
    methods: Vec<String>,
    /// Each JSON route as code: verb, path, and full name of the method.
    bindings: Vec<String>,
}

/// Generates the stubs and the routes of every service that prost meets.
pub struct Generator {
    pool: DescriptorPool,
    routes: Rc<RefCell<Routes>>,
}

impl Generator {
    /// Returns a generator for the services of a pool, and where it puts the routes.
    pub fn new(pool: DescriptorPool) -> (Self, Rc<RefCell<Routes>>) {
        let routes = Rc::default();
        (Self { pool, routes: Rc::clone(&routes) }, routes)
    }
}

impl prost_build::ServiceGenerator for Generator {
    fn generate(&mut self, service: prost_build::Service, stubs: &mut String) {
        let service = HttpService::new(service, &self.pool);
        let builder = CodeGenBuilder::new();
        for tokens in [builder.generate_client(&service, "super"), builder.generate_server(&service, "super")] {
            stubs.push_str(&tokens.to_string());
        }
        self.routes.borrow_mut().add(&service);
    }
}

impl Routes {
    fn add(&mut self, service: &HttpService) {
        let name = service.name();
        let routes: String =
            service.methods().iter().flat_map(|method| method.rules.iter().map(|rule| route(method, rule))).collect();
        self.functions += &format!(
            "fn {function}<S: {MESSAGES}::{function}_server::{name}>(service: &std::sync::Arc<S>) -> axum::Router {{\n\
            \x20   axum::Router::new()\n{routes}}}\n",
            function = name.to_snake_case(),
        );
        self.services.push(name.to_owned());
        for method in service.methods() {
            let full = format!("{}.{}/{}", service.package(), service.identifier(), method.identifier());
            let binding = |HttpRule { verb, path, body, .. }: &HttpRule| {
                let (verb, takes_body) = (verb.to_uppercase(), !matches!(body, Body::None));
                format!("JsonBinding {{ verb: {verb:?}, path: {path:?}, rpc: {full:?}, takes_body: {takes_body} }}")
            };
            self.bindings.extend(method.rules.iter().map(binding));
            self.methods.push(full);
        }
    }

    /// Writes the routes of all services, as one for JSON and as one for gRPC, and the names of the services.
    pub fn write(&self) -> Result<String, std::fmt::Error> {
        let function = |name: &String| name.to_snake_case();
        let bounds = self.services.iter().map(|name| format!("{MESSAGES}::{}_server::{name}", function(name)));
        let bounds = bounds.collect::<Vec<_>>().join(" + ");
        let mut code = self.functions.clone();
        writeln!(code, "/// Returns the JSON routes of every service.")?;
        writeln!(code, "pub fn json_routes<S: {bounds}>(service: &std::sync::Arc<S>) -> axum::Router {{")?;
        writeln!(code, "    axum::Router::new()")?;
        for name in &self.services {
            writeln!(code, "        .merge({}(service))", function(name))?;
        }
        writeln!(
            code,
            "}}\n/// Returns the gRPC routes of every service, which take messages of up to so many bytes."
        )?;
        writeln!(
            code,
            "pub fn grpc_routes<S: {bounds}>(service: &std::sync::Arc<S>, max_message_bytes: usize) -> tonic::service::Routes {{"
        )?;
        writeln!(code, "    let mut routes = tonic::service::Routes::default();")?;
        for name in &self.services {
            let server = format!("{MESSAGES}::{}_server::{name}Server", function(name));
            writeln!(code, "    let server = {server}::from_arc(std::sync::Arc::clone(service));")?;
            writeln!(code, "    routes = routes.add_service(server.max_decoding_message_size(max_message_bytes));")?;
        }
        writeln!(code, "    routes\n}}")?;
        let Self { methods, bindings, .. } = self;
        writeln!(code, "/// Full names of the methods.\npub const METHODS: [&str; {}] = {methods:?};", methods.len())?;
        writeln!(code, "/// Every JSON route.\npub const BINDINGS: [JsonBinding; {}] = [", bindings.len())?;
        writeln!(code, "{}];", bindings.join(",\n"))?;
        Ok(code)
    }
}

/// Returns one JSON route: the HTTP form that calls a method.
fn route(method: &HttpMethod, HttpRule { verb, path, body, .. }: &HttpRule) -> String {
    let body = match body {
        Body::Whole => "BodyRule::Whole".to_owned(),
        Body::None => "BodyRule::None".to_owned(),
        Body::Field(field) => format!("BodyRule::Field({:?})", field.json_name()),
    };
    let (request, response) = method.request_response_name(MESSAGES, false);
    format!(
        "        .route({path:?}, axum::routing::{verb}({{\n\
        \x20           let service = std::sync::Arc::clone(service);\n\
        \x20           move |request: axum::extract::Request| async move {{\n\
        \x20               let binding = Binding {{ template: {path:?}, rule: {body} }};\n\
        \x20               let call = |request: tonic::Request<{request}>| async move {{ service.{call}(request).await }};\n\
        \x20               answer::<{request}, {response}, _, _>(binding, request, call).await\n\
        \x20           }}\n        }}))\n",
        call = method.name(),
    )
}
