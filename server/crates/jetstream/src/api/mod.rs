//! The JetStream API as it is spoken on subjects: which endpoint a subject
//! names, what bodies it takes, and the documents that come back.

pub mod advisory;
pub mod body;
pub mod info;
pub mod pub_ack;
pub mod pull;
pub mod request;
pub mod response;
pub mod subject;

#[cfg(test)]
mod api_test;

pub use info::{
    AccountInfo, ApiStats, ClusterInfo, ConsumerInfo, PeerInfo, PriorityGroupState, SequenceInfo,
    SourceInfo, StreamAlternate, StreamInfo, StreamState,
};
pub use pub_ack::{PubAck, pub_ack, pub_ack_error};
pub use pull::{PullError, PullRequest};
pub use response::Response;
pub use subject::{Endpoint, Route};
