//! `EarnService`: each method reads, calls the use case, and writes.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::Settings;
use super::auth::caller;
use super::json_door::found_violations;
use super::refusal::Refusal;
use crate::app::App;
use crate::app::access::AccessGroup;
use crate::proto;
use crate::proto::earn_service_server::EarnService;
use crate::wire::bulk_earn;

/// The service behind both doors.
#[derive(Debug)]
pub struct EarnApi {
    app: App,
    settings: Settings,
}

impl EarnApi {
    pub fn new(app: App, settings: Settings) -> Self {
        Self { app, settings }
    }
}

#[tonic::async_trait]
impl EarnService for EarnApi {
    async fn bulk_earn(
        &self,
        request: Request<proto::BulkEarnRequest>,
    ) -> Result<Response<proto::BulkEarnResponse>, Status> {
        let org_id = caller(&request, AccessGroup::EarnWrite, request.get_ref().org_id)?;
        let found = found_violations(&request);
        let limits = self.settings.limits;
        let command = bulk_earn::parse(request.into_inner(), org_id, limits, (self.app.now_ms(), found))
            .map_err(Refusal::from)?;
        let command = Arc::new(command);
        let outcomes = self.app.bulk_earn(Arc::clone(&command)).await.map_err(Refusal::from)?;
        Ok(Response::new(bulk_earn::encode(&command, &outcomes, self.settings.time_zone)))
    }
}
