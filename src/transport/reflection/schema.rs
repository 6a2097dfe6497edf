//! The descriptor files that reflection answers with, by name, by the symbols that they declare, and by the extensions
//! that they define.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use prost::{DecodeError, Message};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, OneofDescriptorProto,
};

/// A descriptor set whose files are not decoded: decoding would drop their options, such as the HTTP rules.
#[derive(Clone, PartialEq, Message)]
struct EncodedFiles {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

/// The files, and the names in them.
#[derive(Debug, Default)]
pub struct Schema {
    /// Names of the services, in the order of the files.
    pub services: Vec<String>,
    files: HashMap<String, Bytes>,
    symbols: HashMap<String, Bytes>,
    /// Files by the extended message and the number of the extension.
    extensions: HashMap<String, BTreeMap<i32, Bytes>>,
}

impl Schema {
    /// Reads descriptor sets. A file that several sets have is taken from the first.
    ///
    /// # Errors
    /// Returns an error if a set is malformed.
    pub fn of(sets: &[&'static [u8]]) -> Result<Self, DecodeError> {
        let mut schema = Self::default();
        for set in sets {
            for encoded in EncodedFiles::decode(Bytes::from_static(set))?.file {
                schema.add(&FileDescriptorProto::decode(encoded.clone())?, &encoded);
            }
        }
        Ok(schema)
    }

    /// Returns the file of this name.
    pub fn file(&self, name: &str) -> Option<&Bytes> {
        self.files.get(name)
    }

    /// Returns the file that declares a symbol.
    pub fn declaring(&self, symbol: &str) -> Option<&Bytes> {
        self.symbols.get(symbol)
    }

    /// Returns the file that extends a message by a field of this number.
    pub fn extending(&self, message: &str, number: i32) -> Option<&Bytes> {
        self.extensions.get(message)?.get(&number)
    }

    /// Returns the numbers of the extensions of a message, or `None` if the message is unknown.
    pub fn extension_numbers(&self, message: &str) -> Option<Vec<i32>> {
        match self.extensions.get(message) {
            Some(extensions) => Some(extensions.keys().copied().collect()),
            None => self.symbols.contains_key(message).then(Vec::new),
        }
    }

    fn add(&mut self, file: &FileDescriptorProto, encoded: &Bytes) {
        if self.files.insert(file.name().to_owned(), encoded.clone()).is_some() {
            return;
        }
        let package = file.package();
        for service in &file.service {
            let name = within(package, service.name());
            for method in &service.method {
                self.symbol(within(&name, method.name()), encoded);
            }
            self.services.push(name.clone());
            self.symbol(name, encoded);
        }
        file.message_type.iter().for_each(|message| self.message(package, message, encoded));
        file.enum_type.iter().for_each(|given| self.enumeration(package, given, encoded));
        file.extension.iter().for_each(|field| self.extension(package, field, encoded));
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto, encoded: &Bytes) {
        let name = within(scope, message.name());
        message.nested_type.iter().for_each(|nested| self.message(&name, nested, encoded));
        message.enum_type.iter().for_each(|given| self.enumeration(&name, given, encoded));
        message.extension.iter().for_each(|field| self.extension(&name, field, encoded));
        let fields = message.field.iter().map(FieldDescriptorProto::name);
        for member in fields.chain(message.oneof_decl.iter().map(OneofDescriptorProto::name)) {
            self.symbol(within(&name, member), encoded);
        }
        self.symbol(name, encoded);
    }

    fn enumeration(&mut self, scope: &str, given: &EnumDescriptorProto, encoded: &Bytes) {
        // The values of an enum are named beside it, not within it.
        for value in &given.value {
            self.symbol(within(scope, value.name()), encoded);
        }
        self.symbol(within(scope, given.name()), encoded);
    }

    fn extension(&mut self, scope: &str, field: &FieldDescriptorProto, encoded: &Bytes) {
        let message = field.extendee().trim_start_matches('.').to_owned();
        self.extensions.entry(message).or_default().insert(field.number(), encoded.clone());
        self.symbol(within(scope, field.name()), encoded);
    }

    fn symbol(&mut self, name: String, encoded: &Bytes) {
        self.symbols.insert(name, encoded.clone());
    }
}

fn within(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}
