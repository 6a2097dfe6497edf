//! The OpenAPI document as one page to read: plain HTML, with all that it needs in it.
//!
//! The page is made of the document and its examples, so that it says the same.

mod document;
mod fields;
mod text;

use serde_json::Value;

use crate::examples::Example;
use crate::facts::{Reason, Scope};
use document::{entries, operations, resolve, tags, text_of};
use fields::{Field, body_fields};
use text::{escape, headings, inline, markdown, slug};

/// The style of the page.
const STYLE: &str = include_str!("style.css");
/// The script of the page: its policy allows this one, by its digest, and no other.
pub const SCRIPT: &str = include_str!("script.js");
/// Address at which `serve` listens by default; the script replaces it by the one that the page is from.
const AUTHORITY: &str = "127.0.0.1:8080";

/// Returns the page.
pub fn page(document: &Value, reasons: &[Reason]) -> String {
    let info = &document["info"];
    let title = escape(text_of(info, "title"));
    let sections = tags(document).map(|tag| section(document, tag, reasons)).collect::<String>();
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: API reference</title>
<style>
{STYLE}</style>
</head>
<body>
<a class="skip" href="\#top">Skip to the content</a>
<nav aria-label="Contents">
<a class="home" href="\#top">{title}</a>
<details open>
<summary>Contents</summary>
{contents}</details>
</nav>
<main id="top" tabindex="-1">
<header>
<h1>{title} <small>{version}</small></h1>
<p class="lead">API reference, also as <a href="/openapi.json">OpenAPI 3.1</a> for programs.</p>
{about}
</header>
{sections}
{entry_errors}
<section id="errors-of-calls">
<h2><a href="\#errors-of-calls">Errors of calls</a></h2>
<p>A call that is refused has one of these reasons, the first that applies. Over gRPC it is <code>reason</code> in the
<code>google.rpc.ErrorInfo</code> of the status. Reasons that are marked can refuse every call; each call lists the others
below its examples.</p>
{errors}
</section>
</main>
<script>{SCRIPT}</script>
</body>
</html>
"#,
        contents = contents(document),
        version = escape(text_of(info, "version")),
        about = markdown(text_of(info, "description")),
        entry_errors = entry_errors(document),
        errors = errors(reasons),
    )
    .replace(r"\#", "#")
}

fn contents(document: &Value) -> String {
    let mut html = String::from("<h2>Introduction</h2>\n<ul>\n");
    for title in headings(text_of(&document["info"], "description")) {
        html += &format!("<li><a href=\"#{}\">{}</a></li>\n", slug(title), inline(title));
    }
    html += "</ul>\n";
    for tag in tags(document) {
        let name = escape(text_of(tag, "name"));
        html += &format!("<h2><a href=\"#{name}\">{name}</a></h2>\n<ul>\n");
        for (verb, _, operation) in operations(document, tag) {
            let (id, title) = (escape(text_of(operation, "operationId")), escape(text_of(operation, "summary")));
            html += &format!("<li><a href=\"#{id}\">{title} <b class=\"verb {verb}\">{verb}</b></a></li>\n");
        }
        html += "</ul>\n";
    }
    html + "<h2>Error codes</h2>\n<ul>\n<li><a href=\"#entry-errors\">Errors of entries</a></li>\n\
        <li><a href=\"#errors-of-calls\">Errors of calls</a></li>\n</ul>\n"
}

fn section(document: &Value, tag: &Value, reasons: &[Reason]) -> String {
    let name = escape(text_of(tag, "name"));
    let articles = operations(document, tag).map(|(verb, path, operation)| {
        let shown = shown(verb, path, operation) + &refusals(operation, reasons);
        article(document, &format!("{verb} {path}"), operation, &shown)
    });
    let about = markdown(text_of(tag, "description"));
    format!(
        "<section id=\"{name}\">\n<h2><a href=\"#{name}\">{name}</a></h2>\n{about}\n{}</section>\n",
        articles.collect::<String>()
    )
}

/// Returns the numbers with which entries of answered calls fail, from the descriptions of the fields that hold them.
fn entry_errors(document: &Value) -> String {
    let mut html = String::from(
        "<section id=\"entry-errors\">\n<h2><a href=\"#entry-errors\">Errors of entries</a></h2>\n<p>A call that is answered with 200 can have entries \
        that failed, each with one of these numbers. The first that applies wins.</p>\n",
    );
    for (title, schema, field) in
        [("Entries of a bulk earning", "EarnErrorDetails", "errorCode"), ("Revoked promotions", "RevokeError", "code")]
    {
        let described = &document["components"]["schemas"][schema]["properties"][field];
        let list = text_of(described, "description").split("\n\n").find(|paragraph| paragraph.starts_with("- "));
        html += &format!("<article>\n<h3>{title}</h3>\n{}</article>\n", markdown(list.unwrap_or_default()));
    }
    html + "</section>\n"
}

/// Returns one operation: its route, as verb and path, what is told of it, and the examples.
fn article(document: &Value, route: &str, operation: &Value, shown: &str) -> String {
    let id = escape(text_of(operation, "operationId"));
    let (verb, path) = route.split_once(' ').unwrap_or_default();
    let marked = escape(path).replace('{', "<i>{").replace('}', "}</i>");
    let mut told = markdown(text_of(operation, "description"));
    if let Some(group) = operation["x-access-group"].as_str() {
        told += &format!("<p>Needs access group <code>{}</code>.</p>\n", escape(group));
    }
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    for (place, title) in [("path", "In the path"), ("query", "In the query")] {
        let here = parameters.clone().filter(|parameter| parameter["in"] == place);
        told += &table(title, &here.map(|parameter| Field::of_parameter(document, parameter)).collect::<Vec<_>>());
    }
    let media = &operation["requestBody"]["content"]["application/json"];
    let schema = resolve(document, &media["schema"]);
    let about = markdown(text_of(schema, "description"));
    told += &table("In the body", &body_fields(document, schema)).replacen("<dl>", &format!("{about}<dl>"), 1);
    let answer = &operation["responses"]["200"]["content"]["application/json"];
    told += &table("In the response", &body_fields(document, &answer["schema"]));
    format!(
        "<article id=\"{id}\">\n<h3><a href=\"#{id}\">{title}</a></h3>\n\
        <p class=\"route\"><b class=\"verb {verb}\">{verb}</b> <code>{marked}</code></p>\n\
        <div class=\"sides\">\n<div class=\"told\">\n{told}</div>\n<div class=\"shown\">\n{shown}</div>\n</div>\n</article>\n",
        title = escape(text_of(operation, "summary")),
    )
}

/// Returns the examples of an operation.
fn shown(verb: &str, path: &str, operation: &Value) -> String {
    let mut html =
        format!("<h4>Request</h4>\n<div class=\"examples\">\n{}", code("curl", &curl(verb, path, operation)));
    if let Some(method) = operation["x-grpc-method"].as_str() {
        html += &code("grpcurl", &grpcurl(method));
    }
    html += "</div>\n";
    for (status, response) in entries(&operation["responses"]).filter(|(status, _)| status.starts_with('2')) {
        html += &format!("<h4>Response {status}</h4>\n");
        for (media_type, content) in entries(&response["content"]) {
            match content.get("example") {
                Some(example) => html += &code("", &pretty(example)),
                None => html += &format!("<p>As <code>{}</code>.</p>\n", escape(media_type)),
            }
        }
    }
    html
}

/// Links to the reasons for which a call is refused, beside those of every call.
fn refusals(operation: &Value, reasons: &[Reason]) -> String {
    let Some(listed) = operation["x-reasons"].as_array() else { return String::new() };
    let mut links = String::new();
    for reason in reasons.iter().filter(|reason| listed.iter().any(|name| *name == *reason.name)) {
        links += &format!("<a href=\"#{0}\">{1} {0}</a>\n", reason.name, reason.code);
    }
    format!(
        "<h4>Errors</h4>\n<p class=\"errors\">{links}<a href=\"#errors-of-calls\">and those of every call</a></p>\n"
    )
}

/// Returns text to copy, with its title; what stands for the address of the service is marked for the script.
fn code(title: &str, text: &str) -> String {
    let mut html = escape(text);
    for (mark, class, text) in [
        ("{origin}", "origin", format!("http://{AUTHORITY}")),
        ("{authority}", "authority", AUTHORITY.to_owned()),
        ("{plaintext}", "plaintext", " -plaintext".to_owned()),
    ] {
        html = html.replace(mark, &format!("<span class=\"{class}\">{text}</span>"));
    }
    let box_of_code = format!("<div class=\"code\"><pre>{html}</pre></div>\n");
    if title.is_empty() {
        return box_of_code;
    }
    let open = if title == "curl" { " open" } else { "" };
    format!("<details class=\"example\"{open}>\n<summary>{title}</summary>\n{box_of_code}</details>\n")
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// Returns the example as a command to paste.
fn curl(verb: &str, path: &str, operation: &Value) -> String {
    let (mut path, mut query) = (path.to_owned(), Vec::new());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = text_of(parameter, "name");
        let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match (&parameter["in"], &parameter["example"]) {
            (_, Value::Null) => {}
            (place, value) if place == "path" => path = path.replace(&format!("{{{name}}}"), &plain(value)),
            (_, Value::Array(values)) => query.extend(values.iter().map(|value| format!("{name}={}", plain(value)))),
            (_, value) => query.push(format!("{name}={}", plain(value))),
        }
    }
    let mark = if query.is_empty() { "" } else { "?" };
    let mut command = String::from("curl");
    if verb != "get" {
        command += &format!(" -X {}", verb.to_uppercase());
    }
    command += &format!(" \\\n  '{{origin}}{path}{mark}{}'", query.join("&"));
    if operation.get("security").is_none() {
        command += " \\\n  --user demo:demo";
    }
    if let Some(example) = operation["requestBody"]["content"]["application/json"].get("example") {
        command += " \\\n  --header 'Content-Type: application/json' \\\n";
        command += &format!("  --data '{}'", pretty(example));
    }
    command
}

/// Returns the same call over gRPC. The server describes itself through reflection.
fn grpcurl(method: &str) -> String {
    let name = method.rsplit('/').next().unwrap_or_default();
    let request = pretty(&Example::of(name).request.into());
    format!(
        "grpcurl{{plaintext}} \\\n  -H 'Authorization: Basic ZGVtbzpkZW1v' \\\n  -d '{request}' \\\n  {{authority}} {method}"
    )
}

fn table(title: &str, fields: &[Field]) -> String {
    if fields.is_empty() {
        return String::new();
    }
    let rows: String = fields.iter().map(Field::row).collect();
    let open = if title == "In the response" { "" } else { " open" };
    format!("<details{open}>\n<summary>{title}</summary>\n<dl>\n{rows}</dl>\n</details>\n")
}

/// Returns the table of reasons.
fn errors(reasons: &[Reason]) -> String {
    let mut html = String::from(
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Errors of calls\"><table>\n<tr><th>Code</th><th>HTTP</th><th>gRPC</th><th>Reason</th><th>Meaning</th></tr>\n",
    );
    for reason in reasons.iter().filter(|reason| reason.http > 0) {
        let Reason { code, http, grpc, name, when, .. } = reason;
        let every = if reason.scope == Scope::EveryCall { " <em>every call</em>" } else { "" };
        let grpc = if reason.json_only { "" } else { &grpc.0 };
        html += &format!(
            "<tr id=\"{name}\"><td>{code}</td><td>{http}</td><td>{grpc}</td><td><code>{name}</code></td>\
            <td>{}{every}</td></tr>\n",
            inline(when)
        );
    }
    html + "</table></div>\n"
}
