//! The recorded changes of an organization or one of its promotions, as `promotions history` and `orgs history` show
//! them: when, who, and what changed from which value to which.

use chrono_tz::Tz;
use serde_json::{Map, Value};

use super::table::{NOTHING, Table};
use super::{CommandError, note, on_database, show};
use crate::app::catalog;
use crate::app::history::{Content, HistoryPart, RecordedChange, page};
use crate::config::output::HistoryOutput;
use crate::earning::catalog_change::CatalogRefusal;
use crate::earning::{ObjectId, OrgId, Timestamp};
use crate::storage::Store;
use crate::wire::history::encode;
use crate::wire::time::to_iso;

/// Number of changes that are read at a time.
const PAGE: usize = 100;
/// Limits the customers of a change of an audience that a line names; `--json` names all.
const MAX_NAMED: usize = 5;
/// Fields that hold times, in milliseconds since 1970-01-01T00:00:00Z.
const TIMES: [&str; 2] = ["startDate", "endDate"];

/// Shows the latest changes of an organization, or those of a promotion and its audience.
///
/// # Errors
/// Returns why they could not be shown.
pub(super) async fn run(
    org_id: OrgId,
    promotion_id: Option<ObjectId>,
    options: &HistoryOutput,
) -> Result<(), CommandError> {
    let (limit, zone) = (options.limit as usize, options.output.time_zone);
    let common = &options.output.output.common;
    let (changes, more) =
        on_database(common, async |store| read(store, org_id, HistoryPart { promotion_id, after: None, limit }).await)
            .await?;
    let messages: Vec<_> = changes.iter().map(|change| encode(change, zone)).collect();
    show(options.output.output.json, &messages, || {
        let mut table = Table::new(&["TIME", "ACTOR", "ACTION", "PROMOTION", "CHANGE"]);
        for each in &changes {
            table.row([
                to_iso(each.at, zone),
                each.actor.clone(),
                each.change.action.name().to_owned(),
                each.change.promotion_id.map_or(NOTHING.to_owned(), |id| id.to_string()),
                told(each, zone),
            ]);
        }
        table
    })?;
    if more {
        note(&format!("earlier ones follow: these are the latest {limit}; raise --limit"));
    }
    Ok(())
}

/// Returns the changes, read page by page, and true when there are more than the limit.
async fn read(
    store: &Store,
    org_id: OrgId,
    mut part: HistoryPart,
) -> Result<(Vec<RecordedChange>, bool), CommandError> {
    let catalog = catalog::recorded(store, org_id).await.map_err(CommandError::of_catalog)?;
    if let Some(id) = part.promotion_id.filter(|id| !catalog.promotions.contains_key(id)) {
        return Err(CommandError::of_catalog(CatalogRefusal::NotFound(id).into()));
    }
    let (limit, mut changes) = (part.limit, Vec::new());
    loop {
        part.limit = PAGE.min(limit - changes.len());
        let page = page(store, org_id, part).await?;
        changes.extend(page.changes);
        part.after = page.more_after;
        if part.after.is_none() || changes.len() >= limit {
            return Ok((changes, part.after.is_some()));
        }
    }
}

/// Returns what changed: each field that differs with its two values, the fields of what is new, or the customers.
fn told(recorded: &RecordedChange, zone: Tz) -> String {
    let change = &recorded.change;
    let sides = (change.before.as_ref(), change.after.as_ref());
    if let (Some(Content::Audience(_)), _) | (_, Some(Content::Audience(_))) = sides {
        let named = |what: &str, side: Option<&Content>| match side {
            Some(Content::Audience(customers)) => Some(format!("{what} {}", first_of(customers))),
            _ => None,
        };
        return named("added", sides.1).into_iter().chain(named("removed", sides.0)).collect::<Vec<_>>().join("; ");
    }
    let fields = |side: Option<&Content>| side.map(Content::fields).unwrap_or_default();
    let (before, after) = (fields(sides.0), fields(sides.1));
    let show = |side: &Map<String, Value>, name: &str| match side.get(name) {
        Some(Value::Number(ms)) if TIMES.contains(&name) => {
            to_iso(Timestamp::from_millis(ms.as_i64().unwrap_or_default()), zone)
        }
        Some(value) => value.to_string(),
        None => "none".to_owned(),
    };
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    let differing = names.filter(|name| before.get(*name) != after.get(*name)).map(|name| match sides {
        _ if name == "newSecret" => "secret replaced".to_owned(),
        (None, _) => format!("{name} {}", show(&after, name)),
        (_, None) => format!("{name} {}", show(&before, name)),
        _ => format!("{name} {} -> {}", show(&before, name), show(&after, name)),
    });
    differing.collect::<Vec<_>>().join("; ")
}

/// Returns the first customers, and the number of the others.
fn first_of(customers: &[i64]) -> String {
    let named = customers.iter().take(MAX_NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match customers.len().saturating_sub(MAX_NAMED) {
        0 => named,
        others => format!("{named} and {others} more"),
    }
}
