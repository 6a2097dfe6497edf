//! The gRPC methods of `EarnService`: each parses its request, calls the use case, and encodes the response.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::Api;
use super::auth::{authorize, charge, client};
use super::call_facts;
use super::json_endpoint::found_violations;
use super::refusal::Refusal;
use crate::access::groups::AccessGroup;
use crate::earning::{BulkEarn, EntryOutcome};
use crate::proto;
use crate::proto::earn_service_server::EarnService;
use crate::wire::event::Reception;
use crate::wire::{bulk_earn, earn};

impl Api {
    /// Grants the promotions of a command, and records the outcomes for the log.
    async fn granted(
        &self,
        client: Arc<str>,
        command: BulkEarn,
    ) -> Result<(Arc<BulkEarn>, Vec<EntryOutcome>), Refusal> {
        let command = Arc::new(command);
        let outcomes = self.app.bulk_earn(client, Arc::clone(&command)).await.map_err(Refusal::from)?;
        call_facts::earned(&command, &outcomes);
        Ok((command, outcomes))
    }
}

#[tonic::async_trait]
impl EarnService for Api {
    async fn earn(&self, request: Request<proto::EarnRequest>) -> Result<Response<proto::EarnResponse>, Status> {
        let org_id = authorize(&request, AccessGroup::EarnWrite, None)?;
        let (client, found, charge) = (client(&request)?, found_violations(&request), charge(&request));
        let command = earn::parse(request.into_inner(), org_id, Reception { now: self.app.now(), found })
            .map_err(Refusal::from)?;
        call_facts::earning(&command);
        charge.map_or(Ok(()), |charge| charge.make(command.grants()))?;
        let (command, outcomes) = self.granted(client, command).await?;
        match outcomes.first() {
            Some(EntryOutcome { failure: Some(failure), .. }) => Err(Refusal::from(failure.clone()).into()),
            outcome => {
                let response = outcome.and_then(|outcome| earn::encode(&command, outcome, self.settings.time_zone));
                Ok(Response::new(response.ok_or_else(Refusal::mismatch)?))
            }
        }
    }

    async fn bulk_earn(
        &self,
        request: Request<proto::BulkEarnRequest>,
    ) -> Result<Response<proto::BulkEarnResponse>, Status> {
        let org_id = authorize(&request, AccessGroup::EarnWrite, request.get_ref().org_id)?;
        let (client, found, charge) = (client(&request)?, found_violations(&request), charge(&request));
        let limits = self.settings.limits;
        let command = bulk_earn::parse(request.into_inner(), org_id, limits, Reception { now: self.app.now(), found })
            .map_err(Refusal::from)?;
        call_facts::earning(&command);
        charge.map_or(Ok(()), |charge| charge.make(command.grants()))?;
        let (command, outcomes) = self.granted(client, command).await?;
        Ok(Response::new(bulk_earn::encode(&command, &outcomes, self.settings.time_zone)))
    }
}
