//! See `gust_fuzz::snapshot_v1`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::snapshot_v1(data));
