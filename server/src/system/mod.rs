//! The system account: services on `$SYS.REQ.>` and events.

pub mod services;
