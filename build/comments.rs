//! The comments of `proto/`, with the names that fields have in JSON.

use std::collections::HashMap;

use prost_reflect::{DescriptorPool, FileDescriptor};

use crate::PACKAGE;

/// Every leading comment.
pub struct Comments {
    /// Comments by file and path in it.
    texts: HashMap<(String, Vec<i32>), String>,
    /// Fields whose JSON name is another than their proto name.
    json_names: HashMap<String, String>,
}

impl Comments {
    /// Reads the comments of a pool.
    pub fn of(pool: &DescriptorPool) -> Self {
        let mut texts = HashMap::new();
        for file in pool.files() {
            let info = file.file_descriptor_proto().source_code_info.as_ref();
            for location in info.iter().flat_map(|info| &info.location) {
                if let Some(text) = &location.leading_comments {
                    let lines: Vec<_> = text.lines().map(str::trim).collect();
                    texts.insert((file.name().to_owned(), location.path.clone()), lines.join("\n").trim().to_owned());
                }
            }
        }
        let fields = pool.all_messages().filter(|message| message.package_name() == PACKAGE);
        let fields = fields.flat_map(|message| message.fields().collect::<Vec<_>>());
        let json_names = fields.map(|field| (field.name().to_owned(), field.json_name().to_owned())).collect();
        Self { texts, json_names }
    }

    /// Returns the comment as it is written.
    fn raw(&self, file: &FileDescriptor, path: &[i32]) -> &str {
        let text = self.texts.get(&(file.name().to_owned(), path.to_vec()));
        text.unwrap_or_else(|| panic!("{}: {path:?} has no comment", file.name()))
    }

    /// Returns the comment in Markdown: one line a paragraph, and fields by their JSON names.
    pub fn text(&self, file: &FileDescriptor, path: &[i32]) -> String {
        let paragraphs = self.raw(file, path).split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        let text = paragraphs.collect::<Vec<_>>().join("\n\n");
        let quoted = text.split('`').enumerate().map(|(index, part)| match self.json_names.get(part) {
            Some(name) if index % 2 == 1 => name.clone(),
            _ => part.to_owned(),
        });
        quoted.collect::<Vec<_>>().join("`")
    }
}
