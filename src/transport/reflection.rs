//! gRPC reflection: names the services, and returns the descriptor file of a name.
//!
//! The library's own service ends the stream at a name that it does not know, and knows no extensions; the protocol
//! has an answer for both. The messages of version `v1alpha` are those of `v1`, so one service answers both.

mod schema;

use std::fmt::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::{Request, Uri};
use bytes::Bytes;
use tokio_stream::{Stream, StreamExt};
use tonic::server::NamedService;
use tonic::{Code, Response, Status, Streaming};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest as Question;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse as Answer;
use tonic_reflection::pb::v1::server_reflection_server::{ServerReflection, ServerReflectionServer};
use tonic_reflection::pb::v1::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse, ServerReflectionRequest,
    ServerReflectionResponse, ServiceResponse,
};
use tonic_reflection::pb::{v1, v1alpha};
use tower_service::Service;

use super::refusal::MAX_ECHOED_BYTES;
use crate::printable::Printable;
use crate::proto::DESCRIPTOR_SET;
use schema::Schema;

/// The path of the one method in version `v1`, and its name.
const PATH: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const METHOD: &str = "ServerReflectionInfo";

/// The descriptor sets that are compiled into the program cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("a descriptor set is malformed")]
pub struct SchemaError(#[from] prost::DecodeError);

/// The reflection service.
#[derive(Debug)]
pub struct Reflection(Arc<Schema>);

impl Reflection {
    /// Returns the service, which reads messages of up to `max_message_bytes`.
    ///
    /// # Errors
    /// Returns an error if a descriptor set cannot be read.
    pub fn server(max_message_bytes: usize) -> Result<ServerReflectionServer<Self>, SchemaError> {
        let schema = Schema::of(&[
            DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            v1::FILE_DESCRIPTOR_SET,
            v1alpha::FILE_DESCRIPTOR_SET,
        ])?;
        Ok(ServerReflectionServer::new(Self(Arc::new(schema))).max_decoding_message_size(max_message_bytes))
    }
}

#[tonic::async_trait]
impl ServerReflection for Reflection {
    type ServerReflectionInfoStream = Pin<Box<dyn Stream<Item = Result<ServerReflectionResponse, Status>> + Send>>;

    async fn server_reflection_info(
        &self,
        request: tonic::Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let schema = Arc::clone(&self.0);
        let answers = request.into_inner().map(move |question| Ok(answer(&schema, question?)));
        Ok(Response::new(Box::pin(answers)))
    }
}

fn answer(schema: &Schema, request: ServerReflectionRequest) -> ServerReflectionResponse {
    let known = |file: Option<&Bytes>, what: &str, name: &str| match file {
        Some(file) => {
            Answer::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto: vec![file.to_vec()] })
        }
        None => unknown(what, name),
    };
    let answer = match &request.message_request {
        None => error(Code::InvalidArgument, "the message has no request".to_owned()),
        Some(Question::FileByFilename(name)) => known(schema.file(name), "file", name),
        Some(Question::FileContainingSymbol(name)) => known(schema.declaring(name), "symbol", name),
        Some(Question::FileContainingExtension(extension)) => {
            let (message, number) = (&extension.containing_type, extension.extension_number);
            known(schema.extending(message, number), "extension", &format!("{number} of {message}"))
        }
        Some(Question::AllExtensionNumbersOfType(name)) => match schema.extension_numbers(name) {
            Some(extension_number) => {
                let base_type_name = name.clone();
                Answer::AllExtensionNumbersResponse(ExtensionNumberResponse { base_type_name, extension_number })
            }
            None => unknown("message", name),
        },
        Some(Question::ListServices(_)) => {
            let service = schema.services.iter().map(|name| ServiceResponse { name: name.clone() }).collect();
            Answer::ListServicesResponse(ListServiceResponse { service })
        }
    };
    ServerReflectionResponse {
        valid_host: request.host.clone(),
        original_request: Some(request),
        message_response: Some(answer),
    }
}

fn unknown(what: &str, name: &str) -> Answer {
    let mut shown = String::new();
    let _ = Printable::new(&mut shown, MAX_ECHOED_BYTES).write_str(name);
    error(Code::NotFound, format!("the {what} {shown} is unknown"))
}

fn error(code: Code, error_message: String) -> Answer {
    Answer::ErrorResponse(ErrorResponse { error_code: code.into(), error_message })
}

/// The service under its older name.
#[derive(Debug, Clone)]
pub struct OlderName(pub ServerReflectionServer<Reflection>);

impl NamedService for OlderName {
    const NAME: &'static str = v1alpha::server_reflection_server::SERVICE_NAME;
}

impl<B> Service<Request<B>> for OlderName
where
    ServerReflectionServer<Reflection>: Service<Request<B>>,
{
    type Response = <ServerReflectionServer<Reflection> as Service<Request<B>>>::Response;
    type Error = <ServerReflectionServer<Reflection> as Service<Request<B>>>::Error;
    type Future = <ServerReflectionServer<Reflection> as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // Any other method is unknown under both names.
        if request.uri().path().rsplit('/').next() == Some(METHOD) {
            *request.uri_mut() = Uri::from_static(PATH);
        }
        self.0.call(request)
    }
}
