//! `orgs`: shows organizations and their history, and changes their settings.

use super::error::FieldOption;
use super::table::Table;
use super::{CommandError, history, note, on_database, print, show};
use crate::app::import::{Import, ImportOptions, ImportedOrg};
use crate::clock::Clock;
use crate::config::orgs::{ListOrgs, Orgs, SetOrg, ShowOrg};
use crate::earning::{Catalog, OrgId};
use crate::server::{self, ImportFileError};
use crate::storage::Store;
use crate::wire::Violations;
use crate::wire::files::{catalog, export};

/// The options for the fields of an organization.
const OPTIONS: [FieldOption; 1] = [("org.name", "--name")];

/// Runs the command.
///
/// # Errors
/// Returns why it failed.
pub async fn run(command: &Orgs, clock: &Clock) -> Result<(), CommandError> {
    match command {
        Orgs::List(options) => list(options).await,
        Orgs::Show(options) => show_one(options).await,
        Orgs::Set(options) => set(options, clock).await,
        Orgs::History(options) => history::run(OrgId(options.id), None, &options.output).await,
    }
}

async fn list(options: &ListOrgs) -> Result<(), CommandError> {
    let read = async |store: &Store| {
        let snapshot = store.catalog_snapshot().await?;
        let mut catalogs = Vec::new();
        for org_id in snapshot.org_ids().await? {
            catalogs.extend(snapshot.catalog(org_id).await?);
        }
        Ok(catalogs)
    };
    let catalogs = on_database(&options.output.common, read).await?;
    show_orgs(options.output.json, &catalogs)
}

async fn show_one(options: &ShowOrg) -> Result<(), CommandError> {
    let org_id = OrgId(options.org);
    let read = async |store: &Store| {
        let snapshot = store.catalog_snapshot().await?;
        let found = snapshot.catalog(org_id).await?.ok_or_else(|| CommandError::no_organization(org_id))?;
        Ok((found, snapshot.count_customers(org_id).await?, snapshot.count_clients(org_id).await?))
    };
    let (found, customers, clients) = on_database(&options.output.common, read).await?;
    if options.output.json {
        return show_orgs(true, &[found]);
    }
    let promotions = found.promotions.len();
    show_orgs(false, &[found])?;
    print(&format!("\npromotions: {promotions}\ncustomers:  {customers}\nAPI clients: {clients}\n"))
}

async fn set(options: &SetOrg, clock: &Clock) -> Result<(), CommandError> {
    let org_id = OrgId(options.org);
    let mut violations = Violations::default();
    if let Some(name) = &options.name {
        catalog::check_org_name("org.name", name, &mut violations);
    }
    let max_active = options.max_active_promotions;
    if !violations.is_empty() {
        return Err(CommandError::of_violations(&violations, &OPTIONS));
    }
    let changed = async |store: &Store| {
        let snapshot = store.catalog_snapshot().await?;
        snapshot.catalog(org_id).await?.ok_or_else(|| CommandError::no_organization(org_id))?;
        drop(snapshot);
        let org = ImportedOrg {
            id: org_id,
            name: options.name.clone(),
            time_zone: options.time_zone,
            max_active_promotions: max_active,
            accept_unknown_customers: options.accept_unknown_customers,
        };
        let import = Import { orgs: vec![org], promotions: Vec::new(), customers: Vec::new(), api_clients: Vec::new() };
        let imported = import.run(store, ImportOptions::default(), &server::operator(clock)).await;
        let imported = imported.map_err(|error| CommandError::ImportFile {
            file: format!("orgs set {}", org_id.0),
            source: ImportFileError::Import(error),
        })?;
        imported.warnings.iter().for_each(|warning| note(&format!("warning: {warning}")));
        let snapshot = store.catalog_snapshot().await?;
        snapshot.catalog(org_id).await?.ok_or_else(|| CommandError::no_organization(org_id))
    };
    let changed = on_database(&options.output.common, changed).await?;
    show_orgs(options.output.json, &[changed])
}

fn show_orgs(json: bool, catalogs: &[Catalog]) -> Result<(), CommandError> {
    let messages: Vec<_> = catalogs.iter().map(|catalog| export::org(&catalog.org)).collect();
    show(json, &messages, || {
        let mut table = Table::new(&["ID", "NAME", "TIME ZONE", "ACTIVE", "MAX ACTIVE", "UNKNOWN CUSTOMERS"]);
        for Catalog { org, active_promotions, .. } in catalogs {
            table.row([
                org.id.0.to_string(),
                org.name.clone(),
                org.time_zone.name().to_owned(),
                active_promotions.to_string(),
                org.max_active_promotions.to_string(),
                if org.accept_unknown_customers { "accepted" } else { "refused" }.to_owned(),
            ]);
        }
        table
    })
}
