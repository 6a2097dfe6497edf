//! Text as HTML. Of Markdown it knows what the comments use: paragraphs, lists, `code`.

/// With what HTML would take for its own written out.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// One paragraph's inside.
pub fn inline(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in escape(text).split('`').enumerate() {
        html += &if index % 2 == 1 { format!("<code>{part}</code>") } else { part.to_owned() };
    }
    html
}

/// Paragraphs and lists.
pub fn markdown(text: &str) -> String {
    let mut html = String::new();
    for paragraph in text.split("\n\n") {
        let paragraph = paragraph.trim();
        if paragraph.starts_with("- ") {
            let items = paragraph.lines().map(|line| format!("<li>{}</li>\n", inline(line.trim_start_matches("- "))));
            html += &format!("<ul>\n{}</ul>\n", items.collect::<String>());
        } else if !paragraph.is_empty() {
            html += &format!("<p>{}</p>\n", inline(paragraph));
        }
    }
    html
}
