//! See `gust_fuzz::certificate`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::certificate(data));
