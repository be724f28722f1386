//! Requests that vaultrs has none for, or whose answers it cuts: a read and a write of any path, with the
//! whole envelope. It sends nothing.

use rustify::endpoint::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use serde_json::Value;

/// A read of any path. vaultrs's own reads drop the envelope, and quote values in errors.
pub(super) struct Get {
    pub(super) path: String,
    pub(super) query: Option<String>,
}

impl Endpoint for Get {
    type Response = Value;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::GET
    }

    fn query(&self) -> Result<Option<String>, ClientError> {
        Ok(self.query.clone())
    }
}

/// A write to any path.
pub(super) struct Post {
    pub(super) path: String,
    pub(super) body: Value,
}

impl Endpoint for Post {
    type Response = Value;
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.clone()
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::POST
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(Some(self.body.to_string().into_bytes()))
    }
}
