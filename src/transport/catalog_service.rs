//! The gRPC methods of `CatalogService`: each parses its request, calls the use case, and encodes the response.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::Api;
use super::auth::{authorize, client};
use super::json_endpoint::found_violations;
use super::large_read;
use super::refusal::Refusal;
use crate::access::groups::AccessGroup;
use crate::app::catalog::{CatalogCall, PageWanted, PromotionPage};
use crate::earning::catalog_change::CatalogChange;
use crate::earning::{OrgId, Promotion};
use crate::proto;
use crate::proto::catalog_service_server::CatalogService;
use crate::telemetry::call;
use crate::wire::catalog::{self, PromotionsWanted};
use crate::wire::{count, history, promotion};

/// A call that may change the catalog of its organization.
struct CatalogWriter {
    org_id: OrgId,
    call: CatalogCall,
}

/// Returns the caller, if it may change the catalog of its organization and names no other organization.
fn writer<T>(request: &Request<T>, given: Option<&proto::Promotion>) -> Result<CatalogWriter, Refusal> {
    let org_id = authorize(request, AccessGroup::CatalogWrite, given.and_then(|promotion| promotion.org_id))?;
    Ok(CatalogWriter {
        org_id,
        call: CatalogCall { client: client(request)?, request_id: call::with_request_id(|id| Arc::from(id)) },
    })
}

impl Api {
    async fn change_promotion(
        &self,
        caller: &CatalogWriter,
        change: CatalogChange,
    ) -> Result<proto::Promotion, Refusal> {
        let promotion = self.app.change_promotion(&caller.call, caller.org_id, change).await?;
        Ok(self.encode(caller.org_id, &promotion))
    }

    fn encode(&self, org_id: OrgId, promotion: &Promotion) -> proto::Promotion {
        promotion::encode(org_id, promotion, self.settings.time_zone)
    }
}

#[tonic::async_trait]
impl CatalogService for Api {
    async fn create_promotion(
        &self,
        request: Request<proto::CreatePromotionRequest>,
    ) -> Result<Response<proto::CreatePromotionResponse>, Status> {
        let writer = writer(&request, request.get_ref().promotion.as_ref())?;
        let found = found_violations(&request);
        let new_id = || self.app.new_promotion_id();
        let promotion = catalog::parse_new(request.into_inner(), new_id, found).map_err(Refusal::from)?;
        let data = Some(self.change_promotion(&writer, CatalogChange::Create(promotion)).await?);
        Ok(Response::new(proto::CreatePromotionResponse { data, errors: Vec::new() }))
    }

    async fn replace_promotion(
        &self,
        request: Request<proto::ReplacePromotionRequest>,
    ) -> Result<Response<proto::ReplacePromotionResponse>, Status> {
        let writer = writer(&request, request.get_ref().promotion.as_ref())?;
        let found = found_violations(&request);
        let promotion = catalog::parse_replacement(request.into_inner(), found).map_err(Refusal::from)?;
        let data = Some(self.change_promotion(&writer, CatalogChange::Replace(promotion)).await?);
        Ok(Response::new(proto::ReplacePromotionResponse { data, errors: Vec::new() }))
    }

    async fn list_promotions(
        &self,
        request: Request<proto::ListPromotionsRequest>,
    ) -> Result<Response<proto::ListPromotionsResponse>, Status> {
        let org_id = authorize(&request, AccessGroup::CatalogRead, None)?;
        let (client, found) = (client(&request)?, found_violations(&request));
        let wanted = catalog::parse_list(request.get_ref(), org_id, found).map_err(Refusal::from)?;
        let page = match wanted {
            PromotionsWanted::Ids(ids) => self.app.promotions(&client, org_id, &ids).await,
            PromotionsWanted::Page { limit, after } => {
                self.app.list_promotions(&client, org_id, PageWanted { limit, after }).await
            }
        };
        let PromotionPage { promotions, more, slot } = page.map_err(Refusal::from)?;
        let last = promotions.last().filter(|_| more).map(|promotion| promotion.id);
        let encode = || proto::ListPromotionsResponse {
            data: promotions.iter().map(|promotion| self.encode(org_id, promotion)).collect(),
            errors: Vec::new(),
            next_page_token: last.map(|last| catalog::next_page(org_id, last)),
        };
        Ok(large_read::response(slot, encode))
    }

    async fn activate_promotion(
        &self,
        request: Request<proto::ActivatePromotionRequest>,
    ) -> Result<Response<proto::ActivatePromotionResponse>, Status> {
        let writer = writer(&request, None)?;
        let found = found_violations(&request);
        let id = catalog::parse_id(&request.get_ref().promotion_id, found).map_err(Refusal::from)?;
        let data = Some(self.change_promotion(&writer, CatalogChange::SetActive(id, true)).await?);
        Ok(Response::new(proto::ActivatePromotionResponse { data, errors: Vec::new() }))
    }

    async fn deactivate_promotion(
        &self,
        request: Request<proto::DeactivatePromotionRequest>,
    ) -> Result<Response<proto::DeactivatePromotionResponse>, Status> {
        let writer = writer(&request, None)?;
        let found = found_violations(&request);
        let id = catalog::parse_id(&request.get_ref().promotion_id, found).map_err(Refusal::from)?;
        let data = Some(self.change_promotion(&writer, CatalogChange::SetActive(id, false)).await?);
        Ok(Response::new(proto::DeactivatePromotionResponse { data, errors: Vec::new() }))
    }

    async fn change_audience(
        &self,
        request: Request<proto::ChangeAudienceRequest>,
    ) -> Result<Response<proto::ChangeAudienceResponse>, Status> {
        let writer = writer(&request, None)?;
        let found = found_violations(&request);
        let change = catalog::parse_audience(request.get_ref(), writer.org_id, found).map_err(Refusal::from)?;
        let changed = self.app.change_audience(&writer.call, &change).await.map_err(Refusal::from)?;
        let data = proto::AudienceChange {
            promotion_id: change.promotion_id.to_string(),
            added: count(changed.added),
            removed: count(changed.removed),
        };
        Ok(Response::new(proto::ChangeAudienceResponse { data: Some(data), errors: Vec::new() }))
    }

    async fn list_catalog_changes(
        &self,
        request: Request<proto::ListCatalogChangesRequest>,
    ) -> Result<Response<proto::ListCatalogChangesResponse>, Status> {
        let org_id = authorize(&request, AccessGroup::CatalogRead, None)?;
        let (client, found) = (client(&request)?, found_violations(&request));
        let (part, pages) = history::parse_list(request.get_ref(), org_id, found).map_err(Refusal::from)?;
        let mut page = self.app.list_changes(&client, org_id, part).await.map_err(Refusal::from)?;
        let max_bytes = self.settings.limits.max_response_bytes;
        let slot = page.slot.take();
        let encode = || history::encode_page(&page, pages, self.settings.time_zone, max_bytes);
        Ok(large_read::response(slot, encode))
    }
}
