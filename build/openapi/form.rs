//! The place of a value in a call, on which its schema depends.

/// The place of a value in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Form in the body of a request.
    Body,
    /// Form in the path or query of a request.
    Parameter,
    /// Form in a response.
    Response,
}
