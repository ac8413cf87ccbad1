//! The protocol between clients and the server: `PUB`, `SUB`, `MSG`, ….

pub mod encode;
pub mod err_text;
pub mod parse;
pub mod too_large;

pub use encode::Digits;
pub use err_text::ErrText;
pub use parse::{ClientOp, Limits, ParseError, Parsed, PubOp, SubOp, parse};
