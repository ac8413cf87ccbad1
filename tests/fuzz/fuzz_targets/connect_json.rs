//! See `gust_fuzz::connect_json`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::connect_json(data));
