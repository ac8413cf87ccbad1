//! `protobuf::Message` for our messages, on top of prost.
//!
//! raft 0.7.0 names this trait and calls `compute_size`, `write_to_bytes` and
//! `merge_from_bytes`. They are overridden here, so that protobuf's own parser
//! (RUSTSEC-2024-0437) never runs.

use crate::eraftpb::*;
use protobuf::reflect::MessageDescriptor;
use protobuf::{CodedInputStream, CodedOutputStream, ProtobufError, ProtobufResult, UnknownFields};
use std::any::Any;
use std::io;

fn decode_error(e: prost::DecodeError) -> ProtobufError {
    ProtobufError::IoError(io::Error::new(io::ErrorKind::InvalidData, e))
}

macro_rules! message {
    ($($name:ident),* $(,)?) => { $(
        impl protobuf::Clear for $name {
            fn clear(&mut self) {
                *self = $name::default();
            }
        }

        impl protobuf::Message for $name {
            fn compute_size(&self) -> u32 {
                prost::Message::encoded_len(self) as u32
            }
            fn write_to_bytes(&self) -> ProtobufResult<Vec<u8>> {
                Ok(prost::Message::encode_to_vec(self))
            }
            fn merge_from_bytes(&mut self, bytes: &[u8]) -> ProtobufResult<()> {
                prost::Message::merge(self, bytes).map_err(decode_error)
            }

            // From here on: required by the trait, never called by raft.
            fn descriptor(&self) -> &'static MessageDescriptor {
                unreachable!("raft does not reflect on messages")
            }
            fn is_initialized(&self) -> bool {
                true
            }
            fn merge_from(&mut self, input: &mut CodedInputStream<'_>) -> ProtobufResult<()> {
                let mut bytes = Vec::new();
                while !input.eof()? {
                    bytes.push(input.read_raw_byte()?);
                }
                self.merge_from_bytes(&bytes)
            }
            fn write_to_with_cached_sizes(
                &self,
                output: &mut CodedOutputStream<'_>,
            ) -> ProtobufResult<()> {
                output.write_raw_bytes(&prost::Message::encode_to_vec(self))
            }
            fn get_cached_size(&self) -> u32 {
                self.compute_size()
            }
            fn get_unknown_fields(&self) -> &UnknownFields {
                unreachable!("prost drops unknown fields and raft does not ask for them")
            }
            fn mut_unknown_fields(&mut self) -> &mut UnknownFields {
                unreachable!("prost drops unknown fields and raft does not ask for them")
            }
            fn as_any(&self) -> &dyn Any {
                self
            }
            fn new() -> Self {
                $name::default()
            }
            fn default_instance() -> &'static Self {
                static EMPTY: std::sync::LazyLock<$name> =
                    std::sync::LazyLock::new($name::default);
                &EMPTY
            }
        }
    )* };
}

message!(Entry, SnapshotMetadata, Snapshot, Message, HardState, ConfState);
message!(ConfChange, ConfChangeSingle, ConfChangeV2);

#[cfg(test)]
mod tests {
    use super::*;
    use protobuf::Message as _;

    #[test]
    fn the_wire_format_is_protobuf() {
        let entry = Entry {
            entry_type: EntryType::EntryConfChangeV2 as i32,
            term: 3,
            index: 300,
            data: bytes::Bytes::from_static(b"xy"),
            ..Entry::default()
        };
        let bytes = entry.write_to_bytes().unwrap();
        assert_eq!(bytes, b"\x08\x02\x10\x03\x18\xac\x02\x22\x02xy");
        assert_eq!(entry.compute_size() as usize, bytes.len());
        let mut back = Entry::default();
        back.merge_from_bytes(&bytes).unwrap();
        assert_eq!(back, entry);
        assert!(back.merge_from_bytes(b"\x22\xff").is_err());
    }

    #[test]
    fn absent_inner_messages_read_as_default() {
        let mut m = Message::default();
        assert!(!m.has_snapshot() && m.get_snapshot().is_empty());
        m.mut_snapshot().mut_metadata().index = 5;
        assert!(!m.get_snapshot().is_empty());
        assert_eq!(m.take_snapshot().get_metadata().get_index(), 5);
        assert!(m.get_snapshot().get_metadata().get_conf_state().get_voters().is_empty());
    }
}
