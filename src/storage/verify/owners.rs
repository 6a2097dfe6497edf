//! Checks of owners: each row belongs to an organization or a promotion that exists, active names are unique, and
//! promotions that were earned are marked.

use super::columns::columns;
use super::forms::row_name;
use crate::earning::PromotionType;
use crate::storage::entity::stored::StoredPromotionType;
use crate::storage::entity::{
    OrgOwned, api_client, audience, cap_usage, catalog_change, customer, earned_promotion, former_term, org, promotion,
    redemption,
};
use crate::storage::org_owned::{column, table};

/// Returns a check of each table for rows whose organization, or whose promotion in it, does not exist.
pub(super) fn owners() -> Vec<String> {
    vec![
        of_no_org::<promotion::Entity>(),
        of_no_org::<customer::Entity>(),
        of_no_org::<api_client::Entity>(),
        of_no_org::<redemption::Entity>(),
        of_no_org::<catalog_change::Entity>(),
        of_no_promotion::<audience::Entity>(audience::Column::PromotionId),
        of_no_promotion::<cap_usage::Entity>(cap_usage::Column::PromotionId),
        of_no_promotion::<former_term::Entity>(former_term::Column::PromotionId),
        of_no_promotion::<earned_promotion::Entity>(earned_promotion::Column::PromotionId),
    ]
}

fn of_no_org<E: OrgOwned>() -> String {
    let (rows, orgs) = (table::<E>(), table::<org::Entity>());
    let (id, org_id) = (column::<org::Entity>(org::Column::Id), column::<E>(E::ORG));
    format!(
        "SELECT {} || ' is of organization ' || {org_id} || ', which does not exist' AS breach
         FROM {rows} LEFT JOIN {orgs} ON {id} = {org_id} WHERE {id} IS NULL",
        row_name::<E>()
    )
}

fn of_no_promotion<E: OrgOwned>(promotion_id: E::Column) -> String {
    let of = column::<promotion::Entity>;
    let (rows, promotions) = (table::<E>(), table::<promotion::Entity>());
    let (org_id, promotion_id) = (column::<E>(E::ORG), column::<E>(promotion_id));
    let (owner, id) = (of(promotion::Column::OrgId), of(promotion::Column::Id));
    format!(
        "SELECT {} || ' is of promotion ' || {promotion_id} || ', which organization ' || {org_id} || ' has not' AS breach
         FROM {rows} LEFT JOIN {promotions} ON {owner} = {org_id} AND {id} = {promotion_id} WHERE {id} IS NULL",
        row_name::<E>()
    )
}

/// Returns a check for names that several active promotions of an organization have.
pub(super) fn active_names() -> Vec<String> {
    columns!(promotion: org_id = OrgId, name = Name, active = Active);
    let promotions = table::<promotion::Entity>();
    vec![format!(
        "SELECT count(*) || ' active promotions of organization ' || {org_id} || ' have the name ' || {name} AS breach
         FROM {promotions} WHERE {active} GROUP BY {org_id}, {name} HAVING count(*) > 1"
    )]
}

/// Returns checks for promotions that were earned and cannot be, or are not marked as earned.
///
/// The wallet is grouped by promotion first, because on Citus it is distributed differently from the promotions.
pub(super) fn marks() -> Vec<String> {
    columns!(promotion: org_id = OrgId, id = Id, kind = Kind, earned = Earned, cap_period = CapPeriod);
    columns!(earned_promotion: promotion_id = PromotionId, earn_id = EarnId);
    columns!(former_term: of_promotion = PromotionId);
    let (promotions, wallet) = (table::<promotion::Entity>(), table::<earned_promotion::Entity>());
    let former_terms = table::<former_term::Entity>();
    let [earning, reward] = [PromotionType::Earning, PromotionType::Reward].map(StoredPromotionType::text);
    let held = format!(
        "WITH held AS MATERIALIZED (
             SELECT {org_id}, {promotion_id}, count(*) AS instances, min({earn_id}) AS first_one
             FROM {wallet} GROUP BY {org_id}, {promotion_id})
         SELECT 'promotion ' || p.{id} || ' of organization ' || p.{org_id} || ' is of type ' || p.{kind}
             || CASE WHEN p.{earned} THEN '' ELSE ' and not marked as earned' END || ', and '
             || held.instances || ' earned promotions are of it, the first ' || held.first_one AS breach
         FROM held JOIN {promotions} AS p ON p.{org_id} = held.{org_id} AND p.{id} = held.{promotion_id}
         WHERE p.{kind} NOT IN ('{earning}', '{reward}') OR NOT p.{earned}"
    );
    let capped_late = format!(
        "SELECT 'promotion ' || {id} || ' of organization ' || {org_id} || ' is not marked as earned, and its cap is of period '
             || {cap_period} AS breach
         FROM {promotions} WHERE {cap_period} > 0 AND NOT {earned}"
    );
    let with_terms = format!(
        "SELECT 'promotion ' || p.{id} || ' of organization ' || p.{org_id}
             || ' is not marked as earned, and has former terms' AS breach
         FROM {former_terms} AS f JOIN {promotions} AS p ON p.{org_id} = f.{org_id} AND p.{id} = f.{of_promotion}
         WHERE NOT p.{earned}"
    );
    vec![held, capped_late, with_terms]
}
