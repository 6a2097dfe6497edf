//! The OpenAPI document as one page to read: plain HTML, with all that it needs in it.
//!
//! It is made of the document alone, so that it says the same.

mod fields;
mod text;

use serde_json::{Map, Value};

use fields::{Field, body_fields};
use text::{escape, markdown};

/// How the page looks; it is put into the page.
const STYLE: &str = include_str!("style.css");
/// Where `serve` listens unless told otherwise.
const HOST: &str = "http://127.0.0.1:8080";

/// The page.
pub fn page(document: &Value) -> String {
    let title = escape(text_of(&document["info"], "title"));
    let sections = tags(document).map(|tag| section(document, tag)).collect::<String>();
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: the JSON API</title>
<style>
{STYLE}</style>
</head>
<body>
<nav aria-label="Contents">
<a class="home" href="\#top">{title}</a>
{contents}</nav>
<main id="top">
<header>
<h1>{title} <small>{version}</small></h1>
<p class="lead">{summary}. This is its JSON API, as <a href="/openapi.json">OpenAPI 3.1</a> for programs.</p>
{about}
</header>
{sections}
<section id="errors">
<h2>Errors</h2>
<p>What a call is refused with, whichever it is. Each call says below its example which of these it has.</p>
{errors}
</section>
</main>
</body>
</html>
"#,
        contents = contents(document),
        version = escape(text_of(&document["info"], "version")),
        summary = escape(text_of(&document["info"], "summary")),
        about = markdown(text_of(&document["info"], "description")),
        errors = errors(document),
    )
    .replace(r"\#", "#")
}

fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn tags(document: &Value) -> impl Iterator<Item = &Value> {
    document["tags"].as_array().into_iter().flatten()
}

/// Operations of a tag: verb, path, operation.
fn operations<'a>(document: &'a Value, tag: &'a Value) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> {
    let all = entries(&document["paths"])
        .flat_map(|(path, item)| entries(item).map(move |(verb, operation)| (verb.as_str(), path.as_str(), operation)));
    all.filter(|(_, _, operation)| operation["tags"][0] == tag["name"])
}

/// What a `$ref` refers to; anything else is itself.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let reference = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    reference
        .map_or(value, |pointer| document.pointer(pointer).unwrap_or_else(|| panic!("{pointer}: nothing is there")))
}

fn contents(document: &Value) -> String {
    let mut html = String::new();
    for tag in tags(document) {
        let name = escape(text_of(tag, "name"));
        html += &format!("<h2><a href=\"#{name}\">{}</a></h2>\n<ul>\n", short(&name));
        for (verb, _, operation) in operations(document, tag) {
            let id = escape(text_of(operation, "operationId"));
            html += &format!("<li><a href=\"#{id}\"><b class=\"verb {verb}\">{verb}</b>{id}</a></li>\n");
        }
        html += "</ul>\n";
    }
    html + "<h2><a href=\"#errors\">Errors</a></h2>\n"
}

fn section(document: &Value, tag: &Value) -> String {
    let name = escape(text_of(tag, "name"));
    let articles = operations(document, tag).map(|(verb, path, operation)| article(document, verb, path, operation));
    let about = markdown(text_of(tag, "description"));
    let title = short(&name);
    format!("<section id=\"{name}\">\n<h2>{title}</h2>\n{about}\n{}</section>\n", articles.collect::<String>())
}

/// A service's name as a title: that it is a service is clear.
fn short(name: &str) -> &str {
    name.strip_suffix("Service").filter(|name| !name.is_empty()).unwrap_or(name)
}

fn article(document: &Value, verb: &str, path: &str, operation: &Value) -> String {
    let id = escape(text_of(operation, "operationId"));
    let marked = escape(path).replace('{', "<i>{").replace('}', "}</i>");
    let mut told = markdown(text_of(operation, "description"));
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    for (place, title) in [("path", "In the path"), ("query", "In the query")] {
        let here = parameters.clone().filter(|parameter| parameter["in"] == place);
        told += &table(title, &here.map(|parameter| Field::of_parameter(document, parameter)).collect::<Vec<_>>());
    }
    let media = &operation["requestBody"]["content"]["application/json"];
    told += &table("In the body", &body_fields(document, &media["schema"]));
    let answer = &operation["responses"]["200"]["content"]["application/json"];
    told += &table("In the response", &body_fields(document, &answer["schema"]));
    format!(
        "<article id=\"{id}\">\n<h3><a href=\"#{id}\">{id}</a></h3>\n\
        <p class=\"route\"><b class=\"verb {verb}\">{verb}</b> <code>{marked}</code></p>\n\
        <div class=\"sides\">\n<div class=\"told\">\n{told}</div>\n<div class=\"shown\">\n{}</div>\n</div>\n</article>\n",
        shown((verb, path), operation)
    )
}

/// The examples, and the list of errors.
fn shown((verb, path): (&str, &str), operation: &Value) -> String {
    let mut html = format!("<h4>Request</h4>\n<pre>{}</pre>\n", escape(&curl(verb, path, operation)));
    let mut refusals = String::new();
    for (status, response) in entries(&operation["responses"]) {
        if let Some(name) = response["$ref"].as_str() {
            let title = name.rsplit('/').next().unwrap_or_default();
            refusals += &format!("<a href=\"#error-{status}\" title=\"{}\">{status}</a>\n", escape(title));
            continue;
        }
        html += &format!("<h4>Response {status}</h4>\n");
        for (media_type, content) in entries(&response["content"]) {
            match content.get("example") {
                Some(example) => html += &format!("<pre>{}</pre>\n", escape(&pretty(example))),
                None => html += &format!("<p>As <code>{}</code>.</p>\n", escape(media_type)),
            }
        }
    }
    if !refusals.is_empty() {
        html += &format!("<h4>Errors</h4>\n<p class=\"errors\">{refusals}</p>\n");
    }
    html
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// The example as a command to paste.
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
    command += &format!(" '{HOST}{path}{mark}{}'", query.join("&"));
    if operation.get("security").is_none() {
        command += " \\\n  --user demo:demo";
    }
    if let Some(example) = operation["requestBody"]["content"]["application/json"].get("example") {
        command += " \\\n  --header 'Content-Type: application/json' \\\n";
        command += &format!("  --data '{}'", pretty(example));
    }
    command
}

fn table(title: &str, fields: &[Field]) -> String {
    if fields.is_empty() {
        return String::new();
    }
    let rows: String = fields.iter().map(Field::row).collect();
    let open = if title == "In the response" { "" } else { " open" };
    format!("<details{open}>\n<summary>{title}</summary>\n<dl>\n{rows}</dl>\n</details>\n")
}

fn errors(document: &Value) -> String {
    let mut html = String::new();
    for (name, response) in entries(&document["components"]["responses"]) {
        let used = entries(&document["paths"]).flat_map(|(_, item)| entries(item)).find_map(|(_, operation)| {
            let reference = format!("#/components/responses/{name}");
            entries(&operation["responses"]).find(|(_, one)| one["$ref"] == reference).map(|(status, _)| status)
        });
        let Some(status) = used else { continue };
        let headers = entries(&response["headers"]).map(|(name, _)| format!("<code>{}</code>", escape(name)));
        let headers = headers.collect::<Vec<_>>().join(", ");
        let headers = if headers.is_empty() { headers } else { format!("<p>Headers: {headers}.</p>\n") };
        let example = response["content"]["application/json"].get("example");
        let example = example.map(|example| format!("<pre>{}</pre>\n", escape(&pretty(example)))).unwrap_or_default();
        html += &format!(
            "<article id=\"error-{status}\">\n<h3><a href=\"#error-{status}\">{status}</a> {name}</h3>\n\
            <div class=\"sides\">\n<div class=\"told\">\n{}{headers}</div>\n\
            <div class=\"shown\">\n{example}</div>\n</div>\n</article>\n",
            markdown(text_of(response, "description")),
        );
    }
    html
}
