//! Imports a catalog: an upsert of everything in one transaction.
//!
//! An existing record keeps the fields that the file leaves out. The rules that the catalog calls enforce are enforced
//! here too, with two exceptions: more active promotions than the maximum are accepted with a warning, and so are
//! promotions that have ended.

mod changes;
mod clients;
mod history;
mod records;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use chrono_tz::Tz;

use super::transaction::{ChangeError, TransactionEnd, TransactionWork, in_transaction};
use crate::earning::catalog_change::{CatalogRefusal, replace};
use crate::earning::history::Origin;
use crate::earning::{Catalog, CustomerId, ObjectId, Org, OrgId, Promotion, codes, limits};
use crate::storage::{StorageError, Store, Transaction};
use clients::ClientWrites;
use history::{Catalogs, ChangesMade};
pub use records::{ImportError, ImportedClient, ImportedOrg, ImportedPromotion, RefusedRecord};

/// Maximum number of times that API clients are compared with the file while other transactions add or remove the same
/// ones.
const MAX_COMPARISONS: u32 = 8;

/// The records of a file, each valid in itself.
#[derive(Debug)]
pub struct Import {
    /// Organizations.
    pub orgs: Vec<ImportedOrg>,
    /// Promotions.
    pub promotions: Vec<ImportedPromotion>,
    /// Customers.
    pub customers: Vec<(OrgId, CustomerId)>,
    /// API clients.
    pub api_clients: Vec<ImportedClient>,
}

/// Options of an import.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImportOptions {
    /// True when the secrets of recorded clients are replaced by those of the file.
    pub replace_secrets: bool,
    /// True when nothing is changed, and [`Imported::changes`] lists what would be.
    pub dry_run: bool,
}

/// The outcome of an import.
#[derive(Debug)]
pub struct Imported {
    /// Warnings for the operator, which do not prevent the import.
    pub warnings: Vec<String>,
    /// One line for each record that would change, when the import was a dry run.
    pub changes: Vec<String>,
}

impl Import {
    /// Upserts everything into `store`, whose schema is up to date, or nothing.
    ///
    /// # Errors
    /// Returns the records that conflict with others, or the error of the database.
    pub async fn run(self, store: &Store, options: ImportOptions, origin: &Origin) -> Result<Imported, ImportError> {
        let mut comparisons = 0;
        loop {
            comparisons += 1;
            // Hashing is slow, so it is done before the transaction.
            let clients = ClientWrites::plan(&self.api_clients, store, options.replace_secrets).await?;
            let planned = PlannedImport { import: &self, clients, dry_run: options.dry_run, origin };
            match in_transaction(store, &planned).await {
                Err(ImportError::Overtaken(_)) if comparisons < MAX_COMPARISONS => {}
                ended => return ended,
            }
        }
    }

    /// Writes everything in one transaction, in the global lock order. Statements that may wait for other transactions
    /// or take long come before the catalog locks, which keep the organizations from earning.
    async fn write(&self, transaction: &Transaction, planned: &PlannedImport<'_>) -> Result<Imported, ImportError> {
        let touched: BTreeSet<OrgId> =
            self.orgs.iter().map(|org| org.id).chain(self.promotions.iter().map(|each| each.org_id)).collect();
        let recorded = transaction.org_ids().await?;
        self.check_references(&recorded.iter().copied().chain(self.orgs.iter().map(|org| org.id)).collect())?;
        let (old, new): (BTreeSet<_>, BTreeSet<_>) = touched.iter().partition(|org_id| recorded.contains(org_id));
        let (mut before, mut made) = (HashMap::new(), ChangesMade::new());
        let mut orgs = self.write_orgs(transaction, &new, &mut before).await?;
        if !planned.dry_run {
            self.write_rows(transaction, planned, &mut made).await?;
        }
        orgs.extend(self.write_orgs(transaction, &old, &mut before).await?);
        let place = |org: &Org| self.orgs.iter().position(|of_file| of_file.id == org.id);
        orgs.sort_by_cached_key(place);
        let mut changes = if planned.dry_run { changes::of_orgs(&before, &orgs) } else { Vec::new() };
        let promotions = self.complete_promotions(&before)?;
        if planned.dry_run {
            changes.extend(changes::of_promotions(transaction, &self.promotions, &before, &promotions).await?);
            changes.extend(changes::of_customers(transaction, &self.customers).await?);
            changes.extend(planned.clients.changes.iter().cloned());
        }
        self.upsert_promotions(transaction, &promotions).await?;
        let (mut warnings, mut written) = (planned.clients.warnings.clone(), Vec::new());
        for org_id in &touched {
            let Some(after) = transaction.catalog(*org_id).await? else { continue };
            warnings.extend(warning_of_cap(&after));
            if let Some(before) = before.get(org_id) {
                transaction.record_former_terms(*org_id, &before.former_terms(&after)).await?;
            }
            written.push(after);
        }
        if planned.dry_run {
            self.write_rows(transaction, planned, &mut made).await?;
        }
        let is_new =
            |org_id: &OrgId, id: &ObjectId| !before.get(org_id).is_some_and(|is| is.promotions.contains_key(id));
        self.replace_audiences(transaction, is_new, &mut made).await?;
        let catalogs = Catalogs { before: &before, after: &written };
        history::record(transaction, planned.origin, catalogs, made).await?;
        Ok(Imported { warnings, changes })
    }

    /// Locks the catalogs of these organizations, ordered by id, and upserts the organizations of the file among them.
    /// Returns these organizations as written; adds the catalogs as they were to `before`.
    async fn write_orgs(
        &self,
        transaction: &Transaction,
        org_ids: &BTreeSet<OrgId>,
        before: &mut HashMap<OrgId, Catalog>,
    ) -> Result<Vec<Org>, ImportError> {
        for org_id in org_ids {
            transaction.lock_catalog(*org_id).await?;
            before.extend(transaction.catalog(*org_id).await?.map(|catalog| (*org_id, catalog)));
        }
        let orgs = self.complete_orgs(org_ids, before)?;
        for org in &orgs {
            transaction.upsert_org(org).await?;
        }
        Ok(orgs)
    }

    /// Writes customers, API clients, and the audiences of promotions that are recorded. Adds the changes to `made`.
    async fn write_rows(
        &self,
        transaction: &Transaction,
        planned: &PlannedImport<'_>,
        made: &mut ChangesMade,
    ) -> Result<(), ImportError> {
        let with_audience = self.promotions.iter().filter(|each| each.audience.is_some());
        let changing = with_audience.map(|each| each.org_id).chain(planned.clients.orgs());
        for org_id in changing.collect::<BTreeSet<_>>() {
            transaction.lock_changes(org_id).await?;
        }
        transaction.upsert_customers(&self.customers.iter().copied().collect()).await?;
        planned.clients.write(transaction, made).await?;
        let mut recorded = BTreeSet::new();
        for org_id in self.promotions.iter().map(|each| each.org_id).collect::<BTreeSet<_>>() {
            let promotions = transaction.catalog(org_id).await?.into_iter().flat_map(|catalog| catalog.promotions);
            recorded.extend(promotions.map(|(id, _)| (org_id, id)));
        }
        self.replace_audiences(transaction, |org_id, id| recorded.contains(&(*org_id, *id)), made).await
    }

    /// Replaces the audiences of the promotions that `which` selects and for which the file names an audience, ordered
    /// by key. Adds the changes to `made`. The audiences must be locked.
    async fn replace_audiences(
        &self,
        transaction: &Transaction,
        which: impl Fn(&OrgId, &ObjectId) -> bool,
        made: &mut ChangesMade,
    ) -> Result<(), ImportError> {
        let named = self.promotions.iter().filter_map(|each| {
            let audience: BTreeSet<_> = each.audience.as_ref()?.iter().copied().collect();
            which(&each.org_id, &each.draft.id).then_some(((each.org_id, each.draft.id), audience))
        });
        let audiences: BTreeMap<_, _> = named.collect();
        for ((org_id, id), customers) in &audiences {
            let changes = transaction.replace_audience(*org_id, *id, customers).await?;
            made.entry(*org_id).or_default().extend(changes);
        }
        Ok(())
    }

    /// Returns the organizations of the file that are in `org_ids`, with absent fields completed, in the order of the
    /// file.
    fn complete_orgs(
        &self,
        org_ids: &BTreeSet<OrgId>,
        before: &HashMap<OrgId, Catalog>,
    ) -> Result<Vec<Org>, ImportError> {
        let (mut orgs, mut problems) = (Vec::with_capacity(self.orgs.len()), Vec::new());
        for (index, org) in self.orgs.iter().enumerate().filter(|(_, org)| org_ids.contains(&org.id)) {
            let recorded = before.get(&org.id).map(|catalog| &catalog.org);
            let Some(name) = org.name.clone().or_else(|| recorded.map(|recorded| recorded.name.clone())) else {
                let problem = "is required for a new organization".to_owned();
                problems.push(RefusedRecord { at: format!("orgs[{index}].name"), problem });
                continue;
            };
            let max = limits::org::MAX_ACTIVE_PROMOTIONS_DEFAULT.unsigned_abs();
            let (zone, max) =
                recorded.map_or((Tz::UTC, max), |recorded| (recorded.time_zone, recorded.max_active_promotions));
            let unknown = recorded.is_some_and(|recorded| recorded.accept_unknown_customers);
            orgs.push(Org {
                id: org.id,
                name,
                time_zone: org.time_zone.unwrap_or(zone),
                max_active_promotions: org.max_active_promotions.unwrap_or(max),
                accept_unknown_customers: org.accept_unknown_customers.unwrap_or(unknown),
            });
        }
        if problems.is_empty() { Ok(orgs) } else { Err(ImportError::Refused(problems)) }
    }

    fn check_references(&self, orgs: &BTreeSet<OrgId>) -> Result<(), ImportError> {
        let lists: [(&str, Vec<Option<OrgId>>); 3] = [
            ("promotions", self.promotions.iter().map(|each| Some(each.org_id)).collect()),
            ("customers", self.customers.iter().map(|(org_id, _)| Some(*org_id)).collect()),
            ("apiClients", self.api_clients.iter().map(|client| client.org_id).collect()),
        ];
        for (list, org_ids) in lists {
            for (index, org_id) in org_ids.into_iter().enumerate() {
                if let Some(org_id) = org_id.filter(|org_id| !orgs.contains(org_id)) {
                    let problem = format!("there is no organization {}", org_id.0);
                    return Err(ImportError::refused(format!("{list}[{index}].orgId"), problem));
                }
            }
        }
        Ok(())
    }

    /// Returns the promotions with absent fields completed, in the order of the file.
    fn complete_promotions(&self, before: &HashMap<OrgId, Catalog>) -> Result<Vec<Promotion>, ImportError> {
        let (mut promotions, mut problems) = (Vec::with_capacity(self.promotions.len()), Vec::new());
        for (index, ImportedPromotion { org_id, draft, .. }) in self.promotions.iter().enumerate() {
            let recorded = before.get(org_id).and_then(|catalog| catalog.promotions.get(&draft.id));
            let completed = match recorded {
                Some(recorded) => replace(draft, recorded).map_err(|refusal| vec![refusal]),
                None => draft
                    .complete(None)
                    .map_err(|problems| problems.into_iter().map(CatalogRefusal::Incomplete).collect()),
            };
            match completed {
                Ok(promotion) => promotions.push(promotion),
                Err(refusals) => problems.extend(refusals.into_iter().map(|refusal| {
                    let field = refusal.field().map(|field| format!(".{field}")).unwrap_or_default();
                    RefusedRecord { at: format!("promotions[{index}]{field}"), problem: refusal.to_string() }
                })),
            }
        }
        if problems.is_empty() { Ok(promotions) } else { Err(ImportError::Refused(problems)) }
    }

    /// Upserts the promotions of the file, given in completed form.
    async fn upsert_promotions(&self, transaction: &Transaction, promotions: &[Promotion]) -> Result<(), ImportError> {
        let org_ids = || self.promotions.iter().map(|each| each.org_id);
        let mut named_here = BTreeMap::<OrgId, BTreeSet<ObjectId>>::new();
        for (org_id, promotion) in org_ids().zip(promotions) {
            named_here.entry(org_id).or_default().insert(promotion.id);
        }
        for (org_id, ids) in &named_here {
            transaction.deactivate(*org_id, ids).await?;
        }
        let mut named = HashMap::<(OrgId, &str), ObjectId>::new();
        for (index, (org_id, promotion)) in org_ids().zip(promotions).enumerate() {
            if promotion.active {
                let recorded = transaction.active_promotion_named(org_id, &promotion.name).await?;
                let other = named.insert((org_id, &promotion.name), promotion.id).or(recorded);
                if let Some(other) = other {
                    let (name, code) = (&promotion.name, codes::NAME_TAKEN);
                    let problem = format!("{name:?} is the name of active promotion {other} ({code})");
                    return Err(ImportError::refused(format!("promotions[{index}].name"), problem));
                }
            }
            transaction.upsert_promotion(org_id, promotion).await?;
        }
        Ok(())
    }
}

/// An import whose clients have been compared and whose secrets have been hashed.
struct PlannedImport<'a> {
    import: &'a Import,
    clients: ClientWrites,
    dry_run: bool,
    origin: &'a Origin,
}

#[async_trait]
impl TransactionWork for PlannedImport<'_> {
    type Done = Imported;
    type Error = ImportError;

    async fn make(&self, transaction: &Transaction) -> Result<TransactionEnd<Imported>, ImportError> {
        let imported = self.import.write(transaction, self).await?;
        Ok(if self.dry_run { TransactionEnd::Rollback(imported) } else { TransactionEnd::Commit(imported) })
    }
}

/// Returns a warning when an organization has more active promotions than its maximum. The import is accepted, but
/// earning then fails, so the operator should know.
fn warning_of_cap(catalog: &Catalog) -> Option<String> {
    let (active, cap) = (catalog.active_promotions, catalog.org.max_active_promotions);
    let OrgId(org_id) = catalog.org.id;
    (active > cap).then(|| {
        format!(
            "organization {org_id} has {active} active promotions, more than its maximum of {cap}: \
             earning answers {} until some are deactivated",
            codes::TOO_MANY_ACTIVE_PROMOTIONS
        )
    })
}

impl ChangeError for ImportError {
    fn storage(&self) -> Option<&StorageError> {
        match self {
            Self::Storage(error) => Some(error),
            Self::Refused(_) | Self::Overtaken(_) | Self::Hash(_) => None,
        }
    }
}
