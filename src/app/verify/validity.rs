//! Checks the validity of earned promotions: it follows from the present terms of the promotion, or from former ones.

use std::collections::{BTreeSet, HashMap};

use chrono_tz::Tz;

use crate::earning::expiry::valid_till;
use crate::earning::{Expiry, OrgId, Timestamp};
use crate::storage::StorageError;
use crate::storage::verify::{Breaches, EarnedRow, PageCursor, PromotionTerms, Snapshot, Terms, VerifyPage};

/// The terms with which a row is compared.
enum Compared {
    /// The present terms.
    Present,
    /// The terms before a change.
    Former,
    /// Terms that cannot be read, as a promotion or a time zone is unreadable, which is a breach of another check.
    Unknown,
}

/// Numbers of rows by the terms with which they were compared.
#[derive(Debug, Default)]
struct ValidityCount {
    all: u64,
    by_former_terms: u64,
    unknown: u64,
}

/// Compares every earned promotion with the terms of its promotion. Returns the name of the check, and its breaches.
pub(super) async fn check(snapshot: &Snapshot) -> Result<(String, Breaches), StorageError> {
    let (mut breaches, mut counted, mut after) = (Breaches::default(), ValidityCount::default(), None::<PageCursor>);
    // Rows are ordered by organization, so the terms of one are enough.
    let mut of_org: Option<(i64, OrgTerms)> = None;
    loop {
        let VerifyPage { rows, last } = snapshot.page::<EarnedRow>(after.as_ref()).await?;
        for row in rows {
            counted.all += 1;
            let row = match row {
                Ok(row) => row,
                Err(breach) => {
                    breaches.add(breach);
                    continue;
                }
            };
            let terms = match &mut of_org {
                Some((org_id, terms)) if *org_id == row.org_id => terms,
                other => {
                    let terms = snapshot.terms(OrgId(row.org_id)).await?.unwrap_or_default();
                    &mut other.insert((row.org_id, OrgTerms::new(terms))).1
                }
            };
            match terms.compare(&row) {
                Ok(Compared::Present) => {}
                Ok(Compared::Former) => counted.by_former_terms += 1,
                Ok(Compared::Unknown) => counted.unknown += 1,
                Err(breach) => breaches.add(breach),
            }
        }
        if last.is_none() {
            break;
        }
        after = last;
    }
    let ValidityCount { all, by_former_terms, unknown } = counted;
    let not_compared = match unknown {
        0 => String::new(),
        unknown => format!("; {unknown} are of terms that cannot be read, and are not compared"),
    };
    let what = format!(
        "validity: each of {all} earned promotions is valid until when the terms of its promotion say, {by_former_terms} of \
         them by former terms{not_compared}"
    );
    Ok((what, breaches))
}

/// The terms of an organization, with its time zones parsed once.
struct OrgTerms {
    terms: Terms,
    zones: HashMap<String, Option<Tz>>,
}

impl OrgTerms {
    fn new(terms: Terms) -> Self {
        let former = terms.promotions.values().flat_map(|promotion| &promotion.former);
        let names: BTreeSet<_> = former.map(|former| &former.time_zone).chain([&terms.time_zone]).collect();
        let zones = names.into_iter().map(|name| (name.clone(), name.parse().ok())).collect();
        Self { terms, zones }
    }

    fn zone(&self, name: &str) -> Option<Tz> {
        self.zones.get(name).copied().flatten()
    }

    /// Compares a row with its terms, or returns a description of the breach.
    fn compare(&self, row: &EarnedRow) -> Result<Compared, String> {
        let EarnedRow { org_id, earn_id, promotion_id, event_time_ms, valid_till_ms: valid_till, granted_at_ms } = row;
        let name = || format!("earned promotion {earn_id} of promotion {promotion_id} of organization {org_id}");
        for (what, time) in [("earned by an event of", event_time_ms), ("granted at", granted_at_ms)] {
            if valid_till < time {
                return Err(format!("{} is {what} {time}, and was valid until {valid_till}", name()));
            }
        }
        let Some(promotion) = self.terms.promotions.get(promotion_id) else { return Ok(Compared::Unknown) };
        let Some(present) = self.present(promotion, row) else { return Ok(Compared::Unknown) };
        if *valid_till == present {
            return Ok(Compared::Present);
        }
        match self.is_by_former_terms(promotion, row) {
            Some(true) => Ok(Compared::Former),
            Some(false) => Err(format!("{} is valid until {valid_till}, by its terms {present}", name())),
            None => Ok(Compared::Unknown),
        }
    }

    /// Returns the end of validity by the present terms; `None` when they cannot be read.
    fn present(&self, promotion: &PromotionTerms, row: &EarnedRow) -> Option<Timestamp> {
        match promotion.expiry? {
            Expiry::WithPromotion => Some(promotion.end),
            days @ Expiry::DaysFromEarning(_) => {
                Some(valid_till(days, promotion.end, row.event_time_ms, self.zone(&self.terms.time_zone)?))
            }
        }
    }

    /// Returns true if former terms give the row its end of validity; `None` when none does and some cannot be read.
    fn is_by_former_terms(&self, promotion: &PromotionTerms, row: &EarnedRow) -> Option<bool> {
        let expiry = promotion.expiry?;
        let mut unknown = false;
        for former in &promotion.former {
            let valid_till = match expiry {
                Expiry::WithPromotion => Some(former.end_ms),
                Expiry::DaysFromEarning(_) => {
                    let zone = self.zone(&former.time_zone);
                    zone.map(|zone| valid_till(expiry, former.end_ms, row.event_time_ms, zone))
                }
            };
            if valid_till == Some(row.valid_till_ms) {
                return Some(true);
            }
            unknown |= valid_till.is_none();
        }
        (!unknown).then_some(false)
    }
}
