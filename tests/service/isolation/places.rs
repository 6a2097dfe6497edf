//! Every place of a request in which an identifier can stand, from the descriptors of the messages.

use cart_promotions::proto::DESCRIPTOR_SET;
use prost_reflect::{DescriptorPool, Kind as FieldKind, MessageDescriptor};
use serde_json::{Value, json};

/// The kind of record that a value names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    Org,
    Customer,
    Promotion,
    EarnedPromotion,
    Event,
    EarnedFrom,
    Transaction,
    WalletPage,
    PromotionsPage,
    ChangesPage,
    /// A value that names no record.
    Nothing,
}

/// A field of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// The method, such as `WalletService/Redeem`.
    pub method: String,
    /// The names of fields with a `.` between, a repeated one with `[]`: `lineItems[].promotionId`.
    pub path: String,
    pub kind: RecordKind,
}

/// The kinds of text and 64-bit integer fields, by the end of their path. The first match counts.
const KINDS: [(&str, RecordKind); 30] = [
    ("WalletService/ListEarnedPromotions.pageToken", RecordKind::WalletPage),
    ("CatalogService/ListPromotions.pageToken", RecordKind::PromotionsPage),
    ("CatalogService/ListCatalogChanges.pageToken", RecordKind::ChangesPage),
    ("eventDetails.id", RecordKind::Event),
    ("promotion.id", RecordKind::Promotion),
    (".promotionId", RecordKind::Promotion),
    (".promotionId[]", RecordKind::Promotion),
    (".promotionIds[]", RecordKind::Promotion),
    (".earnedPromotionId", RecordKind::EarnedPromotion),
    (".earnIds[]", RecordKind::EarnedPromotion),
    (".earnedFromId", RecordKind::EarnedFrom),
    (".customerId", RecordKind::Customer),
    (".customerIds[]", RecordKind::Customer),
    ("ChangeAudience.add[]", RecordKind::Customer),
    ("ChangeAudience.remove[]", RecordKind::Customer),
    (".transactionIdentifier", RecordKind::Transaction),
    (".transactionNumber", RecordKind::Transaction),
    (".orgId", RecordKind::Org),
    ("eventDetails.type", RecordKind::Nothing),
    ("supplementaryCriteria.loyaltyProgramId", RecordKind::Nothing),
    ("supplementaryCriteria.partnerProgramId", RecordKind::Nothing),
    (".sku", RecordKind::Nothing),
    ("promotion.name", RecordKind::Nothing),
    (".eventTime", RecordKind::Nothing),
    (".eventTimeISO", RecordKind::Nothing),
    (".transactionDate", RecordKind::Nothing),
    (".transactionDateISO", RecordKind::Nothing),
    (".startDate", RecordKind::Nothing),
    (".endDate", RecordKind::Nothing),
    ("DateISO", RecordKind::Nothing),
];

/// Returns every place of every request that can name a record.
pub fn all() -> Vec<Place> {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    let mut places = Vec::new();
    for service in pool.services().filter(|service| service.package_name() == "cartpromotions.v1") {
        for method in service.methods() {
            let name = format!("{}/{}", service.name(), method.name());
            let before = places.len();
            collect(&name, "", &method.input(), &mut places);
            assert!(places.len() > before, "{name} names nothing");
        }
    }
    places.retain(|place| place.kind != RecordKind::Nothing);
    places
}

/// Returns every place of every request that takes text.
pub fn texts() -> Vec<Place> {
    let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    let mut places = Vec::new();
    for service in pool.services().filter(|service| service.package_name() == "cartpromotions.v1") {
        for method in service.methods() {
            collect_texts(&format!("{}/{}", service.name(), method.name()), "", &method.input(), &mut places);
        }
    }
    places
}

fn collect_texts(method: &str, before: &str, message: &MessageDescriptor, places: &mut Vec<Place>) {
    for field in message.fields() {
        let list = if field.is_list() { "[]" } else { "" };
        let path = format!("{before}{}{list}", field.json_name());
        match field.kind() {
            FieldKind::Message(message) if message.package_name() == "cartpromotions.v1" => {
                collect_texts(method, &format!("{path}."), &message, places);
            }
            FieldKind::String => places.push(Place { method: method.to_owned(), path, kind: RecordKind::Nothing }),
            _ => {}
        }
    }
}

fn collect(method: &str, before: &str, message: &MessageDescriptor, places: &mut Vec<Place>) {
    for field in message.fields() {
        let list = if field.is_list() { "[]" } else { "" };
        let path = format!("{before}{}{list}", field.json_name());
        match field.kind() {
            FieldKind::Message(message) if message.package_name() == "cartpromotions.v1" => {
                collect(method, &format!("{path}."), &message, places);
            }
            FieldKind::String | FieldKind::Int64 => {
                let whole = format!("{method}.{path}");
                let kind = KINDS.iter().find(|(end, _)| whole.ends_with(end));
                let (_, kind) = kind.unwrap_or_else(|| panic!("{whole} is new: say in KINDS what it names"));
                places.push(Place { method: method.to_owned(), path, kind: *kind });
            }
            // A payload is stored unchanged; enums, counts and amounts name nothing.
            _ => {}
        }
    }
}

impl Place {
    /// Puts the value into its place: the first element of a list, or the whole list if it is empty.
    pub fn put(&self, request: &mut Value, value: &Value) {
        let (parents, end) = self.path.rsplit_once('.').unwrap_or(("", &self.path));
        let mut at = request;
        for name in parents.split('.').filter(|name| !name.is_empty()) {
            at = match name.strip_suffix("[]") {
                Some(list) => &mut at[list][0],
                None => &mut at[name],
            };
            assert!(at.is_object(), "{self:?}: the request has no {name}");
        }
        match end.strip_suffix("[]") {
            Some(list) => at[list] = json!([value]),
            None => at[end] = value.clone(),
        }
    }
}
