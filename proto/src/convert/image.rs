//! Images, their proofs and their streams, from and to the wire.

use super::{Fault, Field, WireError, enums, messages, read};
use crate::{
    image::{
        CloseStream, ConstraintIndex, CopyFormat, DataPath, Hash128, ImageStream, Manifest,
        OpenStream, Part, ProofLevel, Receipt, Relation, RelationKind, RelationPlan, SequenceState,
        StreamMessage,
    },
    wire,
};

messages! {
    Manifest {
        format, taken_at, lsn, system_identifier, server_version, database, relations, sequences,
        schema_hash, schema_bytes,
    }
    Relation { schema, name, kind, rows, fingerprint, bytes, parts, server_rows }
    Part { index, first_page, end_page, rows, bytes, bytes_hash }
    SequenceState { schema, name, last_value, is_called }
    RelationPlan {
        id, schema, name, kind, columns, format, parts, estimated_bytes, filter, constraint_indexes,
    }
    ConstraintIndex { constraint, create_index, attach }
    CloseStream { rows, bytes, bytes_hash }
}

enums! {
    RelationKind { Table, LargeObjects, ExtensionConfig }
    ProofLevel { Transit, Full }
    DataPath { Direct, Relay, Repository }
    CopyFormat { Binary, Text }
}

impl Field<String> for Hash128 {
    fn read(wire: String) -> Result<Self, Fault> {
        wire.parse()
            .map_err(|error: crate::image::BadHash| Fault::Invalid(error.to_string()))
    }

    fn write(self) -> String {
        self.to_string()
    }
}

/// A path that may not be known yet: zero is unset here.
impl Field<i32> for Option<DataPath> {
    fn read(wire: i32) -> Result<Self, Fault> {
        if wire == 0 {
            return Ok(None);
        }
        DataPath::read(wire).map(Some)
    }

    fn write(self) -> i32 {
        self.map_or(0, DataPath::write)
    }
}

impl TryFrom<wire::OpenStream> for OpenStream {
    type Error = WireError;

    fn try_from(message: wire::OpenStream) -> Result<Self, WireError> {
        let wire::OpenStream {
            grant,
            sender_run,
            receiver_run,
            stream,
        } = message;
        let stream = stream.ok_or(WireError::Missing {
            message: "OpenStream",
            field: "stream",
        })?;
        Ok(Self {
            grant,
            sender_run,
            receiver_run,
            stream: stream.try_into()?,
        })
    }
}

impl From<OpenStream> for wire::OpenStream {
    fn from(value: OpenStream) -> Self {
        let OpenStream {
            grant,
            sender_run,
            receiver_run,
            stream,
        } = value;
        Self {
            grant,
            sender_run,
            receiver_run,
            stream: Some(stream.into()),
        }
    }
}

impl TryFrom<wire::open_stream::Stream> for ImageStream {
    type Error = WireError;

    fn try_from(stream: wire::open_stream::Stream) -> Result<Self, WireError> {
        use wire::open_stream::Stream;

        Ok(match stream {
            Stream::Begin(wire::BeginImage { estimated_bytes }) => Self::Begin { estimated_bytes },
            Stream::Schema(wire::SchemaStream {
                relations,
                sequences,
                no_tablespaces,
            }) => Self::Schema {
                relations: read("SchemaStream", "relations", relations)?,
                sequences: read("SchemaStream", "sequences", sequences)?,
                no_tablespaces,
            },
            Stream::Data(wire::DataStream { relation, part }) => Self::Data {
                relation,
                part: read("DataStream", "part", part)?,
            },
            Stream::Finish(wire::FinishImage { manifest }) => Self::Finish {
                manifest: read("FinishImage", "manifest", manifest)?,
            },
        })
    }
}

impl From<ImageStream> for wire::open_stream::Stream {
    fn from(value: ImageStream) -> Self {
        match value {
            ImageStream::Begin { estimated_bytes } => {
                Self::Begin(wire::BeginImage { estimated_bytes })
            }
            ImageStream::Schema {
                relations,
                sequences,
                no_tablespaces,
            } => Self::Schema(wire::SchemaStream {
                relations: relations.write(),
                sequences: sequences.write(),
                no_tablespaces,
            }),
            ImageStream::Data { relation, part } => Self::Data(wire::DataStream {
                relation,
                part: part.write(),
            }),
            ImageStream::Finish { manifest } => Self::Finish(wire::FinishImage {
                manifest: manifest.write(),
            }),
        }
    }
}

impl TryFrom<wire::SendRequest> for StreamMessage {
    type Error = WireError;

    fn try_from(request: wire::SendRequest) -> Result<Self, WireError> {
        use wire::send_request::Message;

        let wire::SendRequest { message } = request;
        match message {
            Some(Message::Open(open)) => open.try_into().map(Self::Open),
            Some(Message::Data(bytes)) => Ok(Self::Data(bytes)),
            Some(Message::Close(close)) => close.try_into().map(Self::Close),
            None => Err(WireError::Missing {
                message: "SendRequest",
                field: "message",
            }),
        }
    }
}

impl From<StreamMessage> for wire::SendRequest {
    fn from(value: StreamMessage) -> Self {
        use wire::send_request::Message;

        Self {
            message: Some(match value {
                StreamMessage::Open(open) => Message::Open(open.into()),
                StreamMessage::Data(bytes) => Message::Data(bytes),
                StreamMessage::Close(close) => Message::Close(close.into()),
            }),
        }
    }
}

impl TryFrom<wire::SendResponse> for Receipt {
    type Error = WireError;

    fn try_from(message: wire::SendResponse) -> Result<Self, WireError> {
        let wire::SendResponse {
            receiver_run,
            rows,
            bytes,
            bytes_hash,
            already_stored,
        } = message;
        Ok(Self {
            receiver_run,
            rows,
            bytes,
            bytes_hash: read("SendResponse", "bytes_hash", bytes_hash)?,
            already_stored,
        })
    }
}

impl From<Receipt> for wire::SendResponse {
    fn from(value: Receipt) -> Self {
        let Receipt {
            receiver_run,
            rows,
            bytes,
            bytes_hash,
            already_stored,
        } = value;
        Self {
            receiver_run,
            rows,
            bytes,
            bytes_hash: bytes_hash.write(),
            already_stored,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::convert::sample::{Sample, Source, round_trip};

    impl Sample for Hash128 {
        fn sample(source: &mut Source) -> Self {
            Self(Sample::sample(source))
        }
    }

    impl Sample for StreamMessage {
        fn sample(source: &mut Source) -> Self {
            match source.below(3) {
                0 => Self::Open(Sample::sample(source)),
                1 => Self::Data(Bytes::from(Vec::<u8>::sample(source))),
                _ => Self::Close(Sample::sample(source)),
            }
        }
    }

    impl Sample for OpenStream {
        fn sample(source: &mut Source) -> Self {
            Self {
                grant: Sample::sample(source),
                sender_run: Sample::sample(source),
                receiver_run: Sample::sample(source),
                stream: match source.below(4) {
                    0 => ImageStream::Begin {
                        estimated_bytes: Sample::sample(source),
                    },
                    1 => ImageStream::Schema {
                        relations: Sample::sample(source),
                        sequences: Sample::sample(source),
                        no_tablespaces: Sample::sample(source),
                    },
                    2 => ImageStream::Data {
                        relation: Sample::sample(source),
                        part: Sample::sample(source),
                    },
                    _ => ImageStream::Finish {
                        manifest: Sample::sample(source),
                    },
                },
            }
        }
    }

    impl Sample for Receipt {
        fn sample(source: &mut Source) -> Self {
            Self {
                receiver_run: Sample::sample(source),
                rows: Sample::sample(source),
                bytes: Sample::sample(source),
                bytes_hash: Sample::sample(source),
                already_stored: Sample::sample(source),
            }
        }
    }

    round_trip!(stream_message, StreamMessage, wire::SendRequest);
    round_trip!(open_stream, OpenStream, wire::OpenStream);
    round_trip!(receipt, Receipt, wire::SendResponse);

    #[test]
    fn a_bad_hash_is_refused() {
        let short = "0".repeat(31);
        let letters = "g".repeat(32);
        for bytes_hash in [
            String::new(),
            short,
            letters,
            format!("+{}", "0".repeat(31)),
        ] {
            let close = wire::CloseStream {
                rows: 1,
                bytes: 1,
                bytes_hash,
            };
            assert!(matches!(
                CloseStream::try_from(close),
                Err(WireError::Invalid {
                    message: "CloseStream",
                    field: "bytes_hash",
                    ..
                })
            ));
        }
    }

    #[test]
    fn a_stream_without_its_part_or_kind_is_refused() {
        let open = |stream| wire::OpenStream {
            stream,
            ..Default::default()
        };
        assert_eq!(
            OpenStream::try_from(open(None)),
            Err(WireError::Missing {
                message: "OpenStream",
                field: "stream"
            })
        );
        let data = wire::open_stream::Stream::Data(wire::DataStream::default());
        assert_eq!(
            OpenStream::try_from(open(Some(data))),
            Err(WireError::Missing {
                message: "DataStream",
                field: "part"
            })
        );
        assert_eq!(
            StreamMessage::try_from(wire::SendRequest::default()),
            Err(WireError::Missing {
                message: "SendRequest",
                field: "message"
            })
        );
    }

    #[test]
    fn an_unknown_path_is_none_and_a_wrong_one_is_refused() {
        assert_eq!(<Option<DataPath> as Field<i32>>::read(0).unwrap(), None);
        assert!(<Option<DataPath> as Field<i32>>::read(9).is_err());
    }
}
