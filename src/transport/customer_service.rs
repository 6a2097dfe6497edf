//! The gRPC methods of `CustomerService`: each parses its request, calls the use case, and encodes the response.

use tonic::{Request, Response, Status};

use super::Api;
use super::auth::{authorize, client};
use super::json_endpoint::found_violations;
use super::refusal::Refusal;
use crate::access::groups::AccessGroup;
use crate::proto;
use crate::proto::customer_service_server::CustomerService;
use crate::wire::{count, customers, event};

#[tonic::async_trait]
impl CustomerService for Api {
    async fn upsert_customers(
        &self,
        request: Request<proto::UpsertCustomersRequest>,
    ) -> Result<Response<proto::UpsertCustomersResponse>, Status> {
        let org_id = authorize(&request, AccessGroup::CustomersWrite, None)?;
        let (client, found) = (client(&request)?, found_violations(&request));
        let ids = customers::parse_upsert(request.get_ref(), found).map_err(Refusal::from)?;
        let added = self.app.record_customers(&client, org_id, &ids).await.map_err(Refusal::from)?;
        let data = proto::RecordedCustomers { added: count(added), known: count(ids.len().saturating_sub(added)) };
        Ok(Response::new(proto::UpsertCustomersResponse { data: Some(data), errors: Vec::new() }))
    }

    async fn get_customer(
        &self,
        request: Request<proto::GetCustomerRequest>,
    ) -> Result<Response<proto::GetCustomerResponse>, Status> {
        let org_id = authorize(&request, AccessGroup::CustomersRead, None)?;
        let found = found_violations(&request);
        let customer_id = event::customer(request.get_ref().customer_id, found).map_err(Refusal::from)?;
        let client = client(&request)?;
        if !self.app.is_customer(&client, org_id, customer_id).await.map_err(Refusal::from)? {
            return Err(Refusal::CustomerNotFound(customer_id.0).into());
        }
        let data = Some(proto::RecordedCustomer { customer_id: customer_id.0 });
        Ok(Response::new(proto::GetCustomerResponse { data, errors: Vec::new() }))
    }
}
