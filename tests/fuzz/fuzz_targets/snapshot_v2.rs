//! See `gust_fuzz::snapshot_v2`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::snapshot_v2(data));
