//! See `gust_fuzz::nkey`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::nkey(data));
