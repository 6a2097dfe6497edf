//! `wallet`: shows wallets, as `WalletService` does.

use strum::VariantArray as _;

use super::error::FieldOption;
use super::table::Table;
use super::{CommandError, note, on_database, show};
use crate::app::catalog;
use crate::app::wallet::{WalletItem, page};
use crate::clock::Clock;
use crate::config::wallet::{ShowWallet, Wallet};
use crate::earning::OrgId;
use crate::earning::change::EarnedStatus;
use crate::earning::limits::list_earned_promotions_request;
use crate::proto;
use crate::storage::Store;
use crate::wire::Violations;
use crate::wire::time::to_iso;
use crate::wire::wallet::{encode_entry, parse_list};

/// The options for the fields of the request.
const OPTIONS: [FieldOption; 3] = [("customerId", "CUSTOMER"), ("promotionId", "--promotion"), ("limit", "--limit")];
/// Number of entries that are read at a time.
const PAGE: u32 = list_earned_promotions_request::LIMIT_LTE.unsigned_abs();

/// Runs the command.
///
/// # Errors
/// Returns why it failed.
pub async fn run(command: &Wallet, clock: &Clock) -> Result<(), CommandError> {
    let Wallet::Show(options) = command;
    let (entries, more) =
        on_database(&options.output.output.common, async |store| read(store, options, clock).await).await?;
    let zone = options.output.time_zone;
    let messages: Vec<_> = entries.iter().map(|entry| encode_entry(entry, zone)).collect();
    show(options.output.output.json, &messages, || {
        let mut table = Table::new(&["EARN ID", "PROMOTION", "STATUS", "VALID TILL", "GRANTED", "EVENT"]);
        for entry in &entries {
            table.row([
                entry.row.key.earn_id.to_string(),
                entry.promotion_name.clone(),
                entry.status.name().to_owned(),
                to_iso(entry.row.held.valid_till, zone),
                to_iso(entry.row.granted_at, zone),
                entry.row.event_id.clone(),
            ]);
        }
        table
    })?;
    if more {
        note(&format!("more follow: these are the first {}; raise --limit", entries.len()));
    }
    Ok(())
}

/// Returns the entries, read page by page, and true when there are more than the limit.
async fn read(store: &Store, options: &ShowWallet, clock: &Clock) -> Result<(Vec<WalletItem>, bool), CommandError> {
    let (org_id, now) = (OrgId(options.org.id), clock.now());
    let statuses = if options.statuses.is_empty() { EarnedStatus::VARIANTS } else { &options.statuses };
    let numbers = statuses.iter().map(|status| proto::EarnedStatus::from_str_name(status.name()).unwrap_or_default());
    let request = proto::ListEarnedPromotionsRequest {
        customer_id: options.customer,
        limit: i32::try_from(options.limit.min(PAGE)).ok(),
        page_token: None,
        earned_status: numbers.map(|number| number as i32).collect(),
        promotion_id: options.promotions.clone(),
    };
    let (mut list, _) = parse_list(&request, org_id, Violations::default())
        .map_err(|problem| CommandError::of_invalid_request(problem, &OPTIONS))?;
    let catalog = catalog::recorded(store, org_id).await.map_err(CommandError::of_catalog)?;
    if let Some(unknown) = list.promotions.iter().find(|id| !catalog.promotions.contains_key(id)) {
        return Err(CommandError::refused(404, format!("promotion {unknown} not found")));
    }
    let (limit, mut entries) = (options.limit as usize, Vec::new());
    loop {
        list.limit = list.limit.min(limit - entries.len());
        let page = page(store, &catalog, &list, now).await?;
        let page = page.ok_or_else(|| CommandError::no_customer(list.customer_id))?;
        entries.extend(page.entries);
        list.after = page.more_after;
        if list.after.is_none() || entries.len() >= limit {
            return Ok((entries, list.after.is_some()));
        }
    }
}
