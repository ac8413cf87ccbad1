//! Shared pieces of the test suites: starting the real binary, the workspace's
//! own rules, and the simulator.

pub mod process;
pub mod sim;
