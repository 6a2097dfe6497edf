//! Text as HTML. Of Markdown it knows what the comments use: headings, paragraphs, lists, `code` and *emphasis*.

/// Writes out what HTML would take for its own.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Returns the inside of one paragraph.
pub fn inline(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in escape(text).split('`').enumerate() {
        if index % 2 == 1 {
            html += &format!("<code>{part}</code>");
            continue;
        }
        for (index, part) in part.split('*').enumerate() {
            html += &if index % 2 == 1 { format!("<em>{part}</em>") } else { part.to_owned() };
        }
    }
    html
}

/// Returns headings, paragraphs and lists.
pub fn markdown(text: &str) -> String {
    let mut html = String::new();
    for paragraph in text.split("\n\n") {
        let paragraph = paragraph.trim();
        if let Some(title) = paragraph.strip_prefix("## ") {
            html += &format!("<h2 id=\"{0}\"><a href=\"#{0}\">{1}</a></h2>\n", slug(title), inline(title));
        } else if paragraph.starts_with("- ") {
            let items = paragraph.lines().map(|line| format!("<li>{}</li>\n", inline(line.trim_start_matches("- "))));
            html += &format!("<ul>\n{}</ul>\n", items.collect::<String>());
        } else if !paragraph.is_empty() {
            html += &format!("<p>{}</p>\n", inline(paragraph));
        }
    }
    html
}

/// Returns the titles of the headings of a text.
pub fn headings(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("## "))
}

/// Returns the name under which a heading is linked.
pub fn slug(title: &str) -> String {
    title.to_lowercase().replace(' ', "-")
}
