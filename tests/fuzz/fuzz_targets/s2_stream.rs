//! See `gust_fuzz::s2_stream`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::s2_stream(data));
