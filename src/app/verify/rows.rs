//! Walks over every row of a table, page by page.

use crate::storage::StorageError;
use crate::storage::verify::{Breaches, PageCursor, Snapshot, VerifyPage, Walked};

/// Judges every row of a table.
pub(super) async fn each<R: Walked>(
    snapshot: &Snapshot,
    mut judge: impl FnMut(R) -> Option<String>,
) -> Result<Breaches, StorageError> {
    let (mut breaches, mut after) = (Breaches::default(), None::<PageCursor>);
    loop {
        let VerifyPage { rows, last } = snapshot.page::<R>(after.as_ref()).await?;
        for row in rows {
            match row.map(&mut judge) {
                Ok(None) => {}
                Ok(Some(breach)) | Err(breach) => breaches.add(breach),
            }
        }
        if last.is_none() {
            return Ok(breaches);
        }
        after = last;
    }
}
