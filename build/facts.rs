//! The facts that `proto/` states as options: rules of fields and messages, reasons of errors, and facts of methods.
//!
//! `options.proto`, `reason.proto` and `method_options.proto` of the package describe them.

use std::borrow::Cow;

use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};

use crate::PACKAGE;
use crate::comments::Comments;

/// The years 1 to 9999 in milliseconds since 1970-01-01T00:00:00Z: what ISO 8601 writes with four digits.
pub const CALENDAR_MS: (i64, i64) = (-62_135_596_800_000, 253_402_300_799_999);
/// Limits a username, and a secret, that a caller presents: bytes.
pub const PRESENTED_MAX_BYTES: usize = 1_000;
/// Digits of an object id.
pub const OBJECT_ID_DIGITS: usize = 24;

/// The form of the values of a field.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum FieldFormat {
    #[default]
    Plain,
    Milliseconds,
    Iso8601,
    ObjectId,
}

/// The rules of one field, as in `FieldRules`.
#[derive(Debug, Default, Clone)]
pub struct FieldRules {
    pub required: bool,
    pub min_len: Option<i64>,
    pub max_len: Option<i64>,
    pub trimmed: bool,
    pub min_items: Option<i64>,
    pub max_items: Option<i64>,
    pub gte: Option<i64>,
    pub lte: Option<i64>,
    pub lt: Option<i64>,
    pub format: FieldFormat,
    pub default_value: Option<String>,
    pub max_total: Option<i64>,
    pub max_ahead_ms: Option<i64>,
    pub max_bytes: Option<i64>,
    pub max_depth: Option<i64>,
}

impl FieldRules {
    /// Reads the rules of a field.
    pub fn of(field: &FieldDescriptor) -> Self {
        let Some(rules) = option(field.parent_pool(), &field.options(), "rules") else { return Self::default() };
        let read = Self {
            required: flag(&rules, "required"),
            min_len: number(&rules, "min_len"),
            max_len: number(&rules, "max_len"),
            trimmed: flag(&rules, "trimmed"),
            min_items: number(&rules, "min_items"),
            max_items: number(&rules, "max_items"),
            gte: number(&rules, "gte"),
            lte: number(&rules, "lte"),
            lt: number(&rules, "lt"),
            format: match number(&rules, "format") {
                Some(1) => FieldFormat::Milliseconds,
                Some(2) => FieldFormat::Iso8601,
                Some(3) => FieldFormat::ObjectId,
                _ => FieldFormat::Plain,
            },
            default_value: Some(text(&rules, "default_value")).filter(|value| !value.is_empty()),
            max_total: number(&rules, "max_total"),
            max_ahead_ms: number(&rules, "max_ahead_ms"),
            max_bytes: number(&rules, "max_bytes"),
            max_depth: number(&rules, "max_depth"),
        };
        read.check(field);
        read
    }

    /// Stops the build at a rule that does not go with the type of its field.
    fn check(&self, field: &FieldDescriptor) {
        let kind = field.kind();
        let is_text = kind == Kind::String;
        let is_number = matches!(kind, Kind::Int32 | Kind::Int64 | Kind::Double);
        let is_object = matches!(kind, Kind::Message(_));
        let name = field.full_name();
        assert!(is_text || (self.min_len.is_none() && self.max_len.is_none() && !self.trimmed), "{name}: is no text");
        assert!(is_number || (self.gte.is_none() && self.lte.is_none() && self.lt.is_none()), "{name}: is no number");
        assert!(field.is_list() || (self.min_items.is_none() && self.max_items.is_none()), "{name}: is no list");
        assert!(is_object || (self.max_bytes.is_none() && self.max_depth.is_none()), "{name}: is no object");
        let fits = match self.format {
            FieldFormat::Plain => true,
            FieldFormat::Milliseconds => kind == Kind::Int64,
            FieldFormat::Iso8601 | FieldFormat::ObjectId => is_text,
        };
        assert!(fits, "{name}: {:?} is no form of {kind:?}", self.format);
    }

    /// Returns the rules that no schema says, as sentences.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        match self.format {
            FieldFormat::Milliseconds => sentences.push("In milliseconds since 1970-01-01T00:00:00Z.".to_owned()),
            FieldFormat::Iso8601 => sentences.push("In ISO 8601 with an offset.".to_owned()),
            FieldFormat::Plain | FieldFormat::ObjectId => {}
        }
        if let Some(ahead) = self.max_ahead_ms {
            sentences.push(format!("At most {} hours ahead of the clock of the server.", ahead / 3_600_000));
        }
        if let Some(total) = self.max_total {
            sentences.push(format!("At most {} in total in a request.", grouped(total)));
        }
        if let (Some(bytes), Some(depth)) = (self.max_bytes, self.max_depth) {
            sentences.push(format!("At most {} bytes of JSON and {depth} levels.", grouped(bytes)));
        }
        sentences
    }
}

/// A rule for several fields of a message together.
pub struct FieldGroup {
    pub fields: Vec<FieldDescriptor>,
    pub required: bool,
    pub max_items: Option<i64>,
}

impl FieldGroup {
    /// Reads the groups of a message.
    pub fn of(message: &MessageDescriptor) -> Vec<Self> {
        let rules = option(message.parent_pool(), &message.options(), "message_rules");
        let groups = rules.map(|rules| messages(&rules, "groups")).unwrap_or_default();
        groups.iter().map(|group| Self::read(message, group)).collect()
    }

    fn read(message: &MessageDescriptor, group: &DynamicMessage) -> Self {
        let field = |name: &Value| {
            let name = name.as_str().unwrap_or_default();
            message.get_field_by_name(name).unwrap_or_else(|| panic!("{}: no field {name}", message.full_name()))
        };
        let fields: Vec<_> = list(group, "fields").iter().map(field).collect();
        let max_items = number(group, "max_items");
        let lists = fields.iter().all(|field| field.cardinality() == Cardinality::Repeated);
        assert!(fields.len() > 1, "{}: a group of one", message.full_name());
        assert!(lists || max_items.is_none(), "{}: max_items of what is no list", message.full_name());
        Self { fields, required: flag(group, "required"), max_items }
    }

    /// Returns the rules as sentences, with the JSON names of the fields.
    pub fn sentences(&self) -> Vec<String> {
        let names: Vec<_> = self.fields.iter().map(|field| format!("`{}`", field.json_name())).collect();
        let names = names.join(" and ");
        let mut sentences = Vec::new();
        if self.required {
            sentences.push(format!("At least one of {names} is required."));
        }
        if let Some(most) = self.max_items {
            sentences.push(format!("{names} have at most {} elements together.", grouped(most)));
        }
        sentences
    }
}

/// Calls that can be refused for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    Listed,
    EveryCall,
    JsonBody,
    NoCall,
}

/// A reason for which calls are refused or entries fail.
pub struct Reason {
    /// Number of the value in the proto file.
    pub number: i32,
    /// Name in `ErrorInfo`.
    pub name: String,
    /// Documented number.
    pub code: i64,
    /// Status over HTTP. 0: entries fail for it, and calls do not.
    pub http: u16,
    /// Name and number of the code over gRPC.
    pub grpc: (String, i32),
    pub scope: Scope,
    pub json_only: bool,
    /// A message to callers.
    pub example: String,
    /// Meaning, in Markdown.
    pub when: String,
}

/// Reads all reasons, in order of precedence.
pub fn reasons(pool: &DescriptorPool, comments: &Comments) -> Vec<Reason> {
    let full_name = format!("{PACKAGE}.Reason");
    let kind = pool.get_enum_by_name(&full_name).unwrap_or_else(|| panic!("no {full_name}"));
    let mut values: Vec<_> = kind.values().filter(|value| value.number() != 0).collect();
    // The last part of a path is the place in the file; the numbers say nothing of precedence.
    values.sort_by_key(|value| value.path().last().copied());
    values
        .into_iter()
        .map(|value| {
            let name = value.name().trim_start_matches("REASON_").to_owned();
            let rules = option(pool, &value.options(), "reason").unwrap_or_else(|| panic!("{name}: without an option"));
            let grpc = pool.get_enum_by_name("google.rpc.Code");
            let code = i32::try_from(number(&rules, "grpc_code").unwrap_or_default()).unwrap_or_default();
            let grpc = grpc.and_then(|codes| codes.get_value(code)).unwrap_or_else(|| panic!("{name}: no code {code}"));
            Reason {
                number: value.number(),
                code: number(&rules, "code").unwrap_or_else(|| panic!("{name}: without a code")),
                http: number(&rules, "http_status").and_then(|http| http.try_into().ok()).unwrap_or_default(),
                grpc: (grpc.name().to_owned(), code),
                scope: match number(&rules, "scope") {
                    Some(1) => Scope::EveryCall,
                    Some(2) => Scope::JsonBody,
                    Some(3) => Scope::NoCall,
                    _ => Scope::Listed,
                },
                json_only: flag(&rules, "json_only"),
                example: text(&rules, "example"),
                when: comments.text(&kind.parent_file(), value.path()),
                name,
            }
        })
        .collect()
}

/// Facts of a method.
pub struct Method {
    pub title: String,
    pub access_group: String,
    /// Numbers of reasons for which this call is refused, beside those of every call.
    pub reasons: Vec<i32>,
    /// Numbers of reasons for which entries fail, in order of precedence.
    pub entry_reasons: Vec<i32>,
}

impl Method {
    /// Reads the facts of a method.
    pub fn of(method: &MethodDescriptor) -> Self {
        let name = method.full_name();
        let rules = option(method.parent_pool(), &method.options(), "method");
        let rules = rules.unwrap_or_else(|| panic!("{name}: without an option (method)"));
        let reasons = |name| list(&rules, name).iter().filter_map(Value::as_enum_number).collect();
        let read = Self {
            title: text(&rules, "title"),
            access_group: text(&rules, "access_group"),
            reasons: reasons("reasons"),
            entry_reasons: reasons("entry_reasons"),
        };
        assert!(!read.title.is_empty() && !read.access_group.is_empty(), "{name}: without a title or an access group");
        read
    }
}

/// Returns the value of an option of this package.
fn option(pool: &DescriptorPool, options: &DynamicMessage, name: &str) -> Option<DynamicMessage> {
    let extension = pool.get_extension_by_name(&format!("{PACKAGE}.{name}"));
    let extension = extension.unwrap_or_else(|| panic!("no option {name}"));
    options.has_extension(&extension).then(|| options.get_extension(&extension).as_message().cloned()).flatten()
}

fn value(message: &DynamicMessage, field: &str) -> Option<Value> {
    message.has_field_by_name(field).then(|| message.get_field_by_name(field).map(Cow::into_owned)).flatten()
}

fn number(message: &DynamicMessage, field: &str) -> Option<i64> {
    match value(message, field)? {
        Value::I32(number) | Value::EnumNumber(number) => Some(number.into()),
        Value::I64(number) => Some(number),
        Value::U64(number) => i64::try_from(number).ok(),
        other => panic!("{field}: {other:?} is no number"),
    }
}

fn flag(message: &DynamicMessage, field: &str) -> bool {
    value(message, field).as_ref().and_then(Value::as_bool).unwrap_or_default()
}

fn text(message: &DynamicMessage, field: &str) -> String {
    value(message, field).as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list(message: &DynamicMessage, field: &str) -> Vec<Value> {
    value(message, field).as_ref().and_then(Value::as_list).unwrap_or_default().to_vec()
}

fn messages(message: &DynamicMessage, field: &str) -> Vec<DynamicMessage> {
    list(message, field).iter().filter_map(Value::as_message).cloned().collect()
}

/// Writes a number with a comma between each three digits.
pub fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
