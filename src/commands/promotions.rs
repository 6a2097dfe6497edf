//! `promotions`: lists, shows, creates, updates, activates and deactivates promotions, and shows their history, as
//! `CatalogService` does.

use super::error::FieldOption;
use super::table::{NOTHING, Table};
use super::{CommandError, history, on_database, show};
use crate::app::catalog;
use crate::clock::Clock;
use crate::config::output::TimedOutput;
use crate::config::promotions::{
    CreatePromotion, FieldValue, ListPromotions, Promotions, ShowPromotion, SwitchPromotions, UpdatePromotion,
};
use crate::earning::catalog_change::{CatalogChange, CatalogRefusal};
use crate::earning::{Expiry, ObjectId, OrgId, Promotion};
use crate::proto;
use crate::server;
use crate::storage::Store;
use crate::wire::time::to_iso;
use crate::wire::{Violations, promotion};

/// Path of the promotion in the request.
const AT: &str = "promotion";
/// The option for the id of a promotion.
const OPTIONS: [FieldOption; 1] = [("promotion.id", "--id")];

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
    let recorded = async |store: &Store| catalog::recorded(store, org_id).await.map_err(CommandError::of_catalog);
    let catalog = on_database(&options.output.output.common, recorded).await?;
    let (mut promotions, _) = catalog::page_of(&catalog, usize::MAX, None);
    promotions.retain(|promotion| promotion.active || !options.active);
    show_promotions(&options.output, org_id, &promotions)
}

async fn create(options: &CreatePromotion, clock: &Clock) -> Result<(), CommandError> {
    let (org_id, now) = (OrgId(options.org.id), clock.now());
    let id = options.id.clone().unwrap_or_default();
    let mut message = proto::Promotion { id, org_id: Some(options.org.id), ..proto::Promotion::default() };
    let violations = promotion::read_fields(&mut message, AT, given(&options.fields));
    let request = proto::CreatePromotionRequest { promotion: Some(message) };
    let new_id = || catalog::new_promotion_id(now);
    // A malformed promotion is refused before the database is opened.
    let promotion = crate::wire::catalog::parse_new(request, new_id, violations)
        .map_err(|problem| CommandError::of_invalid_request(problem, &OPTIONS))?;
    let changed = async |store: &Store| change(store, org_id, CatalogChange::Create(promotion.clone()), clock).await;
    let created = on_database(&options.output.output.common, changed).await?;
    show_promotions(&options.output, org_id, &[&created])
}

async fn show_one(options: &ShowPromotion) -> Result<(), CommandError> {
    let (org_id, id) = (OrgId(options.org.id), parse_id(&options.id)?);
    let found = async |store: &Store| {
        let catalog = catalog::recorded(store, org_id).await.map_err(CommandError::of_catalog)?;
        let found = catalog.promotions.get(&id).cloned();
        found.ok_or_else(|| CommandError::of_catalog(CatalogRefusal::NotFound(id).into()))
    };
    let found = on_database(&options.output.output.common, found).await?;
    show_promotions(&options.output, org_id, &[&found])
}

async fn update(options: &UpdatePromotion, clock: &Clock) -> Result<(), CommandError> {
    let (org_id, id) = (OrgId(options.org.id), parse_id(&options.id)?);
    let mut record = proto::FilePromotion::default();
    let mut violations = promotion::read_fields(&mut record, AT, given(&options.fields));
    let draft = promotion::read(AT, id, &record, &mut violations);
    if !violations.is_empty() {
        return Err(CommandError::of_violations(&violations, &OPTIONS));
    }
    let changed = async |store: &Store| change(store, org_id, CatalogChange::Replace(draft.clone()), clock).await;
    let changed = on_database(&options.output.output.common, changed).await?;
    show_promotions(&options.output, org_id, &[&changed])
}

fn given(fields: &[FieldValue]) -> impl Iterator<Item = (&str, &str)> {
    fields.iter().map(|field| (field.path.as_str(), field.value.as_str()))
}

fn parse_id(id: &str) -> Result<ObjectId, CommandError> {
    let parsed = crate::wire::catalog::parse_id(id, Violations::default());
    parsed.map_err(|problem| CommandError::of_invalid_request(problem, &OPTIONS))
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
    changed.map_err(CommandError::of_catalog)
}

fn show_promotions(output: &TimedOutput, org_id: OrgId, promotions: &[&Promotion]) -> Result<(), CommandError> {
    let zone = output.time_zone;
    let messages: Vec<_> = promotions.iter().map(|each| promotion::encode(org_id, each, zone)).collect();
    show(output.output.json, &messages, || {
        let mut table = Table::new(&["ID", "NAME", "TYPE", "ACTIVE", "START", "END", "CAP", "VALID", "AUDIENCE"]);
        for promotion in promotions {
            let valid = match promotion.expiry {
                Expiry::WithPromotion => "to its end".to_owned(),
                Expiry::DaysFromEarning(days) => format!("{days} days"),
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
