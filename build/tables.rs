//! The tables of `docs/errors.md`, from the reasons: a test compares them with the file.

use crate::facts::{Method, Reason, Scope};
use prost_reflect::ServiceDescriptor;

/// Returns the tables, each between the marks that it has in the file.
pub fn tables(reasons: &[Reason], services: &[ServiceDescriptor]) -> String {
    let mut tables = table("refusals", &refusals(reasons));
    for service in services {
        for method in service.methods() {
            let listed = Method::of(&method).entry_reasons;
            if !listed.is_empty() {
                tables += &table(method.name(), &entries(reasons, &listed));
            }
        }
    }
    tables
}

fn table(name: &str, rows: &str) -> String {
    format!("<!-- {name}: from proto/cartpromotions/v1/reason.proto -->\n{rows}<!-- end -->\n")
}

fn refusals(reasons: &[Reason]) -> String {
    let mut rows = String::from("| code | HTTP | gRPC | reason | when |\n|---|---|---|---|---|\n");
    for reason in reasons.iter().filter(|reason| reason.http > 0) {
        let json_only = if reason.json_only { " (JSON only)" } else { "" };
        let Reason { code, http, grpc, name, when, .. } = reason;
        rows += &format!("| {code} | {http} | {} | `{name}` | {when}{json_only} |\n", grpc.0);
    }
    rows
}

fn entries(reasons: &[Reason], listed: &[i32]) -> String {
    let mut rows = String::from("| code | reason | when |\n|---|---|---|\n");
    for reason in listed.iter().filter_map(|number| reasons.iter().find(|reason| reason.number == *number)) {
        rows += &format!("| {} | `{}` | {} |\n", reason.code, reason.name, reason.when);
    }
    rows
}

/// Returns the reasons for which a call with these facts is refused, in order of precedence.
pub fn of_call<'a>(reasons: &'a [Reason], method: &Method, has_body: bool) -> Vec<&'a Reason> {
    let applies = |reason: &&Reason| match reason.scope {
        Scope::EveryCall => true,
        Scope::JsonBody => has_body,
        Scope::Listed => method.reasons.contains(&reason.number),
        Scope::NoCall => false,
    };
    reasons.iter().filter(applies).collect()
}
