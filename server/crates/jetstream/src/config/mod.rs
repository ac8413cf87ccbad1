//! Stream and consumer configuration: the documents, their defaults, and what
//! makes one acceptable.

pub mod consumer;
pub mod stream;

pub use consumer::{
    AckPolicy, ConsumerAction, ConsumerConfig, CreateConsumerRequest, DeliverPolicy,
    PriorityPolicy, ReplayPolicy,
};
pub use stream::{
    Compression, DiscardPolicy, ExternalStream, PersistMode, Placement, RePublish, RetentionPolicy,
    StorageType, StreamConfig, StreamConfigRequest, StreamConsumerLimits, StreamConsumerSource,
    StreamSource, SubjectTransform,
};
