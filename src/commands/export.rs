//! `export`: writes the catalogs and the customers as a file that `import` reads.

use std::io::{BufWriter, Write};

use serde::Serialize;

use super::{CommandError, note, on_database};
use crate::app::catalog::page_of;
use crate::config::inspect::Export;
use crate::earning::{Catalog, CustomerId, OrgId};
use crate::storage::{CatalogSnapshot, Store};
use crate::wire::files::export;

/// Number of customers that are read at a time.
const PAGE: u64 = 10_000;

/// Runs the command.
///
/// # Errors
/// Returns why it failed.
pub async fn run(options: &Export) -> Result<(), CommandError> {
    let clients = on_database(&options.common, async |store| write(store, options).await).await?;
    if clients > 0 {
        note(&format!(
            "API clients are not exported ({clients} are recorded), because only hashes of their secrets are stored: give \
             them new secrets with clients add"
        ));
    }
    Ok(())
}

/// Writes the file. Returns the number of API clients, which are not in it.
async fn write(store: &Store, options: &Export) -> Result<u64, CommandError> {
    let snapshot = store.catalog_snapshot().await?;
    let org_ids = match options.org {
        Some(org) => vec![OrgId(org)],
        None => snapshot.org_ids().await?.into_iter().collect(),
    };
    let (mut catalogs, mut clients) = (Vec::new(), 0);
    for org_id in org_ids {
        catalogs.push(snapshot.catalog(org_id).await?.ok_or_else(|| CommandError::no_organization(org_id))?);
        clients += snapshot.count_clients(org_id).await?;
    }
    let mut file = ExportFile { out: BufWriter::new(std::io::stdout()), is_first: true };
    file.text("{\n  \"orgs\": [")?;
    for catalog in &catalogs {
        file.record(&export::org(&catalog.org))?;
    }
    file.next_list("promotions")?;
    for catalog in &catalogs {
        write_promotions(&snapshot, catalog, &mut file).await?;
    }
    file.next_list("customers")?;
    for catalog in catalogs.iter().filter(|_| !options.without_customers) {
        write_customers(&snapshot, catalog.org.id, &mut file).await?;
    }
    file.text("\n  ]\n}\n")?;
    file.out.flush().map_err(CommandError::Output)?;
    Ok(clients)
}

async fn write_promotions(
    snapshot: &CatalogSnapshot,
    catalog: &Catalog,
    file: &mut ExportFile<impl Write>,
) -> Result<(), CommandError> {
    for promotion in page_of(catalog, usize::MAX, None).0 {
        let audience = snapshot.audience(catalog.org.id, promotion.id).await?;
        file.record(&export::promotion(catalog.org.id, promotion, &audience))?;
    }
    Ok(())
}

async fn write_customers(
    snapshot: &CatalogSnapshot,
    org_id: OrgId,
    file: &mut ExportFile<impl Write>,
) -> Result<(), CommandError> {
    let mut after = CustomerId(0);
    loop {
        let page = snapshot.customers(org_id, after, PAGE).await?;
        for customer in &page {
            file.record(&export::customer(org_id, *customer))?;
        }
        match page.last() {
            Some(last) => after = *last,
            None => return Ok(()),
        }
    }
}

/// The file, with a record a line.
struct ExportFile<W> {
    out: W,
    /// True before the first record of a list.
    is_first: bool,
}

impl<W: Write> ExportFile<W> {
    fn text(&mut self, text: &str) -> Result<(), CommandError> {
        self.out.write_all(text.as_bytes()).map_err(CommandError::Output)
    }

    fn next_list(&mut self, name: &str) -> Result<(), CommandError> {
        self.is_first = true;
        self.text(&format!("\n  ],\n  \"{name}\": ["))
    }

    fn record(&mut self, record: &impl Serialize) -> Result<(), CommandError> {
        let before = if std::mem::replace(&mut self.is_first, false) { "\n    " } else { ",\n    " };
        self.text(before)?;
        serde_json::to_writer(&mut self.out, record).map_err(|error| CommandError::Output(error.into()))
    }
}
