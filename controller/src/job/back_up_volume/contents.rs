//! What the catalog keeps of a backup of a volume.

use holdfast_proto::task::VolumeImage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Of [`VolumeContents`].
pub const FORMAT: u32 = 1;

/// Beside the row; the list of the files lies in the repository, under the fingerprint that is noted here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeContents {
    pub format: u32,
    pub image: VolumeImage,
}

impl VolumeContents {
    /// From what the catalog keeps.
    ///
    /// # Errors
    /// The reason, for the operator: a newer controller wrote it, or it is damaged.
    pub fn read(record: Value) -> Result<Self, String> {
        let format = record.get("format").and_then(Value::as_u64);
        if let Some(format) = format.filter(|format| *format > u64::from(FORMAT)) {
            return Err(format!(
                "its record has format {format}, and this controller knows up to {FORMAT}"
            ));
        }
        serde_json::from_value(record)
            .map_err(|error| format!("its record cannot be read: {error}"))
    }
}
