//! See `gust_fuzz::proxy_header`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::proxy_header(data));
