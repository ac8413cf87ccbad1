//! See `gust_fuzz::headers`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::headers(data));
