//! The name of the method and the template of the path that a request calls, from a closed list, for logs and metrics.

use std::sync::LazyLock;

use axum::http::{Method, Request};
use foldhash::{HashMap, HashSet};

use super::routes::{BINDINGS, JsonBinding, METHODS};

/// Name of everything that is not in the list.
pub const OTHER: &str = "_OTHER";
/// Methods of the services that the gRPC library brings.
const OF_THE_LIBRARY: [&str; 5] = [
    "grpc.health.v1.Health/Check",
    "grpc.health.v1.Health/List",
    "grpc.health.v1.Health/Watch",
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// Paths of the JSON endpoint that call no method.
const PLAIN_PATHS: [&str; 5] = ["/docs", "/healthz", "/openapi.json", "/readyz", TOKEN_PATH];
/// The one of them that takes a body.
const TOKEN_PATH: &str = "/v3/oauth/token/generate";
const GET: &str = "GET";
const HEAD: &str = "HEAD";
/// HTTP method of every gRPC call.
const POST: &str = "POST";
/// HTTP methods that are named.
const VERBS: [&str; 5] = [GET, HEAD, POST, "PUT", "DELETE"];

/// The name of a call. Each part is of a closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallName {
    /// Full name of the method, such as `cartpromotions.v1.EarnService/BulkEarn`; `None` where no method is called.
    pub rpc: Option<&'static str>,
    /// Template of the path.
    pub route: &'static str,
    /// HTTP method.
    pub verb: &'static str,
}

/// The methods of one path, by HTTP method.
type OfPath = Vec<(&'static str, &'static str)>;

struct Names {
    methods: HashSet<&'static str>,
    paths: matchit::Router<&'static str>,
    bindings: HashMap<&'static str, OfPath>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let mut bindings = HashMap::<&'static str, OfPath>::default();
    for binding in BINDINGS {
        bindings.entry(binding.path).or_default().push((binding.verb, binding.rpc));
    }
    let mut paths = matchit::Router::new();
    for path in bindings.keys().copied().chain(PLAIN_PATHS) {
        // The router of the endpoint takes the same templates, and a conflict would stop it.
        let _ = paths.insert(path, path);
    }
    Names { methods: METHODS.into_iter().chain(OF_THE_LIBRARY).collect(), paths, bindings }
});

impl CallName {
    /// The name of a head that is no request.
    pub const OF_NO_REQUEST: Self = Self { rpc: None, route: OTHER, verb: OTHER };

    /// Returns the name of what a request calls.
    pub fn of<B>(request: &Request<B>, grpc: bool) -> Self {
        let path = request.uri().path();
        if grpc {
            let rpc = path.strip_prefix('/').and_then(|name| NAMES.methods.get(name)).copied();
            return Self { rpc, route: OTHER, verb: POST };
        }
        Self::of_json(request.method(), path)
    }

    /// Returns the name of what a request to the JSON endpoint calls.
    pub fn of_json(method: &Method, path: &str) -> Self {
        let names = &*NAMES;
        let verb = VERBS.into_iter().find(|verb| method == *verb).unwrap_or(OTHER);
        let Ok(matched) = names.paths.at(path) else { return Self { rpc: None, route: OTHER, verb } };
        let route = *matched.value;
        let of_path = names.bindings.get(route).map_or(&[][..], Vec::as_slice);
        // HEAD runs what GET runs.
        let run = if verb == HEAD { GET } else { verb };
        let rpc = of_path.iter().find(|(of, _)| *of == run).map(|(_, rpc)| *rpc);
        Self { rpc, route, verb }
    }

    /// Returns true if the JSON endpoint reads the body of this call.
    pub fn takes_json(&self) -> bool {
        let is_this = |binding: &&JsonBinding| binding.path == self.route && binding.verb == self.verb;
        BINDINGS
            .iter()
            .find(is_this)
            .map_or(self.route == TOKEN_PATH && self.verb == POST, |binding| binding.takes_body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(verb: &str, path: &str, grpc: bool) -> CallName {
        CallName::of(&Request::builder().method(verb).uri(path).body(()).unwrap(), grpc)
    }

    #[test]
    fn every_binding_and_method_is_named_and_nothing_else() {
        for binding in BINDINGS {
            let path = binding.path.replace(['{', '}'], "");
            let expected = CallName { rpc: Some(binding.rpc), route: binding.path, verb: binding.verb };
            assert_eq!(name(binding.verb, &path, false), expected);
        }
        for method in METHODS {
            assert_eq!(name("POST", &format!("/{method}"), true).rpc, Some(method));
        }
        assert_eq!(name("POST", "/cartpromotions.v1.EarnService/Nothing", true).rpc, None);
        for path in ["/nothing", "/api_gateway/v1/promotions/a/b/c", "/%ff", "//", "/docs/"] {
            assert_eq!(name("BREW", path, false), CallName { rpc: None, route: OTHER, verb: OTHER }, "{path}");
        }
        assert_eq!(name("DELETE", "/docs", false), CallName { rpc: None, route: "/docs", verb: "DELETE" });
    }
}
