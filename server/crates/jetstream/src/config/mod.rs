//! Stream and consumer configuration: the documents, their defaults, and what
//! makes one acceptable.

pub mod consumer;
pub mod consumer_change;
pub mod consumer_check;
pub mod level;
pub mod limits;
pub mod names;
pub mod stream;
pub mod stream_change;
pub mod stream_check;
mod stream_origin;
mod subjects;

#[cfg(test)]
mod consumer_test;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod stream_test;

pub use consumer::{
    AckPolicy, ConsumerAction, ConsumerConfig, CreateConsumerRequest, DeliverPolicy,
    PriorityPolicy, ReplayPolicy,
};
pub use limits::{AccountLimits, Reserved, ServerLimits, Surroundings};
pub use stream::{
    Compression, DiscardPolicy, ExternalStream, PersistMode, Placement, RePublish, RetentionPolicy,
    StorageType, StreamConfig, StreamConfigRequest, StreamConsumerLimits, StreamConsumerSource,
    StreamSource, SubjectTransform,
};
