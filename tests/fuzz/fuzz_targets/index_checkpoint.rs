//! See `gust_fuzz::index_checkpoint`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::index_checkpoint(data));
