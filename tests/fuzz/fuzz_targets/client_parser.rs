//! See `gust_fuzz::client_parser`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::client_parser(data));
