//! `promotions`: lists, shows, creates, updates, activates and deactivates promotions, and shows their history, as
//! `CatalogService` does.

use super::error::FieldOption;
use super::table::{NOTHING, Table};
use super::{CommandError, history, on_database, show};
use crate::app::catalog;
use crate::clock::Clock;
use crate::config::operator::{
    CreatePromotion, ListPromotions, Promotions, ShowPromotion, SwitchPromotions, TimedOutput, UpdatePromotion,
};
use crate::earning::catalog_change::{CatalogChange, CatalogRefusal};
use crate::earning::{EarnExpiry, ObjectId, OrgId, Promotion};
use crate::proto;
use crate::server;
use crate::storage::Store;
use crate::wire::time::to_iso;
use crate::wire::{Violations, promotion};

/// The options for the fields of a promotion.
const OPTIONS: [FieldOption; 7] = [
    ("promotion.id", "--id"),
    ("promotion.name", "--name"),
    ("promotion.type", "--type"),
    ("promotion.startDate", "--start"),
    ("promotion.endDate", "--end"),
    ("promotion.maxEarningPerCustomer", "--max-earning-per-customer"),
    ("promotion.earnExpiry.days", "--earn-expiry-days"),
];

/// Runs the command.
///
/// # Errors
/// Returns why it failed.
pub async fn run(command: &Promotions, clock: &Clock) -> Result<(), CommandError> {
    match command {
        Promotions::List(options) => list(options).await,
        Promotions::Create(options) => create(options, clock).await,
        Promotions::Show(options) => show_one(options).await,
        Promotions::Update(options) => update(options, clock).await,
        Promotions::Activate(options) => switch(options, true, clock).await,
        Promotions::Deactivate(options) => switch(options, false, clock).await,
        Promotions::History(options) => {
            history::run(OrgId(options.org.id), Some(parse_id(&options.id)?), &options.output).await
        }
    }
}

async fn list(options: &ListPromotions) -> Result<(), CommandError> {
    let org_id = OrgId(options.org.id);
    let recorded = async |store: &Store| {
        catalog::recorded(store, org_id).await.map_err(|error| CommandError::of_catalog(error, &OPTIONS))
    };
    let catalog = on_database(&options.output.output.common, recorded).await?;
    let (mut promotions, _) = catalog::page_of(&catalog, usize::MAX, None);
    promotions.retain(|promotion| promotion.active || !options.active);
    show_promotions(&options.output, org_id, &promotions)
}

async fn create(options: &CreatePromotion, clock: &Clock) -> Result<(), CommandError> {
    let (org_id, now) = (OrgId(options.org.id), clock.now());
    let request = proto::CreatePromotionRequest { promotion: Some(message(options)) };
    let new_id = || catalog::new_promotion_id(now);
    // A malformed promotion is refused before the database is opened.
    let promotion = crate::wire::catalog::parse_new(request, new_id, Violations::default())
        .map_err(|problem| CommandError::of_invalid_request(problem, &OPTIONS))?;
    let changed = async |store: &Store| change(store, org_id, CatalogChange::Create(promotion.clone()), clock).await;
    let created = on_database(&options.output.output.common, changed).await?;
    show_promotions(&options.output, org_id, &[&created])
}

async fn show_one(options: &ShowPromotion) -> Result<(), CommandError> {
    let (org_id, id) = (OrgId(options.org.id), parse_id(&options.id)?);
    let found = async |store: &Store| {
        let of_catalog = |error| CommandError::of_catalog(error, &OPTIONS);
        let catalog = catalog::recorded(store, org_id).await.map_err(of_catalog)?;
        let found = catalog.promotions.get(&id).cloned();
        found.ok_or_else(|| of_catalog(CatalogRefusal::NotFound(id).into()))
    };
    let found = on_database(&options.output.output.common, found).await?;
    show_promotions(&options.output, org_id, &[&found])
}

async fn update(options: &UpdatePromotion, clock: &Clock) -> Result<(), CommandError> {
    let (org_id, id) = (OrgId(options.org.id), parse_id(&options.id)?);
    let mut violations = Violations::default();
    let draft = promotion::read("promotion", id, &record(options), &mut violations);
    if !violations.is_empty() {
        return Err(CommandError::of_violations(&violations, &OPTIONS));
    }
    let changed = async |store: &Store| change(store, org_id, CatalogChange::Replace(draft.clone()), clock).await;
    let changed = on_database(&options.output.output.common, changed).await?;
    show_promotions(&options.output, org_id, &[&changed])
}

/// Returns the record with these options, which leaves out what they do not name.
fn record(options: &UpdatePromotion) -> proto::FilePromotion {
    use proto::earn_expiry::Type;
    let (start_date, start_date_iso) = options.start.as_deref().map(time).unwrap_or_default();
    let (end_date, end_date_iso) = options.end.as_deref().map(time).unwrap_or_default();
    let days = options.earn_expiry_days;
    let expiry = days.map(|days| proto::EarnExpiry { r#type: Type::DaysFromEarning as i32, days: Some(days) });
    let with_promotion = || proto::EarnExpiry { r#type: Type::WithPromotion as i32, days: None };
    proto::FilePromotion {
        name: options.name.clone(),
        start_date,
        start_date_iso,
        end_date,
        end_date_iso,
        max_earning_per_customer: options.max_earning_per_customer,
        unlimited_earning: options.unlimited_earning.then_some(true),
        earn_expiry: expiry.or_else(|| options.earn_expiry_with_promotion.then(with_promotion)),
        earn_limited_to_specific_audience: options.limited_to_audience,
        ..proto::FilePromotion::default()
    }
}

fn parse_id(id: &str) -> Result<ObjectId, CommandError> {
    let parsed = crate::wire::catalog::parse_id(id, Violations::default());
    parsed.map_err(|problem| CommandError::of_invalid_request(problem, &OPTIONS))
}

/// Returns the message with these options.
fn message(options: &CreatePromotion) -> proto::Promotion {
    use proto::earn_expiry::Type;
    let ((start_date, start_date_iso), (end_date, end_date_iso)) = (time(&options.start), time(&options.end));
    proto::Promotion {
        id: options.id.clone().unwrap_or_default(),
        org_id: Some(options.org.id),
        name: options.name.clone(),
        r#type: proto::promotion::Type::from_str_name(options.kind.name()).unwrap_or_default() as i32,
        active: Some(!options.inactive),
        start_date,
        start_date_iso,
        end_date,
        end_date_iso,
        max_earning_per_customer: options.max_earning_per_customer,
        earn_expiry: options
            .earn_expiry_days
            .map(|days| proto::EarnExpiry { r#type: Type::DaysFromEarning as i32, days: Some(days) }),
        earn_limited_to_specific_audience: Some(options.limited_to_audience),
        unlimited_earning: None,
    }
}

/// Converts a time to the two fields that messages have: a number is milliseconds, any other text ISO 8601.
fn time(text: &str) -> (Option<i64>, Option<String>) {
    match text.parse() {
        Ok(ms) => (Some(ms), None),
        Err(_) => (None, Some(text.to_owned())),
    }
}

async fn switch(options: &SwitchPromotions, active: bool, clock: &Clock) -> Result<(), CommandError> {
    let org_id = OrgId(options.org.id);
    // All ids are parsed before the first promotion is switched.
    let ids: Vec<ObjectId> = options.ids.iter().map(|id| parse_id(id)).collect::<Result<_, _>>()?;
    let mut switched = Vec::new();
    let switch_all = async |store: &Store| {
        for id in &ids {
            switched.push(change(store, org_id, CatalogChange::SetActive(*id, active), clock).await?);
        }
        Ok(())
    };
    let ended = on_database(&options.output.output.common, switch_all).await;
    // Promotions that were switched before the refused one are shown, as they stay switched.
    if !switched.is_empty() {
        show_promotions(&options.output, org_id, &switched.iter().collect::<Vec<_>>())?;
    }
    ended
}

async fn change(store: &Store, org_id: OrgId, change: CatalogChange, clock: &Clock) -> Result<Promotion, CommandError> {
    let changed = catalog::change_promotion(store, org_id, change, &server::operator(clock)).await;
    changed.map_err(|error| CommandError::of_catalog(error, &OPTIONS))
}

fn show_promotions(output: &TimedOutput, org_id: OrgId, promotions: &[&Promotion]) -> Result<(), CommandError> {
    let zone = output.time_zone;
    let messages: Vec<_> = promotions.iter().map(|each| promotion::encode(org_id, each, zone)).collect();
    show(output.output.json, &messages, || {
        let mut table = Table::new(&["ID", "NAME", "TYPE", "ACTIVE", "START", "END", "CAP", "VALID", "AUDIENCE"]);
        for promotion in promotions {
            let valid = match promotion.expiry {
                EarnExpiry::WithPromotion => "to its end".to_owned(),
                EarnExpiry::DaysFromEarning(days) => format!("{days} days"),
            };
            table.row([
                promotion.id.to_string(),
                promotion.name.clone(),
                promotion.kind.name().to_owned(),
                if promotion.active { "yes" } else { "no" }.to_owned(),
                to_iso(promotion.start, zone),
                to_iso(promotion.end, zone),
                promotion.cap.map_or(NOTHING.to_owned(), |cap| cap.to_string()),
                valid,
                if promotion.limited_to_audience { "limited" } else { "everybody" }.to_owned(),
            ]);
        }
        table
    })
}
