//! The gRPC codec: like prost's, except that an unreadable message is refused as an invalid request, not as an internal
//! error.
//!
//! The stubs that `build.rs` generates name this codec.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstEncoder};

use super::refusal::Refusal;
use crate::wire::Violations;

/// Encodes `E` and decodes `D`.
#[derive(Debug)]
pub struct Codec<E, D>(PhantomData<(E, D)>);

impl<E, D> Default for Codec<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E, D> tonic::codec::Codec for Codec<E, D>
where
    E: Message + Send + 'static,
    D: Message + Default + Send + 'static,
{
    type Encode = E;
    type Decode = D;
    type Encoder = ProstEncoder<E>;
    type Decoder = RequestDecoder<D>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<E, D>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        RequestDecoder(PhantomData)
    }
}

/// Decodes `D`.
#[derive(Debug)]
pub struct RequestDecoder<D>(PhantomData<D>);

impl<D: Message + Default> Decoder for RequestDecoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        D::decode(bytes).map(Some).map_err(|error| {
            // The library names every message on the path to the violation; the first 200 characters identify the
            // place.
            let problem: String = error.to_string().chars().take(200).collect();
            Refusal::Invalid(Violations::of("", format!("the message cannot be read: {problem}"))).into()
        })
    }
}
