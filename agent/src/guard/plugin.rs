//! The protocol between the engine and its authorization plugins: JSON in, yes or no out.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::request::Call;

/// What the engine asks first.
pub const ACTIVATION: &str = r#"{"Implements":["authz"]}"#;
pub const CONTENT_TYPE: &str = "application/vnd.docker.plugins.v1.1+json";

/// A call of the engine's API, before it is done, or after with its answer.
#[derive(Debug, Default, Deserialize)]
pub struct Message {
    #[serde(rename = "RequestMethod", default)]
    pub method: String,
    #[serde(rename = "RequestUri", alias = "RequestURI", default)]
    pub uri: String,
    #[serde(rename = "RequestBody", default)]
    body: Option<String>,
    #[serde(rename = "RequestHeaders", default)]
    headers: Option<BTreeMap<String, String>>,
    /// Of the answer; 0 before there is one.
    #[serde(rename = "ResponseStatusCode", default)]
    pub status: u16,
    #[serde(rename = "ResponseBody", default)]
    answer: Option<String>,
}

/// What the plugin says.
#[derive(Debug, Serialize)]
pub struct Answer<'a> {
    #[serde(rename = "Allow")]
    pub allow: bool,
    #[serde(rename = "Msg")]
    pub message: &'a str,
    #[serde(rename = "Err")]
    pub error: &'a str,
}

/// A message with its body decoded.
#[derive(Debug)]
pub struct Read {
    pub message: Message,
    pub body: Vec<u8>,
}

impl Read {
    /// # Errors
    /// When it is not what an engine sends.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let message: Message = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let body = decoded(message.body.as_deref())?;
        Ok(Self { message, body })
    }

    #[must_use]
    pub fn call(&self) -> Call<'_> {
        let form = "application/x-www-form-urlencoded";
        let content = self.header("Content-Type").unwrap_or_default();
        Call {
            method: &self.message.method,
            uri: &self.message.uri,
            body: &self.body,
            is_form: content.to_ascii_lowercase().contains(form),
        }
    }

    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.message.headers.iter().flatten();
        let mut found = headers.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    /// The id in the answer to a create that has made something.
    #[must_use]
    pub fn made(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Made {
            #[serde(rename = "Id")]
            id: String,
        }
        if !self.succeeded() {
            return None;
        }
        let answer = decoded(self.message.answer.as_deref()).ok()?;
        serde_json::from_slice::<Made>(&answer)
            .ok()
            .map(|made| made.id)
    }

    /// The engine did what was asked; 304: it was so already.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        matches!(self.message.status, 200..=399)
    }

    /// The same before and after the call.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        hash.update(self.message.uri.as_bytes());
        hash.update(&[0]);
        hash.update(&self.body);
        hash.digest128()
    }
}

fn decoded(text: Option<&str>) -> Result<Vec<u8>, String> {
    BASE64_STANDARD
        .decode(text.unwrap_or_default())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(more: serde_json::Value) -> Read {
        let mut message = serde_json::json!({
            "User": "", "RequestMethod": "POST", "RequestUri": "/v1.41/containers/create",
            "RequestBody": BASE64_STANDARD.encode("{}"),
            "RequestHeaders": {"Content-Type": "application/json", "X-Holdfast-Agent": "t"},
        });
        if let (Some(into), serde_json::Value::Object(more)) = (message.as_object_mut(), more) {
            into.extend(more);
        }
        Read::parse(message.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_call_and_its_answer_are_read() {
        let before = message(serde_json::json!({}));
        assert_eq!(before.call().body, b"{}");
        assert_eq!(before.header("x-holdfast-agent"), Some("t"));
        assert!(!before.call().is_form && !before.succeeded());
        let answer = BASE64_STANDARD.encode(r#"{"Id":"abc","Warnings":[]}"#);
        let after = message(serde_json::json!({"ResponseStatusCode": 201, "ResponseBody": answer}));
        assert_eq!(after.made().as_deref(), Some("abc"));
        assert_eq!(after.fingerprint(), before.fingerprint());
        let failed =
            message(serde_json::json!({"ResponseStatusCode": 409, "ResponseBody": answer}));
        assert_eq!(failed.made(), None);
        let null = message(serde_json::json!({"RequestBody": null, "RequestHeaders": null}));
        assert!(null.call().body.is_empty());
        assert!(Read::parse(b"{").is_err());
        assert!(Read::parse(br#"{"RequestBody":"*"}"#).is_err());
    }
}
