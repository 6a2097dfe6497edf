//! The gRPC methods of `WalletService`: each parses its request, calls the use case, and encodes the response.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::Api;
use super::auth::{authorize, client};
use super::call_facts;
use super::json_endpoint::found_violations;
use super::large_read;
use super::refusal::Refusal;
use crate::access::groups::AccessGroup;
use crate::app::changes::Changed;
use crate::earning::change::WalletChange;
use crate::proto;
use crate::proto::wallet_service_server::WalletService;
use crate::wire::{redeem, revoke, wallet};

impl Api {
    /// Makes a change, and records it for the log.
    async fn changed(&self, client: Arc<str>, change: WalletChange) -> Result<Changed, Refusal> {
        call_facts::changing(&change);
        let changed = self.app.change(client, change).await.map_err(Refusal::from)?;
        call_facts::changed(&changed);
        Ok(changed)
    }
}

#[tonic::async_trait]
impl WalletService for Api {
    async fn list_earned_promotions(
        &self,
        request: Request<proto::ListEarnedPromotionsRequest>,
    ) -> Result<Response<proto::ListEarnedPromotionsResponse>, Status> {
        let org_id = authorize(&request, AccessGroup::WalletRead, None)?;
        let (client, found) = (client(&request)?, found_violations(&request));
        let (list, pages) = wallet::parse_list(request.get_ref(), org_id, found).map_err(Refusal::from)?;
        let max_bytes = self.settings.limits.max_response_bytes;
        let mut page = self.app.list_wallet(&client, &list, max_bytes).await.map_err(Refusal::from)?;
        let slot = page.slot.take();
        let encode = || wallet::encode_page(&page, pages, self.settings.time_zone, max_bytes);
        Ok(large_read::response(slot, encode))
    }

    async fn get_earned_promotion(
        &self,
        request: Request<proto::GetEarnedPromotionRequest>,
    ) -> Result<Response<proto::GetEarnedPromotionResponse>, Status> {
        let org_id = authorize(&request, AccessGroup::WalletRead, None)?;
        let (client, found) = (client(&request)?, found_violations(&request));
        let earn_id = wallet::parse_earn_id(&request.get_ref().earned_promotion_id, found).map_err(Refusal::from)?;
        let entry = self.app.earned_promotion(&client, org_id, earn_id).await.map_err(Refusal::from)?;
        let entry = entry.ok_or_else(|| Refusal::EarnedPromotionNotFound(earn_id.to_string()))?;
        let data = Some(wallet::encode_entry(&entry, self.settings.time_zone));
        Ok(Response::new(proto::GetEarnedPromotionResponse { data, errors: Vec::new() }))
    }

    async fn revoke_earned_promotions(
        &self,
        request: Request<proto::RevokeEarnedPromotionsRequest>,
    ) -> Result<Response<proto::RevokeEarnedPromotionsResponse>, Status> {
        let org_id = authorize(&request, AccessGroup::WalletWrite, None)?;
        let (client, found) = (client(&request)?, found_violations(&request));
        let command = revoke::parse(request.into_inner(), org_id, found).map_err(Refusal::from)?;
        let changed = self.changed(client, WalletChange::Revoke(command.clone())).await?;
        let Changed::Revoked(outcome) = changed else { return Err(Refusal::mismatch().into()) };
        Ok(Response::new(revoke::encode(&command, &outcome)))
    }

    async fn redeem(&self, request: Request<proto::RedeemRequest>) -> Result<Response<proto::RedeemResponse>, Status> {
        let org_id = authorize(&request, AccessGroup::WalletWrite, None)?;
        let (client, found) = (client(&request)?, found_violations(&request));
        let command = redeem::parse(request.into_inner(), org_id, self.app.now(), found);
        let command = command.map_err(Refusal::from)?;
        let identifier = Arc::clone(&command.transaction_identifier);
        let changed = self.changed(client, WalletChange::Redeem(command)).await?;
        let Changed::Redeemed(outcome) = changed else { return Err(Refusal::mismatch().into()) };
        let recorded = outcome.map_err(Refusal::from)?;
        let data = Some(redeem::encode(org_id, &identifier, &recorded, self.settings.time_zone));
        Ok(Response::new(proto::RedeemResponse { data, errors: Vec::new() }))
    }
}
